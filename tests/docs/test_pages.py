"""Pages hang together: links lead somewhere, blocks are what they say, nothing is told twice."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import PAGES, ROOT, Block, anchors_of, blocks_of, links_of, name_of, prose_of

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
LANGUAGES = {
    "bash", "console", "go", "java", "js", "json", "jsonl", "mermaid", "proto", "python", "rust", "sh", "text", "ts", "yaml",
}  # fmt: skip
LONG_CHARS = 90
"""A sentence of this length that stands on two pages was copied."""


def test_there_are_pages_and_the_index_names_each() -> None:
    index = ROOT / "docs" / "README.md"
    named = {(index.parent / link.partition("#")[0]).resolve() for link in links_of(index)}
    pages = {path for path in (ROOT / "docs").rglob("*.md") if "adr" not in path.parts} - {index}
    assert len(pages) > 10
    assert sorted(map(name_of, pages - named)) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in links_of(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors_of(there)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_is_what_it_says(block: Block) -> None:
    assert block.language in LANGUAGES, f"{block}: say what it is; known are {sorted(LANGUAGES)}"
    match block.language:
        case "json" if not _is_lines(block.text):
            json.loads(block.text)
        case "json" | "jsonl":
            for line in block.text.splitlines():
                json.loads(line.lstrip("→← "))
        case "yaml":
            list(yaml.safe_load_all(block.text))
        case "python":
            ast.parse(block.text)
            if "ComponentServer()" in block.text and ".run()" not in block.text:
                exec(compile(block.text, str(block), "exec"), {})  # noqa: S102 - our own page
        case "sh" | "bash":
            subprocess.run(["bash", "-n"], input=block.text.encode(), check=True, timeout=10)
        case "console":
            assert block.text.startswith("$ ")


def _is_lines(text: str) -> bool:
    """Several values, one on each line."""
    lines = text.strip().splitlines()
    return len(lines) > 1 and all(line[:1] in "{[" and line[-1:] in "}]" for line in lines) and lines[0] not in "{["


def test_no_sentence_stands_on_two_pages() -> None:
    pages_of: dict[str, set[str]] = defaultdict(set)
    for page in PAGES:
        for sentence in re.split(r"(?<=[.:;|])\s+", " ".join(prose_of(page).split())):
            if len(sentence) >= LONG_CHARS:
                pages_of[sentence].add(name_of(page))
    assert {sentence: pages for sentence, pages in pages_of.items() if len(pages) > 1} == {}


def test_every_test_that_a_page_names_exists() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    missing = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        missing += [name for name in re.findall(r"`(tests/[\w./-]+)`", text) if not (ROOT / name).exists()]
        for name in re.findall(r"`(test_\w+)`", text):
            if not any(f"def {name}(" in source for source in sources.values()):
                missing.append(name)
    assert missing == []
