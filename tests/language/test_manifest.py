"""Rows of the language, the tests that claim them and the page's units name each other completely."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.language.page import language_units, ruling_units
from tests.language.page_units import PAGE_UNITS
from tests.language.rows import ELSEWHERE, ROWS

HERE = Path(__file__).parent


def _tests(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


def _claims() -> dict[str, list[str]]:
    """Row to the tests that are marked with it."""
    claims: dict[str, list[str]] = defaultdict(list)
    for path in sorted(HERE.glob("test_*.py")):
        for node in _tests(path):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "row":
                    for argument in mark.args:
                        claims[ast.literal_eval(argument)].append(f"{path.name}::{node.name}")
    return claims


def test_every_row_has_a_test_and_every_claim_a_row() -> None:
    claimed = _claims().keys() | ELSEWHERE.keys()
    assert sorted(ROWS.keys() - claimed) == []
    assert sorted(claimed - ROWS.keys()) == []


def test_the_tests_that_stand_elsewhere_exist() -> None:
    for name in {name for names in ELSEWHERE.values() for name in names}:
        file, _, test = name.partition("::")
        assert test in {node.name for node in _tests(HERE.parent / file)}, name


def test_every_unit_of_the_page_is_covered_or_says_why_not() -> None:
    assert len({unit.digest for unit in PAGE_UNITS}) == len(PAGE_UNITS) > 130
    for unit in PAGE_UNITS:
        assert bool(unit.covers) != bool(unit.why_none), unit
        assert set(unit.covers) <= ROWS.keys(), unit
        assert len(unit.quote.split()) <= 8, unit
    assert sorted(ROWS.keys() - {one for unit in PAGE_UNITS for one in unit.covers}) == []


def test_a_page_is_split_into_sentences_also_within_lists() -> None:
    page = "# Head\n\n- One thing. Another\n  `thing`.\n- A third\n\n| a | b |\n|---|---|\n"
    assert language_units(page) == ["# Head", "One thing.", "Another `thing`.", "A third", "| a | b |"]
    assert ruling_units("31. Before.\n32. First; still. Second:\n    `x`.\n33. After.\n") == ["First; still.", "Second:", "`x`."]
