"""docs/flow-builder.md: its programs build the documents beside them; its mistakes get the messages beside them.

That the documents give the results beside them is seen to by tests/docs/test_flows.py.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import yaml

from flowspan.errors import FlowspanError
from flowspan.flows import FlowBuilder
from tests.docs.pages import ROOT, Block, blocks_of

BLOCKS = blocks_of(ROOT / "docs" / "flow-builder.md")
PAIRS = [(block, after) for block, after in pairwise(BLOCKS) if block.language == "python"]


def namespace_before(block: Block) -> dict[str, Any]:
    """What the programs above have left."""
    names: dict[str, Any] = {}
    for earlier in BLOCKS[: BLOCKS.index(block)]:
        if earlier.language == "python" and "refused" not in earlier.words:
            run(earlier, names)
    return names


def run(block: Block, names: dict[str, Any]) -> None:
    exec(compile(block.text, str(block), "exec"), names)  # noqa: S102 - our own page


def test_the_page_has_programs_and_mistakes() -> None:
    kinds = ["refused" if "refused" in block.words else "flow" for block, _ in PAIRS]
    assert (kinds.count("flow"), kinds.count("refused")) == (3, 4)


@pytest.mark.parametrize(("program", "shown"), [pair for pair in PAIRS if "refused" not in pair[0].words], ids=str)
def test_a_program_builds_the_document_beside_it(program: Block, shown: Block) -> None:
    names: dict[str, Any] = {}
    run(program, names)
    flow = names["flow"]
    assert isinstance(flow, FlowBuilder)
    assert flow.to_yaml() == shown.text
    assert yaml.safe_load(flow.to_yaml()) == flow.build()


@pytest.mark.parametrize(("program", "shown"), [pair for pair in PAIRS if "refused" in pair[0].words], ids=str)
def test_a_mistake_is_refused_as_the_page_says(program: Block, shown: Block) -> None:
    names = namespace_before(program)
    with pytest.raises((FlowspanError, TypeError)) as caught:
        run(program, names)
    assert f"{type(caught.value).__name__}: {caught.value}" == shown.text.strip()
