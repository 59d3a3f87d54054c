"""How a server process is started by hand, is flooded, and ends."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.components.conftest import Spawn
from tests.components.played_gateway import HEAD, WAIT_S, execute_params

ECHO = """
@server.component
def echo(input): return input
@server.component
async def later(input):
    await asyncio.sleep(0.01)
    return input
@server.component(inline=True)
def waits(input, ctx): return ctx.get_blob("sha256:0")
@server.component
async def hang(input): await asyncio.sleep(3600)
"""

CONVERSATION = b"".join(
    json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).encode() + b"\n"
    for request_id, method, params in (
        (1, "initialize", {"runtimeProtocolVersion": 1}),
        (2, "components/execute", execute_params("/echo", "a")),
        (3, "components/execute", execute_params("/later", "b")),
    )
)


@pytest.fixture
def program(tmp_path: Path, loop: str) -> Path:
    path = tmp_path / "server.py"
    path.write_text(HEAD.format(capacity=16) + ECHO + f"server.run(event_loop={loop!r})\n")
    return path


def _outputs(stdout: bytes) -> dict[int, object]:
    answers = [json.loads(line) for line in stdout.splitlines()]
    return {answer["id"]: answer["result"].get("output") for answer in answers}


def test_a_pipeline_of_the_shell_gets_every_answer(program: Path) -> None:
    done = subprocess.run([sys.executable, program], input=CONVERSATION, stdout=subprocess.PIPE, timeout=WAIT_S, check=True)
    assert _outputs(done.stdout) == {1: None, 2: "a", 3: "b"}


def test_a_file_as_stdin_and_stdout_gets_every_answer(program: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(CONVERSATION)
    with (tmp_path / "in").open("rb") as requests, (tmp_path / "out").open("wb") as answers:
        subprocess.run([sys.executable, program], stdin=requests, stdout=answers, timeout=WAIT_S, check=True)
    assert _outputs((tmp_path / "out").read_bytes()) == {1: None, 2: "a", 3: "b"}


def test_on_a_terminal_it_says_what_it_is(program: Path) -> None:
    terminal, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, program], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        os.write(terminal, b"\x04")  # Ctrl-D
        _, said = process.communicate(timeout=WAIT_S)
    os.close(terminal)
    assert process.returncode == 0
    assert "component server with 4 component(s): /echo, /later, /waits, /hang" in said.decode()
    assert "server.py" in said.decode()


def test_it_ends_when_its_parent_dies_although_somebody_holds_its_stdin(program: Path) -> None:
    ours_in, theirs_in = os.pipe()
    ours_out, theirs_out = os.pipe()
    # The parent lives until it is killed; this process keeps the far ends of the pipes open.
    parent = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, {str(program)!r}], stdin={ours_in}, stdout={theirs_out})
print(child.pid, flush=True)
time.sleep(3600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, pass_fds=(ours_in, theirs_out), start_new_session=True
    ) as middle:
        for fd in (ours_in, theirs_out):
            os.close(fd)
        assert middle.stdout is not None
        child_fd = os.pidfd_open(int(middle.stdout.readline()))
        os.write(theirs_in, CONVERSATION)
        read = b""
        while read.count(b"\n") < 3:
            assert select.select([ours_out], [], [], WAIT_S)[0]
            read += os.read(ours_out, 65536)
        middle.send_signal(signal.SIGKILL)
    assert select.select([child_fd], [], [], WAIT_S)[0]
    for fd in (child_fd, theirs_in, ours_out):
        os.close(fd)


def test_a_gateway_that_reads_nothing_for_long_gets_everything_in_the_end(spawn: Spawn, loop: str) -> None:
    gateway = spawn(ECHO, loop=loop).initialize()
    text = "x" * 1_000_000
    count = 100  # 100 MB: more than both pipes and what the server holds before it stops reading.
    flood = b"".join(
        json.dumps(
            {"jsonrpc": "2.0", "id": 1000 + n, "method": "components/execute", "params": execute_params("/echo", text)}
        ).encode()
        + b"\n"
        for n in range(count)
    )
    rest = gateway.write_without_reading(flood, stall_s=0.5)
    assert rest, "the server reads on although nobody takes its answers"
    gateway.write(rest)
    for n in range(count):
        assert gateway.answer_to(1000 + n, wait_s=30)["result"]["output"] == text


def test_an_inline_component_that_waits_is_told_so(spawn: Spawn) -> None:
    gateway = spawn(ECHO).initialize()
    error = gateway.answer_to(gateway.execute("/waits", None))["error"]
    assert error["code"] == -32004
    assert "inline" in error["message"]


def test_an_async_component_that_hangs_does_not_hold_the_process(spawn: Spawn, loop: str) -> None:
    gateway = spawn(ECHO, loop=loop).initialize()
    gateway.execute("/hang", None)
    gateway.call("ping")
    began_s = time.monotonic()
    gateway.close_stdin()
    assert gateway.wait_for_exit() == 0
    assert time.monotonic() - began_s < WAIT_S
