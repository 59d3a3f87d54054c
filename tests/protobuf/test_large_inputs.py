"""Messages that are written and read by hand are those that the generated code writes and reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowspan.client import RawJson
from flowspan.client.answers import BlobRef
from flowspan.client.submission import stream_messages
from flowspan.protobuf import segments
from flowspan.protobuf.large_inputs import LARGE_INPUT_BYTES, input_field, large_inputs
from flowspan.protobuf.segments import decode_rows, encode_segment
from flowspan.v1.json_value_pb2 import JsonValue
from flowspan.v1.run_service_pb2 import RunOptions, SubmitRunStreamRequest
from flowspan.view.events import Event, ItemCompleted, ItemsStarted, Outcome

LARGE = b"1" * LARGE_INPUT_BYTES


def message(*inputs: bytes) -> bytes:
    return SubmitRunStreamRequest(inputs=[JsonValue(json=data) for data in inputs]).SerializeToString()


def test_a_field_written_by_hand_is_the_generated_one() -> None:
    for size in (0, 1, 127, 128, 16_383, 16_384, 1_000_000):
        assert b"".join(input_field(b"x" * size)) == message(b"x" * size)


def test_a_message_of_large_inputs_is_read_by_hand() -> None:
    inputs = [LARGE, LARGE * 3, LARGE + b"2"]
    assert large_inputs(message(*inputs)) == inputs


others = [
    b"",
    message(),
    message(LARGE, b"1"),
    message(LARGE, b""),
    SubmitRunStreamRequest(options=RunOptions(flow_id="f" * LARGE_INPUT_BYTES)).SerializeToString(),
    SubmitRunStreamRequest(inputs=[JsonValue(blob_id="f" * LARGE_INPUT_BYTES)]).SerializeToString(),
    message(LARGE) + SubmitRunStreamRequest(options=RunOptions(flow_id="f")).SerializeToString(),
    message(LARGE)[:-1],
    message(LARGE) + b"\x12",
    message(LARGE) + b"\x12" + b"\xff" * 9,
]


@pytest.mark.parametrize("data", others)
def test_anything_else_is_left_to_the_generated_code(data: bytes) -> None:
    assert large_inputs(data) is None


@given(st.integers(0, 12), st.binary(min_size=1, max_size=3))
def test_what_is_read_by_hand_is_what_the_generated_code_reads(position: int, patch: bytes) -> None:
    data = message(LARGE, LARGE)
    data = data[:position] + patch + data[position + len(patch) :]
    inputs = large_inputs(data)
    if inputs is not None:
        assert [value.json for value in SubmitRunStreamRequest.FromString(data).inputs] == inputs


@pytest.mark.parametrize("as_raw", [False, True])
async def test_a_streamed_submit_keeps_the_order_of_large_and_small_inputs(as_raw: bool) -> None:
    values = ["x" * size for size in (1, LARGE_INPUT_BYTES, 2, 3, LARGE_INPUT_BYTES * 40, LARGE_INPUT_BYTES, 4)]
    given = [RawJson(b'"%b"' % value.encode()) if as_raw else value for value in values]
    read: list[bytes | str] = []
    async for data in stream_messages(RunOptions(flow_id="f"), [*given, BlobRef("sha256:0")]):
        for one in SubmitRunStreamRequest.FromString(data).inputs:
            read.append(one.blob_id or one.json)
    assert read == [*(b'"%b"' % value.encode() for value in values), "sha256:0"]


@given(st.lists(st.sampled_from([b"", b"1", b"22", LARGE, LARGE * 3]), min_size=1, max_size=6))
def test_a_row_of_large_results_is_the_one_that_the_generated_code_writes(payloads: list[bytes]) -> None:
    events: list[Event] = [ItemsStarted(0, 9)]
    events += [ItemCompleted(index, Outcome.SUCCESS, data) for index, data in enumerate(payloads)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "_FEW_PAYLOADS", 0)
        generated = encode_segment(7, 1_000_001, events)
    assert encode_segment(7, 1_000_001, events) == generated
    assert decode_rows(generated)[0].events == events
