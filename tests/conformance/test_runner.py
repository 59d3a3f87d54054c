"""The runner itself: what it takes for equal, what it takes for known, and that a broken program is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from .cases import Case, load_groups, substituted
from .known import find, load_known
from .matching import Mismatch, exact, match
from .play import CaseFailure
from .programs import ClientProgram, ProgramError
from .runner import Outcome, Runner, Verdict
from .sdks import SDKS
from .table import table


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1", "1.0"),
        ("0.0", "-0.0"),
        ("9007199254740993", "9007199254740992"),
        ('{"a":1,"b":2}', '{"b":2,"a":1}'),
        ("[]", "{}"),
        ("0", "false"),
    ],
)
def test_texts_that_users_would_tell_apart_differ(left: str, right: str) -> None:
    assert exact(left) != exact(right)


@pytest.mark.parametrize(
    ("left", "right"), [("1e21", "1000000000000000000000.0"), ('"\\u00e4"', '"ä"'), ("[1, 2]", "[1,2]"), ("1.50", "1.5")]
)
def test_texts_that_mean_the_same_are_equal(left: str, right: str) -> None:
    assert exact(left) == exact(right)


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": {"$any": True}}, {}),
        ({"a": {"$absent": True}}, {"a": None}),
        ([1], [1, 2]),
        ({"$length": 2}, [1]),
        ({"$json": "1"}, "1.0"),
        ({"$json": "1"}, "one"),
        ({"$matches": "^a$"}, "ab"),
        ({"$between": [1, 2]}, 3),
        ({"$between": [0, 2]}, True),
        ({"$items": [1, 1]}, [1, 2]),
        ({"$indexes": [0, 1]}, [{"item_index": 1}, {"item_index": 0}]),
        ({"$not": 1}, 1),
    ],
)
def test_what_differs_is_told(expected: Any, came: Any) -> None:
    with pytest.raises(Mismatch):
        match(expected, came)


def test_members_that_nobody_names_do_not_count() -> None:
    match(
        {"a": {"$any": True}, "b": [{"c": 1}], "d": {"$items": [2, 1]}}, {"a": None, "b": [{"c": 1, "x": 2}], "d": [1, 2], "e": 0}
    )


def test_names_stand_for_what_earlier_steps_gave() -> None:
    names = {"run": {"run_id": "r", "events": [{"cursor": 7}]}}
    assert substituted({"a": ["$run.run_id", "$run.events.0.cursor", "$unknown", "$"]}, names) == {"a": ["r", 7, "$unknown", "$"]}


def test_names_of_cases_are_told_apart_and_known_failures_name_real_ones() -> None:
    names = {f"{group.name}/{case.name}" for group in load_groups() for case in group.cases}
    for sdk in SDKS:
        for entry in load_known(sdk.name):
            assert entry.case in names or entry.case.startswith("wire/"), (
                f"known/{sdk.name}.yaml: there is no case {entry.case!r}"
            )


def test_an_entry_without_a_reason_is_refused(tmp_path: Path) -> None:
    (tmp_path / "go.yaml").write_text("- case: values/x\n")
    with pytest.raises(ValueError, match="reason"):
        load_known("go", tmp_path)


def test_a_listed_case_that_passes_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "go.yaml").write_text(
        "- {case: values/good, reason: was bad}\n- {case: values/bad, reason: is bad, transports: [worker]}\n"
    )
    listed = load_known("go", tmp_path)
    group = next(group for group in load_groups() if group.name == "values" and group.program == "server")

    def fail() -> None:
        raise CaseFailure("no")

    outcomes = Runner(lambda sdk: listed)._judged(
        group, "go", "worker", [("good", lambda: None), ("bad", fail), ("worse", fail), ("absent", None)]
    )
    assert [outcome.verdict for outcome in outcomes] == [Verdict.UNEXPECTED, Verdict.KNOWN, Verdict.FAILED, Verdict.NOT_OFFERED]
    assert find(listed, "values/bad", "stdio") is None


def test_the_table_says_what_was_not_run() -> None:
    outcomes = [
        Outcome("go", "stdio", "values", name, verdict) for name, verdict in (("a", Verdict.PASSED), ("b", Verdict.FAILED))
    ]
    text = table(["values"], [("go", "stdio"), ("java", "stdio")], outcomes, {("values", "java", "stdio"): "not run"})
    assert text.splitlines()[-1].split("  ")[1:] == ["1/2 (1 FAILED)", "not run"]


def test_a_program_that_ends_is_told_with_its_last_words() -> None:
    program = ClientProgram("a program", (sys.executable, "-c", "import sys; sys.stdin.readline(); sys.exit('oh no')"))
    try:
        with pytest.raises(ProgramError, match="oh no"):
            program.ask("connect", target="unix:/nowhere")
    finally:
        program.end()


def test_what_a_program_prints_beside_its_answers_is_noise() -> None:
    source = """
import sys
print("hello", flush=True)
sys.stdin.readline()
print('{"id": 1, "ok": {}}', flush=True)
sys.stdin.read()
"""
    program = ClientProgram("a program", (sys.executable, "-c", source))
    try:
        assert program.ask("components") == {}
        assert program.noise == [b"hello\n"]
    finally:
        program.end()


def test_cases_of_vectors_are_one_for_each() -> None:
    vectors = json.loads((Path(__file__).parent.parent / "vectors" / "canonical_json.json").read_text())
    hashes = next(group for group in load_groups() if group.name == "hashes")
    of_vectors = [case for case in hashes.cases if case.name.startswith("id of: ")]
    assert len(of_vectors) == len(vectors) and all(isinstance(case, Case) for case in of_vectors)
    assert of_vectors[0].steps[0]["put_blob"] == {"data_json": vectors[0]["json"]}
