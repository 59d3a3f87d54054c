from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.client.fake_gateway import FakeGateway

README = Path(__file__).parents[2] / "clients" / "python" / "README.md"
EXAMPLES = [block for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "Client(" in block]


def test_the_readme_has_examples_of_both_clients() -> None:
    assert len(EXAMPLES) >= 3 and any("AsyncClient" in block for block in EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_readme_run(
    gateway: FakeGateway, example: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flow.yaml").write_text("steps: []\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWSPAN_TARGET", gateway.target)
    exec(compile(example, str(README), "exec"), {"__name__": "__main__"})  # noqa: S102 - the README is ours
    assert capsys.readouterr().out
    assert gateway.runs
