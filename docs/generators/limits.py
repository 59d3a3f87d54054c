"""limits.md: the figures that stand in the code, with the reasons that stand beside them."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator

from flowspan.jsonrpc.limits import FrameLimits
from gateway.config.editor_schema import attribute_meanings
from gateway.grpc_server import options
from gateway.stdio_bridge.restart_policy import RestartLimits
from gateway.stdio_bridge.settings import StdioPlugin
from runtime_core.limits import Limits

from .constants import Constant, amount, cell, constants_of

_HEAD = ("| Name | Value | |", "|---|---|---|")
_SAID = {
    "BASE_DELAY_S": "Before the first retry.",
    "DELAY_FACTOR": "From one retry to the next (`exponential`).",
    "MAX_DELAY_S": "The longest delay that the back-off makes.",
    "MAX_METADATA_ENTRIES": "Names in the metadata of one run.",
    "MAX_METADATA_KEY_BYTES": "One name.",
    "MAX_TASK_TOKEN_BYTES": "A task token; ours are far shorter.",
    "MAX_PAGE_TOKEN_BYTES": "A page token; ours are far shorter.",
    "MAX_BLOB_CHUNK_BYTES": "One piece of a streamed blob.",
    "DEFAULT_PAGE_SIZE": "`ListRuns`, `ListFlows`.",
    "DEFAULT_ITEM_PAGE_SIZE": "`ListRunItems`.",
    "MAX_PAGE_SIZE": "`ListRuns`, `ListFlows`.",
    "MAX_ITEM_PAGE_SIZE": "`ListRunItems`.",
    "MAX_STEPFLOW_LINE_BYTES": "As far as `max_line_bytes` may raise it for a server of the `stepflow` dialect.",
    "MAX_INPUT_BYTES": "One input of `runs/submit`.",
    "MAX_MESSAGE_BYTES": "`error.message`; what is longer is cut.",
    "TAIL_LARGE_ROWS": "Of rows with large results so many stay in memory, up to `TAIL_LARGE_BYTES`.",
    "SMALL_BYTES": "Inputs and answers up to this size go [in bulk](protocol/stdio.md#in-bulk), where a server declares it.",
    "LINE_BYTES": "About the longest line in bulk.",
    "MANY_BYTES": "A longer line in bulk holds one answer.",
    "MAX_DATA_BYTES": "`error.data`; what is longer is replaced by its size and its beginning.",
}
"""Of figures whose source says nothing."""
_RESTART = {
    "first_backoff_s": "Before the first restart; doubled each time, with full jitter.",
    "max_backoff_s": "The longest back-off.",
    "max_crashes": "So many in the window open the circuit.",
    "crash_window_s": "The window.",
    "open_s": "How long the circuit stays open before one process is tried.",
    "healthy_reset_s": "A process that lived so long clears the back-off.",
}


def core() -> str:
    meanings = attribute_meanings(Limits)
    return "\n".join([*_HEAD, *_fields(Limits, meanings), *_rows(constants_of("runtime_core.limits"))])


def flows() -> str:
    found = [
        *constants_of("runtime_core.flow.source", ["MAX_FLOW_BYTES"]),
        *constants_of("runtime_core.flow.yaml_loader", ["MAX_NODES", "MAX_EXPANDED_BYTES"]),
        *constants_of("runtime_core.flow.parse", ["MAX_STEPS", "MAX_RETRIES"]),
        *constants_of("flowspan.flows.durations", ["MAX_DURATION_S"]),
        *constants_of("runtime_core.flow.json_patch", ["MAX_OPERATIONS", "MAX_PATCHED_NODES"]),
        *constants_of("runtime_core.flow.execution", ["MAX_BUILT_BYTES"]),
        *constants_of("runtime_core.model.json_value", ["MAX_JSON_DEPTH", "MAX_NUMBER_DIGITS"]),
        *constants_of("runtime_core.flow.document", ["DEFAULT_MAX_RETRIES"]),
        *constants_of("runtime_core.flow.retry", ["BASE_DELAY_S", "DELAY_FACTOR", "MAX_DELAY_S", "MAX_RETRY_AFTER_S"]),
    ]
    return "\n".join([*_HEAD, *_rows(found)])


def grpc_calls() -> str:
    return "\n".join([*_HEAD, *_rows(one for one in constants_of("gateway.grpc_server.limits") if one.name != "MIB")])


def grpc_options() -> str:
    """The comments above the options are their reasons."""
    source = inspect.getsource(options)
    reasons: dict[str, str] = {}
    comment: list[str] = []
    for line in source[source.index("SERVER_OPTIONS") :].splitlines():
        if stripped := line.strip():
            if stripped.startswith("#"):
                comment = [*comment, stripped.removeprefix("#").strip()]
            elif match := re.match(r'\("([a-z0-9_.]+)"', stripped):
                reasons[match[1]] = " ".join(comment)
                following = source[source.index(stripped) + len(stripped) :].lstrip()
                # Options that stand together share the comment above the first of them.
                comment = comment if following.startswith("(") else []
    rows = [f"| `{name}` | {_option(name, value)} | {cell(reasons[name])} |" for name, value in options.SERVER_OPTIONS]
    (calls,) = constants_of("gateway.grpc_server.options", ["MAX_CONCURRENT_CALLS"])
    return "\n".join([*_HEAD, *rows, *_rows([calls])])


def web() -> str:
    """Values that hold many are told where they come from."""
    return "\n".join([*_HEAD, *_rows(one for one in constants_of("gateway.web.limits") if one.name != "BODY_LIMITS")])


def pipes() -> str:
    meanings = {name: text for name, text in attribute_meanings(FrameLimits).items() if not name.endswith("envelope_depth")}
    found = [
        *constants_of("gateway.stdio_bridge.handshake", ["DEFAULT_CAPACITY", "MAX_CAPACITY", "MAX_COMPONENTS"]),
        *constants_of(
            "gateway.stdio_bridge.settings",
            ["STEPFLOW_LINE_BYTES", "MAX_STEPFLOW_LINE_BYTES", "MAX_QUEUED_BYTES", "REQUEST_WINDOW", "MAX_OPEN_WAITS",
             "NESTED_PROCESSES", "MAX_RETIRING"],
        ),
        *constants_of("gateway.methods.wire", ["MAX_INPUTS", "MAX_INPUT_BYTES", "MAX_TEXT_CHARS"]),
        *constants_of("gateway.methods.runs", ["MAX_EVENT_BYTES"]),
        *constants_of("flowspan.jsonrpc.bulk", ["SMALL_BYTES", "LINE_BYTES", "MANY_BYTES"]),
        *constants_of("flowspan.jsonrpc.error_codes", ["MAX_MESSAGE_BYTES", "MAX_DATA_BYTES"]),
        *constants_of("gateway.stdio_bridge.stderr_ring", ["MAX_RING_BYTES", "MAX_LINE_BYTES", "MAX_LINES_PER_S"]),
    ]  # fmt: skip
    return "\n".join([*_HEAD, *_fields(FrameLimits, meanings), *_rows(found)])


def processes() -> str:
    meanings = attribute_meanings(StdioPlugin)
    skipped = ("launch", "dialect", "frame_limits", "max_line_bytes")
    kept = {name: text for name, text in meanings.items() if name not in skipped}
    pings = constants_of("gateway.stdio_bridge.liveness", ["MAX_PINGS_UNANSWERED"])
    return "\n".join([*_HEAD, *_fields(StdioPlugin, kept), *_rows(pings), *_fields(RestartLimits, _RESTART)])


def _fields(described: type, meanings: dict[str, str]) -> Iterator[str]:
    for field in dataclasses.fields(described):
        if field.name in meanings and field.default is not dataclasses.MISSING:
            yield f"| `{field.name}` | {amount(field.name, field.default)} | {cell(meanings[field.name])} |"


def _rows(found: Iterable[Constant]) -> Iterator[str]:
    for one in found:
        said = _SAID.get(one.name) or one.meaning
        if not said:
            raise LookupError(f"{one.name}: say what it means in _SAID or below it")
        yield f"| `{one.name}` | {amount(one.name, one.value)} | {cell(said)} |"


def _option(name: str, value: int) -> str:
    return amount(name, value) if name.endswith(("_ms", "_length", "_size")) else str(value)


SECTIONS = {
    "core": core,
    "flows": flows,
    "grpc-calls": grpc_calls,
    "grpc-options": grpc_options,
    "web": web,
    "pipes": pipes,
    "processes": processes,
}
