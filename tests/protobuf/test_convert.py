"""Statuses, results and enums survive the wire."""

from __future__ import annotations

import string
from typing import Any

import msgspec
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import EnumDescriptor
from hypothesis import given
from hypothesis import strategies as st

from flowspan.errors import FlowErrorCode, InvalidArgumentError
from flowspan.protobuf.convert import (
    enum_number,
    enum_word,
    flow_result_from_message,
    flow_result_to_message,
    item_counts_from_message,
    item_counts_to_message,
    item_result_from_message,
    item_result_to_message,
    numbered,
    result_order_from_number,
    result_order_to_number,
    run_status_from_message,
    run_status_to_message,
    timestamp_of_us,
    us_of_timestamp,
)
from flowspan.v1 import blob_service_pb2, component_service_pb2, event_pb2, flow_service_pb2, run_pb2, run_service_pb2
from flowspan.view.events import AttemptCause, Outcome, RunStatusCode
from flowspan.view.status import (
    FlowError,
    ItemCounts,
    ItemResult,
    ResultOrder,
    ResultsOmitted,
    RunDescription,
    RunProgress,
    RunStatus,
)
from gateway.catalog import PluginHealth

U32 = st.integers(0, 2**32 - 1)
U63 = st.integers(0, 2**63 - 1)
TEXT = st.text(max_size=20)
TIMES_US = st.integers(0, 253_402_300_799_999_999)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
JSON_BYTES = JSON.map(msgspec.json.encode)
BLOB_IDS = st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda digits: b"sha256:" + digits.encode())
CODES = st.sampled_from([code for code in FlowErrorCode if code is not FlowErrorCode.CANCELLED])


def _error(code: str, message: str, data: bytes | None) -> bytes:
    return msgspec.json.encode(FlowError(code, message, None if data is None else msgspec.Raw(data)))


RESULTS = st.one_of(
    st.tuples(st.just(Outcome.SUCCESS), JSON_BYTES, st.just(False)),
    st.tuples(st.just(Outcome.SUCCESS), st.just(b""), st.just(False)),
    st.tuples(st.sampled_from([Outcome.SUCCESS, Outcome.FAILED, Outcome.CANCELLED]), BLOB_IDS, st.just(True)),
    st.tuples(st.just(Outcome.SKIPPED), TEXT.map(lambda reason: msgspec.json.encode({"reason": reason})), st.just(False)),
    st.tuples(st.just(Outcome.SKIPPED), st.just(b"{}"), st.just(False)),
    st.tuples(st.just(Outcome.FAILED), st.just(b""), st.just(False)),
    st.tuples(st.just(Outcome.FAILED), st.builds(_error, CODES, TEXT, st.none() | JSON_BYTES), st.just(False)),
    st.tuples(st.just(Outcome.CANCELLED), st.builds(_error, st.just("CANCELLED"), TEXT, st.none() | JSON_BYTES), st.just(False)),
)
ITEMS = st.builds(
    lambda result, index, time_us, label, source: ItemResult(index, result[0], result[1], time_us, result[2], label, source),
    RESULTS,
    U63,
    TIMES_US,
    st.none() | TEXT,
    st.none() | U63,
)
COUNTS = st.builds(ItemCounts, U63, U63, U63, U63, U63, U63)
OPTIONAL_TEXT = st.none() | TEXT


@st.composite
def statuses(draw: st.DrawFn) -> RunStatus:
    counts = draw(COUNTS)
    description = RunDescription(
        run_id=draw(TEXT),
        flow_id=draw(TEXT),
        total=counts.total,
        created_at_us=draw(TIMES_US),
        max_concurrency=draw(U32),
        root_run_id=draw(TEXT),
        flow_name=draw(OPTIONAL_TEXT),
        flow_label=draw(OPTIONAL_TEXT),
        parent_run_id=draw(OPTIONAL_TEXT),
        source_run_id=draw(OPTIONAL_TEXT),
        metadata=draw(st.dictionaries(TEXT, TEXT, max_size=3)),
    )
    omitted = draw(st.none() | st.builds(ResultsOmitted, U63, U63, U63, U63))
    progress = st.builds(RunProgress, st.floats(0, 1e9), st.none() | st.floats(0, 1e9), st.lists(TEXT, max_size=2).map(tuple))
    return RunStatus(
        description=description,
        status=draw(st.sampled_from(RunStatusCode)),
        items=counts,
        as_of_seq=draw(U63),
        completed_at_us=draw(st.none() | TIMES_US),
        cancel_reason=draw(OPTIONAL_TEXT),
        results=None if omitted else draw(st.lists(ITEMS, max_size=3)),
        results_omitted=omitted,
        progress=draw(st.none() | progress),
    )


@given(statuses())
def test_a_status_survives_the_wire(status: RunStatus) -> None:
    message = run_pb2.RunStatus.FromString(run_status_to_message(status).SerializeToString())
    back = run_status_from_message(message, with_results=True)
    assert back == status
    assert back.progress == status.progress


@given(ITEMS)
def test_an_item_result_survives_the_wire(item: ItemResult) -> None:
    message = run_pb2.ItemResult.FromString(item_result_to_message(item).SerializeToString())
    assert item_result_from_message(message) == item


@given(COUNTS)
def test_counts_survive_the_wire(counts: ItemCounts) -> None:
    assert item_counts_from_message(item_counts_to_message(counts)) == counts


