"""Building flows in Python: the same documents that are written by hand, with mistakes refused on the line that makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, NoReturn, overload

import msgspec

from flowspan.errors import LimitExceededError
from flowspan.flows.durations import MAX_DURATION_S, parse_duration_s
from flowspan.flows.expressions import Expression, InputHandle, StepHandle, VariableHandle
from flowspan.flows.limits import MAX_FLOW_BYTES, MAX_NODES, MAX_STEPS
from flowspan.flows.near_names import near_name
from flowspan.flows.policies import OnError, Retry, checked
from flowspan.flows.values import (
    Embeddable,
    Fragment,
    JsonObject,
    JsonValue,
    data_of,
    expression_of,
    kind_of,
    object_of,
    refuse,
    text_of,
)
from flowspan.flows.yaml_text import to_yaml
from flowspan.view.flow_result import flow_result_from_wire

_UNSET: Final[Any] = object()
_CANDIDATES: Final = 500
"""Comparing a name with many others is slow; hints are a courtesy."""
_DEFINITIONS: Final = "$defs"
# Objects and arrays that a part of the document stands in.
_IN_FLOW: Final = 1
_IN_STEP: Final = 3
_IN_SCHEMAS: Final = 3
_IN_NAMED_SCHEMAS: Final = 5
_IN_EXAMPLE: Final = 3
_IN_TEST_CASE: Final = 4


class FlowBuilder(Embeddable):
    """Builds a flow.

    >>> flow = FlowBuilder("greeting", description="Greets one person.")
    >>> words = flow.add("words", "/builtin/create_messages", {"user_prompt": flow.input["text"]})
    >>> flow.output({"for": flow.input["name"], "said": words["messages"][0]["content"]})
    >>> client.run(flow, [{"name": "Ada", "text": "Good morning"}])

    Everything that takes a value takes plain Python values with handles anywhere inside: None, bool, int and float (exact), str,
    lists, tuples, dicts with text as keys, dataclasses and pydantic models. A builder among the values is a flow as data.

    Every method raises InvalidArgumentError or LimitExceededError for what the gateway would refuse; `details` name the `step`
    and the `field`. Schemas and the paths of components are the gateway's to judge: `client.check_flow(flow)` asks it.

    Args:
        name, description, version: of the flow; one without a name or description is warned of.
        metadata: plain values, kept with the flow.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        description: str | None = None,
        version: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        self._nodes = 0
        self._head: JsonObject = {}
        for field, text in (("name", name), ("description", description), ("version", version)):
            if text is not None:
                self._head[field] = text_of(text, field)
        self._metadata = None if metadata is None else self._taken(object_of(metadata, "metadata", above=_IN_FLOW))
        self._steps: list[JsonValue] = []
        self._handles: dict[str, StepHandle] = {}
        self._schemas: dict[str, JsonValue] = {}
        self._step_schemas: JsonObject = {}
        self._declared: JsonObject = {}
        self._definitions: JsonObject = {}
        self._required: list[JsonValue] = []
        self._used_variables: dict[str, None] = {}
        self._output: JsonValue = _UNSET
        self._cases: dict[str, JsonValue] = {}
        self._examples: dict[str, JsonValue] = {}
        self._input = InputHandle(self)

    def __repr__(self) -> str:
        return f"<FlowBuilder {self._name}, {len(self._steps)} steps>"

    def __copy__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be copied, for its handles belong to it; let a function build such flows")

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__copy__()

    # what values can be made of

    @property
    def input(self) -> InputHandle:
        """The item's input: `flow.input["user"]["name"]`, `flow.input.path("$.user.name")`."""
        return self._input

    def step(self, step_id: str) -> StepHandle:
        """The output of a step that was added before, by its id."""
        handle = self._handles.get(text_of(step_id, "step_id"))
        if handle is None:
            refuse(f"there is no step {step_id!r} yet{_nearest(step_id, self._handles)}", "step_id", None)
        return handle

    @overload
    def variable(self, name: str) -> VariableHandle: ...
    @overload
    def variable(self, name: str, default: object) -> Expression: ...
    def variable(self, name: str, default: object = _UNSET) -> Expression:
        """A variable that is given with the run. A flow that declares variables can use only those.

        Args:
            default: its value, or an expression, where the run has none; `flow.variable("a")["b"].or_default(...)` is the same
                for a place in it.
        """
        name = text_of(name, "name of a variable")
        if self._declared and name not in self._declared:
            refuse(f"variable {name!r} is not declared{_nearest(name, self._declared)}", "name of a variable")
        self._used_variables[name] = None
        handle = VariableHandle(self, name)
        return handle if default is _UNSET else handle.or_default(default)

    # declarations

    def input_schema(self, schema: object) -> None:
        """The JSON Schema (2020-12) of an item's input: a dict, a bool, or a pydantic model class."""
        self._declare_schema("input", "input_schema", schema)

    def output_schema(self, schema: object) -> None:
        """The JSON Schema of the flow's output, as for `input_schema`."""
        self._declare_schema("output", "output_schema", schema)

    def declare_variable(
        self,
        name: str,
        schema: object = None,
        *,
        default: object = _UNSET,
        secret: bool = False,
        env_var: str | None = None,
        required: bool = False,
        description: str | None = None,
    ) -> VariableHandle:
        """Declare a variable and give its handle. Declare before the first use.

        Args:
            schema: JSON Schema of its value: a dict or a pydantic model class; None: anything.
            default: plain value that it has where a run gives none.
            secret: its value is never shown.
            env_var: environment variable that gives it to `flowspan run` and `flowspan submit`.
            required: a run without it, and without a default, is refused.
        """
        name = text_of(name, "name of a variable")
        place = f"variable {name!r}"
        if name in self._declared:
            refuse("is declared already", place)
        for used in () if self._declared else self._used_variables:
            if used != name:
                refuse(f"declare variable {used!r} first: it is used already", place)
        about: dict[str, object] = {}
        if default is not _UNSET:
            about["default"] = default
        if description is not None:
            about["description"] = text_of(description, f"{place}, description")
        if _flag(secret, f"{place}, secret"):
            about["is_secret"] = True
        if env_var is not None:
            about["env_var"] = text_of(env_var, f"{place}, env_var")
        is_required = _flag(required, f"{place}, required")
        own = {} if schema is None else _schema(schema, place, _IN_NAMED_SCHEMAS).document
        if not isinstance(own, dict):
            refuse(f"its schema is an object, not {own}", place)
        if twice := sorted(own.keys() & about.keys()):
            refuse(f"{twice[0]!r} stands in the schema too", place)
        whole = {**own, **about}
        shared = self._shared_definitions(whole.pop(_DEFINITIONS, None), place)
        declaration = object_of(whole, place, above=_IN_NAMED_SCHEMAS)
        if "default" in whole and _mentions_secret(declaration.document):
            refuse("the default of a secret would stand in the flow for all to read; give it with the run", place)
        self._declared[name] = self._taken(declaration)
        self._definitions.update(shared)
        if is_required:
            self._required.append(name)
        return VariableHandle(self, name)

    # steps and output

    def add(
        self,
        id: str,
        component: str,
        input: object = None,
        *,
        skip: object = None,
        on_error: OnError | None = None,
        must_execute: bool = False,
        timeout: float | str | timedelta | None = None,
        retry: Retry | None = None,
        metadata: Mapping[str, object] | None = None,
        output_schema: object = None,
    ) -> StepHandle:
        """Add a step and give the handle of its output.

        Args:
            id: unique in the flow.
            component: its path, such as `/builtin/eval` or `/python/double`.
            input: what the component gets.
            skip: a condition; truthy: the step is skipped, and with it what needs its output.
            on_error: `on_error.use_default(...)` and the like; None: the step fails.
            must_execute: run it even if nothing needs its output.
            timeout: seconds, a timedelta, or text such as `"1m30s"`: bound on one attempt; None: as the gateway is configured.
            retry: `retry(max_retries=..., backoff=...)`.
            metadata: plain values, kept with the step.
            output_schema: JSON Schema of its output: a dict, a bool, or a pydantic model class.
        """
        id = text_of(id, "id of a step")
        if id in self._handles:
            refuse("this id is taken by a step added before", "id", id)
        if len(self._steps) >= MAX_STEPS:
            raise LimitExceededError(
                f"step {id!r}: at most {MAX_STEPS:,} steps are allowed", limit="steps", max=MAX_STEPS, actual=len(self._steps) + 1
            )
        step: JsonObject = {"id": id, "component": text_of(component, "component", step=id)}
        parts: list[Fragment] = []
        for field, value in (("input", input), ("skip", skip)):
            if value is not None:
                step[field] = self._own(expression_of(value, field, above=_IN_STEP, step=id), field, id, parts)
        if on_error is not None:
            policy = checked(on_error, OnError, "on_error", id)
            parts.append(Fragment(policy.document, policy.depth, policy.nodes, {}))
            step["onError"] = policy.document
        if _flag(must_execute, "must_execute", id):
            step["mustExecute"] = True
        if timeout is not None:
            step["timeout"] = _duration(timeout, id)
        if retry is not None:
            step["retry"] = checked(retry, Retry, "retry", id).document
        if metadata is not None:
            step["metadata"] = self._own(object_of(metadata, "metadata", above=_IN_STEP, step=id), "metadata", id, parts)
        schema = None if output_schema is None else _schema(output_schema, "output_schema", _IN_NAMED_SCHEMAS, id)
        self._take(*parts, *(() if schema is None else (schema,)))
        if schema is not None:
            self._step_schemas[id] = schema.document
        self._steps.append(step)
        handle = self._handles[id] = StepHandle(self, id)
        return handle

    def output(self, value: object) -> None:
        """What the flow answers for an item. Without it, null."""
        if self._output is not _UNSET:
            refuse("is set already", "output")
        part = expression_of(value, "output", above=_IN_FLOW)
        self._output = self._own(part, "output")
        self._take(part)

    # tests and examples

    def test_case(self, name: str, input: object = None, output: object = _UNSET, *, description: str | None = None) -> None:
        """A case for `flowspan test`, of plain values.

        Args:
            name: unique among the cases.
            output: the expected FlowResult, such as `{"outcome": "success", "value": 3}`; without it, the case only runs.
        """
        case: dict[str, object] = {"input": input} if output is _UNSET else {"input": input, "output": output}
        if not text_of(name, "name of a test case").strip():
            refuse("must not be blank", "name of a test case")
        if output is not _UNSET and output is not None:
            _check_flow_result(output, f"test case {name!r}, output")
        self._add_named(self._cases, "test case", name, description, case, _IN_TEST_CASE - 1)

    def example(self, name: str, input: object, *, description: str | None = None) -> None:
        """An input for people to try, of plain values."""
        self._add_named(self._examples, "example", name, description, {"input": input}, _IN_EXAMPLE - 1)

    # the document

    def build(self) -> dict[str, Any]:
        """The document: plain values, new ones with each call. The builder can go on afterwards."""
        document: dict[str, Any] = msgspec.json.decode(self._encoded())
        return document

    def to_json(self, *, indent: int | None = None) -> str:
        """The document as JSON text, in one line or with so many spaces of indentation."""
        data = self._encoded()
        return (data if indent is None else msgspec.json.format(data, indent=indent)).decode()

    def to_yaml(self) -> str:
        """The document as YAML text; reading it gives exactly the document."""
        return to_yaml(self._document())

    def _document(self) -> JsonObject:
        document = dict(self._head)
        schemas = dict(self._schemas)
        if self._declared:
            variables: JsonObject = {"type": "object", "properties": self._declared}
            if self._definitions:
                variables[_DEFINITIONS] = self._definitions
            if self._required:
                variables["required"] = self._required
            schemas["variables"] = variables
        if self._step_schemas:
            schemas["steps"] = {"type": "object", "properties": self._step_schemas}
        if schemas:
            document["schemas"] = {"type": "object", "properties": schemas}
        document["steps"] = self._steps
        if self._output is not _UNSET:
            document["output"] = self._output
        if self._cases:
            document["test"] = {"cases": list(self._cases.values())}
        if self._examples:
            document["examples"] = list(self._examples.values())
        if self._metadata is not None:
            document["metadata"] = self._metadata
        return document

    def _encoded(self) -> bytes:
        data = msgspec.json.encode(self._document())
        if len(data) > MAX_FLOW_BYTES:
            raise LimitExceededError(
                f"flow {self._name} has {len(data):,} bytes; at most {MAX_FLOW_BYTES:,} are allowed",
                limit="flowBytes",
                max=MAX_FLOW_BYTES,
                actual=len(data),
            )
        return data

    # within

    @property
    def _name(self) -> str:
        return repr(self._head.get("name", "without a name"))

    def _fragment(self, *, is_data: bool) -> Fragment:
        document = self.build()
        whole = data_of(document, f"flow {self._name}")
        return whole if is_data else Fragment({"$literal": whole.document}, whole.depth + 1, whole.nodes + 1, {})

    def _own(self, part: Fragment, field: str, step: str | None = None, parts: list[Fragment] | None = None) -> JsonValue:
        """Its document, if it holds no other flow's handles."""
        for owner, shown in part.owners.items():
            if owner is not self:
                refuse(f"{shown} is a handle of another flow, {owner!r}; this is {self!r}", field, step)
        if parts is not None:
            parts.append(part)
        return part.document

    def _taken(self, part: Fragment) -> JsonValue:
        self._take(part)
        return part.document

    def _take(self, *parts: Fragment) -> None:
        """Count what goes into the document, so that repeating large parts is refused before it is written out."""
        nodes = self._nodes + sum(part.nodes for part in parts)
        if nodes > MAX_NODES:
            raise LimitExceededError(
                f"flow {self._name} becomes too large: at most {MAX_NODES:,} values are allowed",
                limit="flowNodes",
                max=MAX_NODES,
                actual=nodes,
            )
        self._nodes = nodes

    def _declare_schema(self, part: str, field: str, schema: object) -> None:
        if part in self._schemas:
            refuse("is set already", field)
        self._schemas[part] = self._taken(_schema(schema, field, _IN_SCHEMAS))

    def _shared_definitions(self, definitions: object, place: str) -> JsonObject:
        """Definitions of one variable's schema: references to them are looked up in the schema of all variables."""
        shared: JsonObject = {}
        if isinstance(definitions, dict):
            for name, schema in definitions.items():
                if self._definitions.get(name, schema) != schema:
                    refuse(f"the definition {name!r} differs from that of a variable declared before; rename it", place)
                shared[name] = self._taken(data_of(schema, place, above=_IN_NAMED_SCHEMAS))
        return shared

    def _add_named(
        self, listed: dict[str, JsonValue], kind: str, name: str, description: str | None, more: dict[str, object], above: int
    ) -> None:
        name = text_of(name, f"name of a {kind}")
        place = f"{kind} {name!r}"
        if name in listed:
            refuse("this name is taken", place)
        about = {} if description is None else {"description": text_of(description, f"{place}, description")}
        listed[name] = self._taken(data_of({"name": name, **about, **more}, place, above=above))


