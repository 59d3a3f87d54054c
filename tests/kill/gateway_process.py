"""`flowspan serve` as a process of its own, to be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
READY_S = 15.0
TAG = "FLOWSPAN_KILL_TEST_TAG"
"""Names, in their environment, all processes that descend from one gateway of one test."""


class GatewayProcess:
    """One gateway over a directory; may be started, killed and started again.

    Args:
        home: holds the configuration, the store, the socket and the ledger.
        tag: unique; every process of this gateway carries it in its environment.
        plugins: further ones beside `/ledger`, as the configuration has them; their environment is completed with the tag.
        engine: the configuration's section of that name.
        command: what stands for `flowspan serve`; given the same arguments.
    """

    def __init__(
        self,
        home: Path,
        tag: str,
        *,
        work_ms: float = 1.0,
        capacity: int = 256,
        plugins: Mapping[str, Mapping[str, object]] | None = None,
        engine: Mapping[str, object] | None = None,
        command: Sequence[str] = (),
    ) -> None:
        self.home = home
        self.tag = tag
        self.gate = home / "gate"
        self._command = list(command) or [str(Path(sys.executable).parent / "flowspan")]
        self.ledger = home / "ledger.txt"
        self.target = f"unix:{home}/s"
        self._config = home / "flowspan.json"
        self._config.write_text(
            json.dumps(
                {
                    "plugins": {
                        "ledger": {
                            "type": "stdio",
                            "command": sys.executable,
                            "args": [str(HERE / "ledger_server.py")],
                            "env": {
                                "LEDGER": str(self.ledger),
                                "WORK_MS": str(work_ms),
                                "GATE": str(self.gate),
                                TAG: tag,
                            },
                            "capacity": capacity,
                        },
                        **{
                            name: {"type": "stdio", **plugin, "env": {**_environment(plugin), TAG: tag}}
                            for name, plugin in (plugins or {}).items()
                        },
                    },
                    "engine": dict(engine or {}),
                    "store": {"type": "sqlite", "path": str(home / "store")},
                    "listen": [self.target],
                }
            )
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.ready_line: dict[str, object] = {}

    def launch(self) -> None:
        """Start, and do not wait for anything."""
        self.started_at = time.monotonic()
        command = [*self._command, "serve", "--config", str(self._config)]
        with open(self.home / "stderr.log", "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, TAG: self.tag, "XDG_RUNTIME_DIR": str(self.home)},
            )

    def start(self) -> None:
        """Start and wait for the ready line."""
        self.launch()
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the gateway did not start: {self.said()}")
        self.ready_line = json.loads(line)

    def said(self) -> str:
        """The end of its stderr, over all its lives."""
        return (self.home / "stderr.log").read_text()[-4000:]

    def resident_mib(self) -> float:
        """Peak of the gateway's resident memory since its start."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024

    def descriptors(self) -> int:
        """How many files, sockets and pipes it has open."""
        assert self.process is not None
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self) -> int:
        assert self.process is not None
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def kill(self) -> float:
        """kill -9; returns when (monotonic)."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        at = time.monotonic()
        self.process.wait(5)
        self._close_pipes()
        return at

    def end(self) -> None:
        """Whatever it is doing: it is over, and so is everything that it started. For the end of a test."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.wait_all_gone()

    def wait_exit(self, within_s: float) -> int:
        """It ends by itself; the exit code."""
        assert self.process is not None
        code = self.process.wait(within_s)
        self._close_pipes()
        return code

    def terminate(self, within_s: float = 15.0) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.wait_exit(within_s)

    def _close_pipes(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.stdout.close()

    def survivors(self) -> list[int]:
        """Living processes that carry the tag."""
        needle = f"{TAG}={self.tag}".encode()
        found: list[int] = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                with open(f"/proc/{entry}/environ", "rb") as environ:
                    carries = needle in environ.read().split(b"\0")
                with open(f"/proc/{entry}/stat") as stat:
                    is_zombie = stat.read().rsplit(")", 1)[1].split()[0] == "Z"
            except OSError:
                continue
            if carries and not is_zombie:
                found.append(int(entry))
        return found

    def wait_all_gone(self, within_s: float = 1.0) -> list[int]:
        """Who is still alive after the time; empty if nobody."""
        deadline = time.monotonic() + within_s
        while (left := self.survivors()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return left


def _environment(plugin: Mapping[str, object]) -> Mapping[str, object]:
    environment = plugin.get("env", {})
    assert isinstance(environment, Mapping)
    return environment
