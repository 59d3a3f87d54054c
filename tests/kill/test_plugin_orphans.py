"""No process of a component server survives its gateway, whatever either of them does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from flowspan.client import AsyncClient
from tests.kill.gateway_process import GatewayProcess

HERE = Path(__file__).parent
MODES: dict[str, list[str]] = {"plain": [], "forks": ["fork"], "escapes": ["setsid"], "both": ["fork", "setsid"]}
PROCESSES = 1 + len(MODES) + sum(map(len, MODES.values()))
"""The ledger, the four servers and what they leave: at least so many carry the tag beside the gateway."""


def start(home: Path, *, command: list[str] | None = None) -> GatewayProcess:
    plugins = {
        name: {"command": sys.executable, "args": [str(HERE / "stubborn_server.py"), *modes]} for name, modes in MODES.items()
    }
    gateway = GatewayProcess(
        home, f"orphans-{os.getpid()}-{home.name}", plugins=plugins, engine={"drain_grace_s": 0.2}, command=command or []
    )
    gateway.start()
    deadline = time.monotonic() + 5
    while len(gateway.survivors()) < PROCESSES + 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(gateway.survivors()) >= PROCESSES + 1
    return gateway


async def test_none_survives_kill_9(tmp_path: Path) -> None:
    gateway = start(tmp_path)
    try:
        at = gateway.kill()
        assert gateway.wait_all_gone(1.0) == []
        print(f"all gone after {(time.monotonic() - at) * 1000:.0f} ms")
    finally:
        gateway.end()


async def test_none_survives_a_kill_during_the_stop(tmp_path: Path) -> None:
    gateway = start(tmp_path)
    try:
        assert gateway.process is not None
        gateway.process.terminate()
        await asyncio.sleep(1.0)
        assert gateway.process.poll() is None, "the servers hold it up for some seconds"
        gateway.kill()
        assert gateway.wait_all_gone(1.0) == []
    finally:
        gateway.end()


@pytest.mark.parametrize("times", [1, 2])
async def test_none_survives_sigterm(tmp_path: Path, times: int) -> None:
    gateway = start(tmp_path)
    try:
        assert gateway.process is not None
        for _ in range(times):
            gateway.process.terminate()
            await asyncio.sleep(0.1)
        assert await asyncio.to_thread(gateway.wait_exit, 10.0) == 0
        assert gateway.wait_all_gone(1.0) == []
    finally:
        gateway.end()


async def test_none_survives_an_exception_in_the_gateways_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    monkeypatch.setenv("BROKEN", str(broken))
    gateway = start(tmp_path, command=[sys.executable, str(HERE / "raising_gateway.py")])
    try:
        broken.touch()
        assert await asyncio.to_thread(gateway.wait_exit, 10.0) == 1
        assert gateway.wait_all_gone(1.0) == []
        assert "the gateway's main is broken" in gateway.said()
    finally:
        gateway.end()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGHUP, signal.SIGQUIT])
async def test_none_survives_a_gateway_that_a_signal_ends(tmp_path: Path, number: signal.Signals) -> None:
    gateway = start(tmp_path)
    try:
        assert gateway.process is not None
        gateway.process.send_signal(number)
        await asyncio.to_thread(gateway.wait_exit, 10.0)
        assert gateway.wait_all_gone(1.0) == []
    finally:
        gateway.end()


async def test_a_server_that_is_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    """Each time its first process dies; what it had started dies with it, and the gateway keeps no descriptor of it."""
    gateway = GatewayProcess(
        tmp_path,
        f"replaced-{os.getpid()}",
        plugins={"both": {"command": sys.executable, "args": [str(HERE / "stubborn_server.py"), "fork", "setsid"]}},
    )
    gateway.start()
    try:
        async with AsyncClient(gateway.target) as client:
            await life_of(client)
            base, everybody = gateway.descriptors(), len(gateway.survivors())
            for restarts in (1, 2):
                old = stubborn(gateway)
                os.kill(old[0], signal.SIGKILL)
                async with asyncio.timeout(10):
                    while await life_of(client) != ("up", restarts):
                        await asyncio.sleep(0.02)
                async with asyncio.timeout(5):
                    while set(stubborn(gateway)) & set(old) or len(gateway.survivors()) != everybody:
                        await asyncio.sleep(0.02)
            async with asyncio.timeout(5):
                while gateway.descriptors() > base:
                    await asyncio.sleep(0.02)
        gateway.kill()
        assert gateway.wait_all_gone(1.0) == []
    finally:
        gateway.end()


def stubborn(gateway: GatewayProcess) -> list[int]:
    """Living processes of the server, the first one first."""
    found = []
    for pid in gateway.survivors():
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if len(arguments) > 1 and arguments[1].endswith(b"stubborn_server.py"):
            found.append(pid)
    return sorted(found)


async def life_of(client: AsyncClient) -> tuple[str, int]:
    """Health and restarts of the plugin `both`."""
    (plugin,) = [plugin for plugin in (await client.components()).plugins if plugin.name == "both"]
    return plugin.health, plugin.restarts
