"""RunStatus on the wire is what the contract's examples show, and comes back equal."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowspan.errors import FlowspanError, Reason
from flowspan.view.events import Outcome, RunStatusCode
from flowspan.view.flow_result import flow_result_to_wire
from flowspan.view.status import ItemCounts, ItemResult, ResultsOmitted, RunDescription, RunProgress, RunStatus
from flowspan.view.wire import (
    item_result_from_wire,
    item_result_to_wire,
    run_status_from_wire,
    run_status_to_wire,
)

CREATED_US = 1_736_937_000_000_000  # 2025-01-15T10:30:00Z
CONTRACT_EXAMPLE = {
    "runId": "550e8400-e29b-41d4-a716-446655440000",
    "flowId": "sha256:abc123...",
    "flowName": "Data Processing Workflow",
    "status": "success",
    "items": {"total": 2, "pending": 0, "running": 0, "success": 2, "failed": 0, "cancelled": 0},
    "createdAt": "2025-01-15T10:30:00.000Z",
    "completedAt": "2025-01-15T10:30:05.000Z",
    "results": [
        {
            "itemIndex": 0,
            "result": {"outcome": "success", "value": {"processed": True}},
            "completedAt": "2025-01-15T10:30:03.000Z",
        },
        {
            "itemIndex": 1,
            "result": {"outcome": "success", "value": {"analyzed": True}},
            "completedAt": "2025-01-15T10:30:05.000Z",
        },
    ],
}


def example_status() -> RunStatus:
    run_id = "550e8400-e29b-41d4-a716-446655440000"
    return RunStatus(
        RunDescription(run_id, "sha256:abc123...", 2, CREATED_US, 10, run_id, "Data Processing Workflow"),
        RunStatusCode.SUCCESS,
        ItemCounts(2, 0, 0, 2, 0, 0),
        5,
        CREATED_US + 5_000_000,
        results=[
            ItemResult(0, Outcome.SUCCESS, b'{"processed":true}', CREATED_US + 3_000_000),
            ItemResult(1, Outcome.SUCCESS, b'{"analyzed":true}', CREATED_US + 5_000_000),
        ],
    )


def test_the_contracts_example_is_written_member_by_member_in_its_order() -> None:
    written = msgspec.json.decode(run_status_to_wire(example_status()))
    assert written == {**CONTRACT_EXAMPLE, "asOfSeq": 5, "effectiveMaxConcurrency": 10}
    assert list(written)[: len(CONTRACT_EXAMPLE)] == list(CONTRACT_EXAMPLE)


def test_the_contracts_example_is_read() -> None:
    status = run_status_from_wire(msgspec.json.encode(CONTRACT_EXAMPLE))
    assert status.results == example_status().results
    assert (status.status, status.items, status.created_at.year) == (RunStatusCode.SUCCESS, ItemCounts(2, 0, 0, 2, 0, 0), 2025)
    assert status.description.root_run_id == status.run_id


@pytest.mark.parametrize(
    ("outcome", "payload", "is_blob", "expected"),
    [
        (Outcome.SUCCESS, b"null", False, b'{"outcome":"success","value":null}'),
        (Outcome.SUCCESS, b"9007199254740993.0", False, b'{"outcome":"success","value":9007199254740993.0}'),
        (Outcome.SUCCESS, b"", False, b'{"outcome":"success"}'),
        (Outcome.SUCCESS, b"sha256:ab", True, b'{"outcome":"success","blobId":"sha256:ab"}'),
        (Outcome.SKIPPED, b"{}", False, b'{"outcome":"skipped"}'),
        (Outcome.SKIPPED, b'{"reason":"no"}', False, b'{"outcome":"skipped","reason":"no"}'),
        (
            Outcome.FAILED,
            b'{"code":"TIMEOUT","message":"m"}',
            False,
            b'{"outcome":"failed","error":{"code":"TIMEOUT","message":"m"}}',
        ),
        (
            Outcome.CANCELLED,
            b'{"code":"CANCELLED","message":"m"}',
            False,
            b'{"outcome":"failed","error":{"code":"CANCELLED","message":"m"}}',
        ),
        (Outcome.CANCELLED, b"sha256:ab", True, b'{"outcome":"failed","blobId":"sha256:ab"}'),
    ],
)
def test_flow_results_have_the_shape_of_their_outcome(outcome: Outcome, payload: bytes, is_blob: bool, expected: bytes) -> None:
    assert flow_result_to_wire(outcome, payload, is_blob=is_blob) == expected


def test_absent_members_are_omitted_and_present_ones_come_back() -> None:
    status = RunStatus(
        RunDescription("r", "f", 3, CREATED_US + 7, 4, "root", None, "label", "parent", "source", {"a": 'b"'}),
        RunStatusCode.CANCELLED,
        ItemCounts(3, 0, 1, 1, 0, 1),
        9,
        None,
        "enough",
        [ItemResult(2, Outcome.CANCELLED, b'{"code":"CANCELLED","message":"m"}', CREATED_US + 1, False, "two", 7)],
        ResultsOmitted(2, 10, 5, 1),
        RunProgress(2.5, None, ("plugin x restarts in 3 s",)),
    )
    wire = run_status_to_wire(status)
    assert b"null" not in wire
    back = run_status_from_wire(wire)
    assert back == status
    assert back.progress == status.progress


def test_a_status_without_results_has_no_such_member() -> None:
    run = RunDescription("r", "f", 0, CREATED_US, 10, "r")
    wire = run_status_to_wire(RunStatus(run, RunStatusCode.PENDING, ItemCounts(0, 0, 0, 0, 0, 0), 1))
    assert not {"results", "completedAt", "flowName", "flowLabel", "rootRunId", "metadata"} & set(msgspec.json.decode(wire))


@pytest.mark.parametrize("data", [b"{}", b'{"runId":1}', b"[]", b'{"runId":"r","flowId":"f","status":"odd"}', b"nonsense"])
def test_what_is_no_status_is_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(FlowspanError) as caught:
        run_status_from_wire(data)
    assert caught.value.reason is Reason.PARSE_ERROR


@given(
    st.integers(0, 10**9),
    st.sampled_from(
        [(Outcome.SUCCESS, b'[1,{"a":1e400}]'), (Outcome.SKIPPED, b"{}"), (Outcome.FAILED, b'{"code":"TIMEOUT","message":"x"}')]
    ),
    st.integers(0, 4_000_000_000_000_000),
    st.none() | st.text(max_size=5),
)
def test_any_item_result_comes_back_as_it_was(index: int, ended: tuple[Outcome, bytes], at_us: int, label: str | None) -> None:
    result = ItemResult(index, ended[0], ended[1], at_us, False, label)
    assert item_result_from_wire(item_result_to_wire(result)) == result