@given(RESULTS)
def test_a_result_on_the_wire_has_one_of_value_error_and_reason(result: tuple[Outcome, bytes, bool]) -> None:
    outcome, payload, is_blob = result
    message = flow_result_to_message(outcome, payload, is_blob=is_blob)
    assert message.HasField("value") <= (outcome is Outcome.SUCCESS)
    assert message.HasField("error") <= (outcome in (Outcome.FAILED, Outcome.CANCELLED))
    assert message.HasField("reason") <= (outcome is Outcome.SKIPPED)


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_times_survive_to_the_microsecond(us: int) -> None:
    timestamp = timestamp_of_us(us)
    assert us_of_timestamp(timestamp) == us
    assert 0 <= timestamp.nanos < 1_000_000_000


def test_numbers_pass_as_they_were_written() -> None:
    payload = b"[9007199254740993, 1.0, 1e400, 0.10, -0]"
    message = flow_result_to_message(Outcome.SUCCESS, payload)
    assert message.value.json == payload


def test_a_cancelled_item_is_a_failed_one_with_its_code() -> None:
    message = flow_result_to_message(Outcome.CANCELLED, b"")
    assert (message.outcome, message.error.code) == (run_pb2.OUTCOME_FAILED, "CANCELLED")
    assert flow_result_from_message(message)[0] is Outcome.CANCELLED


def test_results_that_were_not_asked_for_are_none_and_not_empty() -> None:
    message = run_pb2.RunStatus(status=run_pb2.RunStatus.RUN_STATUS_SUCCESS)
    assert run_status_from_message(message).results is None
    assert run_status_from_message(message, with_results=True).results == []


@pytest.mark.parametrize("number", [0, 6, -1, 2**31 - 1])
def test_a_status_of_unknown_number_is_refused_by_name(number: int) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        run_status_from_message(run_pb2.RunStatus(status=number))  # type: ignore[arg-type]
    assert caught.value.details == {"field": "status"}


def test_a_result_without_outcome_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="outcome has no value 0"):
        flow_result_from_message(run_pb2.FlowResult())


def _enums(container: Any) -> list[EnumDescriptor]:
    found = list(container.enum_types_by_name.values()) if hasattr(container, "enum_types_by_name") else []
    messages = getattr(container, "message_types_by_name", None) or getattr(container, "nested_types_by_name", {})
    for message in messages.values():
        found += _enums(message)
    return found


FILES = (blob_service_pb2, component_service_pb2, event_pb2, flow_service_pb2, run_pb2, run_service_pb2)
ENUMS = [enum for module in FILES for enum in _enums(module.DESCRIPTOR)]


def test_the_enums_of_the_contract_are_all_here() -> None:
    assert {enum.full_name.removeprefix("flowspan.v1.") for enum in ENUMS} == {
        "AttemptCause",
        "BlobType",
        "DiagnosticLevel",
        "DocumentFormat",
        "EventKind",
        "Outcome",
        "PluginHealth",
        "ResultOrder",
        "RunStatus.Status",
    }
    for enum in ENUMS:
        assert descriptor_pool.Default().FindEnumTypeByName(enum.full_name) is enum


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.full_name)
def test_every_word_of_every_enum_leads_back_to_its_number(enum: EnumDescriptor) -> None:
    words = {number: enum_word(enum, number) for number in enum.values_by_number}
    assert len(set(words.values())) == len(words)
    for number, word in words.items():
        assert enum_number(enum, word) == number
        assert word[0] in string.ascii_lowercase
        assert word.isalnum()
        assert not word.lower().startswith(enum.name.lower())
    with pytest.raises(InvalidArgumentError):
        enum_word(enum, 99)
    with pytest.raises(InvalidArgumentError):
        enum_number(enum, "noSuchWord")


def test_words_are_the_contract_s() -> None:
    status = run_pb2.RunStatus.DESCRIPTOR.enum_types_by_name["Status"]
    assert [enum_word(status, code.value) for code in RunStatusCode] == [code.wire_name for code in RunStatusCode]
    order = run_pb2.DESCRIPTOR.enum_types_by_name["ResultOrder"]
    assert [enum_word(order, result_order_to_number(value)) for value in ResultOrder] == [value.value for value in ResultOrder]


@pytest.mark.parametrize(
    ("kind", "enum"),
    [
        (Outcome, run_pb2.DESCRIPTOR.enum_types_by_name["Outcome"]),
        (RunStatusCode, run_pb2.RunStatus.DESCRIPTOR.enum_types_by_name["Status"]),
        (AttemptCause, event_pb2.DESCRIPTOR.enum_types_by_name["AttemptCause"]),
        (PluginHealth, component_service_pb2.DESCRIPTOR.enum_types_by_name["PluginHealth"]),
    ],
    ids=lambda value: getattr(value, "__name__", None) or value.name,
)
def test_numbers_of_plain_enums_equal_those_on_the_wire(kind: Any, enum: EnumDescriptor) -> None:
    on_wire = {number: value.name for number, value in enum.values_by_number.items() if number}
    assert {value.value for value in kind} == set(on_wire)
    for value in kind:
        assert on_wire[value.value].endswith("_" + value.name)
        assert numbered(kind, value.value, "f") is value


def test_orders_are_total_and_strangers_are_refused() -> None:
    assert [result_order_from_number(number) for number in (0, 1, 2)] == [
        ResultOrder.BY_INDEX,
        ResultOrder.BY_INDEX,
        ResultOrder.BY_COMPLETION,
    ]
    with pytest.raises(InvalidArgumentError, match="resultOrder"):
        result_order_from_number(3)
