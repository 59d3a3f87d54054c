"""Whose sub-run it is, and the trace that goes through it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tests.contract.raw import Asking, Message, open_execution
from tests.contract.requirements import requirement
from tests.contract.shapes import check_status

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
SPAN: Final = "b7ad6b7169203331"
TRACEPARENT: Final = f"00-{TRACE}-{SPAN}-01"


async def _child(a: Asking, **params: Any) -> tuple[Message, Message]:
    """A sub-run of one item: its status and the request to execute the item."""
    run = check_status(await a.submit([1], **params))
    execute = await a.next_execute()
    await a.output(execute, 1)
    return run, execute


async def _second_parent(a: Asking) -> Message:
    """One more open execution of another run in the same process."""
    await a.h.submit(await a.child_flow(), [b'"second"'])
    execute = await a.next_execute()
    assert execute["params"]["input"] == "second"
    return execute


@requirement("submit.ours.parent")
async def test_a_sub_run_is_linked_by_token_span_or_as_the_only_one(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        seen = a.execute["params"]["observability"]
        alone, _ = await _child(a)
        second = await _second_parent(a)
        other = second["params"]["observability"]["run_id"]
        ways: list[tuple[dict[str, Any], str]] = [
            ({"taskToken": a.token}, a.parent_run_id),
            ({"task_token": second["params"]["taskToken"]}, other),
            ({"observability": {"span_id": seen["span_id"]}}, a.parent_run_id),
            ({"observability": {"spanId": second["params"]["observability"]["span_id"]}}, other),
            ({"observability": {"run_id": seen["run_id"], "step_id": seen["step_id"]}}, a.parent_run_id),
            ({"taskToken": a.token, "observability": second["params"]["observability"]}, a.parent_run_id),
        ]
        for params, parent in ways:
            run, _ = await _child(a, **params)
            assert (run["parentRunId"], run["rootRunId"]) == (parent, parent), params
        assert (alone["parentRunId"], alone["rootRunId"]) == (a.parent_run_id, a.parent_run_id)
        # Two could have asked, and nothing tells which: unlinked.
        unlinked, _ = await _child(a)
        assert unlinked.keys() & {"parentRunId", "rootRunId"} == set()


@requirement("submit.ours.parent")
async def test_the_root_is_that_of_the_whole_tree(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        child = await a.submit(["child"], taskToken=a.token)
        inner = await a.next_execute()
        grandchild = await a.submit(["grandchild"], taskToken=inner["params"]["taskToken"])
        assert (grandchild["parentRunId"], grandchild["rootRunId"]) == (child["runId"], a.parent_run_id)


@requirement("submit.ours.parent", "get.response", "submit.response")
async def test_a_token_of_no_open_execution_is_refused(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        flow_id = await a.child_flow()
        _, ended = await _child(a)
        await a.get(ended["params"]["observability"]["run_id"], wait=True)
        for token in ("nonsense", a.token + "0", ended["params"]["taskToken"]):
            for method, params in (("runs/submit", {"flowId": flow_id, "inputs": []}), ("runs/get", {"runId": a.parent_run_id})):
                error = await a.refused(method, {**params, "taskToken": token})
                assert (error["code"], error["data"]["reason"]) == (-32007, "PERMISSION_DENIED")


@requirement("submit.param.observability")
@pytest.mark.parametrize(
    "given",
    [
        {"traceparent": TRACEPARENT},
        {"trace_id": TRACE, "span_id": SPAN},
        {"traceId": TRACE, "spanId": SPAN},
        {"trace_id": TRACE, "span_id": SPAN, "traceparent": TRACEPARENT, "baggage": {"x": 1}, "flow_id": None},
    ],
)
async def test_the_trace_that_is_given_goes_on_in_the_sub_run(tmp_path: Path, given: dict[str, Any]) -> None:
    async with open_execution(tmp_path) as a:
        for _ in range(2):
            _, execute = await _child(a, observability=given)
            seen = execute["params"]["observability"]
            assert seen["trace_id"] == TRACE
            assert seen["span_id"] != SPAN
            assert seen["traceparent"] == f"00-{TRACE}-{seen['span_id']}-01"
            # It goes on below, where nothing is said.
            assert seen.keys() == {"trace_id", "span_id", "run_id", "flow_id", "step_id", "traceparent"}


@requirement("submit.param.observability")
async def test_without_one_the_trace_of_the_execution_goes_on(tmp_path: Path) -> None:
    malformed: list[Any] = [
        None, {}, 1, "x", [], {"trace_id": 4}, {"traceparent": "nonsense"}, {"trace_id": "short", "span_id": SPAN},
        {"trace_id": "0" * 32, "span_id": SPAN}, {"traceparent": f"00-{TRACE.upper()}-{SPAN}-01"}, {"trace_id": {"a": 1}},
    ]  # fmt: skip
    async with open_execution(tmp_path) as a:
        trace_id = a.execute["params"]["observability"]["trace_id"]
        for given in malformed:
            run, execute = await _child(a, observability=given)
            assert execute["params"]["observability"]["trace_id"] == trace_id, given
            assert run["parentRunId"] == a.parent_run_id
        _, execute = await _child(a, observability=a.execute["params"]["observability"])
        assert execute["params"]["observability"]["trace_id"] == trace_id


@requirement("get.param.observability")
async def test_observability_is_read_by_get_and_tells_who_waits(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        await _second_parent(a)
        run, _ = await _child(a)
        for given in ({"trace_id": TRACE, "span_id": SPAN}, {"traceparent": TRACEPARENT}, None, {}, 3, {"run_id": 5}):
            status = check_status(await a.get(run["runId"], wait=True, observability=given))
            assert status["status"] == "success"
        # The span is that of an execution of the first run, so this wait would be for itself.
        own = {"span_id": a.execute["params"]["observability"]["span_id"]}
        error = await a.refused("runs/get", {"runId": a.parent_run_id, "wait": True, "observability": own})
        assert error["data"]["reason"] == "RECURSION_LIMIT"
