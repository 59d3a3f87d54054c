"""Parameters of what component servers ask, as they are written: the one place where they are checked.

camelCase and snake_case are both read (camelCase wins), explicit null is absent, unknown members are ignored. Payloads stay
bytes. The models are also what the OpenRPC document is made of (`gateway.methods.openrpc`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import isfinite
from typing import Annotated, Any, Final, TypeVar

import msgspec

from flowspan.errors import InvalidArgumentError, LimitExceededError
from flowspan.view.status import ResultOrder
from gateway.methods.context import RequestOrigin

MAX_INPUTS: Final = 100_000
"""Items of one submit that is a single message; more go through a streamed submit."""
MAX_INPUT_BYTES: Final = 1024 * 1024
MAX_TEXT_CHARS: Final = 1024
"""Of labels, ids and reasons."""

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_CHARS)]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)]
_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_OBJECT: Final = {"type": "object"}

_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN_ID: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")


def _json_null() -> msgspec.Raw:
    return msgspec.Raw(b"null")


class Observability(msgspec.Struct, rename="camel", kw_only=True):
    """Where a request comes from. Members that are no strings are ignored: tracing never makes a request fail."""

    trace_id: str | None = None
    span_id: str | None = None
    run_id: str | None = None
    flow_id: str | None = None
    step_id: str | None = None
    traceparent: str | None = None


class FromExecution(msgspec.Struct, rename="camel", kw_only=True):
    """What every request may say about the execution that it comes from."""

    task_token: Annotated[str, msgspec.Meta(description="Token of the execution, as given in components/execute")] | None = None
    observability: Observability | None = None

    @property
    def origin(self) -> RequestOrigin:
        seen = self.observability
        if seen is None:
            return RequestOrigin(self.task_token)
        traceparent, trace_id = seen.traceparent or _traceparent(seen), seen.trace_id or ""
        return RequestOrigin(
            self.task_token,
            seen.span_id,
            seen.run_id,
            seen.step_id,
            traceparent,
            trace_id if _TRACE_ID.fullmatch(trace_id) else None,
        )


def _traceparent(seen: Observability) -> str | None:
    """W3C trace context of a server that says `trace_id` and `span_id` only. Ids that are no such ids are ignored."""
    if not _TRACE_ID.fullmatch(seen.trace_id or "") or not _SPAN_ID.fullmatch(seen.span_id or ""):
        return None
    return f"00-{seen.trace_id}-{seen.span_id}-01"


class SubmitParams(FromExecution, kw_only=True):
    """`runs/submit`."""

    flow_id: Annotated[_Id, msgspec.Meta(description="Blob id of the flow, as stored")]
    inputs: Annotated[list[msgspec.Raw], msgspec.Meta(description="One value per item")]
    wait: Annotated[bool, msgspec.Meta(description="Answer at the end of the run instead of at once")] = False
    max_concurrency: Annotated[_Positive, msgspec.Meta(description="How many items run at once, at most; default 10")] | None = (
        None
    )
    overrides: Annotated[msgspec.Raw, msgspec.Meta(description="Changes of the flow for this run", extra_json_schema=_OBJECT)] = (
        msgspec.field(default_factory=msgspec.Raw)
    )
    variables: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema=_OBJECT)] = msgspec.field(default_factory=msgspec.Raw)
    flow_label: _Text | None = None
    metadata: dict[str, str] = {}
    item_labels: list[str] = []
    deadline_secs: _Seconds | None = None
    detached: bool = False
    request_id: _Id | None = None
    timeout_secs: Annotated[_Seconds, msgspec.Meta(description="Bound on the wait; the run goes on beyond it")] | None = None


class GetParams(FromExecution, kw_only=True):
    """`runs/get`."""

    run_id: Annotated[_Id, msgspec.Meta(description="Which run")]
    wait: Annotated[bool, msgspec.Meta(description="Answer at the end of the run instead of at once")] = False
    include_results: Annotated[bool, msgspec.Meta(description="Results in the answer; unsaid: where it waits")] | None = None
    result_order: Annotated[ResultOrder, msgspec.Meta(description="By index, or as the items ended")] = ResultOrder.BY_INDEX
    timeout_secs: _Seconds | None = None
    after_item_index: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    limit: _Positive | None = None


class WatchParams(FromExecution, kw_only=True):
    """`runs/watch`."""

    run_id: _Id
    after_seq: Annotated[int, msgspec.Meta(ge=0, description="The cursor: events up to it are not told again")] = 0


class CancelParams(FromExecution, kw_only=True):
    """`runs/cancel`."""

    run_id: _Id
    reason: _Text = ""


class PutBlobParams(FromExecution, kw_only=True):
    """`blobs/put`."""

    data: Annotated[msgspec.Raw, msgspec.Meta(description="The value; for binary blobs its bytes in base64")]
    blob_type: str = "data"


class GetBlobParams(FromExecution, kw_only=True):
    """`blobs/get`."""

    blob_id: _Id


class EvaluateParams(FromExecution, kw_only=True):
    """`flows/evaluate` (older servers)."""

    input: msgspec.Raw = msgspec.field(default_factory=_json_null)
    flow_id: _Id | None = None
    flow: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    overrides: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class SubmitBatchParams(FromExecution, kw_only=True):
    """`flows/submit_batch` (older servers)."""

    flow_id: _Id
    inputs: list[msgspec.Raw]
    max_concurrency: _Positive | None = None
    overrides: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class GetBatchParams(FromExecution, kw_only=True):
    """`flows/get_batch` (older servers)."""

    batch_id: _Id
    wait: bool = False
    include_results: bool = False


class FlowMetadataParams(FromExecution, kw_only=True):
    """`flows/get_metadata` (older servers). Without `flow_id`: the flow of the execution that asks."""

    flow_id: _Id | None = None
    step_id: _Id | None = None


class _EchoedObservability(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`Observability` as this gateway writes it for an execution, and our SDK sends it back."""

    trace_id: str | None = None
    span_id: str | None = None
    run_id: str | None = None
    flow_id: str | None = None
    step_id: str | None = None
    traceparent: str | None = None


