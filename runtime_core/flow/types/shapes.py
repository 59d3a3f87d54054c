"""The model of types: a type is a union of shapes, a shape says what its values have in common.

Every type here is at least as wide as what it stands for: what the model cannot express (patterns, `not`, conditions, ...)
is left out. So two types that have no value in common prove a mistake, and two that seem to have one prove nothing. That is
the whole promise: what is reported as an error is one.

Members are types of their own and are worked out when somebody looks at them, so recursive schemas need no end, and large
literals cost nothing until they are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from runtime_core.model.json_value import JsonObject, JsonValue

NULL: Final = 1
BOOLEAN: Final = 2
INTEGER: Final = 4
FRACTION: Final = 8
"""Numbers that are not whole; 1.0 is an integer, as in JSON Schema."""
STRING: Final = 16
ARRAY: Final = 32
OBJECT: Final = 64
NUMBER: Final = INTEGER | FRACTION
SCALARS: Final = NULL | BOOLEAN | NUMBER | STRING
ALL_KINDS: Final = SCALARS | ARRAY | OBJECT

MAX_SHAPES: Final = 32
"""Of one type. People write unions of a handful; a type with more counts as anything."""
MAX_JOINED_CONSTANTS: Final = 256
"""Constants of a union that expressions make; with more, only their kinds are kept. Enumerations of schemas are kept whole."""

ConstantKey = tuple[int, JsonValue]
"""Kind and value: `1` and `1.0` are one key, `1` and `true` are two."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A set of values.

    Attributes:
        kinds: bits of the kinds that its values may have.
        constants: the scalars that it consists of, or None; then `kinds` are theirs.
        prefix, items: of arrays: the first elements, and all others (None: anything).
        min_items, max_items: of arrays; `max_items` None: no bound.
        properties: of objects: declared ones, required or not.
        required: names that every object has.
        additional: what other properties are: None: anything, `NEVER`: there are none.
        bounds: JSON Schema keywords that single constants are held against (`minimum`, `maxLength`, ...).
        is_literal: it comes from a value in the flow, not from a schema.
    """

    kinds: int = ALL_KINDS
    constants: Mapping[ConstantKey, JsonValue] | None = None
    prefix: tuple[Type, ...] = ()
    items: Type | None = None
    min_items: int = 0
    max_items: int | None = None
    properties: Mapping[str, Type] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    additional: Type | None = None
    bounds: Mapping[str, int | float] = field(default_factory=dict)
    is_literal: bool = False

    def is_anything(self) -> bool:
        """Whether it holds no fact at all."""
        return (
            self.kinds == ALL_KINDS
            and self.constants is None
            and not self.prefix
            and self.items is None
            and not self.min_items
            and self.max_items is None
            and not self.properties
            and not self.required
            and self.additional is None
        )

    def element(self, index: int) -> Type | None:
        """The type of an element; None: anything."""
        return self.prefix[index] if index < len(self.prefix) else self.items


_ANYTHING: Final = Shape()
_ANYTHING_ONLY: Final = (_ANYTHING,)


class Type:
    """A union of shapes, worked out on first use.

    Attributes:
        is_known: False where nobody has said anything (no schema at all), which is not the same as "anything is right".
        schema: the JSON Schema that says exactly this and needs nothing around it; None: it has to be written.
        is_root: whether that schema refers to itself as a whole, so that it cannot be a part of another.
    """

    __slots__ = ("_make", "_shapes", "is_known", "is_root", "schema")

    def __init__(
        self, shapes: tuple[Shape, ...] = (), *, make: Callable[[], tuple[Shape, ...]] | None = None, is_known: bool = True
    ) -> None:
        self._shapes = shapes
        self._make = make
        self.is_known = is_known
        self.schema: JsonObject | None = None
        self.is_root = False

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """No shape: there is no such value."""
        make = self._make
        if make is not None:
            # Who asks again on the way is a schema that consists of itself.
            self._make, self._shapes = None, _ANYTHING_ONLY
            self._shapes = make()
        return self._shapes

    def is_anything(self) -> bool:
        """Whether every value is one of it."""
        return any(shape.is_anything() for shape in self.shapes)

    def may_be(self, kinds: int) -> bool:
        """Whether it has values of one of these kinds."""
        return any(shape.kinds & kinds for shape in self.shapes)


ANY: Final = Type(_ANYTHING_ONLY)
"""Anything is right."""
UNKNOWN: Final = Type(_ANYTHING_ONLY, is_known=False)
"""Nobody has said what it is."""
NEVER: Final = Type(())
"""There is no such value: the expression always fails."""
NULL_TYPE: Final = Type((Shape(kinds=NULL, constants={(NULL, None): None}, is_literal=True),))


def kind_of(value: JsonValue) -> int:
    """The kind of a value."""
    kind = type(value)
    if kind is float:
        return INTEGER if value.is_integer() else FRACTION  # type: ignore[union-attr]
    return _KINDS[kind]


_KINDS: Final[dict[type, int]] = {
    type(None): NULL,
    bool: BOOLEAN,
    int: INTEGER,
    str: STRING,
    list: ARRAY,
    dict: OBJECT,
}


def type_of_value(value: JsonValue) -> Type:
    """The type whose only value this is."""
    return Type(make=lambda: (shape_of_value(value),))


def shape_of_value(value: JsonValue) -> Shape:
    """The shape whose only value this is."""
    if type(value) is dict:
        return object_shape({name: type_of_value(member) for name, member in value.items()})
    if type(value) is list:
        return array_shape(tuple(type_of_value(member) for member in value))
    kind = kind_of(value)
    return Shape(kinds=kind, constants={(kind, value): value}, is_literal=True)


def object_shape(members: Mapping[str, Type]) -> Shape:
    """Objects with exactly these members."""
    return Shape(kinds=OBJECT, properties=members, required=frozenset(members), additional=NEVER, is_literal=True)


def array_shape(elements: tuple[Type, ...]) -> Shape:
    """Arrays of exactly these elements."""
    count = len(elements)
    return Shape(kinds=ARRAY, prefix=elements, items=NEVER, min_items=count, max_items=count, is_literal=True)


def union(types: Iterable[Type]) -> Type:
    """What has a value of any of these types. A part that nobody knows makes the whole unknown."""
    parts = [one for one in types if one is not NEVER]
    if len(parts) == 1:
        return parts[0]
    if any(not one.is_known for one in parts):
        return UNKNOWN
    return Type(joined(shape for one in parts for shape in one.shapes))


def joined(shapes: Iterable[Shape]) -> tuple[Shape, ...]:
    """A union without repetitions; constants become one shape; anything at all if there are more than `MAX_SHAPES`."""
    found: dict[object, Shape] = {}
    for shape in shapes:
        if shape.is_anything():
            return _ANYTHING_ONLY
        key: object = id(shape)
        if shape.constants is not None:
            key = "constants"
            held = found.get(key)
            if held is not None:
                shape = _with_constants(held, shape)
        elif not shape.kinds & ~SCALARS and not shape.bounds:
            key = shape.kinds
        found[key] = shape
        if len(found) > MAX_SHAPES:
            return _ANYTHING_ONLY
    return tuple(found.values())


def _with_constants(held: Shape, more: Shape) -> Shape:
    """`held` has lost its constants where there were too many."""
    kept = None
    if held.constants is not None and more.constants is not None:
        constants = {**held.constants, **more.constants}
        kept = None if len(constants) > MAX_JOINED_CONSTANTS else constants
    return Shape(kinds=held.kinds | more.kinds, constants=kept, is_literal=held.is_literal and more.is_literal)


def without_kinds(given: Type, kinds: int) -> Type:
    """The same type less its values of these kinds."""
    if not given.is_known or given.is_anything() or not given.may_be(kinds):
        return given
    left: list[Shape] = []
    for shape in given.shapes:
        if not shape.kinds & kinds:
            left.append(shape)
        elif shape.kinds & ~kinds:
            constants = shape.constants
            if constants is not None:
                constants = {key: value for key, value in constants.items() if not key[0] & kinds}
            left.append(replace(shape, kinds=shape.kinds & ~kinds, constants=constants))
    return Type(tuple(left))


def meet(left: tuple[Shape, ...], right: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """What has a value in both unions, or something wider."""
    if len(left) * len(right) > MAX_SHAPES:
        return left
    return joined(shape for a in left for b in right if (shape := _both(a, b)) is not None)


def _both(a: Shape, b: Shape) -> Shape | None:
    if a.is_anything():
        return b
    if b.is_anything():
        return a
    kinds = a.kinds & b.kinds
    constants = a.constants if a.constants is not None else b.constants
    if constants is not None:
        other = b.constants if a.constants is not None else None
        constants = {key: value for key, value in constants.items() if key[0] & kinds and (other is None or key in other)}
        kinds = 0
        for kind, _ in constants:
            kinds |= kind
    if not kinds:
        return None
    array, other_array = (a, b) if a.prefix or a.items is not None else (b, a)
    most = [one.max_items for one in (a, b) if one.max_items is not None]
    return Shape(
        kinds=kinds,
        constants=constants,
        prefix=array.prefix,
        items=array.items,
        min_items=max(array.min_items, other_array.min_items),
        max_items=min(most) if most else None,
        properties={
            name: member
            for name in (*a.properties, *(name for name in b.properties if name not in a.properties))
            if (member := _narrower(a.properties.get(name, a.additional), b.properties.get(name, b.additional))) is not None
        },
        required=a.required | b.required,
        additional=_narrower(a.additional, b.additional),
        bounds={**b.bounds, **a.bounds},
        is_literal=a.is_literal and b.is_literal,
    )


def _narrower(a: Type | None, b: Type | None) -> Type | None:
    """What is of both; None: anything."""
    if a is None or b is None or a is b:
        return b if a is None else a
    return NEVER if a is NEVER or b is NEVER else type_in_both(a, b)


def type_in_both(a: Type, b: Type) -> Type:
    """What is of both types, or something wider."""
    return Type(make=lambda: meet(a.shapes, b.shapes))
