"""Bytes in and out of a component server, what it is given, and failures to start it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from flowspan.errors import Reason
from gateway.stdio_bridge import process as process_module
from gateway.stdio_bridge.launch import Isolation, LaunchSpec, StartError
from runtime_core.model.redaction import KNOWN_SECRETS

from .children import ECHO, Owner, RunOnLoop, marked_processes, poll_until, python, started


def test_bytes_go_in_and_come_back_in_order(on_loop: RunOnLoop, isolation: Isolation) -> None:
    async def main() -> None:
        async with started(python(ECHO, isolation)) as owner:
            assert owner.process.write(b"a") and owner.process.write([b"bc", b"", b"def"])
            await owner.wait_output(lambda output: len(output) == 6)
            assert owner.output == b"abcdef"
            report = await owner.process.stop()
            assert report is not None
            assert (report.exit_code, report.signal_number, report.stop_was_requested) == (0, None, True)

    on_loop(main)


def test_64_mib_in_both_directions_at_once_do_not_deadlock(on_loop: RunOnLoop) -> None:
    """Catalogue C9: the child writes everything before it reads anything, which blocks it unless we read meanwhile."""
    size = 64 * 1024 * 1024
    code = f"""
import hashlib, os
block = bytes(range(256)) * 1024
left = {size}
while left:
    left -= os.write(1, block[:left])
h = hashlib.sha256(); n = 0
while d := os.read(0, 262144):
    h.update(d); n += len(d)
os.write(1, ("%d %s" % (n, h.hexdigest())).encode())
"""

    async def main() -> None:
        import hashlib

        block = bytes(reversed(range(256))) * 4096
        async with started(python(code)) as owner:
            for _ in range(size // len(block)):
                assert owner.process.write(block)
            assert owner.process.write_buffer_bytes > 0
            assert owner.process.stalled_since is not None
            owner.process.close_stdin()
            report = await owner.wait_end(12)
            assert report.exit_code == 0
            expected = hashlib.sha256(block * (size // len(block))).hexdigest()
            assert bytes(owner.output[size:]) == f"{size} {expected}".encode()
            assert owner.output[:size] == bytes(range(256)) * (size // 256)
            assert owner.output_bytes_at_exit == len(owner.output)
            assert owner.process.write_buffer_bytes == 0 and owner.process.stalled_since is None

    on_loop(main)


def test_many_small_pieces_over_the_system_limit_arrive_whole(on_loop: RunOnLoop) -> None:
    async def main() -> None:
        pieces = [b"%07d\n" % index for index in range(400_000)]
        async with started(python(ECHO)) as owner:
            owner.process.write(pieces)
            owner.process.write(b"end\n")
            await owner.wait_output(lambda output: output.endswith(b"end\n"), 10)
            assert bytes(owner.output) == b"".join(pieces) + b"end\n"

    on_loop(main)


def test_a_stall_of_stdin_is_visible_until_bytes_are_taken(on_loop: RunOnLoop) -> None:
    code = "import os,signal\nos.write(1,b'ready\\n')\nsignal.pause()"

    async def main() -> None:
        async with started(python(code)) as owner:
            await owner.wait_line()
            before = asyncio.get_running_loop().time()
            owner.process.write(b"x" * (3 * 1024 * 1024))
            stalled_since = owner.process.stalled_since
            assert stalled_since is not None and stalled_since >= before
            assert owner.process.write_buffer_bytes >= 2 * 1024 * 1024
            owner.process.kill()
            assert (await owner.wait_end()).signal_number == signal.SIGKILL
            assert owner.process.stalled_since is None
            assert owner.process.write(b"late") is False

    on_loop(main)


def test_the_pipes_are_enlarged_so_that_an_answer_fits_at_once(on_loop: RunOnLoop) -> None:
    """wire.md 4: some servers never complete an answer over 64 KiB unless the pipe takes it in one go."""
    code = """