ParamsT = TypeVar("ParamsT", bound=FromExecution)

_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OBSERVED: Final = msgspec.json.Decoder(dict[str, Any])
_NULL: Final = b"null"
_ORDERS: Final = {
    b'"by_index"': b'"byIndex"',
    b'"by_completion"': b'"byCompletion"',
    b'"RESULT_ORDER_BY_INDEX"': b'"byIndex"',
    b'"RESULT_ORDER_BY_COMPLETION"': b'"byCompletion"',
}
_FRACTIONAL: Final = re.compile(rb"[0-9]{1,30}(\.[0-9]{1,30})?([eE]\+?[0-9]{1,2})?")
_RAW_MEMBERS: Final = ("overrides", "variables", "flow", "input", "data")


class _Decoders:
    """Of one model: `strict` takes nothing but what is written as the model is, which is nearly everything."""

    __slots__ = ("lenient", "raw_members", "strict")

    strict: msgspec.json.Decoder[Any]
    lenient: msgspec.json.Decoder[Any]

    def __init__(self, model: type[FromExecution]) -> None:
        twin = msgspec.defstruct(
            model.__name__,
            [("observability", _EchoedObservability | None, None)],
            bases=(model,),
            kw_only=True,
            rename="camel",
            forbid_unknown_fields=True,
        )
        self.strict = msgspec.json.Decoder(twin)
        self.lenient = msgspec.json.Decoder(model)
        self.raw_members = [name for name in _RAW_MEMBERS if name in model.__struct_fields__]


_DECODERS: Final[dict[type[FromExecution], _Decoders]] = {}


