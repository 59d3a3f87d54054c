"""A run to be submitted, from Python values to messages."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from itertools import islice
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypedDict

from flowspan.client.answers import BlobRef, RawJson
from flowspan.errors import InvalidArgumentError
from flowspan.jsonrpc.encoding import encode_payload
from flowspan.protobuf.large_inputs import LARGE_INPUT_BYTES, input_field
from flowspan.v1.flow_service_pb2 import DOCUMENT_FORMAT_JSON, DOCUMENT_FORMAT_UNSPECIFIED, DOCUMENT_FORMAT_YAML, StoreFlowRequest
from flowspan.v1.json_value_pb2 import JsonValue
from flowspan.v1.run_service_pb2 import RunOptions, SubmitRunRequest, SubmitRunStreamRequest

if TYPE_CHECKING:
    from flowspan.flows.builder import FlowBuilder

Inputs = Iterable[object] | AsyncIterable[object]
FlowDocument: TypeAlias = "FlowBuilder | Mapping[str, Any] | bytes | str | PathLike[str]"

UNARY_MAX_INPUTS: Final = 5_000
"""More inputs than this are streamed: one message would keep the gateway's loop busy for tens of milliseconds."""
MESSAGE_BYTES: Final = 1024 * 1024
"""Inputs of a message end here; larger ones stall the messages of other calls."""
UNARY_MAX_BYTES: Final = 4 * MESSAGE_BYTES
_PULLED: Final = 1_000
"""Inputs that are taken from an iterator at once."""
_FLOW_ID: Final = re.compile(r"(sha256:)?[0-9a-f]{64}\Z")


class SubmitOptions(TypedDict, total=False):
    """Keyword arguments of `submit`, `submit_and_watch` and `run`. None means: not given.

    Attributes:
        max_concurrency: bound on items running at once, at least 1; default 10.
        overrides, variables: JSON objects, as in docs/flow-language.
        label: comes back as `RunStatus.flow_label`.
        metadata: free; a filter of `list`.
        item_labels: one per input, or none.
        deadline_s: seconds until the run is cancelled.
        detached: a sub-run goes on when its parent is cancelled.
        request_id: makes the call safe to repeat by you; default: a new one for each call, for our own retries, and none with
            a task token: the gateway tells a repeated sub-run by its execution and by what is submitted.
        task_token: the execution that submits the run.
        traceparent: W3C trace context.
    """

    max_concurrency: int | None
    overrides: Mapping[str, object] | None
    variables: Mapping[str, object] | None
    label: str | None
    metadata: Mapping[str, str] | None
    item_labels: Sequence[str] | None
    deadline_s: float | None
    detached: bool | None
    request_id: str | None
    task_token: str | None
    traceparent: str | None


def run_options(flow_id: str, options: SubmitOptions) -> RunOptions:
    """The header of a submit."""
    unknown = options.keys() - SubmitOptions.__annotations__.keys()
    if unknown:
        known = ", ".join(SubmitOptions.__annotations__)
        raise TypeError(f"unexpected keyword argument {sorted(unknown)[0]!r}; known are {known}")
    message = RunOptions(
        flow_id=flow_id,
        max_concurrency=options.get("max_concurrency"),
        flow_label=options.get("label"),
        metadata=options.get("metadata") or {},
        item_labels=options.get("item_labels") or (),
        detached=options.get("detached") or False,
        # A sub-run is known by its execution: a repeated parent finds it again, which a new id would prevent.
        request_id=options.get("request_id") or ("" if options.get("task_token") else new_request_id()),
        task_token=options.get("task_token") or "",
        traceparent=options.get("traceparent") or "",
    )
    if (overrides := options.get("overrides")) is not None:
        message.overrides.json = encode_payload(overrides)
    if (variables := options.get("variables")) is not None:
        message.variables.json = encode_payload(variables)
    if (deadline_s := options.get("deadline_s")) is not None:
        message.deadline.FromNanoseconds(round(deadline_s * 1e9))
    return message


def new_request_id() -> str:
    return str(uuid.uuid4())


def json_value(value: object) -> JsonValue:
    """The message for one value.

    Raises:
        FlowspanError: (INVALID_VALUE) it has no JSON form.
    """
    if isinstance(value, RawJson):
        return JsonValue(json=bytes(value))
    if isinstance(value, BlobRef):
        return JsonValue(blob_id=value.blob_id)
    return JsonValue(json=encode_payload(value))


