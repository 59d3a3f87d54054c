"""Many texts looked for in one text at once: what it costs depends on the length of the text, not on how many there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

HEAD_CHARS: Final = 4
"""The least length of a text that can be looked for."""
_KEY_CHARS: Final = 64
_FEW_HEADS: Final = 64
"""Up to here it is faster to look for each than to look at each place."""

MIN_CUT_CHARS: Final = 8
_CUT_MARKS: Final = "….\n"
_NONE: Final[dict[int, dict[str, list[str]]]] = {}


class TextSearch:
    """A set of texts, each at least four characters long, that are looked for together.

    They are filed by their first four characters, and there by their first 64 at most, so a thousand with the same beginning
    cost no more than one. One thread changes the set; any may search meanwhile.
    """

    __slots__ = ("_by_head", "_counts")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._counts: dict[str, int] = {}
        self._by_head: dict[str, dict[int, dict[str, list[str]]]] = {}
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Look for this, too. Each `add` needs a `discard` of its own."""
        count = self._counts.get(text, 0)
        self._counts[text] = count + 1
        if not count:
            key = text[:_KEY_CHARS]
            self._by_head.setdefault(text[:HEAD_CHARS], {}).setdefault(len(key), {}).setdefault(key, []).append(text)

    def discard(self, text: str) -> None:
        """Undo an `add`."""
        count = self._counts.pop(text, 0)
        if count > 1:
            self._counts[text] = count - 1
            return
        if not count:
            return
        head, key = text[:HEAD_CHARS], text[:_KEY_CHARS]
        by_length = self._by_head[head]
        by_key = by_length[len(key)]
        by_key[key].remove(text)
        if not by_key[key]:
            del by_key[key]
        if not by_key:
            del by_length[len(key)]
        if not by_length:
            del self._by_head[head]

    def __len__(self) -> int:
        return len(self._counts)

    def __contains__(self, text: str) -> bool:
        return text in self._counts

    def replace(self, text: str, by: str, *, may_be_cut: bool = False) -> str:
        """The text with `by` for whatever is found; what overlaps or touches is replaced as one.

        Args:
            may_be_cut: the text may end in the middle of what is looked for; from eight characters on, that counts as well.
        """
        spans = self._spans(text)
        if may_be_cut:
            spans += self._cut(text)
        if not spans:
            return text
        spans.sort()
        pieces: list[str] = []
        done = 0
        last = -1
        for start, end in spans:
            if start > last:
                pieces += (text[done:start], by)
            last = max(last, end)
            done = last
        pieces.append(text[done:])
        return "".join(pieces)

    def finds(self, text: str) -> bool:
        """Whether any of them is in the text."""
        return bool(self._spans(text))

    def _cut(self, text: str) -> list[tuple[int, int]]:
        """The longest beginning of one of them that ends the text, marks of a cut aside."""
        end = len(text.rstrip(_CUT_MARKS))
        for place in range(max(0, end - _KEY_CHARS), end - MIN_CUT_CHARS + 1):
            rest = text[place:end]
            for length, by_key in tuple(self._by_head.get(rest[:HEAD_CHARS], _NONE).items()):
                if (length > len(rest) or length == _KEY_CHARS) and any(key.startswith(rest) for key in tuple(by_key)):
                    return [(place, end)]
        return []

    def _spans(self, text: str) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        by_head = self._by_head
        if len(by_head) <= _FEW_HEADS:
            heads = [head for head in tuple(by_head) if head in text]
        else:
            places = range(len(text) - HEAD_CHARS + 1)
            heads = list({head for place in places if (head := text[place : place + HEAD_CHARS]) in by_head})
        for head in heads:
            long: set[str] = set()
            lengths = tuple(by_head.get(head, _NONE).items())
            place = text.find(head)
            while place >= 0:
                for length, by_key in lengths:
                    found = by_key.get(text[place : place + length])
                    if found is not None:
                        if length < _KEY_CHARS:
                            spans.append((place, place + length))
                        else:
                            long.update(tuple(found))
                place = text.find(head, place + 1)
            for one in long:
                place = text.find(one)
                while place >= 0:
                    spans.append((place, place + len(one)))
                    place = text.find(one, place + len(one))
        return spans
