"""A safe reader of YAML 1.2 (core schema) into JSON values.

Works on libyaml's events without recursion: depth, nodes and expanded size are counted while reading, before anything could
grow. Aliases may repeat a part (and count as if it were written again); they may not contain themselves. Tags are refused, and
so are duplicate keys, keys that are no scalars, and numbers that JSON does not have. Numbers keep their exact value. Where a
page allows mappings as keys (behaviours of mocks), such a key is read as its compact JSON text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from flowspan.errors import FlowspanError, InvalidArgumentError, LimitExceededError, Reason
from runtime_core.model.json_scan import Position, escape_pointer_token
from runtime_core.model.json_value import MAX_JSON_DEPTH, MAX_NUMBER_DIGITS, JsonValue, encode_json

MAX_NODES: Final = 1_000_000
"""Scalars, sequences and mappings of one document, aliases counted as often as they stand there."""
MAX_EXPANDED_BYTES: Final = 8 * 1024 * 1024
"""Characters of all scalars, aliases expanded: a document must not grow past the size that it may have."""

_INTEGER: Final = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL: Final = re.compile(r"0o[0-7]+\Z")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE: Final = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_CONSTANTS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_MAYBE_NUMBER: Final = frozenset("+-.0123456789")
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class _Part:
    """A value with what it weighs, aliases expanded."""

    value: JsonValue
    nodes: int = 1
    size: int = 0
    height: int = 0


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come. `key`: the mapping's key whose value comes next. `is_key`: it is a key itself."""

    part: _Part
    mark: Any
    anchor: str | None
    keys: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    is_key: bool = False


KeyRule = Callable[[Sequence[str]], bool]
"""Whether the mapping at this place (keys and indexes from the top) may have mappings as keys."""


def in_behaviors(place: Sequence[str]) -> bool:
    """The rule of configurations and flows: the `behaviors` of a mock's component, also in the `test.config` of a flow."""
    if len(place) == 7 and place[:2] == ["test", "config"]:
        place = place[2:]
    return len(place) == 5 and (place[0], place[2], place[4]) == ("plugins", "components", "behaviors")


def _no_mapping_keys(place: Sequence[str]) -> bool:
    return False


def load_yaml(data: bytes, *, takes_mapping_keys: KeyRule = _no_mapping_keys) -> JsonValue:
    """The value of the one document in `data` (UTF-8); null if there is none.

    Args:
        takes_mapping_keys: where keys may be mappings; nowhere by default.

    Raises:
        FlowspanError: PARSE_ERROR with `line` and `column`: not YAML.
        InvalidArgumentError: tags, duplicate keys (both positions), keys that are no scalars, several documents, an alias
            inside its own anchor, more than 10^6 nodes or 8 MiB after aliases, `.nan`, `.inf` and floats out of range.
        LimitExceededError: deeper than 64, an integer of more than 64 digits.
    """
    reader = _Reader(takes_mapping_keys)
    for event in _events(data):
        reader.take(event)
    return reader.value


def locate_yaml(data: bytes, wanted: Iterable[str]) -> dict[str, Position]:
    """Where the values at these JSON pointers stand, for a document that `load_yaml` took. What an alias repeats stands at
    the alias; parts of it have no place of their own."""
    wanted = set(wanted)
    found: dict[str, Position] = {}
    stack: list[list[Any]] = []  # [pointer, is_mapping, awaits_key, pointer or index of the next value]
    key: _Reader | None = None  # reads a key that is a mapping
    for event in _events(data):
        if key is None and stack and stack[-1][1] and stack[-1][2] and isinstance(event, yaml.CollectionStartEvent):
            key = _Reader()
        if key is not None:
            key.take(event)
            if key.is_complete:
                stack[-1][2:] = False, f"{stack[-1][0]}/{escape_pointer_token(encode_json(key.value).decode())}"
                key = None
        elif isinstance(event, yaml.NodeEvent):
            pointer = ""
            if stack:
                frame = stack[-1]
                if frame[1] and frame[2]:
                    frame[2], frame[3] = False, f"{frame[0]}/{escape_pointer_token(getattr(event, 'value', ''))}"
                    continue
                pointer = frame[3] if frame[1] else f"{frame[0]}/{frame[3]}"
                if frame[1]:
                    frame[2] = True
                else:
                    frame[3] += 1
            if pointer in wanted:
                found[pointer] = _position(event.start_mark)
                if len(found) == len(wanted):
                    break
            if isinstance(event, yaml.CollectionStartEvent):
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                stack.append([pointer, is_mapping, is_mapping, 0])
        elif isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
    return found


