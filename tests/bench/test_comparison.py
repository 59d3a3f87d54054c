"""What changed between two results, and what is only noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import main
from bench.comparison import changes
from bench.figures import Figure
from bench.report import Report, to_json


def _results(*figures: Figure) -> dict[str, Any]:
    return to_json(Report({"date": "2026-11-22"}, {"repetitions": 3, "quick": False}, figures, {}))


def _verdicts(before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    return {row.name: row.verdict for row in changes(before, after)}


@pytest.mark.parametrize(
    ("unit", "more_is_better", "verdict"), [("items/s", True, "better"), ("ms", False, "worse")], ids=["rate", "latency"]
)
def test_ranges_that_do_not_overlap_are_a_change(unit: str, more_is_better: bool, verdict: str) -> None:
    before = _results(Figure("x", unit, [10.0, 11.0, 12.0], more_is_better=more_is_better))
    after = _results(Figure("x", unit, [13.0, 14.0, 15.0], more_is_better=more_is_better))
    (row,) = changes(before, after)
    assert (row.verdict, row.ratio) == (verdict, 14.0 / 11.0)
    assert _verdicts(after, before) == {"x": {"better": "worse", "worse": "better"}[verdict]}


def test_ranges_that_overlap_are_noise() -> None:
    assert _verdicts(
        _results(Figure("x", "items/s", [10.0, 11.0, 20.0])), _results(Figure("x", "items/s", [19.0, 30.0, 40.0]))
    ) == {"x": ""}


def test_a_single_sample_says_nothing_about_noise() -> None:
    assert _verdicts(_results(Figure("x", "MiB", [10.0])), _results(Figure("x", "MiB", [90.0, 91.0]))) == {"x": ""}


def test_a_figure_of_one_side_is_new_or_gone_and_another_unit_is_another_figure() -> None:
    before = _results(Figure("old", "ms", [1.0, 2.0]), Figure("x", "s", [1.0, 2.0]))
    after = _results(Figure("x", "ms", [1.0, 2.0]), Figure("added", "ms", [1.0, 2.0]))
    assert _verdicts(before, after) == {"x": "new", "added": "new", "old": "gone"}


def test_two_files_are_compared_without_measuring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, figure in (("before", Figure("x", "ms", [10.0, 11.0])), ("after", Figure("x", "ms", [5.0, 5.5]))):
        (tmp_path / name).write_text(json.dumps(_results(figure)))
    assert main(["--compare", str(tmp_path / "before"), "--results", str(tmp_path / "after")]) == 0
    shown = capsys.readouterr().out
    assert "0.50" in shown
    assert "worse" in shown  # a rate is meant where nothing else is said


def test_results_without_something_to_compare_with_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "after").write_text(json.dumps(_results()))
    assert main(["--results", str(tmp_path / "after")]) == 2
    assert "--compare FILE" in capsys.readouterr().err


def test_a_file_of_the_first_version_can_be_compared() -> None:
    old = {"figures": [{"name": "x", "unit": "items/s", "median": 1.0, "min": 1.0, "max": 1.0, "samples": 5}]}
    assert _verdicts(old, _results(Figure("x", "items/s", [2.0, 3.0]))) == {"x": "better"}
