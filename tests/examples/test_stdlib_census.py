"""`make demo`: the census of the standard library, on a few packages and as a whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.examples.commands import EXAMPLES, Done, execute

DEMO = EXAMPLES / "stdlib_census" / "demo.py"
WHOLE_LIMIT_S = 150.0
"""Half a minute of work for two cores, which the rest of the suite may be using."""
FEW = ("asyncio", "json", "concurrent.futures")


def _demo(tmp_path: Path, *options: str) -> Done:
    words = (sys.executable, str(DEMO), "--output", "out", *options)
    return execute(*words, directory=tmp_path, limit_s=WHOLE_LIMIT_S, TMPDIR=str(tmp_path))


def _packages(tmp_path: Path) -> dict[str, dict[str, Any]]:
    lines = (tmp_path / "out" / "stdlib-census.jsonl").read_text(encoding="utf-8").splitlines()
    return {package["package"]: package for package in map(json.loads, lines)}


def test_each_package_is_counted_by_a_sub_run_over_its_modules(tmp_path: Path) -> None:
    done = _demo(tmp_path, "--only", *FEW)
    assert done.exit_code == 0, done.stderr
    packages = _packages(tmp_path)
    assert packages.keys() == set(FEW)
    modules = sorted(Path(json.__file__).parent.glob("*.py"))
    counted = packages["json"]
    assert counted["module_count"] == len(modules)
    assert counted["lines"] == sum(path.read_bytes().count(b"\n") for path in modules)
    assert [one["facts"]["module"] for one in counted["modules"]] == [f"json.{path.stem}" for path in modules]
    assert len({package["run_id"] for package in packages.values()}) == len(FEW)
    assert "asyncio" in done.stdout
    assert "out/stdlib-census.jsonl" in done.stdout


def test_without_node_its_step_is_skipped_and_the_demo_says_so(tmp_path: Path) -> None:
    done = _demo(tmp_path, "--only", "json", "--without-node")
    assert done.exit_code == 0, done.stderr
    assert "NODE IS LEFT OUT" in done.stderr
    package = _packages(tmp_path)["json"]
    assert package["words"] is None
    assert all(module["prose"] is None for module in package["modules"])


@pytest.mark.timeout(WHOLE_LIMIT_S + 30)
def test_the_whole_library_is_a_thousand_modules_or_more_and_all_are_counted(tmp_path: Path) -> None:
    done = _demo(tmp_path)
    assert done.exit_code == 0, done.stderr
    modules = [module["facts"] for package in _packages(tmp_path).values() for module in package["modules"]]
    assert len(modules) >= 1_000
    assert len({facts["module"] for facts in modules}) == len(modules)
    assert " modules, " in done.stderr  # progress
    assert f"{len(modules):,} modules" in done.stdout


def test_a_demo_that_is_told_to_end_leaves_no_process_and_no_directory(tmp_path: Path) -> None:
    words = [sys.executable, str(DEMO), "--output", "out"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        below: list[psutil.Process] = []
        deadline_s = time.monotonic() + 20
        while len(below) < 4 and time.monotonic() < deadline_s:
            below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 130
    gone, alive = psutil.wait_procs(below, timeout=5)
    assert gone
    assert not alive
    assert not list(tmp_path.glob("flowspan-*"))
