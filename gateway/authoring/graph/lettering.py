"""Text in pictures: how wide it is likely to be, how it is shortened, and what XML allows in it."""

from __future__ import annotations

import re
from typing import Final
from unicodedata import combining, east_asian_width
from xml.sax.saxutils import escape

_NARROW: Final = frozenset("ijltfrI.,:;'`|!()[]{}/\\ -")
_BROAD: Final = frozenset("mwMW@%&QOGD")
MONO_SHARE: Final = 0.61
"""Of the font size: the width of a character in common monospaced fonts, the wider ones."""

_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text_width(text: str, size: float, *, is_mono: bool = False) -> float:
    """Pixels that a line takes, rather too many than too few: which font there is, is known only where it is looked at."""
    total = 0.0
    for char in text:
        if east_asian_width(char) in "WF":
            total += 1.05
        elif combining(char):
            continue
        elif is_mono:
            total += MONO_SHARE
        else:
            total += 0.4 if char in _NARROW else 0.9 if char in _BROAD else 0.68 if char.isupper() else 0.6
    return total * size


def shortened(text: str, max_chars: int) -> str:
    """At most so many characters, on one line."""
    text = " ".join(text.split()) if any(char in text for char in "\n\r\t") else text
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def xml_text(text: str) -> str:
    """Escaped for XML, also within attributes; characters that XML 1.0 cannot hold, or terminals obey, become U+FFFD."""
    return escape(_NOT_IN_XML.sub("�", text), {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})