def _schema(schema: object, place: str, above: int, step: str | None = None) -> Fragment:
    if isinstance(schema, type) and callable(make := getattr(schema, "model_json_schema", None)):
        schema = make()
    fragment = data_of(schema, place, above=above, step=step)
    if not isinstance(fragment.document, (dict, bool)):
        refuse(f"a JSON Schema is a dict, a bool or a pydantic model class, not {kind_of(schema)}", place, step)
    return fragment


def _check_flow_result(value: object, place: str) -> None:
    """Refuse an expectation that no result can meet."""
    try:
        flow_result_from_wire(msgspec.json.encode(data_of(value, place).document))
    except ValueError as error:
        refuse(f"a FlowResult is needed, such as {{'outcome': 'success', 'value': 3}}: {error}", place)


def _mentions_secret(schema: JsonValue) -> bool:
    stack: list[JsonValue] = [schema]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            if one.get("is_secret") is True:
                return True
            stack += one.values()
        elif isinstance(one, list):
            stack += one
    return False


def _duration(value: object, step: str) -> JsonValue:
    """As it was written, if it is a length of time."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or parse_duration_s(value) is None:
        refuse(
            f"is a number of seconds above 0 (at most {MAX_DURATION_S:,.0f}), a timedelta or text such as '1m30s', not {value!r}",
            "timeout",
            step,
        )
    return data_of(value, "timeout", step=step).document


def _flag(value: object, field: str, step: str | None = None) -> bool:
    if not isinstance(value, bool):
        refuse(f"True or False is needed, not {kind_of(value)}", field, step)
    return value


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = near_name(name, names) if len(names) <= _CANDIDATES else None
    return "" if near is None else f"; did you mean {near!r}?"
