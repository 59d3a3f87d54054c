"""A gateway of our own for the length of the demo: `flowspan serve` in a directory that is removed afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY_S = 30.0
STOP_S = 15.0


def flowspan_command() -> str:
    """The `flowspan` beside this interpreter, else the one on PATH."""
    found = shutil.which("flowspan", path=os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", ""))))
    if found is None:
        raise SystemExit("the command `flowspan` is not installed; run `make setup`, or pip install flowspan-gateway")
    return found


@contextmanager
def private_gateway(plugins: dict[str, Any]) -> Iterator[str]:
    """Starts a gateway with these plugins; yields its address, a unix socket that nobody else can open."""
    with tempfile.TemporaryDirectory(prefix="flowspan-") as directory:
        config = Path(directory, "flowspan.yml")
        # JSON is YAML.
        config.write_text(
            json.dumps(
                {
                    "plugins": plugins,
                    "store": {"type": "sqlite", "path": "store"},
                    "listen": [f"unix:{directory}/gateway.sock"],
                    "telemetry": {"log_level": "warning"},
                }
            )
        )
        command = [flowspan_command(), "serve", "--config", str(config)]
        # A runtime directory of its own keeps other clients on this machine from finding it.
        environment = {**os.environ, "XDG_RUNTIME_DIR": directory}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True)
        try:
            yield _address(process)
        finally:
            _end(process)


def _address(process: subprocess.Popen[bytes]) -> str:
    """What the gateway prints when it is ready."""
    assert process.stdout is not None
    too_slow = threading.Timer(READY_S, process.kill)
    too_slow.start()
    try:
        line = process.stdout.readline()
    finally:
        too_slow.cancel()
    if not line:
        raise SystemExit(f"the gateway did not start: it ended with {process.wait(STOP_S)}")
    address: str = json.loads(line)["grpc"]
    return address


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM drains and ends the component servers, too."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdout is not None:
            process.stdout.close()
