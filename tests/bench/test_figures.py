"""What the bench makes of its samples."""

from __future__ import annotations

import json
import os
import pkgutil
import time
from pathlib import Path

import pytest

import bench.scenarios
from bench.__main__ import all_scenarios, chosen, main
from bench.comparison import measured, read_results
from bench.figures import Figure, percentile
from bench.measure import Repetition, cpu_figure, rate_figure
from bench.report import Report, print_table, to_json
from bench.scenarios import MODULES


def _report(*figures: Figure) -> Report:
    return Report({"cores": 4}, {"repetitions": 5, "quick": False}, figures, {})


def test_a_percentile_is_a_sample_that_so_many_do_not_exceed() -> None:
    samples = [float(n) for n in range(100, 0, -1)]
    assert (percentile(samples, 0.5), percentile(samples, 0.99), percentile(samples, 1.0)) == (50.0, 99.0, 100.0)
    assert percentile([7.0], 0.99) == 7.0


@pytest.mark.parametrize(
    ("more_is_better", "median", "meets"), [(True, 9.0, False), (True, 10.0, True), (False, 11.0, False), (False, 10.0, True)]
)
def test_a_target_is_met_from_its_own_side(more_is_better: bool, median: float, meets: bool) -> None:
    assert Figure("x", "ms", [median], 10.0, more_is_better=more_is_better).meets_target is meets


def test_a_repetition_counts_the_cpu_of_this_process_and_its_wall_clock() -> None:
    with Repetition([], items=10) as one:
        until_s = time.process_time() + 0.05
        while time.process_time() < until_s:
            pass
    assert 0.05 <= one.cpu_s <= one.wall_s + 0.05
    assert one.rate == 10 / one.wall_s
    assert 0 <= one.others_share <= 1


def test_a_repetition_counts_the_cpu_of_the_processes_it_is_told_of() -> None:
    with Repetition([os.getpid()], items=1) as one:
        until_s = time.process_time() + 0.05
        while time.process_time() < until_s:
            pass
    assert one.cpu_s >= 0.08  # this process counts twice here: as ours and as one of the others


def test_figures_survive_json_with_their_ratio_to_the_sketch(tmp_path: Path) -> None:
    repetition = Repetition([], items=100, wall_s=2.0, cpu_s=1.0, client_s=0.2, server_s=0.5, details={"messages": 4.0})
    ours = rate_figure("ours", [repetition], target=40, ceiling="sketch")
    report = _report(Figure("sketch", "items/s", [200.0]), ours)
    document = to_json(report)
    assert document["figures"][1] == {
        "name": "ours",
        "unit": "items/s",
        "median": 50.0,
        "min": 50.0,
        "max": 50.0,
        "samples": 1,
        "target": 40,
        "beyond": None,
        "moreIsBetter": True,
        "meetsTarget": True,
        "meetsBeyond": None,
        "cpuMsPerItem": 10.0,
        "othersShare": 0.0,
        "ofSketch": 0.25,
        "job": None,
        "maker": "flowspan",
        "version": None,
        "nearestPeer": None,
        "timesThePeer": None,
        "details": {"cpu_ms_client": 2.0, "cpu_ms_server": 5.0, "cpu_ms_below": pytest.approx(3.0), "messages": 4.0},
    }
    path = tmp_path / "earlier.json"
    path.write_text(json.dumps(document))
    assert {name: one.median for name, one in measured(read_results(path)).items()} == {"sketch": 200.0, "ours": 50.0}


def test_the_table_shows_what_was_missed_what_was_not_run_and_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    figure = Figure("slow", "items/s", [80.0], 100.0)
    print_table(Report({"cores": 4}, {"repetitions": 5, "quick": False}, [figure], {"broken": "it [broke]"}, {"peer": "absent"}))
    shown = capsys.readouterr().out
    assert "missed" in shown
    assert "peer: not run: absent" in shown
    assert "broken failed: it [broke]" in shown


def test_the_cpu_of_an_item_is_a_figure_of_which_less_is_better() -> None:
    repetitions = [Repetition([], items=1_000, wall_s=1.0, cpu_s=cpu_s) for cpu_s in (0.03, 0.05, 0.04)]
    figure = cpu_figure("CPU", repetitions, target=0.04, beyond=0.02)
    assert (figure.median, figure.unit, figure.meets_target, figure.meets_beyond) == (0.04, "ms", True, False)


def test_peers_are_left_out_when_asked_and_never_when_named() -> None:
    scenarios = all_scenarios()
    peers = [scenario for scenario in scenarios if scenario.is_peer]
    assert peers
    assert scenarios[-len(peers) :] == peers
    assert chosen(scenarios, None, None) == chosen(scenarios, None, True) == scenarios
    assert not [scenario for scenario in chosen(scenarios, None, False) if scenario.is_peer]
    assert chosen(scenarios, [peers[0].name], False) == [peers[0]]


def test_a_file_without_figures_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.json").write_text("{}")
    assert main(["--compare", str(tmp_path / "other.json")]) == 2
    assert "holds no figures" in capsys.readouterr().err


def test_an_unknown_scenario_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "no-such"]) == 2
    assert "no-such" in capsys.readouterr().err


def test_scenarios_have_distinct_names_and_the_sketch_comes_first() -> None:
    assert sorted(MODULES) == sorted(module.name for module in pkgutil.iter_modules(bench.scenarios.__path__))
    names = [scenario.name for scenario in all_scenarios()]
    assert len(set(names)) == len(names)
    assert names[:2] == ["sketch", "sketch-16"]
