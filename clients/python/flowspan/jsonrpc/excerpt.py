"""Making text from a peer fit for a log line: bounded, on one line, without control characters."""

from __future__ import annotations

from typing import Final

MAX_EXCERPT_CHARS: Final = 200
MAX_NAME_CHARS: Final = 128


def printable(text: str, max_chars: int = MAX_NAME_CHARS) -> str:
    """Escape what is not printable (control characters, line separators, surrogates) and cut to `max_chars`.

    A cut text ends with an ellipsis, which counts. The result never holds a line break, so that a peer cannot forge log lines.
    """
    cut = text[: max_chars + 1]
    if not cut.isprintable():
        cut = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in cut)
    return cut if len(cut) <= max_chars else cut[: max_chars - 1] + "…"


def excerpt(data: bytes, max_chars: int = MAX_EXCERPT_CHARS) -> str:
    """The beginning of `data` as printable text; bytes that are no UTF-8 are shown as escapes."""
    # A character takes at most four bytes; the slice may end within one, which then shows as an escape behind the cut.
    return printable(data[: 4 * (max_chars + 1)].decode("utf-8", "backslashreplace"), max_chars)
