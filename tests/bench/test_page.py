"""The page of figures is what the published results say, and its pictures show it."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.comparison import read_results
from bench.drawing import Bar, bars, line
from bench.figures import DURABLE_RUN, Figure
from bench.page import DOCS, PAGE, PUBLISHED, cost_points, files, main, pictures
from bench.report import Report, to_json

SVG = "{http://www.w3.org/2000/svg}"


def _results(*figures: Figure, **not_run: str) -> dict[str, Any]:
    machine = {"date": "2026-11-22T10:00:00+00:00", "cores": 4, "system": "Linux x86_64", "python": "3.11.7"}
    return json.loads(json.dumps(to_json(Report(machine, {"repetitions": 5, "quick": False}, figures, {}, not_run))))


def _section(page: str, name: str) -> str:
    match = re.search(rf"<!-- made: {name} -->\n\n(.*?)\n\n<!-- end -->", page, re.DOTALL)
    assert match is not None
    return match[1]


EMPTY = "\n".join(f"<!-- made: {name} -->\n\nx\n\n<!-- end -->" for name in ("machine", "figures", "peers", "pictures"))


def test_the_page_and_its_pictures_are_drawn_from_the_published_results() -> None:
    drawn = files(read_results(PUBLISHED), (DOCS / PAGE).read_text(encoding="utf-8"))
    differing = [name for name, text in drawn.items() if (DOCS / name).read_text(encoding="utf-8") != text]
    assert differing == [], "run python -m bench.page"
    shown = {path.name for path in (DOCS / "pictures").glob("performance*.svg")}
    assert shown == {Path(name).name for name in drawn if name.endswith(".svg")}


def test_a_missed_target_and_a_nearest_peer_stand_in_the_row() -> None:
    page = files(
        _results(
            Figure("durable run, Python, K=256", "items/s", [1000.0, 1100.0, 1200.0], 40_000, job=DURABLE_RUN),
            Figure("slow", "items/s", [10.0], job=DURABLE_RUN, maker="peer", version="1.2"),
            Figure("slower", "items/s", [5.0], job=DURABLE_RUN, maker="peer"),
            other="not | installed",
        ),
        EMPTY,
    )[PAGE]
    row = "| durable run, Python, K=256 | 1,100 items/s | 1,000 to 1,200 |  |  | 110 (slow) | ≥ 40,000 | **missed** |"
    assert row in _section(page, "figures")
    assert "| slow | 10 items/s |  |  | 1.2 |" in _section(page, "peers")
    assert "| other | not run: not / installed | | | |" in _section(page, "peers")


def test_figures_from_a_busy_machine_say_so() -> None:
    busy, quiet = (_results(Figure("x", "items/s", [1.0], others_share=share)) for share in (0.7, 0.05))
    assert "other programs took 70%" in _section(files(busy, EMPTY)[PAGE], "machine")
    assert "other programs" not in _section(files(quiet, EMPTY)[PAGE], "machine")


def test_a_page_without_its_sections_is_refused() -> None:
    with pytest.raises(LookupError, match="made sections"):
        files(_results(), "# Performance")


def test_results_that_cannot_be_read_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


def test_costs_become_points_in_microseconds_in_the_order_of_the_counts() -> None:
    figure = Figure("cost", "times", [1.0], details={"cpu_ms_at_100000_items": 0.05, "cpu_ms_at_10000_items": 0.04, "items": 7.0})
    results = _results(figure)
    assert cost_points(results["figures"], "items") == [(10_000.0, 40.0), (100_000.0, 50.0)]
    assert list(pictures(results)) == ["pictures/performance-cost-items.svg"]


values = st.floats(min_value=1e-4, max_value=1e9)


@given(st.lists(values, min_size=1, max_size=8))
def test_longer_bars_stand_for_larger_values_and_fit_the_picture(samples: list[float]) -> None:
    picture = ElementTree.fromstring(
        bars("t", "n", [Bar(f"<{n}>", value, value, value, "peer") for n, value in enumerate(samples)])
    )
    widths = [float(rect.attrib["width"]) for rect in picture.iter(f"{SVG}rect") if rect.get("class") == "peer"]
    assert len(widths) == len(samples)
    assert all(0 < width <= float(picture.attrib["width"]) for width in widths)
    ordered = [width for _, width in sorted(zip(samples, widths, strict=True))]
    assert ordered == sorted(ordered)


@given(st.dictionaries(st.integers(1, 10**7).map(float), values, min_size=2, max_size=5))
def test_points_of_a_line_lie_inside_and_their_values_are_told(points: dict[float, float]) -> None:
    picture = ElementTree.fromstring(line("t", "n", sorted(points.items())))
    circles = list(picture.iter(f"{SVG}circle"))
    assert len(circles) == len(points)
    for circle in circles:
        assert 0 < float(circle.attrib["cx"]) < float(picture.attrib["width"])
        assert 0 < float(circle.attrib["cy"]) < float(picture.attrib["height"])


def test_a_logarithmic_scale_takes_nothing_at_or_below_zero() -> None:
    with pytest.raises(ValueError, match="above 0"):
        bars("t", "n", [Bar("a", 0.0, 0.0, 0.0, "peer")])
    with pytest.raises(ValueError, match="two points"):
        line("t", "n", [(1.0, 1.0)])