import os
os.set_blocking(1, False)
n = os.write(1, b"x" * 1000000)
os.write(2, b"%d" % n)
"""

    async def main() -> None:
        async with started(python(code)) as owner:
            # No await before it has written: what it wrote fitted into the pipe.
            assert poll_until(lambda: not psutil.pid_exists(owner.process.pid) or _is_zombie(owner.process.pid), 5)
            report = await owner.wait_end()
            assert report.stderr_tail == "1000000"
            assert len(owner.output) == 1_000_000

    on_loop(main)


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True


@pytest.mark.parametrize(
    ("code", "exit_code", "signal_number"),
    [
        ("import os; os.write(1, b'{\"half'); os.write(2, b'bye'); os._exit(0)", 0, None),
        ("import os; os.write(1, b'{\"half'); os.write(2, b'bye'); os._exit(41)", 41, None),
        ("import os; os.write(1, b'{\"half'); os.write(2, b'bye'); os._exit(139)", 139, None),
        ("import os; os.write(1, b'{\"half'); os.write(2, b'bye'); os.kill(os.getpid(), 11)", None, signal.SIGSEGV),
        ("import os; os.write(1, b'{\"half'); os.write(2, b'bye'); os.kill(os.getpid(), 9)", None, signal.SIGKILL),
        ("import os; os.write(1, b'{\"half'); os.write(2, b'bye'); os.abort()", None, signal.SIGABRT),
    ],
)
def test_an_end_of_its_own_is_reported_exactly(
    on_loop: RunOnLoop, isolation: Isolation, code: str, exit_code: int | None, signal_number: int | None
) -> None:
    """Catalogue C1, C2, A4: code and signal are never confused, with stderr and the half line."""

    async def main() -> None:
        async with started(python(code, isolation)) as owner:
            report = await owner.wait_end()
            assert (report.exit_code, report.signal_number) == (exit_code, signal_number)
            assert report.start_error is None and not report.stop_was_requested
            assert (report.half_line, report.stderr_tail) == ('{"half', "bye")
            assert owner.lines == ["bye"]
            assert "plugin 'child'" in report.describe()

    on_loop(main)


def test_everything_written_before_the_end_is_delivered_before_it(on_loop: RunOnLoop, isolation: Isolation) -> None:
    async def main() -> None:
        code = "import os,sys\nsys.stdout.write('x'*900000+'\\n'); sys.stdout.flush(); os._exit(3)"
        async with started(python(code, isolation)) as owner:
            report = await owner.wait_end()
            assert report.exit_code == 3
            assert owner.output_bytes_at_exit == 900_001
            assert report.half_line == ""

    on_loop(main)


def test_a_grandchild_that_holds_stdout_does_not_delay_the_exit(on_loop: RunOnLoop, isolation: Isolation) -> None:
    """Catalogue A22: the exit counts, not the end of the pipe; and the grandchild dies with the server."""
    mark = f"grandchild-{os.getpid()}-{isolation}"
    code = f"""
