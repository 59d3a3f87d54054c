"""Segments of few events are written without the generated code, and equal what it writes."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from flowspan.protobuf.segments import decode_rows, encode_segment
from flowspan.protobuf.small_segments import MAX_EVENTS, MAX_PAYLOAD_BYTES, small_segment
from flowspan.v1 import event_pb2 as pb
from flowspan.view.events import (
    Event,
    ItemCompleted,
    ItemsStarted,
    Outcome,
    RunAccepted,
    RunCancelRequested,
    RunCompleted,
    RunStatusCode,
    Segment,
)

number = st.one_of(st.integers(0, 3), st.integers(120, 135), st.integers(0, 2**40))
event = st.one_of(
    st.builds(RunAccepted, st.binary(max_size=300)),
    st.builds(ItemsStarted, number, number),
    st.builds(ItemCompleted, number, st.sampled_from(Outcome), st.binary(max_size=300), st.booleans()),
    st.builds(RunCompleted, st.sampled_from(RunStatusCode)),
)


def generated(first_seq: int, recorded_at_us: int, events: list[Event]) -> bytes:
    """The same by the generated code."""
    seconds, micros = divmod(recorded_at_us, 1_000_000)
    segment = pb.Segment(first_seq=first_seq, recorded_at=Timestamp(seconds=seconds, nanos=micros * 1000))
    for one in events:
        add = segment.headers.add
        match one:
            case RunAccepted(description):
                add(kind=pb.EVENT_KIND_RUN_ACCEPTED)
                segment.payloads.append(description)
            case ItemsStarted(first_item, count):
                add(kind=pb.EVENT_KIND_ITEMS_STARTED, item_index=first_item, item_count=count)
                segment.payloads.append(b"")
            case ItemCompleted(item_index, outcome, payload, is_blob):
                add(kind=pb.EVENT_KIND_ITEM_COMPLETED, item_index=item_index, outcome=outcome, payload_is_blob=is_blob)
                segment.payloads.append(payload)
            case RunCompleted(status):
                add(kind=pb.EVENT_KIND_RUN_COMPLETED, run_status=status)
                segment.payloads.append(b"")
    return segment.SerializeToString(deterministic=True)


@given(st.integers(1, 2**50), st.integers(0, 2**51), st.lists(event, min_size=1, max_size=MAX_EVENTS))
def test_a_small_segment_is_what_the_generated_code_writes(first_seq: int, recorded_at_us: int, events: list[Event]) -> None:
    assert small_segment(first_seq, recorded_at_us, events) == generated(first_seq, recorded_at_us, events)
    assert decode_rows(encode_segment(first_seq, recorded_at_us, events)) == [Segment(first_seq, recorded_at_us, list(events))]


def test_many_events_large_payloads_and_rare_events_are_left_to_the_generated_code() -> None:
    item = ItemCompleted(0, Outcome.SUCCESS, b"1")
    large = ItemCompleted(0, Outcome.SUCCESS, b"1" * (MAX_PAYLOAD_BYTES + 1))
    rare: list[list[Event]] = [[item] * (MAX_EVENTS + 1), [large], [item, RunCancelRequested("why")]]
    for events in rare:
        assert small_segment(1, 5, events) is None
        assert decode_rows(encode_segment(1, 5, events)) == [Segment(1, 5, list(events))]
