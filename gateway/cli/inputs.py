"""What a run is given on the command line: one value, or a file of lines that is read as it is sent."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, Final

from flowspan.client import RawJson
from flowspan.errors import FlowspanError
from flowspan.jsonrpc import check_payload, check_payloads, decode_payload, encode_payload
from gateway.cli.exits import UsageError
from gateway.cli.reading import STDIN, read_whole

SMALL_FILE_BYTES: Final = 2 << 20
"""A file up to this size is sent whole, in one message and round trip with the first results; a larger one is streamed."""
SMALL_FILE_ITEMS: Final = 4_000
"""The same as a number of lines."""
MAX_LINE_BYTES: Final = 16 << 20
"""What is read to find a line's end; far above what an item may have."""
_CHECKED_LINES: Final = 1_000
_NO_INPUT: Final = "nothing to run on: give --input FILE, --input-json TEXT or --inputs FILE.jsonl, or pipe the input in"


@dataclass(frozen=True, slots=True)
class RunInputs:
    """Inputs of a run. `values`: JSON, a list or an iterator that reads on. `is_single`: the result is printed alone."""

    values: Sequence[RawJson] | Iterator[RawJson]
    is_single: bool
    digest: str
    """SHA-256 of what was given, for the request id of a run that can be resumed; empty where it was not asked for."""


def read_inputs(
    resources: ExitStack, *, input_file: str | None, input_json: str | None, inputs_file: str | None, want_digest: bool = False
) -> RunInputs:
    """What `--input`, `--input-json` or `--inputs` says; without any, the one value on stdin.

    Args:
        resources: closes what is read.
        want_digest: hash what is given before anything is sent; stdin is kept in a temporary file for it.

    Raises:
        UsageError: more than one of them, or none and stdin is a terminal; a file cannot be read; not JSON.
    """
    given = [
        name
        for name, value in (("--input", input_file), ("--input-json", input_json), ("--inputs", inputs_file))
        if value is not None
    ]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} exclude each other")
    if inputs_file is not None:
        return _read_lines(resources, inputs_file, want_digest)
    if input_json is not None:
        data, name = input_json.encode("utf-8", "surrogateescape"), "--input-json"
    elif input_file is not None:
        data, name = read_whole(input_file), input_file
    elif sys.stdin is None or sys.stdin.isatty():
        raise UsageError(_NO_INPUT)
    else:
        data, name = read_whole(STDIN), "stdin"
        if not data.strip():
            raise UsageError(_NO_INPUT)
    payload = _one_value(data, name)
    return RunInputs([RawJson(payload)], True, hashlib.sha256(payload).hexdigest())


def read_object(text: str | None, option: str) -> dict[str, Any] | None:
    """A JSON object given inline or as a file (JSON or YAML). Raises UsageError."""
    if text is None:
        return None
    is_inline = text.lstrip()[:1] in ("{", "[")
    try:
        data = text.encode() if is_inline else read_whole(text)
    except UsageError as error:
        raise UsageError(f"{option}: neither a JSON object nor a file: {error.message}") from error
    payload = _one_value(data, option if is_inline else f"{option} {text}")
    value = decode_payload(payload)
    if not isinstance(value, dict):
        raise UsageError(f"{option}: is not a JSON object")
    return value


def _one_value(data: bytes, name: str) -> bytes:
    """Checked JSON; YAML where the file's name says so."""
    try:
        if name.endswith((".yaml", ".yml")):
            from runtime_core.flow.yaml_loader import load_yaml

            return encode_payload(load_yaml(data))
        data = data.strip()
        check_payload(data)
    except FlowspanError as error:
        raise UsageError(f"{name}: {error.message}") from error
    return data


def _read_lines(resources: ExitStack, name: str, want_digest: bool) -> RunInputs:
    shown = "stdin" if name == STDIN else name
    try:
        file: IO[bytes] = sys.stdin.buffer if name == STDIN else resources.enter_context(open(name, "rb"))  # noqa: SIM115
        digest = ""
        if want_digest:
            if name == STDIN:
                file = _spooled(resources, file)
            digest = _digest(file)
        is_small = name != STDIN and os.fstat(file.fileno()).st_size <= SMALL_FILE_BYTES
    except OSError as error:
        raise UsageError(f"{shown}: {error.strerror or error}") from error
    lines = _checked_lines(file, shown)
    if is_small:
        head = list(islice(lines, SMALL_FILE_ITEMS + 1))
        return RunInputs(head if len(head) <= SMALL_FILE_ITEMS else _chained(head, lines), False, digest)
    return RunInputs(lines, False, digest)


def _digest(file: IO[bytes]) -> str:
    """Of the whole file, which is at its beginning before and after."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def _spooled(resources: ExitStack, source: IO[bytes]) -> IO[bytes]:
    copy: IO[bytes] = resources.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    while block := source.read(1 << 20):
        copy.write(block)
    copy.seek(0)
    return copy


def _chained(head: list[RawJson], rest: Iterator[RawJson]) -> Iterator[RawJson]:
    yield from head
    yield from rest


def _checked_lines(file: IO[bytes], name: str) -> Iterator[RawJson]:
    """Every line that is not blank, checked to be JSON before it is sent, so that a message can name the line."""
    number = 0
    while True:
        block: list[bytes] = []
        numbers: list[int] = []
        while len(block) < _CHECKED_LINES and (line := file.readline(MAX_LINE_BYTES)):
            number += 1
            if len(line) == MAX_LINE_BYTES:
                raise UsageError(f"{name}:{number}: the line is longer than {MAX_LINE_BYTES >> 20} MiB; put it as a blob")
            if line := line.strip():
                block.append(line)
                numbers.append(number)
        if not block:
            return
        try:
            check_payloads(block)
        except FlowspanError as error:
            index = error.details.get("index")
            place = numbers[index] if isinstance(index, int) else numbers[0]
            raise UsageError(f"{name}:{place}: {error.message}") from error
        yield from map(RawJson, block)
