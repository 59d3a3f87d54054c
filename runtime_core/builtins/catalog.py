"""The built-in components: what each is called, takes and gives, and what does its work."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from runtime_core.builtins.blobs import BLOB_TYPES, get_blob, put_blob
from runtime_core.builtins.eval import eval_flow
from runtime_core.builtins.host import Host
from runtime_core.builtins.iterate import DEFAULT_ITERATIONS, MAX_ITERATIONS, iterate_flow
from runtime_core.builtins.map import MAX_CONCURRENCY, map_flow
from runtime_core.builtins.schemas import (
    ANY,
    FLOW_ID,
    FLOW_OR_ID,
    FLOW_RESULT,
    MESSAGE,
    TEXT,
    Schema,
    one_of,
    optional,
    record,
    whole_number,
)
from runtime_core.builtins.small import MAX_SLEEP_MS, create_messages, noop, sleep
from runtime_core.builtins.work import Delayed, Instant
from runtime_core.calls import CallAnswer, ComponentCall

HostedWork = Callable[[Host, ComponentCall], Coroutine[Any, Any, CallAnswer]]


@dataclass(frozen=True, slots=True)
class Builtin:
    """A built-in component.

    Attributes:
        name: path below the built-ins' prefix.
        input_schema, output_schema: JSON Schema (2020-12).
        work: what does it; None: it needs the world outside of the core, and the gateway brings it (`BuiltinServer`).
        journaled: repeating it after a restart costs, or may yield something else.
    """

    name: str
    description: str
    input_schema: Schema
    output_schema: Schema
    work: Instant | Delayed | HostedWork | None
    journaled: bool = False


BUILTINS: Final[dict[str, Builtin]] = {
    one.name: one
    for one in (
        Builtin("/noop", "Answers with its input.", ANY, ANY, Instant(noop)),
        Builtin(
            "/sleep",
            "Waits, then answers with `passthrough`.",
            record({"duration_ms": whole_number(0, MAX_SLEEP_MS), "passthrough": ANY}, "duration_ms"),
            ANY,
            Delayed(sleep),
        ),
        Builtin(
            "/create_messages",
            "Makes chat messages of a system text and a user text.",
            record({"system_instructions": optional(TEXT), "user_prompt": TEXT}, "user_prompt"),
            record({"messages": {"type": "array", "items": MESSAGE}}, "messages"),
            Instant(create_messages),
        ),
        Builtin(
            "/put_blob",
            "Stores a value as a blob.",
            record({"data": ANY, "blob_type": {"enum": [*BLOB_TYPES, None], "default": BLOB_TYPES[0]}}, "data"),
            record({"blob_id": TEXT}, "blob_id"),
            put_blob,
        ),
        Builtin(
            "/get_blob",
            "Reads a JSON blob.",
            record({"blob_id": TEXT}, "blob_id"),
            record({"data": ANY}, "data"),
            get_blob,
        ),
        Builtin(
            "/eval",
            "Runs a flow over one input, as a sub-run; how it ended is data.",
            record({"flow": FLOW_OR_ID, "flow_id": FLOW_ID, "input": ANY}, "input", **one_of("flow", "flow_id")),
            record({"result": FLOW_RESULT, "run_id": TEXT}, "result", "run_id"),
            eval_flow,
            journaled=True,
        ),
        Builtin(
            "/map",
            "Runs a flow over many inputs, as the items of one sub-run; how each ended is data.",
            record(
                {
                    "workflow": FLOW_OR_ID,
                    "flow": FLOW_OR_ID,
                    "flow_id": FLOW_ID,
                    "items": {"type": "array"},
                    "max_concurrency": optional(whole_number(1, MAX_CONCURRENCY)),
                },
                "items",
                **one_of("workflow", "flow", "flow_id"),
            ),
            record(
                {
                    "results": {"type": "array", "items": FLOW_RESULT},
                    "successful": {"type": "integer", "minimum": 0},
                    "failed": {"type": "integer", "minimum": 0},
                },
                "results",
                "successful",
                "failed",
            ),
            map_flow,
            journaled=True,
        ),
        Builtin(
            "/iterate",
            "Runs a flow over its own answers until it answers `{result}` instead of `{next}`; each time a sub-run.",
            record(
                {
                    "flow": FLOW_OR_ID,
                    "flow_id": FLOW_ID,
                    "initial_input": ANY,
                    "max_iterations": {**optional(whole_number(1, MAX_ITERATIONS)), "default": DEFAULT_ITERATIONS},
                },
                "initial_input",
                **one_of("flow", "flow_id"),
            ),
            record(
                {"result": ANY, "iterations": {"type": "integer", "minimum": 1}, "terminated": {"type": "boolean"}},
                "result",
                "iterations",
                "terminated",
            ),
            iterate_flow,
            journaled=True,
        ),
        Builtin(
            "/load_file",
            "Reads a file below the directories that the configuration names.",
            record({"path": TEXT, "format": {"enum": ["json", "yaml", "text", None]}}, "path"),
            record(
                {
                    "data": ANY,
                    "metadata": record(
                        {
                            "resolved_path": TEXT,
                            "size_bytes": {"type": "integer", "minimum": 0},
                            "format": {"enum": ["json", "yaml", "text"]},
                        },
                        "resolved_path",
                        "size_bytes",
                        "format",
                    ),
                },
                "data",
                "metadata",
            ),
            None,
            journaled=True,
        ),
        Builtin(
            "/openai",
            "Asks a model behind an OpenAI-compatible endpoint; answers with its text.",
            record(
                {
                    "messages": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["role"]}},
                    "model": optional(TEXT),
                    "max_tokens": optional(whole_number(1, 2**31 - 1)),
                    "temperature": optional({"type": "number"}),
                    "api_key": optional(TEXT),
                    "base_url": optional(TEXT),
                },
                "messages",
            ),
            record({"response": TEXT}, "response"),
            None,
            journaled=True,
        ),
    )
}
"""By name, without the route's prefix."""
