"""A stored flow as a tool: its name, its schemas, its inputs and outputs as MCP has them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flowspan.client import Component
from flowspan.errors import FlowspanError
from flowspan.view.events import Outcome
from flowspan.view.status import ItemResult
from runtime_core.flow.source import parse_flow
from runtime_core.flow.types.components import UNKNOWN_COMPONENT, ComponentTypes, Knowledge
from runtime_core.flow.types.conclusions import conclude
from runtime_core.model.json_value import JsonObject, JsonValue, encode_json

MAX_NAME_CHARS: Final = 64
"""What all clients take; the protocol itself allows twice as much."""
INPUT: Final = "input"
"""The argument that holds the input of a flow that takes something else than an object."""
RESULT: Final = "result"
"""The member that holds an output that is something else than an object: structured content is always one."""
_NOT_IN_NAMES: Final = re.compile("[^A-Za-z0-9_-]+")
_DEFINITIONS: Final = ("$defs", "definitions")


@dataclass(frozen=True, slots=True)
class FlowTool:
    """A tool.

    Attributes:
        name: unique among the tools that are offered together.
        input_schema: of the arguments, always of an object. `output_schema`: of the structured content, or None.
        wraps_input: the flow's input is the argument `input`.
    """

    name: str
    flow_id: str
    title: str
    description: str
    input_schema: JsonObject
    output_schema: JsonObject | None
    wraps_input: bool

    def to_wire(self) -> bytes:
        """An entry of `tools/list`."""
        told: JsonObject = {"name": self.name, "title": self.title, "inputSchema": self.input_schema}
        if self.description:
            told["description"] = self.description
        if self.output_schema is not None:
            told["outputSchema"] = self.output_schema
        return encode_json(told)

    def input_of(self, arguments: bytes) -> bytes:
        """The flow's input.

        Raises:
            ValueError: the argument that holds it is missing.
        """
        if not self.wraps_input:
            return arguments
        held = msgspec.json.decode(arguments, type=dict[str, msgspec.Raw]).get(INPUT)
        if held is None:
            raise ValueError(f"the argument {INPUT!r} is missing: it holds the flow's input")
        return bytes(held)


class OfferedByGateway:
    """`runtime_core.flow.types.components.KnownComponents` of what a gateway lists."""

    def __init__(self, components: Iterable[Component]) -> None:
        self._known = {one.path: ComponentTypes(one.input_schema, one.output_schema) for one in components}

    def look_up(self, path: str) -> Knowledge:
        return self._known.get(path, UNKNOWN_COMPONENT)


def flow_tool(flow_id: str, document: bytes, components: OfferedByGateway, taken: Mapping[str, object]) -> FlowTool:
    """The tool that a flow is.

    Args:
        document: as stored.
        components: say more about inputs that the flow declares no schema for.
        taken: names of other tools.

    Raises:
        FlowspanError: this version cannot read the flow.
    """
    flow = parse_flow(document, is_yaml=False).flow
    if flow is None:
        raise FlowspanError(f"flow {flow_id} cannot be read")
    declared = flow.schemas.input
    schema: JsonValue = conclude(flow, components).input if declared is None else declared
    input_schema, wraps_input = _of_an_object(schema, INPUT)
    output_schema = None if flow.schemas.output is None else _of_an_object(flow.schemas.output, RESULT)[0]
    title, description = flow.value.get("name"), flow.value.get("description")
    digits = flow_id.rpartition(":")[2][:12]
    title = title if isinstance(title, str) and title.strip() else f"flow {digits}"
    name = (_NOT_IN_NAMES.sub("_", title).strip("_") or "flow")[:MAX_NAME_CHARS]
    if name in taken:
        name = f"{name[: MAX_NAME_CHARS - len(digits) - 1]}_{digits}"
    text = description if isinstance(description, str) else ""
    return FlowTool(name, flow_id, title, text, input_schema, output_schema, wraps_input)


def _of_an_object(schema: JsonValue, member: str) -> tuple[JsonObject, bool]:
    """A schema of an object, and whether the value that `schema` describes is a member of it."""
    if schema is None or schema is True or schema == {}:
        # Nothing is known: most flows take an object, and those that do not can say so.
        return {"type": "object"}, False
    if isinstance(schema, dict) and (schema.get("type") == "object" or ("type" not in schema and "properties" in schema)):
        return {**schema, "type": "object"}, False
    wrapped: JsonObject = {"type": "object", "properties": {member: schema}, "required": [member]}
    if isinstance(schema, dict):
        wrapped["properties"] = {member: {key: value for key, value in schema.items() if key not in _DEFINITIONS}}
        # References begin at the root.
        wrapped |= {key: schema[key] for key in _DEFINITIONS if key in schema}
    return wrapped, True


def tool_result(tool: FlowTool, run_id: str, result: ItemResult) -> bytes:
    """The answer to `tools/call`: what a flow made of its one item. Values are spliced in as they were written."""
    meta = msgspec.json.encode({"flowspan/runId": run_id})
    if result.outcome is Outcome.SUCCESS:
        value = result.payload or b"null"
        text = value if value.startswith(b'"') else msgspec.json.encode(value.decode())
        structured = value if value.startswith(b"{") else b'{"%b":%b}' % (RESULT.encode(), value)
        parts = (
            b'{"content":[{"type":"text","text":',
            text,
            b'}],"structuredContent":',
            structured,
            b',"isError":false,"_meta":',
        )
        return b"".join((*parts, meta, b"}"))
    return failed_result(_words(result), {"flowspan/runId": run_id})


def failed_result(message: str, meta: Mapping[str, Any] | None = None) -> bytes:
    """The answer of a call that has no output. It is for the model to read, so it is no error of the protocol."""
    answer: dict[str, Any] = {"content": [{"type": "text", "text": message}], "isError": True}
    return msgspec.json.encode(answer | ({} if meta is None else {"_meta": meta}))


def _words(result: ItemResult) -> str:
    if result.outcome is Outcome.SKIPPED:
        reason = msgspec.json.decode(result.payload).get("reason") if result.payload else None
        return "the flow skipped this input" + (f": {reason}" if reason else "")
    error = result.error
    return "the run has no result" if error is None else f"{error.code}: {error.message}"
