"""`conformance`: the checks of `gateway.conformance`, as a table."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.cli.exits import RUN_FAILED, SUCCESS, UsageError, say
from gateway.cli.output import OutputClosedError, write_stdout
from gateway.conformance import CheckResult, Probe, State, check_server

_MARKS: Final = {State.PASSED: "ok", State.FAILED: "FAILED", State.NOT_APPLICABLE: "-", State.HINT: "hint"}
_COLOURS: Final = {State.PASSED: "\x1b[32m", State.FAILED: "\x1b[1;31m", State.NOT_APPLICABLE: "\x1b[2m", State.HINT: "\x1b[33m"}
_PLAIN: Final = "\x1b[0m"
_NAME_WIDTH: Final = 24
_MARK_WIDTH: Final = 6


def check(command: Sequence[str], component: str | None, value: str, *, as_json: bool) -> int:
    """A line for each check as it comes; 1 if one failed.

    Raises:
        UsageError: `value` is no JSON.
        UnavailableError: the program cannot be started.
    """
    probe = None
    if component is not None:
        try:
            probe = Probe(component, json.loads(value))
        except ValueError as error:
            raise UsageError(f"--input is not JSON: {error}", field="--input") from error
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def tell(result: CheckResult) -> None:
        if as_json:
            write_stdout(msgspec.json.encode(result) + b"\n")
        else:
            write_stdout(_line(result, coloured=coloured).encode())

    try:
        results = asyncio.run(check_server(command, probe=probe, tell=tell))
    except OutputClosedError:
        return RUN_FAILED
    counts = [f"{count} {state}" for state in State if (count := sum(result.state is state for result in results))]
    say(f"flowspan: {', '.join(counts)}")
    return RUN_FAILED if any(result.state is State.FAILED for result in results) else SUCCESS


def _line(result: CheckResult, *, coloured: bool) -> str:
    """`mark  name  what came`; of one that failed also what was expected, on a line of its own."""
    mark = _MARKS[result.state].ljust(_MARK_WIDTH)
    if coloured:
        mark = f"{_COLOURS[result.state]}{mark}{_PLAIN}"
    came = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in result.came)
    line = f"{mark}  {result.name.ljust(_NAME_WIDTH)}  {came}\n"
    if result.state in (State.FAILED, State.HINT):
        line += f"{' ' * _MARK_WIDTH}  {' ' * _NAME_WIDTH}  expected: {result.expected}\n"
    return line
