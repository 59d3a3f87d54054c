"""The real gateway, and component servers connected to it in each of the ways that there are."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from .programs import ClientProgram, Process, ProgramError
from .relay import Relay

TOKEN: Final = "conformance-0123456789"
START_S: Final = 30.0
FLOWSPAN: Final = (sys.executable, "-c", "import sys; from gateway.cli import main; sys.exit(main())")
STDIO: Final = "stdio"
WORKER: Final = "worker"
BRIDGE: Final = "bridge"
TRANSPORTS: Final = (STDIO, WORKER, BRIDGE)
MAX_OUTPUT_BYTES: Final = 16 << 20
LARGE_LINE_BYTES: Final = 40 << 20


class GatewayProcess:
    """`flowspan serve` in a process and a directory of its own."""

    def __init__(self, plugins: dict[str, Any]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="flowspan-conformance-"))
        for name in ("runtime", "data", "home"):
            (self.directory / name).mkdir(mode=0o700)
        self.socket = str(self.directory / "gateway.sock")
        config = {
            "listen": f"unix:{self.socket}",
            "auth": {"type": "token", "token": TOKEN},
            "plugins": {"builtin": {"type": "builtin"}, **plugins},
            "routes": {f"/{name}": [{"plugin": name}] for name in ("builtin", *plugins)},
        }
        file = self.directory / "flowspan.json"
        file.write_text(json.dumps(config))
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ},
            "HOME": str(self.directory / "home"),
            "XDG_RUNTIME_DIR": str(self.directory / "runtime"),
            "XDG_DATA_HOME": str(self.directory / "data"),
            "TMPDIR": str(self.directory),
        }
        command = (*FLOWSPAN, "serve", "--config", str(file), "--state", str(self.directory / "state"))
        self.process = Process("the gateway", command, environment)
        try:
            while (line := self.process.line(START_S)) is not None and not line.startswith(b'{"grpc"'):
                pass
            if line is None:
                raise ProgramError(f"the gateway did not start; its stderr ends with:\n{self.process.stderr_tail}")
        except BaseException:
            self.end()
            raise
        self.relay = Relay(self.socket)

    @property
    def target(self) -> str:
        return f"unix:{self.socket}"

    def connect(self, client: ClientProgram, *, through_relay: bool = False) -> dict[str, Any]:
        return client.ask("connect", target=self.relay.target if through_relay else self.target, token=TOKEN)

    def end(self) -> None:
        if hasattr(self, "relay"):
            self.relay.close()
        self.process.close_stdin()
        self.process.child.send_signal(signal.SIGTERM) if self.process.child.poll() is None else None
        self.process.end()
        shutil.rmtree(self.directory, ignore_errors=True)


class Supervised:
    """A component server that somebody keeps running: started again when it ends, as a service manager does."""

    def __init__(self, name: str, command: Sequence[str], environment: dict[str, str]) -> None:
        self._name = name
        self._command = command
        self._environment = environment
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.starts = 0
        self.process = self._start()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _start(self) -> Process:
        self.starts += 1
        return Process(self._name, self._command, self._environment)

    def _keep(self) -> None:
        while not self._stopping.wait(0.1):
            with self._lock:
                if self.process.child.poll() is not None and not self._stopping.is_set():
                    self.process.end()
                    self.process = self._start()

    def end(self) -> None:
        self._stopping.set()
        self._thread.join(START_S)
        with self._lock:
            if self.process.child.poll() is None:
                self.process.child.send_signal(signal.SIGTERM)
            self.process.end()


class ServerHouse:
    """A gateway with one SDK's component server, connected in one way, and the client that drives it.

    Its components are at `/server/...`; at `/one/...` those of another process of it, of capacity 1.
    """

    def __init__(self, sdk: str, transport: str, server: Sequence[str], driver: Sequence[str]) -> None:
        self.transport = transport
        self.server = server
        self.supervised: list[Supervised] = []
        self.client: ClientProgram | None = None
        if transport == STDIO:
            plugins: dict[str, Any] = {name: self._stdio_plugin(server, name) for name in ("server", "one")}
        else:
            plugins = {
                name: {"type": "worker", "queue": name, "max_output_bytes": MAX_OUTPUT_BYTES} for name in ("server", "one")
            }
        self.gateway = GatewayProcess(plugins)
        try:
            if transport != STDIO:
                for queue in ("server", "one"):
                    self.supervised.append(self._connected(sdk, server, queue))
            self.client = ClientProgram("the driving client", driver)
            self.gateway.connect(self.client)
            self._wait_for_components(sdk)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        if self.client is not None:
            self.client.end()
        for supervised in self.supervised:
            supervised.end()
        self.gateway.end()

    @property
    def components(self) -> frozenset[str]:
        """Of the server, without its route."""
        assert self.client is not None
        names = self.client.ask("components")["names"]
        return frozenset(name.removeprefix("/server") for name in names if name.startswith("/server/"))

    @staticmethod
    def _stdio_plugin(server: Sequence[str], name: str) -> dict[str, Any]:
        plugin: dict[str, Any] = {
            "type": "stdio",
            "command": server[0],
            "args": list(server[1:]),
            "limits": {"max_output_bytes": MAX_OUTPUT_BYTES, "max_line_bytes": LARGE_LINE_BYTES},
        }
        if name == "one":
            plugin["env"] = {"CONFORMANCE_CAPACITY": "1"}
        return plugin

    def _connected(self, sdk: str, server: Sequence[str], queue: str) -> Supervised:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FLOWSPAN_")}
        if queue == "one":
            environment["CONFORMANCE_CAPACITY"] = "1"
        access = {"FLOWSPAN_TARGET": self.gateway.target, "FLOWSPAN_TOKEN": TOKEN}
        if self.transport == WORKER:
            return Supervised(f"the {sdk} worker", server, {**environment, **access, "FLOWSPAN_QUEUE": queue})
        bridge = (*FLOWSPAN, "bridge", "--gateway", self.gateway.target, "--queue", queue, "--", *server)
        return Supervised(f"the bridge of {sdk}", bridge, {**environment, "FLOWSPAN_TOKEN": TOKEN})

    def _wait_for_components(self, sdk: str) -> None:
        assert self.client is not None
        wanted = {"/server/echo", "/one/echo"}

        def offered() -> bool:
            assert self.client is not None
            return wanted <= set(self.client.ask("components")["names"])

        if not until(offered, START_S):
            said = "\n".join(supervised.process.stderr_tail for supervised in self.supervised)
            raise ProgramError(
                f"the component server of {sdk} ({self.transport}) did not offer {sorted(wanted)} within {START_S:g} s;\n"
                f"its stderr ends with:\n{said or self.gateway.process.stderr_tail}"
            )


class ClientHouse:
    """A gateway with the built-in components and the client under test."""

    def __init__(self, sdk: str, client: Sequence[str]) -> None:
        self.gateway = GatewayProcess({})
        self.client: ClientProgram | None = None
        try:
            self.client = ClientProgram(f"the {sdk} client", client)
            self.gateway.connect(self.client)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        if self.client is not None:
            self.client.end()
        self.gateway.end()


def until(condition: Callable[[], bool], wait_s: float) -> bool:
    """Ask every 50 ms until it holds; False if it did not within the time."""
    end_s = time.monotonic() + wait_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.05)
    return True
