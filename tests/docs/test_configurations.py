"""Every configuration that a page shows is one that the gateway takes."""

from __future__ import annotations

import pytest

from gateway.assembly import assemble
from gateway.config import parse_config
from tests.docs.pages import PAGES, Block, blocks_of

EXAMPLES = [
    block
    for page in PAGES
    for block in blocks_of(page)
    if block.language == "yaml" and ("config" in block.words or block.file == "flowspan.yml")
]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_it_is_taken(block: Block) -> None:
    config, notes = parse_config(block.text.encode(), name=str(block), environment={})
    assert not notes
    servers = [plugin for plugin in config.plugins.values() if plugin.type in ("stdio", "http", "mcp")]
    assert len(assemble(config, store=None).plugins) == len(servers)
