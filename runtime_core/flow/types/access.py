"""A path into a type: what is found there, and whether it can be there at all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flowspan.flows.paths import Path
from runtime_core.flow.types.shapes import ANY, ARRAY, NEVER, NULL, NULL_TYPE, OBJECT, UNKNOWN, Shape, Type, union, without_kinds
from runtime_core.flow.types.words import describe


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a segment leads nowhere (or perhaps nowhere).

    Attributes:
        code: 2000, 2101; 1003 where the place may be there though nothing says so.
        at: number of segments before it.
        message: what stands there, in the middle of a sentence.
        known: names that there are.
    """

    code: int
    at: int
    message: str
    known: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """What a path leads to. With an obstacle of an error's code, no value of the type has such a place (`type` is then
    `NEVER`), or only null has (`type` is then null)."""

    type: Type
    obstacle: Obstacle | None = None


def access(root: Type, path: Path, *, null_has_all: bool = False) -> Access:
    """Follow a path.

    Args:
        null_has_all: any path into null is null, as in a step's output (only the output itself, nothing inside).
    """
    has_null = null_has_all and bool(path) and root.is_known and root.may_be(NULL)
    here = without_kinds(root, NULL) if has_null else root
    doubt: Obstacle | None = None
    for at, segment in enumerate(path):
        if not here.is_known:
            return Access(UNKNOWN, doubt)
        if not here.shapes:
            return Access(NULL_TYPE if has_null else NEVER, doubt)
        found: list[Type] = []
        doubts: list[Obstacle] = []
        obstacles: list[Obstacle] = []
        for shape in here.shapes:
            step = _step(shape, segment, at)
            if isinstance(step, Type):
                found.append(step)
            elif step.code == 1003:
                doubts.append(step)
            else:
                obstacles.append(step)
        if not found and not doubts:
            return Access(NULL_TYPE if has_null else NEVER, _closest(obstacles, segment, at, here))
        if doubts and not found:
            doubt = doubt or doubts[0]
        here = union([*found, ANY] if doubts else found)
    return Access(union((here, NULL_TYPE)) if has_null else here, doubt)


def _closest(obstacles: list[Obstacle], segment: str | int, at: int, here: Type) -> Obstacle:
    """What to say where no shape has the place."""
    closest = max(obstacles, key=lambda one: one.code)
    return _misplaced(segment, at, here) if closest.code == 2000 and len(obstacles) > 1 else closest


def _step(shape: Shape, segment: str | int, at: int) -> Type | Obstacle:
    if isinstance(segment, int):
        return _element(shape, segment, at)
    if not shape.kinds & OBJECT:
        return _misplaced(segment, at, Type((shape,)))
    member = shape.properties.get(segment)
    if member is None:
        if shape.additional is not None and shape.additional.shapes:
            return shape.additional
        if shape.additional is None and not shape.properties:
            return ANY
        code = 1003 if shape.additional is None else 2101
        return Obstacle(code, at, f"no property {segment!r}", shape.properties.keys())
    if not member.shapes:
        return Obstacle(2101, at, f"no property {segment!r}")
    return member


def _element(shape: Shape, index: int, at: int) -> Type | Obstacle:
    if not shape.kinds & ARRAY:
        return _misplaced(index, at, Type((shape,)))
    element = shape.element(index)
    if (shape.max_items is not None and index >= shape.max_items) or (element is not None and not element.shapes):
        count = shape.max_items if shape.max_items is not None else len(shape.prefix)
        return Obstacle(2000, at, f"no element {index}: the array has at most {count}")
    return ANY if element is None else element


def _misplaced(segment: str | int, at: int, here: Type) -> Obstacle:
    what = f"element {segment}" if isinstance(segment, int) else f"property {segment!r}"
    return Obstacle(2000, at, f"no {what}: it is {describe(here)}")
