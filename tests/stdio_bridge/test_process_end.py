"""How a component server is stopped and killed, and that nothing outlives it or the gateway."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import uvloop

from gateway.stdio_bridge.launch import Isolation

from .children import ECHO, Owner, RunOnLoop, marked_processes, poll_until, python, started

REPO = Path(__file__).parents[2]
PATHS = os.pathsep.join([str(REPO), str(REPO / "clients" / "python")])


def test_stop_ends_a_polite_server_by_closing_stdin(on_loop: RunOnLoop, isolation: Isolation) -> None:
    async def main() -> None:
        code = "import os\nos.write(1,b'up\\n')\nwhile os.read(0,9): pass\nos.write(1,b'y'*500000); os._exit(7)"
        async with started(python(code, isolation)) as owner:
            await owner.wait_line()
            report = await owner.process.stop()
            assert report is not None and report.exit_code == 7
            assert len(owner.output) == 500_003, "stdout is drained on the way down"
            assert await owner.process.stop() is report

    on_loop(main)


def test_stop_sends_sigterm_to_a_server_that_ignores_its_stdin(on_loop: RunOnLoop, isolation: Isolation) -> None:
    async def main() -> None:
        code = "import os,signal\nos.write(1,b'up\\n')\nsignal.pause()"
        async with started(python(code, isolation)) as owner:
            await owner.wait_line()
            report = await owner.process.stop(grace_s=0.1)
            assert report is not None and report.signal_number == signal.SIGTERM

    on_loop(main)


def test_stop_kills_a_server_that_ignores_sigterm_with_its_tree(on_loop: RunOnLoop, isolation: Isolation) -> None:
    """Catalogue C7 and C13; two stops at once are one."""
    mark = f"stubborn-{os.getpid()}-{isolation}"
    code = f"""
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
daemon = "import os,signal\\nif os.fork(): os._exit(0)\\nos.setsid()\\nos.write(1, b'up')\\nsignal.pause()"
subprocess.Popen([sys.executable, "-I", "-S", "-c", daemon, "{mark}"])
while True: signal.pause()
"""

    async def main() -> None:
        async with started(python(code, isolation)) as owner:
            await owner.wait_output(lambda output: output == b"up")
            began_at = time.monotonic()
            first, second = await asyncio.gather(owner.process.stop(grace_s=0.2), owner.process.stop(grace_s=0.2))
            assert first is not None and first is second
            assert first.signal_number == signal.SIGKILL
            assert 0.4 <= time.monotonic() - began_at < 2.0
            assert marked_processes(mark) == []

    on_loop(main)


def test_a_stopped_server_is_killed_although_it_hangs(on_loop: RunOnLoop, isolation: Isolation) -> None:
    """Catalogue C6."""

    async def main() -> None:
        code = "import os,signal\nos.write(1,b'up\\n')\nos.kill(os.getpid(), signal.SIGSTOP)"
        async with started(python(code, isolation)) as owner:
            await owner.wait_line()
            report = await owner.process.stop(grace_s=0.05)
            assert report is not None and report.signal_number == signal.SIGKILL

    on_loop(main)


def test_a_cancelled_stop_kills_at_once(on_loop: RunOnLoop) -> None:
    async def main() -> None:
        code = "import os,signal\nos.write(1,b'up\\n')\nsignal.pause()"
        async with started(python(code)) as owner:
            await owner.wait_line()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await owner.process.stop(grace_s=30)
            assert (await owner.wait_end()).signal_number == signal.SIGKILL

    on_loop(main)


def test_killing_the_reaper_kills_the_server(on_loop: RunOnLoop, isolation: Isolation) -> None:
    mark = f"orphan-{os.getpid()}-{isolation}"
    spec = python("import os,signal\nos.write(1,b'up\\n')\nsignal.pause()", isolation)

    async def main() -> None:
        async with started(replace(spec, args=(*spec.args, mark))) as owner:
            await owner.wait_line()
            os.kill(owner.process.pid, signal.SIGKILL)
            report = await owner.wait_end()
            assert report.signal_number == signal.SIGKILL and not report.stop_was_requested
            assert poll_until(lambda: marked_processes(mark) == [], 1.0)

    on_loop(main)


def test_stop_before_spawn_and_after_the_end_is_harmless(on_loop: RunOnLoop) -> None:
    async def main() -> None:
        owner = Owner(python("pass"))
        assert await owner.process.stop() is None
        owner.process.kill()
        owner.process.spawn()
        report = await owner.wait_end()
        owner.process.kill()
        owner.process.terminate()
        assert await owner.process.stop() is report

    on_loop(main)


def test_no_zombie_and_no_descriptor_is_left(on_loop: RunOnLoop, isolation: Isolation) -> None:
    async def main() -> None:
        async with started(python("pass", isolation)) as owner:
            await owner.wait_end()
        before = psutil.Process().num_fds()
        for _ in range(5):
            async with started(python("import os; os.fork()", isolation)) as owner:
                await owner.wait_end()
        assert psutil.Process().num_fds() == before
        assert [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE] == []

    on_loop(main)


def test_the_end_is_noticed_without_pidfd(on_loop: RunOnLoop, isolation: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)

    async def main() -> None:
        async with started(python("import os; os.read(0, 1); os.write(1, b'z'); os._exit(6)", isolation)) as owner:
            owner.process.write(b"x")
            report = await owner.wait_end()
            assert (report.exit_code, bytes(owner.output)) == (6, b"z")

    on_loop(main)


SUB_GATEWAY = """
import asyncio, sys
import uvloop
from gateway.stdio_bridge.launch import Isolation, LaunchSpec
from gateway.stdio_bridge.process import ComponentProcess

