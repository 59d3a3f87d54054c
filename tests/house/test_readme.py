"""The README's first steps, done as they are written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FILES: Final = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
COMMAND: Final = re.compile(r"^\.venv/bin/flowspan (run .*)$", re.MULTILINE)


def test_the_first_flow_of_the_readme_runs(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    files = dict(FILES.findall(text))
    assert set(files) == {"server.py", "flowspan.yml", "flow.yaml", "inputs.jsonl"}
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (command,) = COMMAND.findall(text)
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from gateway.cli import main; sys.exit(main())", *command.split()],
        cwd=tmp_path,
        capture_output=True,
        timeout=50,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
    )
    assert done.returncode == 0, done.stderr.decode()
    values = {result["itemIndex"]: result["result"]["value"] for result in map(json.loads, done.stdout.splitlines())}
    assert values == {0: {"text": "a rose is a rose", "words": 5}, 1: {"text": "veni vidi vici", "words": 3}}


def test_every_page_that_the_front_pages_lead_to_is_there() -> None:
    for page in ("README.md", "ARCHITECTURE.md"):
        links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8"))
        assert len(links) >= 2
        assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_every_package_has_its_place_in_the_table() -> None:
    """Of modules at the top of `gateway` and of `runtime_core`'s packages, the ones with something to find in them."""
    table = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for package in ("gateway", "runtime_core"):
        found = sorted(path.stem for path in (ROOT / package).iterdir() if (path / "__init__.py").exists())
        assert [name for name in found if f"`{package}.{name}`" not in table and f"`.{name}`" not in table] == []
