"""`eval`, `map` and `iterate`: runs of their own, and how their ends come back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from flowspan.errors import FlowErrorCode
from flowspan.view.events import RunStatusCode
from flowspan.view.status import RunStatus
from runtime_core.calls import CallFailure
from runtime_core.limits import Limits
from runtime_core.ports import RunFilter
from tests.built_ins.flows import ECHO, builtin, call, encoded, refused, results, run
from tests.engine.house import House, house

FAILING = {"output": {"$input": "$.missing"}}
SKIPPING = {"steps": [{"id": "s", "component": "/builtin/noop", "skip": True}], "output": {"$step": "s"}}
COMPONENT = {"steps": [{"id": "s", "component": "/p/s", "input": {"$input": "$"}}], "output": {"$step": "s"}}
COUNTDOWN = {
    "name": "count down",
    "steps": [{"id": "s", "component": "/p/less", "input": {"$input": "$"}}],
    "output": {"$step": "s"},
}


async def sub_runs(h: House, parent_run_id: str) -> Sequence[RunStatus]:
    page = await h.runtime.list_runs(RunFilter("default", parent_run_id=parent_run_id), page_size=1000, page_token=None)
    return page.runs


async def test_eval_returns_the_result_and_the_sub_runs_own_id() -> None:
    async with house() as h:
        fold = await run(h, builtin("eval"), {"flow": ECHO, "input": {"n": 1}})
        [result] = results(fold)
        parent = fold.snapshot().description.run_id
        [child] = await sub_runs(h, parent)
        assert result.value == {"result": {"outcome": "success", "value": {"n": 1}}, "run_id": child.description.run_id}
        assert child.description.run_id != parent
        assert (child.description.parent_run_id, child.description.root_run_id) == (parent, parent)
        assert child.description.flow_name == "echo"
        assert child.status is RunStatusCode.SUCCESS


async def test_eval_takes_the_id_of_a_stored_flow() -> None:
    async with house() as h:
        flow_id = await h.flow(encoded(ECHO))
        for field in ("flow_id", "flow"):
            result = await call(h, "eval", {field: flow_id, "input": [1, 2.0, None]})
            assert result.value["result"] == {"outcome": "success", "value": [1, 2.0, None]}


async def test_values_pass_through_sub_runs_as_they_were_written() -> None:
    value = b'{"big":12345678901234567890123,"f":1.0,"i":1}'
    async with house() as h:
        result = await call(h, "eval", b'{"flow":%b,"input":%b}' % (encoded(ECHO), value))
        assert b'"value":' + value in result.payload
        result = await call(h, "map", b'{"workflow":%b,"items":[%b,3]}' % (encoded(ECHO), value))
        assert b'"value":' + value in result.payload
        assert b'"value":3}' in result.payload


async def test_a_failed_or_skipped_sub_run_is_data_and_the_step_succeeds() -> None:
    async with house() as h:
        failed = await call(h, "eval", {"flow": FAILING, "input": {}})
        assert failed.value["result"]["outcome"] == "failed"
        assert failed.value["result"]["error"]["code"] == "EXPRESSION_FAILURE"
        skipped = await call(h, "eval", {"flow": SKIPPING, "input": {}})
        assert skipped.value["result"]["outcome"] == "skipped"


async def test_runs_and_sub_runs_end_by_the_same_rule() -> None:
    must = {
        "steps": [{"id": "m", "component": "/p/m", "mustExecute": True}],
        "output": 1,
    }
    failure = CallFailure(FlowErrorCode.COMPONENT_FAILED, "no")
    async with house(lambda call: failure) as h:
        top = await run(h, must, None)
        result = await call(h, "eval", {"flow": must, "input": None})
        child = await h.runtime.get_run(result.value["run_id"], max_bytes=1 << 20)
        assert top.status is child.status is RunStatusCode.FAILED
        assert result.value["result"]["error"] == {"code": "COMPONENT_FAILED", "message": "no"}


async def test_map_runs_all_items_in_one_sub_run_and_counts_skipped_ones_as_successful() -> None:
    branching = {
        "steps": [{"id": "s", "component": "/builtin/noop", "skip": {"$input": "$.skip"}, "input": {"$input": "$.value"}}],
        "output": {"$step": "s"},
    }
    items = [{"skip": False, "value": 1}, {"skip": True, "value": 2}, {"skip": False}]
    async with house() as h:
        fold = await run(h, builtin("map"), {"workflow": branching, "items": items, "max_concurrency": 3})
        value = results(fold)[0].value
        assert [one["outcome"] for one in value["results"]] == ["success", "skipped", "failed"]
        assert value["results"][0] == {"outcome": "success", "value": 1}
        assert (value["successful"], value["failed"]) == (2, 1)
        [child] = await sub_runs(h, fold.snapshot().description.run_id)
        assert child.items.total == 3
        assert child.description.max_concurrency == 3


async def test_map_keeps_the_order_of_items_and_to_its_concurrency() -> None:
    async with house() as h:
        document = builtin("map", input={"flow": {"$literal": COMPONENT}, "items": {"$input": "$"}, "max_concurrency": 3})
        [result] = results(await run(h, document, list(range(100))))
        assert [one["value"] for one in result.value["results"]] == list(range(100))
        assert h.server.most_open <= 3


async def test_map_over_no_items_is_empty() -> None:
    async with house() as h:
        assert (await call(h, "map", {"workflow": ECHO, "items": []})).value == {"results": [], "successful": 0, "failed": 0}


async def test_items_that_a_cancel_left_unstarted_are_failed_results_of_map() -> None:
    async with house(lambda call: None) as h:
        document = builtin("map", input={"workflow": {"$literal": COMPONENT}, "items": [1, 2, 3], "max_concurrency": 1})
        parent = await h.submit(await h.flow(encoded(document)), [b"null"])
        await h.wait_until(lambda: len(h.server.open) == 1)
        [child] = await sub_runs(h, parent.run_id)
        await h.runtime.cancel_run(child.description.run_id)
        for one in list(h.server.open.values()):
            h.server.answer(one, b"1")
        [result] = results(await h.follow(parent.run_id))
        assert (result.value["successful"], result.value["failed"]) == (0, 3)
        assert {one["error"]["code"] for one in result.value["results"]} == {"CANCELLED"}


def counting_down(call: Any) -> bytes:
    left = json.loads(call.input)
    return encoded({"next": left - 1} if left else {"result": "done"})


async def test_iterate_goes_on_with_next_until_there_is_a_result() -> None:
    async with house(counting_down) as h:
        fold = await run(h, builtin("iterate"), {"flow": COUNTDOWN, "initial_input": 4})
        assert results(fold)[0].value == {"result": "done", "iterations": 5, "terminated": True}
        assert len(await sub_runs(h, fold.snapshot().description.run_id)) == 5


async def test_iterate_ends_at_its_maximum_with_the_last_next() -> None:
    async with house(counting_down) as h:
        given = {"flow": COUNTDOWN, "initial_input": 10, "max_iterations": 3}
        assert (await call(h, "iterate", given)).value == {"result": 7, "iterations": 3, "terminated": False}


async def test_iterations_with_equal_inputs_are_runs_of_their_own() -> None:
    async with house() as h:
        fold = await run(h, builtin("iterate"), {"flow": {"output": {"next": 1}}, "initial_input": 1, "max_iterations": 4})
        assert results(fold)[0].value == {"result": 1, "iterations": 4, "terminated": False}
        assert len(await sub_runs(h, fold.snapshot().description.run_id)) == 4


@pytest.mark.parametrize(
    ("output", "value"),
    [
        ({"result": 5, "next": None}, {"result": 5, "iterations": 1, "terminated": True}),
        ({"result": None}, {"result": None, "iterations": 1, "terminated": True}),
        ({"result": None, "next": 2}, {"result": 2, "iterations": 2, "terminated": False}),
        ({"next": None}, {"result": None, "iterations": 2, "terminated": False}),
    ],
)
async def test_a_null_beside_the_other_member_is_absent(output: object, value: object) -> None:
    async with house() as h:
        given = {"flow": {"output": output}, "initial_input": 1, "max_iterations": 2}
        assert (await call(h, "iterate", given)).value == value


async def test_iterate_fails_with_the_inner_error_and_says_where() -> None:
    inner = CallFailure(FlowErrorCode.COMPONENT_FAILED, "three is too much", b'{"n":3}')
    async with house(lambda call: inner if call.input == b"3" else encoded({"next": json.loads(call.input) + 1})) as h:
        fold = await run(h, builtin("iterate"), {"flow": COUNTDOWN, "initial_input": 1})
        error = results(fold)[0].error
        assert error is not None
        assert (error.code, error.message) == ("COMPONENT_FAILED", "three is too much")
        children = await sub_runs(h, fold.snapshot().description.run_id)
        failed = next(child for child in children if child.status is RunStatusCode.FAILED)
        assert error.data_value == {"iteration": 3, "runId": failed.description.run_id, "data": {"n": 3}}


async def test_an_inner_time_out_is_not_tried_again_by_iterate() -> None:
    """The inner step has spent its transport retries; the same runs would be found again, with the same end."""
    async with house(lambda call: CallFailure(FlowErrorCode.TIMEOUT, "slow"), limits=Limits(transport_retries=0)) as h:
        document = builtin("iterate", retry={"maxRetries": 3})
        fold = await run(h, document, {"flow": COUNTDOWN, "initial_input": 1})
        error = results(fold)[0].error
        assert error is not None
        assert error.code == "TIMEOUT"
        assert len(h.server.seen) == 1


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ({"value": 1}, 'iteration 1 must answer {result} to stop or {next} to go on; it answered {"value":1}'),
        ([1], "it answered [1]"),
        ({"result": 1, "next": 2}, 'it answered {"result":1,"next":2}'),
    ],
)
async def test_iterate_refuses_an_answer_that_is_neither_result_nor_next(output: object, says: str) -> None:
    async with house() as h:
        assert says in await refused(h, "iterate", {"flow": {"output": output}, "initial_input": 1})


async def test_iterate_refuses_an_iteration_that_was_skipped() -> None:
    async with house() as h:
        assert "it was skipped" in await refused(h, "iterate", {"flow": SKIPPING, "initial_input": 1})


NO_FLOW = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("component", "given", "says"),
    [
        ("eval", {"input": 1}, "the field flow or flow_id is missing"),
        ("eval", {"flow": ECHO, "flow_id": NO_FLOW, "input": 1}, "both flow and flow_id are given"),
        ("eval", {"flow": ECHO}, "the field input is missing"),
        ("eval", {"flow": ECHO, "inputs": 1, "input": 1}, "unknown field inputs; did you mean input?"),
        ("eval", {"flow_id": "nonsense", "input": 1}, "flow_id is not a blob id: 'nonsense'"),
        ("eval", {"flow_id": {"steps": []}, "input": 1}, "flow_id must be the id of a flow"),
        ("eval", {"flow": 3, "input": 1}, "flow must be a flow or its id"),
        ("eval", {"flow_id": NO_FLOW, "input": 1}, f"no flow {NO_FLOW}"),
        ("eval", {"flow": {"output": {"$step": "none"}}, "input": 1}, "is not a flow that can run"),
        ("map", {"items": []}, "the field workflow or flow or flow_id is missing"),
        ("map", {"workflow": ECHO}, "the field items is missing"),
        ("map", {"workflow": ECHO, "items": 1}, "items: Expected array, got int"),
        ("map", {"workflow": ECHO, "items": [], "max_concurrency": 0}, "max_concurrency must be a whole number in 1.."),
        ("map", {"workflow": ECHO, "items": [], "max_concurrency": 1.5}, "not 1.5"),
        (
            "iterate",
            {"flow": ECHO, "initial_input": 1, "max_iterations": 100_001},
            "max_iterations must be a whole number in 1..100000",
        ),
        ("iterate", {"flow": ECHO}, "the field initial_input is missing"),
    ],
)
async def test_bad_input_is_refused_with_the_name_of_the_field(component: str, given: object, says: str) -> None:
    async with house() as h:
        assert says in await refused(h, component, given)


async def test_a_flow_that_does_not_compile_is_refused_with_its_diagnostics_and_not_stored() -> None:
    async with house() as h:
        result = await call(h, "eval", {"flow": {"output": {"$step": "none"}}, "input": 1})
        assert result.error is not None
        data: Any = result.error.data_value
        assert data["reason"] == "FLOW_INVALID"
        assert data["diagnostics"][0]["code"] == 3003
        flows, _ = await h.runtime.list_flows(page_size=10, page_token=None)
        assert [flow.flow_name for flow in flows] == ["eval"]


async def test_nesting_beyond_the_limit_fails_with_the_rows_code() -> None:
    """Each level evaluates its input's flow over the same input."""
    nested = {
        "steps": [{"id": "e", "component": "/builtin/eval", "input": {"flow_id": {"$input": "$.id"}, "input": {"$input": "$"}}}],
        "output": {"$step": "e"},
    }
    async with house(limits=Limits(depth=5)) as h:
        flow_id = await h.flow(encoded(nested))
        top = await h.submit(flow_id, [encoded({"id": flow_id})])
        value = results(await h.follow(top.run_id))[0].value
        for _ in range(3):
            value = value["result"]["value"]
        error = value["result"]["error"]
        assert error["code"] == "COMPONENT_FAILED"
        assert "sub-runs nest 6 deep; at most 5 levels are allowed" in error["message"]
        assert error["data"]["reason"] == "RECURSION_LIMIT"


