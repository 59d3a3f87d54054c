from __future__ import annotations

from collections.abc import Sequence

import pytest

from flowspan.errors import Reason
from flowspan.view.events import Outcome, RunStatusCode
from flowspan.view.status import FlowError, FlowResult, ItemCounts, ItemResult, RunDescription, RunFailedError, RunStatus


def item(outcome: Outcome, payload: bytes, index: int = 0) -> ItemResult:
    return ItemResult(index, outcome, payload, 1_736_937_000_123_000)


def run(
    status: RunStatusCode, *, failed: int = 0, results: Sequence[ItemResult] | None = None, reason: str | None = None
) -> RunStatus:
    description = RunDescription("run-1", "sha256:00", 3, 1_736_937_000_000_000, 10, "run-1")
    return RunStatus(description, status, ItemCounts(3, 0, 0, 3 - failed, failed, 0), 9, cancel_reason=reason, results=results)


def test_a_flow_result_has_the_contract_s_outcomes() -> None:
    assert item(Outcome.SUCCESS, b"1.0").result == FlowResult("success", 1.0)
    assert item(Outcome.SKIPPED, b'{"reason":"no need"}').result == FlowResult("skipped", reason="no need")
    failed = item(Outcome.FAILED, b'{"code":"TIMEOUT","message":"late","data":{"n":1.0}}').result
    assert failed.outcome == "failed" and failed.value is None and failed.error is not None
    assert (failed.error.code, failed.error.message, failed.error.data_value) == ("TIMEOUT", "late", {"n": 1.0})


@pytest.mark.parametrize("payload", [b"", b'{"code":"CANCELLED","message":"the run was cancelled"}'])
def test_a_cancelled_item_reads_as_failed(payload: bytes) -> None:
    result = item(Outcome.CANCELLED, payload).result
    assert result.outcome == "failed" and result.error == FlowError("CANCELLED", "the run was cancelled")


def test_failures_raise_only_where_they_are_asked_to() -> None:
    good = run(RunStatusCode.SUCCESS)
    assert good.raise_for_failures() is good
    assert run(RunStatusCode.RUNNING).raise_for_failures().status is RunStatusCode.RUNNING
    results = [item(Outcome.SUCCESS, b"1"), item(Outcome.FAILED, b'{"code":"TIMEOUT","message":"late"}', 1)]
    with pytest.raises(RunFailedError, match="1 of 3 items of run run-1 failed; item 1: TIMEOUT: late") as caught:
        run(RunStatusCode.FAILED, failed=1, results=results).raise_for_failures()
    assert caught.value.details == {"runId": "run-1", "failed": 1, "cancelled": 0}
    assert caught.value.status.results == results and caught.value.reason is Reason.COMPONENT_FAILED
    with pytest.raises(RunFailedError, match="was cancelled: enough") as caught:
        run(RunStatusCode.CANCELLED, reason="enough").raise_for_failures()
    assert caught.value.reason is Reason.CANCELLED
