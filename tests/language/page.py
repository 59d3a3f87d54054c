"""Which row and sentence of the language's page, and of ruling 32 of the decisions, is covered by which row of `rows`.

The pages themselves are not kept here; units are known by hash and at most eight words, as in `tests.contract.page`.
`python -m tests.language.page FLOW_LANGUAGE DECISIONS` compares the list with copies of both, in both directions.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from tests.contract.page import compare, split_page

_LIST_ITEM: Final = re.compile(r"(?m)^(?:- |[0-9]+\. )")
_RULING: Final = re.compile(r"(?ms)^32\. .*?(?=^[0-9]+\. )")


def language_units(page: str) -> list[str]:
    """The units of the language's page. Its list items are of several sentences each, so these are split like paragraphs."""
    return split_page(_LIST_ITEM.sub("\n", page))


def ruling_units(decisions: str) -> list[str]:
    """The sentences of ruling 32."""
    ruling = _RULING.search(decisions)
    return language_units(ruling[0]) if ruling is not None else []


def main() -> None:
    """Print what the list and the pages do not share; exit 1 if there is anything."""
    from tests.language.page_units import PAGE_UNITS

    page, decisions = (Path(name).read_text(encoding="utf-8") for name in sys.argv[1:3])
    sys.exit(not compare(language_units(page) + ruling_units(decisions), PAGE_UNITS))


if __name__ == "__main__":
    main()
