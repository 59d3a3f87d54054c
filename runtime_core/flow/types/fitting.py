"""Whether a value of one type can be a value of another: the proof of a mistake is that none can."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from runtime_core.flow.types.shapes import ARRAY, NUMBER, OBJECT, SCALARS, STRING, ConstantKey, Shape, Type
from runtime_core.flow.types.words import describe, show
from runtime_core.model.json_value import JsonValue

MAX_DEPTH: Final = 64
"""As deep as values nest; what is deeper is not compared."""
MAX_REASONS: Final = 3
"""In one message."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why no value of a type fits another.

    Attributes:
        place: way to the part that does not fit, outermost first.
        message: what is expected there and what is found.
        name, known: a property that is not allowed, and those that are.
    """

    place: tuple[str | int, ...]
    message: str
    name: str = ""
    known: Collection[str] = ()


class Fitting:
    """Compares types; every pair of types once, so that work is linear in what is compared."""

    def __init__(self) -> None:
        self._verdicts: dict[tuple[int, int], tuple[Type, Type, Misfit | None]] = {}
        self._depth = 0

    def misfit(self, given: Type, wanted: Type) -> Misfit | None:
        """Why no value of `given` is one of `wanted`; None: some value may be."""
        if given is wanted or self._depth >= MAX_DEPTH:
            return None
        key = (id(given), id(wanted))
        held = self._verdicts.get(key)
        if held is None:
            # Until the verdict is there, a pair that leads back to itself proves nothing. Types are kept: their ids stay theirs.
            self._verdicts[key] = (given, wanted, None)
            self._depth += 1
            try:
                held = self._verdicts[key] = (given, wanted, self._compare(given, wanted))
            finally:
                self._depth -= 1
        return held[2]

    def _compare(self, given: Type, wanted: Type) -> Misfit | None:
        reasons: list[Misfit] = []
        for shape in given.shapes:
            for other in wanted.shapes:
                if not shape.kinds & other.kinds:
                    continue
                found = self._compare_shapes(shape, other)
                if found is None:
                    return None
                reasons.append(found)
        if not given.shapes:
            return None
        if not reasons:
            return Misfit((), f"{describe(wanted)} is expected, not {describe(given)}")
        # Of several reasons, the one that is deepest in the value tells most; of those about the whole, all count.
        deepest = max(reasons, key=lambda reason: len(reason.place))
        if deepest.place or len(reasons) == 1:
            return deepest
        return Misfit((), ", or ".join(list(dict.fromkeys(reason.message for reason in reasons))[:MAX_REASONS]))

    def _compare_shapes(self, given: Shape, wanted: Shape) -> Misfit | None:
        """For shapes that have a kind in common."""
        common = given.kinds & wanted.kinds
        reason: Misfit | None = None
        if common & SCALARS:
            reason = _scalar_misfit(given, wanted, common)
            if reason is None:
                return None
        if common & OBJECT:
            reason = self._object_misfit(given, wanted)
            if reason is None:
                return None
        if common & ARRAY:
            reason = self._array_misfit(given, wanted)
        return reason

    def _object_misfit(self, given: Shape, wanted: Shape) -> Misfit | None:
        for name in sorted(wanted.required):
            if name not in given.properties and given.additional is not None and not given.additional.shapes:
                return Misfit((), f"the required property {name!r} is missing")
        # Properties that every given object has, or that it would have to have.
        certain = given.required | (wanted.required & given.properties.keys())
        for name in (one for one in given.properties if one in certain):
            member = given.properties[name]
            if not member.shapes and name not in given.required:
                return Misfit((), f"the required property {name!r} is missing")
            target = wanted.properties.get(name, wanted.additional)
            if target is None:
                continue
            if not target.shapes:
                return Misfit((name,), f"the property {name!r} is not allowed", name, wanted.properties.keys())
            found = self.misfit(member, target)
            if found is not None:
                return replace(found, place=(name, *found.place))
        return None

    def _array_misfit(self, given: Shape, wanted: Shape) -> Misfit | None:
        if wanted.max_items is not None and given.min_items > wanted.max_items:
            return Misfit((), f"at most {wanted.max_items} elements are allowed, not {given.min_items}")
        if given.max_items is not None and given.max_items < wanted.min_items:
            return Misfit((), f"at least {wanted.min_items} elements are needed, not {given.max_items}")
        # Elements that every given array has; beyond both prefixes all are alike.
        certain = max(given.min_items, wanted.min_items)
        for index in range(min(certain, max(len(given.prefix), len(wanted.prefix)) + 1)):
            target = wanted.element(index)
            element = given.element(index)
            if target is None or element is None:
                continue
            if not target.shapes:
                return Misfit((index,), f"at most {index} elements are allowed")
            found = self.misfit(element, target)
            if found is not None:
                return replace(found, place=(index, *found.place))
        return None


def _scalar_misfit(given: Shape, wanted: Shape, common: int) -> Misfit | None:
    if given.constants is None:
        if wanted.constants is None or any(key[0] & common for key in wanted.constants):
            return None
    elif wanted.constants is None:
        if any(key[0] & common and _is_within(key, wanted) for key in given.constants):
            return None
    elif not wanted.constants.keys().isdisjoint(given.constants.keys()):
        return None
    if given.constants is not None and wanted.constants is None:
        value = next(value for key, value in given.constants.items() if key[0] & common)
        return Misfit((), f"{show(value)} is out of the bounds ({_bounds(wanted)})")
    return Misfit((), f"{describe(Type((wanted,)))} is expected, not {describe(Type((given,)))}")


def _is_within(key: ConstantKey, wanted: Shape) -> bool:
    """Whether a constant keeps the bounds."""
    kind, value = key
    size: JsonValue = len(value) if type(value) is str else value
    names = _TEXT_BOUNDS if kind == STRING else _NUMBER_BOUNDS if kind & NUMBER else {}
    return not any(
        (size < bound if is_least else size > bound) or (is_open and size == bound)  # type: ignore[operator]
        for name, (is_least, is_open) in names.items()
        if (bound := wanted.bounds.get(name)) is not None
    )


# Name of the keyword: whether it is the least, and whether it is itself excluded.
_NUMBER_BOUNDS: Final = {
    "minimum": (True, False),
    "maximum": (False, False),
    "exclusiveMinimum": (True, True),
    "exclusiveMaximum": (False, True),
}
_TEXT_BOUNDS: Final = {"minLength": (True, False), "maxLength": (False, False)}


def _bounds(wanted: Shape) -> str:
    return ", ".join(f"{name} {bound}" for name, bound in wanted.bounds.items())
