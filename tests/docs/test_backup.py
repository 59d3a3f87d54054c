"""The backup that operations.md describes, taken while a gateway runs, is one that another gateway goes on with."""

from __future__ import annotations

import json

import pytest

from tests.docs.pages import ROOT, blocks_of
from tests.docs.shell import PageShell

PAGE = ROOT / "docs" / "operations.md"
LARGE = json.dumps("x" * 300_000)
"""Beyond what is kept in the database, so that `blobs/` has a part in it."""


@pytest.mark.timeout(120)
def test_a_backup_of_a_running_gateway_can_be_restored(tmp_path_factory: pytest.TempPathFactory) -> None:
    before, after = (PageShell(tmp_path_factory.mktemp("d")) for _ in range(2))
    for shell in (before, after):
        (shell.directory / "flow.yaml").write_text("name: same\noutput: { $input: $ }\n")
        (shell.directory / "large.json").write_text(LARGE)
    (script,) = (block for block in blocks_of(PAGE) if block.file == "backup.py")
    (before.directory / "backup.py").write_text(script.text)
    with before.gateway():
        run = json.loads(before.run("flowspan submit flow.yaml --input-json '[1.0]' --detach"))
        assert json.loads(before.run(f"flowspan watch {run['runId']} --quiet"))["result"]["value"] == [1.0]
        blob_id = before.run("flowspan blob put large.json").strip()
        target = f"{after.environment['XDG_DATA_HOME']}/flowspan"
        assert before.run(f'python backup.py "$XDG_DATA_HOME/flowspan" {target}') == ""
    with after.gateway():
        restored = json.loads(after.run(f"flowspan get {run['runId']} --results --json"))
        assert restored["status"] == "success"
        assert restored["results"][0]["result"] == {"outcome": "success", "value": [1.0]}
        assert after.run(f"flowspan blob get {blob_id}") == LARGE
        assert json.loads(after.run("flowspan run flow.yaml --input-json 2 --quiet"))["value"] == 2