def read_params(model: type[ParamsT], params: bytes) -> ParamsT:
    """Check `params` (a JSON object) against `model`.

    Raises:
        InvalidArgumentError: a member is missing, has the wrong type or is out of range; `field` names it.
    """
    decoders = _DECODERS.get(model)
    if decoders is None:
        decoders = _DECODERS[model] = _Decoders(model)
    checked: ParamsT
    try:
        checked = decoders.strict.decode(params)
        if _NULL not in [bytes(getattr(checked, name)) for name in decoders.raw_members]:
            return checked
    except ValueError:
        pass  # other spellings, or wrong: told below
    try:
        checked = decoders.lenient.decode(_normal(params))
    except msgspec.ValidationError as error:
        raise invalid_params(error) from None
    except ValueError as error:
        raise InvalidArgumentError(f"params cannot be read: {error}", field="params") from None
    return checked


def invalid_params(error: msgspec.ValidationError) -> InvalidArgumentError:
    """What a model finds wrong, as an error that names the member."""
    text = str(error)
    _, _, path = text.partition(" - at `$.")
    field = path.rstrip("`") or text.partition("field `")[2].partition("`")[0]
    return InvalidArgumentError(f"params: {text}", field=field)


def _normal(params: bytes) -> bytes:
    """The object with camelCase names and without nulls."""
    members: dict[str, bytes] = {}
    for name, raw in _MEMBERS.decode(params).items():
        value = bytes(raw)
        if value == _NULL and name not in ("input", "data"):
            continue
        camel = camel_name(name)
        if camel != name and camel in members:
            continue
        if camel == "observability":
            value = _observability(value)
        elif camel == "resultOrder":
            value = _ORDERS.get(value, value)
        elif camel == "maxConcurrency":
            value = _without_zero_fraction(value)
        members[camel] = value
    return b"{" + b",".join([b"%b:%b" % (msgspec.json.encode(name), value) for name, value in members.items()]) + b"}"


def _observability(value: bytes) -> bytes:
    try:
        seen = _OBSERVED.decode(value)
    except msgspec.ValidationError:
        return b"{}"
    return msgspec.json.encode({camel_name(name): text for name, text in seen.items() if isinstance(text, str)})


def _without_zero_fraction(value: bytes) -> bytes:
    """A whole number as an integer: the contract says `number`, and some encoders write `10.0`. Anything else as it is."""
    if not _FRACTIONAL.fullmatch(value) or not (number := float(value)).is_integer():
        return value
    return b"%d" % int(number)


@lru_cache(maxsize=256)
def camel_name(name: str) -> str:
    """A member's name as the contract writes it, of either spelling."""
    if "_" not in name:
        return name
    head, *rest = name.split("_")
    return head + "".join([part[:1].upper() + part[1:] for part in rest])


def read_inputs(inputs: list[msgspec.Raw]) -> list[bytes]:
    """Inputs as bytes, within the limits.

    Raises:
        LimitExceededError: too many, or one too large; `limit` says which.
    """
    if len(inputs) > MAX_INPUTS:
        raise LimitExceededError(
            f"inputs: {len(inputs)} items in one submit, at most {MAX_INPUTS} are accepted; use several runs",
            limit="inputs",
            max=MAX_INPUTS,
            actual=len(inputs),
        )
    values = [bytes(value) for value in inputs]
    for index, value in enumerate(values):
        if len(value) > MAX_INPUT_BYTES:
            raise LimitExceededError(
                f"inputs[{index}] has {len(value)} bytes, at most {MAX_INPUT_BYTES} are accepted; pass it as a blob",
                limit="input",
                max=MAX_INPUT_BYTES,
                actual=len(value),
                index=index,
            )
    return values


def optional_object(field: str, raw: msgspec.Raw) -> bytes | None:
    """A JSON object, or None if it is absent."""
    value = bytes(raw)
    if not value:
        return None
    if not value.startswith(b"{"):
        raise InvalidArgumentError(f"params: {field} must be an object", field=field)
    return value


def finite(field: str, seconds: float | None) -> float | None:
    """Seconds as given; a number too large for a clock is refused."""
    if seconds is not None and (not isfinite(seconds) or seconds > 10**9):
        raise InvalidArgumentError(f"params: {field} must be at most 1000000000 seconds", field=field)
    return seconds
