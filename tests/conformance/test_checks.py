"""`flowspan conformance`: servers with bad habits fail the checks that are about them, and no others."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from flowspan.errors import UnavailableError
from gateway.conformance import CheckResult, Probe, State, check_server
from gateway.conformance.checks import ENDINGS, TALK

from .gateways import FLOWSPAN

SERVER = str(Path(__file__).parent / "habits_server.py")
COMMAND_S = 50


def checked(*habits: str) -> dict[str, CheckResult]:
    patience = 0.2 if "no-errors" in habits else 1.0  # four answers that never come
    results = asyncio.run(check_server((sys.executable, SERVER, *habits), probe=Probe("/echo", {"n": 1}), patience=patience))
    return {result.name: result for result in results}


def failed(*habits: str) -> set[str]:
    return {name for name, result in checked(*habits).items() if result.state is State.FAILED}


def test_a_server_without_bad_habits_passes_all_that_it_declares() -> None:
    results = checked()
    assert list(results) == [check.name for check in (*TALK, *ENDINGS)]
    assert {name for name, result in results.items() if result.state is State.NOT_APPLICABLE} == {"cancel acknowledged", "bulk"}
    assert all(result.state in (State.PASSED, State.NOT_APPLICABLE, State.HINT) for result in results.values())
    assert results["execution"].came.startswith('output {"n":1}')


@pytest.mark.parametrize(
    ("habit", "checks"),
    [
        ("capacity-in-words", {"capabilities"}),
        ("asks-early", {"quiet start"}),
        ("twice", {"components"}),
        ("no-errors", {"unknown method", "missing params", "unknown component", "long line", "speed"}),
        ("answers-notifications", {"unknown notification", "cancel of an unknown id"}),
        ("dies-of-long-lines", {"long line", "no crash"}),
        ("prints", {"stdout"}),
        ("twice-answered", {"stdout"}),
        ("stays", {"shutdown", "end of stdin"}),
    ],
)
def test_a_bad_habit_fails_the_checks_that_are_about_it(habit: str, checks: set[str]) -> None:
    assert failed(habit) == checks


def test_without_a_handshake_nothing_else_is_asked() -> None:
    (only,) = checked("other-version").values()
    assert (only.name, only.state) == ("handshake", State.FAILED)
    assert "version 2" in only.came


def test_the_end_of_a_process_is_told_with_its_exit_code() -> None:
    assert "(7)" in checked("dies-of-long-lines")["long line"].came


def test_a_program_that_is_not_there_cannot_be_checked() -> None:
    with pytest.raises(UnavailableError, match="no-such-program"):
        asyncio.run(check_server(("/no-such-program",)))


def test_the_command_prints_a_line_for_each_check_and_its_exit_code_tells() -> None:
    command = (*FLOWSPAN, "conformance", "--json", "--component", "/echo", "--", sys.executable, SERVER)
    good = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S)
    lines = [json.loads(line) for line in good.stdout.splitlines()]
    assert good.returncode == 0, good.stderr
    assert [line["name"] for line in lines] == [check.name for check in (*TALK, *ENDINGS)]
    assert lines[0].keys() == {"name", "state", "expected", "came", "took_s"}
    bad = subprocess.run((*command, "prints"), capture_output=True, text=True, timeout=COMMAND_S)
    assert bad.returncode == 1


def test_an_input_that_is_no_json_is_a_mistake_of_usage() -> None:
    command = (*FLOWSPAN, "conformance", "--component", "/echo", "--input", "{", "--", sys.executable, SERVER)
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S)
    assert done.returncode == 2 and "--input" in done.stderr
