"""Where the objects of a YAML text stand, for a text that `load_yaml` took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.authoring.checking.text_objects import TextObject
from gateway.authoring.yaml_tree import Entry, Span, spans_of
from runtime_core.model.json_scan import escape_pointer_token


def find_yaml_objects(text: str, wanted: Iterable[str]) -> dict[str, TextObject]:
    """The mappings at these JSON pointers; those that stand behind an alias are not found."""
    wanted = set(wanted)
    return {
        pointer: _text_object(span, span.entries)
        for pointer, span in _all_below(spans_of(text), "")
        if span.entries is not None and pointer in wanted
    }


def _all_below(span: Span, pointer: str) -> Iterator[tuple[str, Span]]:
    """The node and those in it, with their pointers. The depth of the document is bounded by the loader."""
    yield pointer, span
    for entry in span.entries or ():
        yield from _all_below(entry.value, f"{pointer}/{escape_pointer_token(entry.name)}")
    for index, item in enumerate(span.items or ()):
        yield from _all_below(item, f"{pointer}/{index}")


def _text_object(span: Span, entries: list[Entry]) -> TextObject:
    members = {entry.name: entry.key_start for entry in entries}
    if not entries:
        return TextObject(span.start, span.start + 1, members)  # behind the brace: an empty mapping has two
    return TextObject(span.start, entries[-1].value.reach, members, is_block=not span.is_flow, column=entries[0].column)
