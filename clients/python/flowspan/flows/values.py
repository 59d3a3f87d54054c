"""From Python values to the JSON of a document: what JSON or the language cannot say is refused with its place."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, NoReturn

from flowspan.errors import InvalidArgumentError, LimitExceededError
from flowspan.flows.limits import MAX_DEPTH, MAX_NODES, MAX_NUMBER_DIGITS
from flowspan.flows.paths import format_path

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
JsonObject = dict[str, JsonValue]

RESERVED_KEYS: Final = ("$literal", "$if", "$coalesce", "$step", "$input", "$variable", "$from")
"""Keys that make an object an expression; `$from` is the old syntax, which no gateway takes."""

_INTEGER_BOUND: Final = 10**MAX_NUMBER_DIGITS
_NOT_JSON: Final = "use null, a bool, int, float, str, list, tuple, dict, dataclass or pydantic model"


class Fragment:
    """A part of a document: its JSON with what the whole has to know of it. Never changed once made.

    Attributes:
        depth: objects and arrays inside each other; 0 for a scalar.
        nodes: scalars, arrays and objects.
        owners: flows whose handles are in it, each with the text of one such handle.
    """

    __slots__ = ("depth", "document", "nodes", "owners")

    def __init__(self, document: JsonValue, depth: int, nodes: int, owners: Mapping[object, str]) -> None:
        self.document = document
        self.depth = depth
        self.nodes = nodes
        self.owners = owners


def joined(members: JsonObject, parts: Mapping[str, Fragment], owners: Mapping[object, str] | None = None) -> Fragment:
    """An object of scalars and fragments. LimitExceededError if it becomes too large.

    Args:
        owners: flows whose handles the scalars name.
    """
    document = dict(members)
    all_owners = dict(owners or {})
    depth, nodes = 0, 1 + len(members)
    for key, part in parts.items():
        document[key] = part.document
        depth = max(depth, part.depth)
        nodes += part.nodes
        all_owners.update(part.owners)
    return bounded(Fragment(document, 1 + depth, nodes, all_owners))


def bounded(fragment: Fragment) -> Fragment:
    """The fragment, unless it repeats its parts so often that no gateway would take the flow."""
    if fragment.nodes > MAX_NODES:
        raise LimitExceededError(
            f"an expression of {fragment.nodes:,} values; at most {MAX_NODES:,} are allowed in a flow",
            limit="flowNodes",
            max=MAX_NODES,
            actual=fragment.nodes,
        )
    return fragment


class Embeddable(ABC):
    """What stands in a value for a fragment of its own."""

    __slots__ = ()

    @abstractmethod
    def _fragment(self, *, is_data: bool) -> Fragment | str:
        """The fragment, or why there can be none. `is_data`: nothing in this place is resolved when the flow runs."""


def expression_of(value: object, place: str, *, above: int = 0, step: str | None = None) -> Fragment:
    """The JSON of a value that may hold handles.

    Args:
        place: how messages call it, such as `input`.
        above: objects and arrays that it will stand in.
        step: id of the step whose field it is.

    Raises:
        InvalidArgumentError: JSON or the language cannot say it; `details` hold `field`, `path` within it, and `step`.
        LimitExceededError: it nests too deep, is too large or holds too long a number.
    """
    return _Reader(place, step, above, is_data=False).whole(value)


def data_of(value: object, place: str, *, above: int = 0, step: str | None = None) -> Fragment:
    """The JSON of a value in which nothing is ever resolved: no handles, and any keys. Otherwise as `expression_of`."""
    return _Reader(place, step, above, is_data=True).whole(value)


def text_of(value: object, place: str, *, step: str | None = None) -> str:
    """Text that is not empty. Raises as `expression_of`."""
    reader = _Reader(place, step, 0, is_data=True)
    text = reader.whole(value).document
    if type(text) is not str:
        reader.refuse(f"text is needed, not {kind_of(value)}")
    if not text:
        reader.refuse("must not be empty")
    return text


def object_of(value: object, place: str, *, above: int = 0, step: str | None = None) -> Fragment:
    """The JSON of a mapping in which nothing is resolved. Raises as `expression_of`."""
    reader = _Reader(place, step, above, is_data=True)
    fragment = reader.whole(value)
    if type(fragment.document) is not dict:
        reader.refuse(f"an object is needed, not {kind_of(value)}")
    return fragment


def kind_of(value: object) -> str:
    """How messages call the type of a value."""
    return "None" if value is None else f"a value of type {type(value).__name__}"


def place_of(field: str, step: str | None) -> str:
    """`step 'greet', input`, or the field alone."""
    return field if step is None else f"step {step!r}, {field}"


def refuse(message: str, field: str, step: str | None = None, **details: Any) -> NoReturn:
    """Raise InvalidArgumentError that names step and field."""
    named = details if step is None else {"step": step, **details}
    raise InvalidArgumentError(f"{place_of(field, step)}: {message}", field=field, **named)


class _Reader:
    """Reads one value. Work is bounded: a value that holds itself, or grows by repeating its parts, runs into a limit."""

    def __init__(self, field: str, step: str | None, above: int, *, is_data: bool) -> None:
        self._field = field
        self._step = step
        self._above = above
        self._is_data = is_data
        self._trail: list[str | int] = []
        self._depth = 0
        self._nodes = 0
        self._owners: dict[object, str] = {}

    def whole(self, value: object) -> Fragment:
        document = self._read(value, 0)
        return Fragment(document, self._depth, self._nodes, self._owners)

    def refuse(self, message: str) -> NoReturn:
        place, details = self._place()
        raise InvalidArgumentError(f"{place}: {message}", **details)

    def _read(self, value: object, depth: int) -> JsonValue:
        self._count(1)
        kind = type(value)
        if value is None or kind is bool:
            return value  # type: ignore[return-value]
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            number = int(value)
            if not -_INTEGER_BOUND < number < _INTEGER_BOUND:
                self._exceed("a number has too many digits", "numberDigits", MAX_NUMBER_DIGITS, None)
            return number
        if isinstance(value, float):
            if not isfinite(value):
                self.refuse(f"{float(value)} has no JSON form; use None or a str")
            return float(value)
        if isinstance(value, Embeddable):
            return self._embed(value, depth)
        return self._container(value, depth + 1)

    def _container(self, value: object, depth: int) -> JsonValue:
        if isinstance(value, (list, tuple)):
            self._enter(depth)
            return [self._member(index, element, depth) for index, element in enumerate(value)]
        if isinstance(value, Mapping):
            self._enter(depth)
            members = {self._key(key): member for key, member in value.items()}
            if not self._is_data:
                self._refuse_reserved(members)
            return {key: self._member(key, member, depth) for key, member in members.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            self._enter(depth)
            fields = dataclasses.fields(value)
            return {field.name: self._member(field.name, getattr(value, field.name), depth) for field in fields}
        if not isinstance(value, type) and callable(dump := getattr(value, "model_dump", None)):
            # As a component server writes it: with the model's own serializers and aliases.
            self._count(-1)
            return self._read(dump(mode="json", by_alias=True), depth - 1)
        self.refuse(f"{kind_of(value)} has no JSON form; {_NOT_JSON}")

    def _member(self, name: str | int, value: object, depth: int) -> JsonValue:
        self._trail.append(name)
        document = self._read(value, depth)
        self._trail.pop()
        return document

    def _key(self, key: object) -> str:
        if not isinstance(key, str):
            self.refuse(f"the key {key!r} is {kind_of(key)}; keys are text")
        return self._text(key)

    def _text(self, text: str) -> str:
        plain = str.__str__(text)
        try:
            plain.encode()
        except UnicodeEncodeError:
            self.refuse(f"{plain[:80]!r} holds half of a surrogate pair, which is no character")
        return plain

    def _refuse_reserved(self, members: Mapping[str, object]) -> None:
        for key in RESERVED_KEYS:
            if key in members:
                self.refuse(f"the key {key!r} would make this dict an expression; use a handle, or literal({{...}}) for data")

    def _embed(self, value: Embeddable, depth: int) -> JsonValue:
        fragment = value._fragment(is_data=self._is_data)
        if isinstance(fragment, str):
            self.refuse(fragment)
        self._count(fragment.nodes - 1)
        self._enter(depth + fragment.depth)
        self._owners.update(fragment.owners)
        return fragment.document

    def _enter(self, depth: int) -> None:
        self._depth = max(self._depth, depth)
        if self._above + depth > MAX_DEPTH:
            self._exceed("the flow would nest too deep", "jsonDepth", MAX_DEPTH, self._above + depth)

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._exceed("the value is too large", "flowNodes", MAX_NODES, None)

    def _exceed(self, message: str, limit: str, maximum: int, actual: int | None) -> NoReturn:
        place, details = self._place()
        if actual is not None:
            details["actual"] = actual
        raise LimitExceededError(f"{place}: {message}; at most {maximum:,} ({limit})", limit=limit, max=maximum, **details)

    def _place(self) -> tuple[str, dict[str, Any]]:
        """In words, and for machines."""
        path = format_path(tuple(self._trail[:8]))
        details: dict[str, Any] = {"field": self._field, "path": path}
        if self._step is not None:
            details["step"] = self._step
        return place_of(self._field, self._step) + (path[1:] if self._trail else ""), details
