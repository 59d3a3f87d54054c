"""Log lines: what they look like, and that they hold up nothing."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gateway.telemetry import LineWriter, setup_telemetry


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    try:
        yield reader, writer
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
        for descriptor in (reader, writer):
            try:
                os.close(descriptor)
            except OSError:
                pass


def lines(writer: LineWriter, reader: int) -> list[Any]:
    assert writer.flush(5.0)
    return os.read(reader, 1 << 20).decode().splitlines()


def test_a_line_is_one_json_object_with_time_level_and_event(pipe: tuple[int, int]) -> None:
    writer = setup_telemetry(log_format="json", descriptor=pipe[1])
    structlog.get_logger("x").warning("plugin_ended", plugin="p", words="a\n\x1b[31mb", data=b"\xff", big=10**30)
    (line,) = lines(writer, pipe[0])
    event = json.loads(line)
    assert (event["level"], event["event"], event["plugin"], event["words"]) == ("warning", "plugin_ended", "p", "a\n\x1b[31mb")
    assert event["time"].endswith("Z")


def test_text_cannot_be_forged_or_coloured_by_what_is_logged(pipe: tuple[int, int]) -> None:
    writer = setup_telemetry(log_format="text", descriptor=pipe[1])
    structlog.get_logger().info("said", words="x\n2026 ERROR fake \x1b[31m", n=1)
    (line,) = lines(writer, pipe[0])
    assert line.split(" ", 1)[1] == 'info    said words="x\\n2026 ERROR fake \\x1b[31m" n=1'


def test_what_is_below_the_level_is_dropped(pipe: tuple[int, int]) -> None:
    writer = setup_telemetry(level="warning", log_format="json", descriptor=pipe[1])
    structlog.get_logger().info("quiet")
    structlog.get_logger().error("loud")
    assert [json.loads(line)["event"] for line in lines(writer, pipe[0])] == ["loud"]


def test_libraries_log_into_the_same_stream(pipe: tuple[int, int]) -> None:
    writer = setup_telemetry(log_format="json", descriptor=pipe[1])
    logging.getLogger("grpc").warning("%s happened", "it")
    # Straight to our handler: the test runner's own one raises for it.
    wrong = logging.LogRecord("grpc", logging.WARNING, "", 1, "%d", ("not a number",), None)
    logging.getLogger().handlers[-1].emit(wrong)
    events = [json.loads(line) for line in lines(writer, pipe[0])]
    assert [(event["event"], event["logger"]) for event in events] == [("it happened", "grpc"), ("%d", "grpc")]


def test_a_reader_that_takes_nothing_holds_up_nobody(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], max_bytes=100_000)
    for _ in range(10_000):
        writer.write(b"x" * 99 + b"\n")
    assert writer.dropped_lines > 0
    taken = len(os.read(pipe[0], 1 << 20))
    while not writer.flush(0.01):
        taken += len(os.read(pipe[0], 1 << 20))
    os.set_blocking(pipe[0], False)
    try:
        taken += len(os.read(pipe[0], 1 << 20))
    except BlockingIOError:
        pass
    assert taken == (10_000 - writer.dropped_lines) * 100


def test_a_reader_that_is_gone_ends_nothing(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1])
    os.close(pipe[0])
    for _ in range(3):
        writer.write(b"x\n")
        assert writer.flush(5.0)
    assert writer.dropped_lines == 3


def test_a_process_whose_stderr_is_stuck_still_ends() -> None:
    program = (
        "import os, structlog\n"
        "from gateway.telemetry import setup_telemetry\n"
        "setup_telemetry(log_format='json')\n"
        "for _ in range(4000): structlog.get_logger().info('x' * 100)\n"
        "print('done', flush=True)\n"
    )
    reader, stuck = os.pipe()
    try:
        done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=stuck, timeout=20, check=False)
        assert (done.returncode, done.stdout) == (0, b"done\n")
    finally:
        os.close(stuck)
        os.close(reader)
