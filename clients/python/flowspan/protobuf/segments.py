"""Log segments as bytes.

A row of the log is the serialized form of a `WatchRunResponse` that holds segments and nothing else. Rows joined are
again such a message (repeated fields concatenate), so what is committed is what is streamed, without a second encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from flowspan.protobuf.small_segments import small_segment
from flowspan.v1 import event_pb2 as pb
from flowspan.v1 import run_service_pb2 as service_pb
from flowspan.view.events import (
    AttemptCause,
    AttemptEnded,
    Event,
    ItemCompleted,
    ItemsStarted,
    Outcome,
    RunAccepted,
    RunCancelRequested,
    RunCompleted,
    RunRecovered,
    RunStatusCode,
    Segment,
    StepCompleted,
)

_SEGMENTS_TAG: Final = bytes([1 << 3 | 2])
_PAYLOADS_TAG: Final = bytes([4 << 3 | 2])
_FEW_PAYLOADS: Final = 64
_LARGE_PAYLOADS_BYTES: Final = 64 * 1024
_THROUGH_SEQ_TAG: Final = bytes([2 << 3 | 0])
_KEPT_BY_RESULTS_ONLY: Final = frozenset({pb.EVENT_KIND_ITEM_COMPLETED, pb.EVENT_KIND_RUN_COMPLETED})


def varint(value: int) -> bytes:
    """Protobuf's base-128 form of a non-negative integer."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def through_seq_field(through_seq: int) -> bytes:
    """Field `through_seq` of a watch response, to be appended to joined rows."""
    return _THROUGH_SEQ_TAG + varint(through_seq)


def encode_segment(first_seq: int, recorded_at_us: int, events: Sequence[Event]) -> bytes:
    """One row of the log. `events`: at least one, none filtered out."""
    small = small_segment(first_seq, recorded_at_us, events)
    if small is not None:
        return _SEGMENTS_TAG + varint(len(small)) + small
    seconds, micros = divmod(recorded_at_us, 1_000_000)
    segment = pb.Segment(first_seq=first_seq, recorded_at=Timestamp(seconds=seconds, nanos=micros * 1000))
    add = segment.headers.add
    payloads: list[bytes] = []
    push = payloads.append
    for event in events:
        if type(event) is ItemCompleted:
            if event.is_blob:
                add(kind=5, item_index=event.item_index, outcome=event.outcome, payload_is_blob=True)
            else:
                add(kind=5, item_index=event.item_index, outcome=event.outcome)
            push(event.payload)
        else:
            push(_add_header(segment, event))
    if len(payloads) <= _FEW_PAYLOADS and (size := sum(map(len, payloads))) >= _LARGE_PAYLOADS_BYTES:
        # By hand: the generated code copies 1 MB three times, at 0.02 to 0.5 ms each.
        parts = [segment.SerializeToString()]
        size += len(parts[0])
        for payload in payloads:
            head = _PAYLOADS_TAG + varint(len(payload))
            size += len(head)
            parts += (head, payload)
        return b"".join((_SEGMENTS_TAG, varint(size), *parts))
    segment.payloads.extend(payloads)
    body = segment.SerializeToString()
    return _SEGMENTS_TAG + varint(len(body)) + body


def _add_header(segment: pb.Segment, event: Event) -> bytes:
    """Write the header of any event; return its payload."""
    add = segment.headers.add
    match event:
        case ItemsStarted(first_item, count):
            add(kind=pb.EVENT_KIND_ITEMS_STARTED, item_index=first_item, item_count=count)
        case StepCompleted(item_index, step_index, outcome, payload):
            add(kind=pb.EVENT_KIND_STEP_COMPLETED, item_index=item_index, step_index=step_index, outcome=outcome)
            return payload
        case AttemptEnded(item_index, step_index, attempt, cause, charged, payload):
            add(
                kind=pb.EVENT_KIND_ATTEMPT_ENDED,
                item_index=item_index,
                step_index=step_index,
                attempt=attempt,
                cause=cause,
                charged=charged,
            )
            return payload
        case RunAccepted(description):
            add(kind=pb.EVENT_KIND_RUN_ACCEPTED)
            return description
        case RunCancelRequested(reason):
            add(kind=pb.EVENT_KIND_RUN_CANCEL_REQUESTED)
            return reason.encode()
        case RunRecovered(epoch):
            add(kind=pb.EVENT_KIND_RUN_RECOVERED, item_count=epoch)
        case RunCompleted(status):
            add(kind=pb.EVENT_KIND_RUN_COMPLETED, run_status=status)
        case ItemCompleted(item_index, outcome, payload, is_blob):
            add(kind=pb.EVENT_KIND_ITEM_COMPLETED, item_index=item_index, outcome=outcome, payload_is_blob=is_blob)
            return payload
    return b""


