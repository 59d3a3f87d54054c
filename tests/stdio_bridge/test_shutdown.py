"""The first rung of an orderly end: a server that declared `shutdown` is asked while both pipes are open."""

from __future__ import annotations

import time
from pathlib import Path

from gateway.stdio_bridge.settings import StdioPlugin

from .fakes import Bridge
from .servers import server


def _noting(notes: Path, capabilities: str, reaction: str) -> str:
    """A server that notes what it is told at its end."""
    return f"""
CAPABILITIES = {capabilities}
def note(text): open({str(notes)!r}, 'a').write(text + ' ')
def other(request):
    note(request['method'])
    {reaction}
run = main
def main():
    run()
    note('end-of-stdin')
"""


async def test_a_server_that_declared_shutdown_is_asked_before_its_stdin_ends(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with Bridge(StdioPlugin(server(_noting(notes, "{'shutdown': True}", "answer(request, {})")))) as bridge:
        await bridge.up()
    assert notes.read_text().split() == ["shutdown", "end-of-stdin"]


async def test_other_servers_are_not_asked(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with Bridge(StdioPlugin(server(_noting(notes, "{}", "answer(request, {})")))) as bridge:
        await bridge.up()
    assert notes.read_text().split() == ["end-of-stdin"]


async def test_a_server_that_never_answers_shutdown_is_ended_after_a_bound(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    plugin = StdioPlugin(server(_noting(notes, "{'shutdown': True}", "pass")), stop_grace_s=0.3)
    async with Bridge(plugin) as bridge:
        await bridge.up()
        began_s = time.monotonic()
        await bridge.server.stop()
        assert time.monotonic() - began_s >= 0.3
    assert notes.read_text().split() == ["shutdown", "end-of-stdin"]


async def test_a_server_that_exits_instead_of_answering_has_shut_down(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with Bridge(StdioPlugin(server(_noting(notes, "{'shutdown': True}", "os._exit(0)")))) as bridge:
        await bridge.up()
    assert notes.read_text().split() == ["shutdown"]
