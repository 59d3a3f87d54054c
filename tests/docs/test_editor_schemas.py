"""No editor complains about a flow or a configuration of ours, and `$schema` lines lead to the published schemas."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import jsonschema
import pytest

from runtime_core.flow.yaml_loader import in_behaviors, load_yaml
from tests.docs.pages import PAGES, ROOT, Block, blocks_of

DOCS: Final = ROOT / "docs"
FLOW: Final = jsonschema.Draft202012Validator(json.loads((DOCS / "flow.schema.json").read_text(encoding="utf-8")))
CONFIG: Final = jsonschema.Draft202012Validator(json.loads((DOCS / "flowspan.schema.json").read_text(encoding="utf-8")))
FILES: Final = sorted((ROOT / "examples").rglob("*.y*ml"))
IS_CONFIG: Final = re.compile(r"(^|/)flowspan\.ya?ml$")
BLOCKS: Final = [
    block
    for page in PAGES
    for block in blocks_of(page)
    if block.language == "yaml"
    and (block.file or {"flow", "config"} & set(block.words))
    and not ({"misshapen", "refused"} & set(block.words) or (block.file or "").startswith("stepflow-config"))
]
"""All but those that show mistakes, and configurations of others."""


def test_there_are_examples() -> None:
    assert len(FILES) >= 7 and len(BLOCKS) >= 15


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_example_fits_its_schema_and_names_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    validator, name = (CONFIG, "flowspan.schema.json") if IS_CONFIG.search(str(path)) else (FLOW, "flow.schema.json")
    validator.validate(load_yaml(text.encode(), takes_mapping_keys=in_behaviors))
    line = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert line is not None, "an editor that opens the example should know its schema"
    assert (path.parent / line[1]).resolve() == DOCS / name


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_what_a_page_shows_fits_its_schema(block: Block) -> None:
    is_config = "config" in block.words or IS_CONFIG.search(block.file or "")
    (CONFIG if is_config else FLOW).validate(load_yaml(block.text.encode(), takes_mapping_keys=in_behaviors))