async def test_results_that_are_too_large_together_are_refused_and_the_run_is_named() -> None:
    half = "x" * 600_000
    async with house(limits=Limits(result_bytes=1 << 20)) as h:
        document = builtin("map", input={"workflow": {"$literal": ECHO}, "items": [{"$input": "$"}, {"$input": "$"}]})
        fold = await run(h, document, half)
        error = results(fold)[0].error
        assert error is not None
        assert error.code == "COMPONENT_FAILED"
        assert "have 1200004 bytes; at most 1048576 are allowed together" in error.message
        data: Any = error.data_value
        [child] = await sub_runs(h, fold.snapshot().description.run_id)
        assert data["runId"] == child.description.run_id
        assert child.items.success == 2


async def test_a_result_that_is_kept_as_a_blob_comes_back_whole() -> None:
    big = "x" * 3_700_000
    async with house(limits=Limits(result_bytes=8 << 20)) as h:
        document = builtin("eval", input={"flow": {"$literal": ECHO}, "input": {"$input": "$"}})
        document["output"] = {"$step": "it", "path": "$.result.value"}
        [result] = results(await run(h, document, big))
        assert result.is_blob
        assert (await h.runtime.get_blob(result.payload.decode())).data == encoded(big)


async def test_a_literal_flow_is_stored_and_compiled_once_for_all_items(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as h:
        stored = 0
        store_flow = h.runtime.store_flow

        async def counting(*args: Any, **options: Any) -> Any:
            nonlocal stored
            stored += 1
            return await store_flow(*args, **options)

        monkeypatch.setattr(h.runtime, "store_flow", counting)
        document = builtin("eval", input={"flow": {"$literal": ECHO}, "input": {"$input": "$"}})
        fold = await run(h, document, *range(300), max_concurrency=50)
        assert fold.counts().success == 300
        assert stored == 1


async def test_a_literal_flow_that_was_deleted_meanwhile_is_stored_again() -> None:
    async with house() as h:
        document = builtin("eval", input={"flow": {"$literal": ECHO}, "input": {"$input": "$"}})
        first = await run(h, document, 1)
        await h.runtime.delete_run(first.snapshot().description.run_id)
        await h.runtime.delete_flow((await h.runtime.store_flow(encoded(ECHO))).flow_id)
        assert results(await run(h, document, 2))[0].value["result"]["value"] == 2


async def test_waiting_built_ins_hold_no_slot_that_their_sub_runs_need() -> None:
    """Twice as many wait as the built-ins have slots, and the sub-runs need built-ins themselves."""
    inner = builtin("sleep", input={"duration_ms": 1, "passthrough": {"$input": "$"}})
    document = builtin("eval", input={"flow": {"$literal": inner}, "input": {"$input": "$"}})
    async with house(limits=Limits(max_concurrency_cap=2_500)) as h:
        fold = await run(h, document, *range(2_500), max_concurrency=2_500)
        assert fold.counts().success == 2_500
