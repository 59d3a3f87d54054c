"""The table of hostile inputs and the tests that it names: every row has tests that exist, every test of a row stands in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
PAGE: Final = TESTS.parent / "docs" / "hostile-inputs.md"
ROWS: Final = [
    f"{group}{number}" for group, count in (("A", 22), ("B", 22), ("C", 23), ("F", 22)) for number in range(1, count + 1)
]
NAMED_AFTER_ROWS: Final = re.compile(r"test_((?:[abcf]\d+_(?:and_)?)+)")
CATALOGUE: Final = re.compile(r"Catalogue ((?:[ABCF]\d+(?:, | and )?)+)")


def named_in_page() -> dict[str, list[str]]:
    """Test ids by row."""
    rows = re.findall(r"^\| ([ABCF]\d+) \|.*\| (`[^|]*`) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {row: re.findall(r"`([^`]+)`", tests) for row, tests in rows}
    assert len(named) == len(rows), "a row stands twice"
    return named


def written_tests() -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Test functions by id, as the page writes it."""
    return {
        f"{path.relative_to(TESTS).as_posix()}::{node.name}": node
        for path in sorted(TESTS.rglob("test_*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_each_row_has_tests_and_each_of_them_is_written() -> None:
    named, written = named_in_page(), written_tests()
    assert list(named) == ROWS
    assert [f"{row}: {test}" for row, tests in named.items() for test in tests if test not in written] == []


def test_each_test_that_says_which_row_it_shows_stands_in_that_row() -> None:
    named = named_in_page()
    missing = []
    for test, node in written_tests().items():
        said: set[str] = set()
        if test.startswith(("jsonrpc/", "flow/test_hostile_documents")) and (match := NAMED_AFTER_ROWS.match(node.name)):
            said |= {row.upper() for row in re.findall(r"[abcf]\d+", match[1])}
        if match := CATALOGUE.search(ast.get_docstring(node) or ""):
            said |= set(re.findall(r"[ABCF]\d+", match[1]))
        missing += [f"{row}: {test}" for row in sorted(said) if test not in named.get(row, [])]
    assert missing == []
