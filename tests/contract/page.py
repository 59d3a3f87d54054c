"""Which sentence, table row, arrow and example of the contract page is covered by which requirement.

The page itself is not kept here; each of its units is known by a hash and at most eight of its words.
`python -m tests.contract.page PATH` compares the list with a copy of the page, in both directions.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SENTENCE_END: Final = re.compile(r"(?<=[.!?:])\s+(?=[A-Z`*])")
_NOT_WORDS: Final = re.compile(r"[-|: ]*")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of the page. `covers`: requirement ids; where there are none, `why_none` says why it demands nothing."""

    digest: str
    quote: str
    covers: tuple[str, ...] = ()
    why_none: str = ""


def digest(text: str) -> str:
    """Of a unit, white space aside."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:8]


def split_page(page: str) -> list[str]:
    """The page's units in order: headings, sentences, list items, table rows, lines of diagrams; a code example is one."""
    units: list[str] = []
    paragraph: list[str] = []
    block: list[str] | None = None
    language = ""

    def end_paragraph() -> None:
        units.extend(_SENTENCE_END.split(" ".join(paragraph)) if paragraph else ())
        paragraph.clear()

    body = page.split("---\n", 2)[2] if page.startswith("---\n") else page
    for line in body.splitlines():
        text = line.strip()
        if text.startswith("```"):
            end_paragraph()
            if block is None:
                block, language = [], text[3:]
            else:
                units.extend(filter(None, block) if language == "mermaid" else ["\n".join(block)])
                block = None
        elif block is not None:
            block.append(text if language == "mermaid" else line)
        elif not text or text.startswith(("import ", "<")):
            end_paragraph()
        elif text.startswith(("#", "|", "**")) or re.match(r"[0-9]+\. |- ", text):
            end_paragraph()
            if not _NOT_WORDS.fullmatch(text):
                units.append(text)
        else:
            paragraph.append(text)
    end_paragraph()
    return units


def compare(found_units: Iterable[str], known_units: Iterable[Unit]) -> bool:
    """Print what a page's units and the list do not share; whether they are the same."""
    found = {digest(text): text for text in found_units}
    known = {unit.digest: unit for unit in known_units}
    for key in found.keys() - known.keys():
        print("not in the list:", key, found[key][:100])
    for key in known.keys() - found.keys():
        print("not on the page:", key, known[key].quote)
    for key in found.keys() & known.keys():
        if " ".join(known[key].quote.split()) not in " ".join(found[key].split()):
            print("quoted wrongly:", key, known[key].quote)
    return found.keys() == known.keys()


def main() -> None:
    """Print what the list and the page at `sys.argv[1]` do not share; exit 1 if there is anything."""
    from tests.contract.page_units import PAGE_UNITS

    sys.exit(not compare(split_page(Path(sys.argv[1]).read_text(encoding="utf-8")), PAGE_UNITS))


if __name__ == "__main__":
    main()
