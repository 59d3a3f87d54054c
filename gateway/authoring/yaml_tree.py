"""Where the parts of a YAML text stand: a tree of spans, from libyaml's events, for a text that the loader took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Span:
    """A node. Offsets count characters from 0, columns too.

    Attributes:
        start, end: from its first character (its anchor's, if it has one) to behind its last; equal for an empty scalar.
        reach: behind what the reader takes for part of it: with a block scalar at its end, empty lines and comments below too.
        is_flow: written in brackets or braces, or no collection (a scalar, an alias).
        entries: of a mapping; None otherwise.
        items: of a sequence; None otherwise.
    """

    start: int
    end: int
    reach: int
    column: int
    is_flow: bool
    entries: list[Entry] | None = None
    items: list[Span] | None = None

    @property
    def is_collection(self) -> bool:
        return self.entries is not None or self.items is not None

    def entry(self, name: str) -> Entry | None:
        return next((entry for entry in self.entries or () if entry.name == name), None)


@dataclass(slots=True)
class Entry:
    """A member of a mapping: its key, where that ends, its column, and its value."""

    name: str
    key_start: int
    key_end: int
    column: int
    value: Span = field(default_factory=lambda: Span(0, 0, 0, 0, True))


def spans_of(text: str) -> Span:
    """The tree of the one document in `text`."""
    events: Iterator[Any] = (
        event for event in yaml.parse(text, Loader=_Loader) if isinstance(event, (yaml.NodeEvent, yaml.CollectionEndEvent))
    )
    return _span(next(events), events, text)


def _span(event: Any, events: Iterator[Any], text: str) -> Span:
    # The depth of the document is bounded by the loader.
    start, column = event.start_mark.index, event.start_mark.column
    if isinstance(event, yaml.MappingStartEvent):
        entries: list[Entry] = []
        while not _is_end(key := next(events)):
            entry = Entry(getattr(key, "value", ""), key.start_mark.index, _key_end(key, events), key.start_mark.column)
            entry.value = _span(next(events), events, text)
            entries.append(entry)
        # A block ends where its last part does; its own end mark is behind the comments that follow.
        end, reach = _ends(key, event, entries[-1].value if entries else None)
        return Span(start, end, reach, column, bool(event.flow_style), entries=entries)
    if isinstance(event, yaml.SequenceStartEvent):
        items: list[Span] = []
        while not _is_end(item := next(events)):
            items.append(_span(item, events, text))
        end, reach = _ends(item, event, items[-1] if items else None)
        return Span(start, end, reach, column, bool(event.flow_style), items=items)
    # The end of a block scalar takes in the empty lines and comments behind it.
    end = start + len(text[start : event.end_mark.index].rstrip())
    return Span(start, end, event.end_mark.index, column, True)


def _ends(end_event: Any, event: Any, last: Span | None) -> tuple[int, int]:
    """`end` and `reach` of a collection."""
    if event.flow_style or last is None:
        return end_event.end_mark.index, end_event.end_mark.index
    return last.end, last.reach


def _is_end(event: Any) -> bool:
    return isinstance(event, yaml.CollectionEndEvent)


def _key_end(key: Any, events: Iterator[Any]) -> int:
    """Behind a key; one that is no scalar is read to its end."""
    if isinstance(key, yaml.CollectionStartEvent):
        depth = 1
        while depth:
            key = next(events)
            depth += isinstance(key, yaml.CollectionStartEvent) - isinstance(key, yaml.CollectionEndEvent)
    end: int = key.end_mark.index
    return end
