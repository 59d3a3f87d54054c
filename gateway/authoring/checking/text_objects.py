"""Where an object stands in a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TextObject:
    """An object of a JSON or YAML text. Offsets count characters.

    Attributes:
        start: of its first character.
        end: behind its last member; of an empty one behind its brace.
        members: offset of each key.
        is_block: YAML in lines, whose keys stand at `column`; else it has braces.
        is_json: JSON, which may be spread over lines whose members are indented by `indent`, each level by `unit`.
    """

    start: int
    end: int
    members: Mapping[str, int] = field(default_factory=dict)
    is_block: bool = False
    column: int = 0
    is_json: bool = False
    indent: str = ""
    unit: str = "  "