class _Reader:
    """Builds the value from events."""

    def __init__(self, takes_mapping_keys: KeyRule = _no_mapping_keys) -> None:
        self.value: JsonValue = None
        self._takes_mapping_keys = takes_mapping_keys
        self._documents = 0
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Part] = {}
        self._nodes = 0
        self._size = 0

    @property
    def is_complete(self) -> bool:
        """Whether every collection that began has ended."""
        return not self._stack

    def take(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._take_scalar(event)
        elif kind is yaml.SequenceStartEvent or kind is yaml.MappingStartEvent:
            self._begin(event, [] if kind is yaml.SequenceStartEvent else {})
        elif kind is yaml.SequenceEndEvent or kind is yaml.MappingEndEvent:
            self._finish()
        elif kind is yaml.AliasEvent:
            self._take_alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                raise _refused("a flow file holds one YAML document; a second one begins", event.start_mark)

    def _take_scalar(self, event: Any) -> None:
        # Most events are scalars: what `_count` and `_place` do for any part is done here without making one.
        if event.tag is not None:
            raise _refused(f"the tag {event.tag!r} is not allowed", event.start_mark)
        text: str = event.value
        size = len(text)
        self._nodes += 1
        self._size += size
        if self._nodes > MAX_NODES or self._size > MAX_EXPANDED_BYTES:
            self._refuse_size(event.start_mark)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.key is None and type(frame.part.value) is dict:
            if event.anchor is not None:
                self._anchors[event.anchor] = _Part(text, size=size)
            self._take_key(frame, text, event.start_mark)
            return
        value = _plain_value(text, event.start_mark) if event.implicit[0] else text
        if event.anchor is not None:
            self._anchors[event.anchor] = _Part(value, size=size)
        if frame is None:
            self.value = value
            return
        holder, key = frame.part, frame.key
        if key is None:
            holder.nodes += 1
            holder.size += size
            holder.value.append(value)  # type: ignore[union-attr]
        else:
            holder.nodes += 2
            holder.size += size + len(key)
            holder.value[key] = value  # type: ignore[index,call-overload]
            frame.key = None

    @staticmethod
    def _take_key(frame: _Open, text: str, mark: Any) -> None:
        if text in frame.keys:
            first, here = _position(frame.keys[text]), _position(mark)
            raise InvalidArgumentError(
                f"the key {text!r} stands twice in one mapping: {first} and {here}",
                line=here.line,
                column=here.column,
                firstLine=first.line,
                firstColumn=first.column,
            )
        frame.keys[text] = mark
        frame.key = text

    def _begin(self, event: Any, value: JsonValue) -> None:
        if event.tag is not None:
            raise _refused(f"the tag {event.tag!r} is not allowed", event.start_mark)
        is_key = bool(self._stack) and self._stack[-1].key is None and type(self._stack[-1].part.value) is dict
        if is_key and (type(value) is not dict or not self._takes_mapping_keys(self._place_of_top())):
            raise _refused("a key is a scalar, not a sequence or a mapping", event.start_mark)
        if len(self._stack) >= MAX_JSON_DEPTH:
            raise _too_deep(len(self._stack) + 1, event.start_mark)
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)  # an older anchor of that name no longer counts
        self._stack.append(_Open(_Part(value, nodes=1, height=1), event.start_mark, event.anchor, is_key=is_key))
        self._count(_Part(None), event.start_mark)

    def _finish(self) -> None:
        frame = self._stack.pop()
        if frame.anchor is not None:
            self._anchors[frame.anchor] = frame.part
        if frame.is_key:
            holder = self._stack[-1].part
            holder.nodes += frame.part.nodes
            holder.size += frame.part.size
            holder.height = max(holder.height, frame.part.height + 1)
            self._take_key(self._stack[-1], encode_json(frame.part.value).decode(), frame.mark)
        else:
            self._place(frame.part)

    def _place_of_top(self) -> Sequence[str]:
        """Keys and indexes that lead to the innermost open collection."""
        return [str(frame.key if frame.key is not None else len(frame.part.value)) for frame in self._stack[:-1]]  # type: ignore[arg-type]

    def _take_alias(self, event: Any) -> None:
        name, mark = event.anchor, event.start_mark
        part = self._anchors.get(name)
        if part is None:
            open_anchor = any(frame.anchor == name for frame in self._stack)
            problem = "stands inside its own anchor" if open_anchor else "has no anchor before it"
            raise _refused(f"the alias *{name} {problem}", mark)
        if self._stack and self._stack[-1].key is None and type(self._stack[-1].part.value) is dict:
            raise _refused("a key is a scalar, not an alias", mark)
        if any(frame.is_key for frame in self._stack):
            raise _refused("a key that is a mapping is written out, without aliases", mark)
        if len(self._stack) + part.height > MAX_JSON_DEPTH:
            raise _too_deep(len(self._stack) + part.height, mark)
        self._count(part, mark)
        self._place(part)

    def _place(self, part: _Part) -> None:
        if not self._stack:
            self.value = part.value
            return
        frame = self._stack[-1]
        holder = frame.part
        holder.nodes += part.nodes
        holder.size += part.size
        holder.height = max(holder.height, part.height + 1)
        if type(holder.value) is dict:
            assert frame.key is not None
            holder.size += len(frame.key)
            holder.nodes += 1
            holder.value[frame.key] = part.value
            frame.key = None
        elif type(holder.value) is list:
            holder.value.append(part.value)

    def _count(self, part: _Part, mark: Any) -> None:
        self._nodes += part.nodes
        self._size += part.size
        if self._nodes > MAX_NODES or self._size > MAX_EXPANDED_BYTES:
            self._refuse_size(mark)

    def _refuse_size(self, mark: Any) -> None:
        what, most = ("nodes", MAX_NODES) if self._nodes > MAX_NODES else ("characters", MAX_EXPANDED_BYTES)
        raise _refused(f"more than {most} {what}, aliases expanded", mark)


