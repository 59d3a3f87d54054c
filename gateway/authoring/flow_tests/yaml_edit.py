"""Parts of a YAML text written anew; every other character stays, comments included.

The text is not dumped again as a whole, for that would respell what nobody asked to change. `yaml_writer` writes the new parts;
they are put where the old ones stood, in the indentation of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.authoring.flow_tests.exact_values import ExactValue
from gateway.authoring.flow_tests.matching import Edit
from gateway.authoring.flow_tests.yaml_writer import YamlWriter
from gateway.authoring.yaml_tree import Entry, Span, spans_of

MAX_ONE_LINE_CHARS: Final = 120
"""A collection that stood on one line is written on one line up to this length."""
_REST_OF_LINE: Final = re.compile(r"[ \t]*(?:#[^\r\n]*)?")


def edit_yaml(text: str, edits: Sequence[Edit]) -> str:
    """The text with these parts replaced. The last token of a place may be a member that is not there yet: it is added at the
    end of its mapping.

    Args:
        text: YAML that the loader took.
        edits: places that do not contain each other.

    Raises:
        LookupError: a place is not in the text, for an alias stands before it.
    """
    root = spans_of(text)
    editor = _Editor(text, root, YamlWriter(*_indentation(root)))
    newline = "\r\n" if "\r\n" in text else "\n"
    for splice in sorted(map(editor.splice, edits), key=lambda splice: splice.start, reverse=True):
        new = splice.new.replace("\r\n", "\n").replace("\n", newline)
        text = text[: splice.start] + new + text[splice.end :]
    return text


@dataclass(frozen=True, slots=True)
class _Splice:
    """From where to where the text is replaced, and by what."""

    start: int
    end: int
    new: str


@dataclass(frozen=True, slots=True)
class _Editor:
    text: str
    root: Span
    writer: YamlWriter

    def splice(self, edit: Edit) -> _Splice:
        span, entry, in_flow = self.root, None, False
        for depth, token in enumerate(edit.place):
            in_flow = in_flow or span.is_flow
            if span.items is not None and isinstance(token, int):
                span, entry = span.items[token], None
                continue
            entry = span.entry(str(token))
            if entry is None:
                if not span.entries or depth != len(edit.place) - 1:
                    raise LookupError(token)
                return self._addition(span.entries, str(token), edit.value, in_flow=in_flow)
            span = entry.value
        is_short = span.is_collection and span.is_flow and "\n" not in self.text[span.start : span.end]
        if in_flow or is_short:
            new = self.writer.in_flow(edit.value)
            if in_flow or self._column(span.start) + len(new) <= MAX_ONE_LINE_CHARS:
                # Behind a colon without a value there is no space yet.
                gap = " " if span.start == span.end and self.text[span.start - 1] == ":" else ""
                return _Splice(span.start, span.end, gap + new)
        return self._new_item(span, edit.value) if entry is None else self._new_value(entry, edit.value)

    def _new_item(self, span: Span, value: ExactValue) -> _Splice:
        is_empty = span.start == span.end
        column = span.column + 1 if is_empty else span.column
        first, *rest = self.writer.as_item(value)
        end, comment = self._comment_behind(span.end) if rest else (span.end, "")
        return _Splice(span.start, end, " " * is_empty + first + comment + _lines(rest, column))

    def _new_value(self, entry: Entry, value: ExactValue) -> _Splice:
        start = self.text.index(":", entry.key_end) + 1
        first, *rest = self.writer.as_value(value)
        end, comment = self._comment_behind(entry.value.end) if rest else (entry.value.end, "")
        between = self.text[start : entry.value.start]
        if "#" not in between:
            inline = f" {first}" if first else ""
            return _Splice(start, end, inline + comment + _lines(rest, entry.column))
        # A comment stands between the key and its value: it stays there.
        below = entry.column + self.writer.unit
        head = between.rstrip() + _lines([part for part in (comment.strip(), first) if part], below)
        return _Splice(start, end, head + _lines(rest, entry.column))

    def _addition(self, entries: Sequence[Entry], name: str, value: ExactValue, *, in_flow: bool) -> _Splice:
        last = entries[-1]
        if in_flow:
            quoted = '"' if self.text[last.key_start] == '"' else ""
            new = f", {quoted}{name}{quoted}: {self.writer.in_flow(value)}"
            return _Splice(last.value.end, last.value.end, new)
        first, *rest = self.writer.as_value(value)
        end, _ = self._comment_behind(last.value.end)
        key = f"{name}: {first}" if first else f"{name}:"
        return _Splice(end, end, _lines([key, *rest], last.column))

    def _comment_behind(self, offset: int) -> tuple[int, str]:
        """The end of the line that `offset` is on, and the comment up to there with the space before it."""
        match = _REST_OF_LINE.match(self.text, offset)
        assert match is not None
        return match.end(), match[0].rstrip()

    def _column(self, offset: int) -> int:
        return offset - self.text.rfind("\n", 0, offset) - 1


def _lines(lines: Sequence[str], column: int) -> str:
    """Each on a line of its own below what stands there; empty ones stay empty."""
    return "".join(f"\n{' ' * column}{line}" if line else "\n" for line in lines)


def _indentation(root: Span) -> tuple[int, int]:
    """Columns that a member stands behind its holder, and a dash behind the key of its sequence, as `test` and its cases do."""
    test = root.entry("test")
    cases = None if test is None else test.value.entry("cases")
    if test is None or cases is None or test.value.is_flow:
        return 2, 2
    unit = max(1, cases.column - test.column)
    return unit, max(0, cases.value.column - cases.column) if not cases.value.is_flow else unit
