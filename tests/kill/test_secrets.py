"""Secret variables over the life of a gateway: nowhere on disk, in no log, and there again after kill -9 (promise P31)."""

from __future__ import annotations

import base64
import os
import stat
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from flowspan.client import Client
from flowspan.errors import FlowspanError, Reason
from tests.kill.gateway_process import GatewayProcess

SECRET = "canary/4711+Ω"
FLOW: dict[str, Any] = {
    "name": "secret",
    "variablesSchema": {
        "type": "object",
        "properties": {"key": {"type": "string", "is_secret": True}},
        "required": ["key"],
    },
    "steps": [
        {
            "id": "tell",
            "component": "/telling/tell",
            "input": {"key": {"$variable": "key"}, "waits": {"$input": "$.waits"}},
        }
    ],
    "output": {"$step": "tell"},
}


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.delenv("FLOWSPAN_SECRET_KEY", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    script = Path(__file__).parent / "telling_server.py"
    plugins = {"telling": {"command": sys.executable, "args": [str(script), str(home / "open")]}}
    process = GatewayProcess(home, f"secrets-{os.getpid()}-{tmp_path.name}", plugins=plugins)
    yield process
    process.end()


def finds(home: Path) -> list[str]:
    """Files below a directory in which the secret stands in some form."""
    forms = [SECRET.encode(), b"canary/4711", base64.b64encode(SECRET.encode()), quote(SECRET).encode(), b"canary%2F4711"]
    found = []
    for path in home.rglob("*"):
        if path.is_file() and any(form in path.read_bytes() for form in forms):
            found.append(path.name)
    return found


def test_a_secret_is_neither_on_disk_nor_in_a_log_and_survives_kill_9(gateway: GatewayProcess, tmp_path: Path) -> None:
    gateway.start()
    with Client(gateway.target) as client:
        waiting = client.submit(FLOW, [{"waits": True}], variables={"key": SECRET})
        (failed,) = client.run(FLOW, [{"waits": False}], variables={"key": SECRET}).results or ()
        assert "***" in str(failed.error)
        assert "4711" not in str(failed.error)
    gateway.kill()
    assert finds(gateway.home) == []
    key_file = tmp_path / "user" / "flowspan" / "secret.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600

    moved = key_file.rename(key_file.with_name("elsewhere"))
    gateway.start()
    with Client(gateway.target) as client:
        status = client.get(waiting.run_id)
        assert status.progress is not None
        assert "key" in str(status.progress.waiting_for)
        with pytest.raises(FlowspanError) as waits:
            list(client.watch(waiting.run_id))
        assert waits.value.reason is Reason.FAILED_PRECONDITION
    gateway.kill()

    moved.rename(key_file)
    (gateway.home / "open").touch()
    gateway.start()
    with Client(gateway.target) as client:
        assert [result.value for result in client.watch(waiting.run_id)] == [len(SECRET)]
    gateway.kill()
    assert finds(gateway.home) == []