mark, isolation, loop_name = sys.argv[1:]
TWICE = "import os,signal\\nif os.fork(): os._exit(0)\\nos.setsid()\\nif os.fork(): os._exit(0)\\n"
DAEMON = TWICE + "os.write(1, b'up')\\nsignal.pause()"
SERVER = f'''
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-I", "-S", "-c", {DAEMON!r}, "{mark}"], stdin=subprocess.DEVNULL)
while True: signal.pause()
'''

async def main():
    up = asyncio.Event()
    spec = LaunchSpec(name="x", command=sys.executable, args=("-I", "-S", "-c", SERVER, mark), isolation=Isolation(isolation))
    process = ComponentProcess(spec, on_stdout=lambda data: up.set(), on_exit=lambda report: None)
    process.spawn()
    await up.wait()
    print("ready", flush=True)
    await asyncio.Event().wait()

factory = uvloop.new_event_loop if loop_name == "uvloop" else asyncio.new_event_loop
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
@pytest.mark.parametrize("has_capabilities", [False, True])
def test_every_descendant_dies_within_a_second_of_a_killed_gateway(
    loop_name: str, isolation: Isolation, has_capabilities: bool
) -> None:
    """Catalogue C13, C20: kill -9 of the gateway, with a daemon that left session and parent."""
    mark = f"daemon-{os.getpid()}-{isolation}-{loop_name}-{has_capabilities}"
    # Without capabilities only a user namespace gives a PID namespace.
    dropped = [] if has_capabilities else ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    gateway = subprocess.Popen(
        [*dropped, sys.executable, "-c", SUB_GATEWAY, mark, isolation.value, loop_name],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": PATHS, "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=REPO,
    )
    try:
        assert gateway.stdout is not None
        with gateway.stdout:
            assert gateway.stdout.readline() == b"ready\n"
        assert len([p for p in marked_processes(mark) if p.pid != gateway.pid]) >= 3
    finally:
        gateway.kill()
        gateway.wait(5)
    assert poll_until(lambda: marked_processes(mark) == [], 1.0), [p.cmdline() for p in marked_processes(mark)]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_server_outlives_the_thread_that_started_it(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Catalogue C23: the tie is to the gateway's process, not to a thread of it."""
    owners: list[Owner] = []

    async def start() -> None:
        owner = Owner(python(ECHO))
        owner.process.spawn()
        owners.append(owner)
        owner.process.write(b"up\n")
        await owner.wait_line()

    async def finish() -> None:
        assert await owners[0].process.wait_exit(0.3) is None
        report = await owners[0].process.stop()
        assert report is not None and report.exit_code == 0

    loop = new_loop()
    try:
        thread = threading.Thread(target=loop.run_until_complete, args=(start(),))
        thread.start()
        thread.join(5)
        loop.run_until_complete(finish())
    finally:
        loop.close()
