"""Where the objects of a YAML text stand, for a text that `load_yaml` took."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import yaml

from gateway.authoring.checking.text_objects import TextObject
from runtime_core.model.json_scan import escape_pointer_token

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Open:
    """A collection whose end has not come."""

    def __init__(self, pointer: str, event: Any) -> None:
        self.pointer = pointer
        self.event = event
        self.is_mapping = isinstance(event, yaml.MappingStartEvent)
        self.members: dict[str, int] = {}
        self.column = event.start_mark.column
        self.key: str | None = None
        self.index = 0

    def next_pointer(self) -> str:
        """Of the value that begins; for a mapping its key has been seen."""
        if self.is_mapping:
            name, self.key = self.key or "", None
            return f"{self.pointer}/{escape_pointer_token(name)}"
        self.index += 1
        return f"{self.pointer}/{self.index - 1}"


def find_yaml_objects(text: str, wanted: Iterable[str]) -> dict[str, TextObject]:
    """The mappings at these JSON pointers; those that stand behind an alias are not found."""
    wanted = set(wanted)
    found: dict[str, TextObject] = {}
    stack: list[_Open] = []
    last_end = 0
    for event in yaml.parse(text, Loader=_Loader):
        start: Any = event.start_mark
        end: Any = event.end_mark
        if isinstance(event, yaml.NodeEvent):
            frame = stack[-1] if stack else None
            if frame is not None and frame.is_mapping and frame.key is None:
                frame.key = getattr(event, "value", "")
                if not frame.members:
                    frame.column = start.column
                frame.members[frame.key] = start.index
                last_end = end.index
                continue
            pointer = "" if frame is None else frame.next_pointer()
            if isinstance(event, yaml.CollectionStartEvent):
                stack.append(_Open(pointer, event))
            last_end = end.index
        elif isinstance(event, yaml.CollectionEndEvent):
            frame = stack.pop()
            is_block = not frame.event.flow_style
            if frame.is_mapping and frame.pointer in wanted:
                found[frame.pointer] = TextObject(
                    frame.event.start_mark.index, last_end, frame.members, is_block=is_block, column=frame.column
                )
            if not is_block:
                last_end = end.index
    return found