class HasSegments(Protocol):
    """WatchRunResponse and SubmitAndWatchRunResponse."""

    @property
    def segments(self) -> Sequence[pb.Segment]: ...


def decode_rows(data: bytes) -> list[Segment]:
    """Segments of one or more joined rows.

    Raises:
        google.protobuf.message.DecodeError: the bytes are not rows of a log.
    """
    return decode_segments(service_pb.WatchRunResponse.FromString(data))


def decode_segments(message: HasSegments) -> list[Segment]:
    """Segments of a watch response."""
    return [_decode_segment(segment) for segment in message.segments]


_OUTCOMES: Final[tuple[Outcome, ...]] = (Outcome.SUCCESS, *Outcome)
"""By number; 0 is never written."""


def _decode_segment(segment: pb.Segment) -> Segment:
    payloads: Sequence[bytes] = segment.payloads
    headers = segment.headers
    if len(payloads) != len(headers):  # the watcher asked for no payloads
        payloads = [b""] * len(headers)
    events: list[Event | None] = []
    push = events.append
    for header, payload in zip(headers, payloads, strict=True):
        if header.kind == pb.EVENT_KIND_ITEM_COMPLETED:
            push(ItemCompleted(header.item_index, _OUTCOMES[header.outcome], payload, header.payload_is_blob))
        else:
            push(_decode_event(header, payload))
    at = segment.recorded_at
    return Segment(segment.first_seq, at.seconds * 1_000_000 + at.nanos // 1000, events)


def _decode_event(header: pb.EventHeader, payload: bytes) -> Event | None:
    kind = header.kind
    if kind == pb.EVENT_KIND_ITEMS_STARTED:
        return ItemsStarted(header.item_index, header.item_count)
    if kind == pb.EVENT_KIND_STEP_COMPLETED:
        return StepCompleted(header.item_index, header.step_index, _OUTCOMES[header.outcome], payload)
    if kind == pb.EVENT_KIND_ATTEMPT_ENDED:
        return AttemptEnded(
            header.item_index, header.step_index, header.attempt, AttemptCause(header.cause), header.charged, payload
        )
    if kind == pb.EVENT_KIND_RUN_ACCEPTED:
        return RunAccepted(payload)
    if kind == pb.EVENT_KIND_RUN_CANCEL_REQUESTED:
        return RunCancelRequested(payload.decode())
    if kind == pb.EVENT_KIND_RUN_RECOVERED:
        return RunRecovered(header.item_count)
    if kind == pb.EVENT_KIND_RUN_COMPLETED:
        return RunCompleted(RunStatusCode(header.run_status))
    return None  # filtered out, or of a newer release: it keeps its number


def filter_rows(data: bytes, *, results_only: bool, omit_payloads: bool) -> bytes:
    """Rows with what a watcher's filter leaves; every event keeps its number."""
    message = service_pb.WatchRunResponse.FromString(data)
    for segment in message.segments:
        if results_only:
            for position, header in enumerate(segment.headers):
                if header.kind not in _KEPT_BY_RESULTS_ONLY:
                    header.Clear()
                    if segment.payloads:
                        segment.payloads[position] = b""
        if omit_payloads:
            del segment.payloads[:]
    return message.SerializeToString()


class ProtobufSegmentCodec:
    """The product's `runtime_core.ports.SegmentCodec`."""

    encode = staticmethod(encode_segment)
    decode = staticmethod(decode_rows)
    filter = staticmethod(filter_rows)
