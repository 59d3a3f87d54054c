"""What a server may take from the machine, and that nobody else is hit when it is ended."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace

import msgspec
import pytest

from gateway.stdio_bridge.restart_policy import RestartLimits
from gateway.stdio_bridge.settings import MIB, StdioPlugin
from tests.stdio_bridge.children import RunOnLoop, marked_processes, poll_until, python, started
from tests.stdio_bridge.fakes import Bridge, calls
from tests.stdio_bridge.servers import server

QUICK = RestartLimits(first_backoff_s=0.01, max_backoff_s=0.02)


async def test_a_server_that_asks_for_too_much_memory_ends_itself_and_is_started_again() -> None:
    body = """
def execute(request, params):
    if params['input'] == 'grow': bytearray(10 << 30)
    answer(request, {'output': 1})
"""
    spec = server(body, max_address_space_bytes=1024 * MIB)
    async with Bridge(StdioPlugin(spec, restart=QUICK)) as bridge:
        await bridge.up()
        (greedy,) = calls(1, data=b'"grow"')
        bridge.server.start([greedy])
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        sent, _, failure = bridge.sink.crashes[0]
        assert sent == [greedy.number] and "MemoryError" in failure.message
        await bridge.up()
        assert await bridge.execute(calls(1)) == [b"1"]


def test_the_bound_on_processes_is_set_where_one_is_configured(on_loop: RunOnLoop) -> None:
    code = "import resource, sys; sys.stdout.write(str(list(resource.getrlimit(resource.RLIMIT_NPROC))))"

    async def main() -> None:
        async with started(replace(python(code), max_processes=77)) as owner:
            await owner.wait_end()
            assert json.loads(bytes(owner.output)) == [77, 77]

    on_loop(main)


def test_a_server_that_forks_without_end_dies_with_all_its_children(on_loop: RunOnLoop) -> None:
    mark = f"flowspan-forks-{os.getpid()}"
    code = f"""
import os, time
mark = {mark!r}
for _ in range(200):
    if os.fork() == 0: time.sleep(60)
os.write(1, b"all\\n")
time.sleep(60)
"""

    async def main() -> None:
        async with started(python(code)) as owner:
            assert await owner.wait_line() == b"all"
            assert len(marked_processes(mark)) > 200
            owner.process.kill()
            await owner.wait_end()
        assert poll_until(lambda: not marked_processes(mark), 1.0)

    on_loop(main)


def test_nobody_is_signalled_for_a_process_that_has_ended(on_loop: RunOnLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a number that may belong to another process by now was signalled")

    async def main() -> None:
        async with started(python("pass")) as owner:
            await owner.wait_end()
            with monkeypatch.context() as patched:
                for name in ("kill", "killpg"):
                    patched.setattr(os, name, refuse)
                patched.setattr(subprocess.Popen, "send_signal", refuse)
                owner.process.terminate()
                owner.process.kill()
                assert await owner.process.stop() is not None

    on_loop(main)


async def test_an_output_that_looks_like_a_reference_is_a_value() -> None:
    async with Bridge(StdioPlugin(server())) as bridge:
        await bridge.up()
        data = msgspec.json.encode({"$blob": "sha256:" + "00" * 32})
        assert await bridge.execute(calls(1, data=data)) == [data]