def _plain_value(text: str, mark: Any) -> JsonValue:
    """A plain scalar by the core schema of YAML 1.2."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _MAYBE_NUMBER:
        return text
    if _INTEGER.match(text):
        _check_digits(text.lstrip("+-"), mark)
        return int(text)
    if _OCTAL.match(text) or _HEXADECIMAL.match(text):
        _check_digits(text[2:], mark)
        return int(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.match(text):
        number = float(text)
        if abs(number) == float("inf"):
            raise _refused(f"the number {text[:80]} is out of range", mark)
        return number
    if _NOT_FINITE.match(text):
        raise _refused(f"{text} is no JSON number; quote it if text is meant", mark)
    return text


def _check_digits(digits: str, mark: Any) -> None:
    if len(digits) > MAX_NUMBER_DIGITS:
        raise LimitExceededError(
            f"an integer of more than {MAX_NUMBER_DIGITS} digits, {_position(mark)}",
            limit="numberDigits",
            max=MAX_NUMBER_DIGITS,
            actual=len(digits),
        )


def _events(data: bytes) -> Iterator[Any]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FlowspanError(f"the flow is not UTF-8, at byte {error.start}", reason=Reason.PARSE_ERROR) from error
    try:
        yield from yaml.parse(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        if mark is None:
            raise FlowspanError(f"the flow is not YAML: {problem}", reason=Reason.PARSE_ERROR) from error
        place = _position(mark)
        raise FlowspanError(
            f"the flow is not YAML: {problem}, at {place}", reason=Reason.PARSE_ERROR, line=place.line, column=place.column
        ) from error


def _position(mark: Any) -> Position:
    return Position(line=mark.line + 1, column=mark.column + 1)


def _refused(message: str, mark: Any) -> InvalidArgumentError:
    place = _position(mark)
    return InvalidArgumentError(f"{message}, at {place}", line=place.line, column=place.column)


def _too_deep(actual: int, mark: Any) -> LimitExceededError:
    place = _position(mark)
    return LimitExceededError(
        f"the flow nests deeper than {MAX_JSON_DEPTH}, at {place}",
        limit="jsonDepth",
        max=MAX_JSON_DEPTH,
        actual=actual,
        line=place.line,
        column=place.column,
    )
