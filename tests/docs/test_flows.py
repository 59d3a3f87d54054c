"""Every flow of the pages, run by `flowspan run` with the input beside it, gives the result beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.docs.pages import PAGES, Block, blocks_of
from tests.docs.shell import PageShell, fits


@dataclass
class Example:
    flow: Block
    parts: dict[str, Block] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.flow)


def examples() -> list[Example]:
    """A block `yaml flow` begins one; the blocks `json input`, `json result` and so on behind it belong to it."""
    found: list[Example] = []
    for page in PAGES:
        for block in blocks_of(page):
            if block.words[:1] == ("flow",):
                found.append(Example(block))
            elif block.language == "json" and block.words:
                found[-1].parts[block.words[0]] = block
            elif block.language == "text" and found and found[-1].flow.page == page and "refused" in found[-1].flow.words:
                found[-1].parts.setdefault("refusal", block)
    return found


EXAMPLES = examples()


def exactly(text: str) -> Any:
    """JSON with its numbers as they are written."""
    return json.loads(text, parse_int=lambda digits: ("number", digits), parse_float=lambda digits: ("number", digits))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_a_flow_gives_what_the_page_says(example: Example, tmp_path_factory: pytest.TempPathFactory) -> None:
    shell = PageShell(tmp_path_factory.mktemp("d"))
    (shell.directory / "flow.yaml").write_text(example.flow.text, encoding="utf-8")
    if "refused" in example.flow.words:
        said = shell.run("flowspan run flow.yaml --input-json null")
        refusal = example.parts["refusal"].text.strip()
        assert any(fits(refusal, line) for line in said.splitlines()), said
        assert shell.run("echo $?") == "2\n"
        return
    options = "--quiet"
    for name, block in example.parts.items():
        (shell.directory / f"{name}.json").write_text(block.text, encoding="utf-8")
        if name != "result":
            options += f" --{name} {name}.json"
    said = shell.run(f"flowspan run flow.yaml {options}")
    assert exactly(said) == exactly(example.parts["result"].text)