import os, subprocess, sys
subprocess.Popen([sys.executable, "-I", "-S", "-c", "import signal; signal.pause()", "{mark}"], start_new_session=True)
os.write(1, b"up\\n")
os.read(0, 1)
os._exit(5)
"""

    async def main() -> None:
        async with started(python(code, isolation)) as owner:
            await owner.wait_line()
            assert poll_until(lambda: len(marked_processes(mark)) > 1, 5)
            began_at = time.monotonic()
            owner.process.write(b"x")
            assert (await owner.wait_end()).exit_code == 5
            assert time.monotonic() - began_at < 1.0
            assert marked_processes(mark) == []

    on_loop(main)


def test_a_server_that_closes_stdout_and_lives_on_is_noticed(on_loop: RunOnLoop, isolation: Isolation) -> None:
    """Catalogue A21."""

    async def main() -> None:
        code = "import os,signal\nos.write(1,b'x'); os.close(1); signal.pause()"
        async with started(python(code, isolation)) as owner:
            async with asyncio.timeout(5):
                await owner.stdout_was_closed.wait()
            assert owner.process.is_running
            assert owner.output == b"x"

    on_loop(main)


def test_an_exit_is_not_taken_for_a_closed_stdout(on_loop: RunOnLoop) -> None:
    async def main() -> None:
        async with started(python("pass")) as owner:
            await owner.wait_end()
            await asyncio.sleep(process_module.CLOSED_STDOUT_S + 0.05)
            assert not owner.stdout_was_closed.is_set()

    on_loop(main)


def test_nothing_is_inherited_but_what_is_configured(
    on_loop: RunOnLoop, isolation: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catalogue C15, C16: three descriptors, the allow-list and the configured variables, the limits, its own session."""
    code = """
import json, os, resource, signal
fds = []
for fd in range(256):
    try: os.fstat(fd); fds.append(fd)
    except OSError: pass
json.dump({
  "fds": fds, "env": dict(os.environ),
  "nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "core": resource.getrlimit(resource.RLIMIT_CORE),
  "oom": open("/proc/self/oom_score_adj").read().strip(), "leader": os.getsid(0) == os.getpid(), "cwd": os.getcwd(),
  "sigint_ignored": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
}, open(1, "w", closefd=False))
"""
    secret = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(secret, True)
    monkeypatch.setenv("FLOWSPAN_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("LC_CTYPE", raising=False)
    monkeypatch.setenv("LC_TIME", "C")
    spec = replace(python(code, isolation), env={"GREETING": "hi"}, cwd="/")

    async def main() -> None:
        async with started(spec) as owner:
            report = await owner.wait_end()
            assert report.exit_code == 0, report.stderr_tail
            seen = json.loads(bytes(owner.output))
            assert seen["fds"] == [0, 1, 2]
            # The child's own interpreter may add LC_CTYPE (locale coercion) to what it was given.
            allowed = {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "GREETING", "LC_CTYPE"}
            names = {name for name in seen["env"] if not name.startswith("LC_") or name == "LC_CTYPE"}
            assert names <= allowed and seen["env"]["GREETING"] == "hi" and seen["env"]["LC_TIME"] == "C"
            assert seen["nofile"] == [1024, 1024] and seen["core"] == [0, 0] and seen["oom"] == "500"
            assert seen["leader"] and seen["cwd"] == "/" and not seen["sigint_ignored"]

    try:
        on_loop(main)
    finally:
        os.close(secret)


def test_the_environment_of_a_program_without_a_locale_is_exactly_the_given_one(on_loop: RunOnLoop) -> None:
    """The reaper's interpreter coerces the locale for itself; that must not leak."""

    async def main() -> None:
        owner = Owner(LaunchSpec(name="child", command="env", env={"A": "1"}))
        owner.process.spawn({"PATH": "/usr/bin:/bin", "HOME": "/", "SHELL": "/bin/x"})
        assert (await owner.wait_end()).exit_code == 0
        assert sorted(bytes(owner.output).decode().splitlines()) == ["A=1", "HOME=/", "PATH=/usr/bin:/bin"]

    on_loop(main)


def test_a_server_in_a_namespace_sees_only_itself(on_loop: RunOnLoop) -> None:
    """Catalogue C22: the gateway is out of reach, on every kernel that allows it."""
    unshare = [
        "unshare",
        *([] if os.getuid() == 0 else ["--user", "--map-current-user"]),
        "--pid",
        "--fork",
        "--mount-proc",
        "true",
    ]
    kernel_allows = subprocess.run(unshare, stderr=subprocess.DEVNULL, check=False, timeout=5).returncode == 0

    async def main() -> None:
        code = "import os\nprint(os.getpid(), os.getppid(), sorted(int(n) for n in os.listdir('/proc') if n.isdigit()))"
        async with started(python(code)) as owner:
            report = await owner.wait_end()
            assert report.exit_code == 0
            assert (owner.output == b"2 1 [1, 2]\n") == kernel_allows
            assert report.held_in is (Isolation.NAMESPACE if kernel_allows else Isolation.GROUP)

    on_loop(main)


@pytest.mark.parametrize(
    ("kind", "errno_name"),
    [
        ("missing", "ENOENT"),
        ("not_executable", "EACCES"),
        ("directory", "EISDIR"),
        ("no_cwd", "ENOENT"),
        ("not_on_path", "ENOENT"),
    ],
)
def test_a_program_that_cannot_be_started_is_refused_at_once(
    on_loop: RunOnLoop, tmp_path: Path, kind: str, errno_name: str
) -> None:
    """Catalogue C17."""
    (tmp_path / "not_executable").write_text("#!/bin/sh\n")
    (tmp_path / "directory").mkdir()
    spec = LaunchSpec(name="p", command=str(tmp_path / kind))
    if kind == "no_cwd":
        spec = LaunchSpec(name="p", command="env", cwd=str(tmp_path / kind))
    if kind == "not_on_path":
        spec = LaunchSpec(name="p", command="flowspan-no-such-program")

    async def main() -> None:
        owner = Owner(spec)
        before = psutil.Process().num_fds()
        with pytest.raises(StartError) as caught:
            owner.process.spawn()
        assert caught.value.reason is Reason.RESOURCE_UNAVAILABLE
        assert caught.value.is_permanent
        assert caught.value.details["errno"] == errno_name
        assert caught.value.details["path"] in (str(tmp_path / kind), "flowspan-no-such-program")
        assert psutil.Process().num_fds() == before
        assert owner.reports == []

    on_loop(main)


@pytest.mark.parametrize(
    ("content", "errno_name"), [(b"\x7fELF not for this machine", "ENOEXEC"), (b"#!/no/such/interpreter\n", "ENOENT")]
)
def test_a_program_that_the_kernel_refuses_is_a_start_error_not_a_crash(
    on_loop: RunOnLoop, isolation: Isolation, tmp_path: Path, content: bytes, errno_name: str
) -> None:
    program = tmp_path / "program"
    program.write_bytes(content)
    program.chmod(0o755)

    async def main() -> None:
        async with started(LaunchSpec(name="p", command=str(program), isolation=isolation)) as owner:
            report = await owner.wait_end()
            assert report.start_error is not None and report.start_error.is_permanent
            assert report.start_error.details["errno"] == errno_name
            assert report.start_error.details["path"] == str(program)
            assert (report.exit_code, report.signal_number) == (None, None)

    on_loop(main)


def test_a_flood_of_stderr_neither_blocks_nor_floods_the_log(on_loop: RunOnLoop) -> None:
    """Catalogue C10: 64 MiB of lines; the ring, 100 lines a second, the rest counted."""
    code = """
import os
block = b"noise %08d padding padding padding\\n" % 7 * 4096
n = 0
while n < 64 * 2**20:
    n += os.write(2, block)
os.write(2, b"\\nthe \\x1b[31mlast line")
os.write(1, b"%d" % (n // (len(block) // 4096)))
"""

    async def main() -> None:
        async with started(python(code)) as owner:
            report = await owner.wait_end(12)
            assert report.exit_code == 0
            assert report.stderr_tail.endswith("\nthe \\x1b[31mlast line")
            assert len(report.stderr_tail) <= 4096 + 64
            assert owner.lines[0] == "noise 00000007 padding padding padding"
            assert owner.lines[-1] == "the \\x1b[31mlast line"
            assert abs(len(owner.lines) + owner.suppressed - int(owner.output)) <= 2
            assert len(owner.lines) <= 100 * (int(report.lived_s) + 2)

    on_loop(main)


def test_no_part_of_a_secret_is_left_where_what_was_written_last_is_cut(on_loop: RunOnLoop) -> None:
    secret = "s3cr3t-" + "0123456789" * 20
    KNOWN_SECRETS.add([secret])
    code = f"""
import os
os.write(2, b"x" * 5000 + {secret!r}.encode() + b"y" * 4000)
os.write(1, b"x" * 3000 + {secret!r}.encode() + b"y" * 900)
"""

    async def main() -> None:
        async with started(python(code)) as owner:
            report = await owner.wait_end(12)
            for text in (report.stderr_tail, report.half_line):
                assert "***y" in text
                assert "0123456789" not in text
            assert len(report.stderr_tail) <= 4096
            assert len(report.half_line) <= 1024

    on_loop(main)
