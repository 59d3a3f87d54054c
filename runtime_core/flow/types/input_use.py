"""What a flow demands of its input: the places that it reads, and what components want to find there.

Only what an item cannot do without becomes a demand, for the input schema is enforced: an expression counts that is evaluated
in any case, in a step that runs in any case and whose failure fails the item. Places that are read elsewhere are only named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from flowspan.flows.paths import Path, PathSyntaxError, parse_path
from runtime_core.flow.document import Flow, OnErrorAction, Step
from runtime_core.flow.expression_syntax import RESERVED_KEYS
from runtime_core.flow.types.schema_writer import write_schema
from runtime_core.flow.types.shapes import OBJECT, Type
from runtime_core.model.json_value import JsonObject, JsonValue, encode_json


@dataclass(slots=True)
class _Place:
    """A place in the input. `has_elements`: it is read as an array."""

    wanted: dict[bytes, JsonObject] = field(default_factory=dict)
    members: dict[str, _Place] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    has_elements: bool = False

    def to_schema(self) -> JsonObject:
        own: JsonObject = {}
        if self.required:
            own["type"] = "object"
        elif self.has_elements and not self.members:
            own["type"] = "array"
        if self.members:
            own["properties"] = {name: member.to_schema() for name, member in self.members.items()}
        if self.required:
            own["required"] = [name for name in self.members if name in self.required]
        parts = [*self.wanted.values(), *([own] if own else [])]
        return parts[0] if len(parts) == 1 else {"allOf": list(parts)} if parts else {}


@dataclass(frozen=True, slots=True)
class _Use:
    """A reference.

    Attributes:
        kind, target: `$input` and its path, or `$step` and its id.
        is_certain: it is followed whenever the expression is evaluated, and fails it.
        wanted: what is to be there.
    """

    kind: str
    target: JsonValue
    is_certain: bool
    wanted: Type | None


def input_schema_of(flow: Flow, wanted: Sequence[Type | None]) -> JsonObject:
    """The schema that the flow's input has to fit; `{}` if nothing can be said.

    Args:
        wanted: per step, what its component takes.
    """
    root = _Place()
    certain = _certain_steps(flow)
    for index, step in enumerate(flow.steps):
        for use in _uses(step.skip, None):
            _note(root, use, is_certain=index in certain)
        # What goes wrong in the component is an item's failure only if nothing catches it.
        target = wanted[index] if _fails_with_its_component(step) else None
        for use in _uses(step.input, target):
            _note(root, use, is_certain=index in certain and step.skip is None)
    for use in _uses(flow.output, None):
        _note(root, use, is_certain=True)
    return root.to_schema()


def _note(root: _Place, use: _Use, *, is_certain: bool) -> None:
    if use.kind != "$input":
        return
    is_certain = is_certain and use.is_certain
    place = root
    for segment in _path(use.target):
        if isinstance(segment, int):
            place.has_elements = place.has_elements or is_certain
            return
        if is_certain:
            place.required.add(segment)
        place = place.members.setdefault(segment, _Place())
    if is_certain and use.wanted is not None:
        schema = write_schema(use.wanted, stands_alone=False)
        if schema:
            place.wanted[encode_json(schema)] = schema


def _certain_steps(flow: Flow) -> set[int]:
    """Steps that every item needs and whose failure fails it."""
    indexes = {step.id: index for index, step in enumerate(flow.steps)}
    found: set[int] = set()
    stack = [index for index, step in enumerate(flow.steps) if step.must_execute]
    stack += _certain_references(flow.output, indexes)
    while stack:
        index = stack.pop()
        if index not in found:
            found.add(index)
            step = flow.steps[index]
            stack += _certain_references(step.input if step.skip is None else step.skip, indexes)
    return found


def _certain_references(expression: JsonValue, indexes: dict[str, int]) -> Iterator[int]:
    for use in _uses(expression, None):
        if use.kind == "$step" and use.is_certain and type(use.target) is str and use.target in indexes:
            yield indexes[use.target]


def _fails_with_its_component(step: Step) -> bool:
    return step.on_error.action in (OnErrorAction.FAIL, OnErrorAction.RETRY) and not step.on_error.has_default


def _uses(expression: JsonValue, wanted: Type | None, *, is_certain: bool = True) -> Iterator[_Use]:
    """The references of an expression, with what is wanted where they stand."""
    if type(expression) is list:
        for index, element in enumerate(expression):
            yield from _uses(element, _wanted_element(wanted, index), is_certain=is_certain)
        return
    if type(expression) is not dict:
        return
    reserved = next((key for key in RESERVED_KEYS if key in expression), None)
    if reserved is None:
        for name, member in expression.items():
            yield from _uses(member, _wanted_member(wanted, name), is_certain=is_certain)
    elif reserved == "$if":
        # A condition that fails is false, and which branch is taken nobody knows.
        for name in ("$if", "then", "else"):
            yield from _uses(expression.get(name), None, is_certain=False)
    elif reserved == "$coalesce":
        elements = expression["$coalesce"]
        for index, element in enumerate(elements if type(elements) is list else []):
            yield from _uses(element, None, is_certain=is_certain and index == 0)
    elif reserved == "$step":
        yield _Use(reserved, expression[reserved], is_certain, None)
        on_skip = expression.get("onSkip")
        if type(on_skip) is dict:
            yield from _uses(on_skip.get("defaultValue"), None, is_certain=False)
    elif reserved == "$input":
        yield _Use(reserved, expression[reserved], is_certain, wanted)
    elif reserved == "$variable":
        yield from _uses(expression.get("default"), None, is_certain=False)


def _wanted_member(wanted: Type | None, name: str) -> Type | None:
    shapes = [] if wanted is None else [shape for shape in wanted.shapes if shape.kinds & OBJECT]
    return shapes[0].properties.get(name, shapes[0].additional) if len(shapes) == 1 else None


def _wanted_element(wanted: Type | None, index: int) -> Type | None:
    shapes = () if wanted is None else wanted.shapes
    return shapes[0].element(index) if len(shapes) == 1 else None


def _path(text: JsonValue) -> Path:
    try:
        return parse_path(text) if type(text) is str else ()
    except PathSyntaxError:
        return ()