def whole_request(options: RunOptions, inputs: Inputs) -> SubmitRunRequest | None:
    """The request, if the inputs are at hand and fit into one message."""
    if not isinstance(inputs, Sequence):
        return None
    if isinstance(inputs, (str, bytes)):
        raise InvalidArgumentError("inputs is a list with one value per item, not one value", field="inputs")
    if len(inputs) > UNARY_MAX_INPUTS:
        return None
    values: list[JsonValue] = []
    size = 0
    for value in inputs:
        values.append(json_value(value))
        size += len(values[-1].json)
        if size > UNARY_MAX_BYTES:
            return None
    return SubmitRunRequest(options=options, inputs=values)


async def stream_messages(options: RunOptions, inputs: Inputs) -> AsyncIterator[bytes]:
    """The messages of a streamed submit, encoded."""
    yield SubmitRunStreamRequest(options=options).SerializeToString()
    values: list[JsonValue] = []
    pieces: list[bytes] = []
    size = 0
    async for chunk in _chunks(inputs):
        for value in chunk:
            if isinstance(value, BlobRef):
                values.append(json_value(value))
            else:
                data = bytes(value) if isinstance(value, RawJson) else encode_payload(value)
                size += len(data)
                if len(data) < LARGE_INPUT_BYTES:
                    values.append(JsonValue(json=data))
                else:
                    if values:
                        pieces.append(SubmitRunStreamRequest(inputs=values).SerializeToString())
                        values = []
                    pieces += input_field(data)
            if size >= MESSAGE_BYTES or len(values) >= UNARY_MAX_INPUTS:
                yield _message(pieces, values)
                values, pieces, size = [], [], 0
    if values or pieces:
        yield _message(pieces, values)


def _message(pieces: Sequence[bytes], values: Sequence[JsonValue]) -> bytes:
    """A message that begins with these fields and holds these inputs behind them."""
    rest = SubmitRunStreamRequest(inputs=values).SerializeToString()
    return b"".join((*pieces, rest)) if pieces else rest


async def _chunks(inputs: Inputs) -> AsyncIterator[Iterable[object]]:
    if isinstance(inputs, AsyncIterable):
        async for value in inputs:
            yield (value,)
    elif isinstance(inputs, Sequence):
        for start in range(0, len(inputs), _PULLED):
            yield inputs[start : start + _PULLED]
            await asyncio.sleep(0)  # encoding is work: let others on this loop have their turn
    else:
        iterator = iter(inputs)
        # In a thread, for an iterator may read a file, or call this very client.
        while chunk := await asyncio.to_thread(lambda: list(islice(iterator, _PULLED))):
            yield chunk


def is_flow_id(flow: object) -> bool:
    return isinstance(flow, str) and _FLOW_ID.match(flow) is not None


async def store_flow_request(flow: FlowDocument) -> StoreFlowRequest:
    """A document (builder, mapping or bytes), or the path of one (`.json`, `.yaml`, `.yml`)."""
    if isinstance(flow, Mapping):
        return StoreFlowRequest(document=encode_payload(flow), format=DOCUMENT_FORMAT_JSON)
    if isinstance(flow, (bytes, RawJson)):
        return StoreFlowRequest(document=bytes(flow), format=DOCUMENT_FORMAT_UNSPECIFIED)
    from flowspan.flows.builder import FlowBuilder  # for those who have one

    if isinstance(flow, FlowBuilder):
        return StoreFlowRequest(document=flow.to_json().encode(), format=DOCUMENT_FORMAT_JSON)
    path = Path(fspath(flow))
    formats = {".json": DOCUMENT_FORMAT_JSON, ".yaml": DOCUMENT_FORMAT_YAML, ".yml": DOCUMENT_FORMAT_YAML}
    try:
        document = await asyncio.to_thread(path.read_bytes)
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(
            f"{str(flow)[:200]!r} is neither a flow id (sha256: and 64 hexadecimal digits) nor a file that can be read: {error}",
            field="flow",
        ) from error
    return StoreFlowRequest(document=document, format=formats.get(path.suffix.lower(), DOCUMENT_FORMAT_UNSPECIFIED))
