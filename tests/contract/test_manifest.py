"""Requirements, the tests that claim them, the page's units and our page name each other completely."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from tests.contract.page import digest, split_page
from tests.contract.page_units import PAGE_UNITS
from tests.contract.raw import PAGE, examples
from tests.contract.requirements import REQUIREMENTS

HERE = Path(__file__).parent


def _claims() -> dict[str, list[str]]:
    """Requirement id to the tests that are marked with it."""
    claims: dict[str, list[str]] = defaultdict(list)
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "requirement":
                    assert node.name.startswith("test_"), f"{path.name}: {node.name} is marked and is no test"
                    for argument in mark.args:
                        claims[ast.literal_eval(argument)].append(f"{path.name}::{node.name}")
    return claims


def test_every_requirement_has_a_test_and_every_claim_a_requirement() -> None:
    claims = _claims()
    assert sorted(REQUIREMENTS.keys() - claims.keys()) == []
    assert sorted(claims.keys() - REQUIREMENTS.keys()) == []


def test_every_unit_of_the_page_is_covered_or_says_why_not() -> None:
    assert len({unit.digest for unit in PAGE_UNITS}) == len(PAGE_UNITS) > 70
    for unit in PAGE_UNITS:
        assert bool(unit.covers) != bool(unit.why_none), unit
        assert set(unit.covers) <= REQUIREMENTS.keys(), unit
        assert len(unit.quote.split()) <= 8, unit
    covered = {one for unit in PAGE_UNITS for one in unit.covers}
    from_page = {one for one, what in REQUIREMENTS.items() if what.section != "ours"}
    assert sorted(from_page - covered) == []


def test_our_page_names_every_requirement_and_no_other() -> None:
    named = set(re.findall(r"\[`([a-zA-Z.-]+)`\]", PAGE.read_text(encoding="utf-8")))
    assert named == REQUIREMENTS.keys()


def test_the_examples_of_our_page_are_the_page_s() -> None:
    units = {unit.digest for unit in PAGE_UNITS if any(".example." in one for one in unit.covers)}
    assert {digest(example.rstrip("\n")) for example in examples().values()} == units


def test_a_page_is_split_into_what_can_demand_something() -> None:
    page = "---\na: b\n---\nimport x\n\n# Head\n\nOne thing. Another `thing`\nends here.\n\n1. item\n\n"
    page += "| a | b |\n|---|---|\n| c | d |\n"
    diagram = "```mermaid\nA->>B: x\n\nB-->>A: y\n```\n```json\n{\n}\n```\n"
    assert split_page(page + diagram) == [
        "# Head", "One thing.", "Another `thing` ends here.", "1. item", "| a | b |", "| c | d |",
        "A->>B: x", "B-->>A: y", "{\n}",
    ]  # fmt: skip
