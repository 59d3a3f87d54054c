"""`examples/built_in_python`: the flow that a program prints is validated, tested and run; the program runs it by itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.docs.shell import PageShell
from tests.examples.commands import EXAMPLES


@pytest.fixture
def shell(tmp_path: Path) -> PageShell:
    shell = PageShell(tmp_path)
    for path in (EXAMPLES / "built_in_python").iterdir():
        if path.is_file():
            shutil.copy(path, shell.directory)
    return shell


def test_what_it_prints_is_a_flow_that_passes_its_own_tests(shell: PageShell) -> None:
    assert shell.run("python orders.py > orders.yaml") == ""
    assert "nothing found" in shell.run("flowspan validate --strict orders.yaml")
    assert "2 passed" in shell.run("flowspan test orders.yaml")
    said = shell.run("""flowspan run orders.yaml --quiet --input-json '{"customer": "Grace", "lines": [{"article": "pot"}]}'""")
    assert json.loads(said) == {"outcome": "success", "value": {"cents": 2755, "unknown": 0, "approval": "not needed"}}


def test_it_runs_its_flow_on_the_gateway_of_this_machine(shell: PageShell) -> None:
    with shell.gateway():
        said = shell.run("python orders.py --run").splitlines()
    assert said[0] == "0 {'cents': 3183, 'unknown': 0, 'approval': 'not needed'}"
    assert said[1].startswith("1 ") and "lines" in said[1]
