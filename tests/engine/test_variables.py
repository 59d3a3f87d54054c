"""Variables and input schemas through the engine: refused at submit, bound per run, passed on to sub-runs, kept secret."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from flowspan.errors import FlowErrorCode, FlowspanError, InvalidArgumentError, PreconditionError, Reason
from flowspan.view.events import AttemptEnded, Outcome
from flowspan.view.status import RunStatus
from runtime_core.calls import CallFailure, ComponentCall
from runtime_core.engine.settings import RunSettings
from runtime_core.flow.variables import NO_VARIABLES
from runtime_core.ports import RunFilter
from runtime_core.stores.memory import MemoryStore
from tests.engine.house import House, house
from tests.flow.items import JsonDict

SECRET = 'hunter2-é"quoted"'


def flow(properties: JsonDict | None = None, output: Any = None, **schema: Any) -> bytes:
    """A flow of one step that takes its input, with variables of these schemas."""
    document: JsonDict = {
        "name": "variables",
        "steps": [{"id": "a", "component": "/p/a", "input": {"in": {"$input": "$"}, "v": output}}],
        "output": {"$step": "a"},
    }
    if properties is not None:
        document["schemas"] = {"properties": {"variables": {"type": "object", "properties": properties, **schema}}}
    return json.dumps(document).encode()


async def submitted(here: House, document: bytes, variables: Any = None, **options: Any) -> RunStatus:
    flow_id = await here.runtime.put_blob(document, blob_type="flow")
    given = None if variables is None else json.dumps(variables).encode()
    return await here.submit(flow_id, [b"1"], variables=given, **options)


async def value(here: House, document: bytes, variables: Any = None) -> Any:
    run = await submitted(here, document, variables)
    fold = await here.follow(run.run_id)
    return json.loads(fold.results[0].payload)


async def runs(here: House) -> int:
    page = await here.runtime.list_runs(RunFilter("default"), page_size=100, page_token=None)
    return len(page.runs)


async def test_a_given_variable_stands_over_the_declared_default() -> None:
    document = flow({"tone": {"default": "kind"}}, {"$variable": "tone"})
    async with house() as here:
        assert (await value(here, document))["v"] == "kind"
        assert (await value(here, document, {"tone": "rude"}))["v"] == "rude"
        assert (await value(here, document, {"tone": None}))["v"] is None


async def test_a_value_that_does_not_fit_is_refused_at_submit_and_no_run_comes_into_being() -> None:
    document = flow({"n": {"type": "integer"}}, {"$variable": "n"})
    async with house() as here:
        with pytest.raises(InvalidArgumentError) as refused:
            await submitted(here, document, {"n": "three"})
        assert refused.value.details["pointer"] == "/n"
        assert '"three" is not of type "integer"' in refused.value.message
        assert await runs(here) == 0


async def test_a_missing_required_variable_is_refused_at_submit() -> None:
    document = flow({"key": {"type": "string"}}, {"$variable": "key", "default": "x"}, required=["key"])
    async with house() as here:
        with pytest.raises(InvalidArgumentError) as refused:
            await submitted(here, document)
        assert "'key'" in refused.value.message
        assert [finding["kind"] for finding in refused.value.details["diagnostics"]] == ["undefinedRequiredVariable"]
        assert await runs(here) == 0
        assert (await value(here, document, {"key": "k"}))["v"] == "k"


async def test_a_required_variable_with_a_declared_default_need_not_be_given() -> None:
    async with house() as here:
        assert (await value(here, flow({"key": {"default": 7}}, {"$variable": "key"}, required=["key"])))["v"] == 7


async def test_runs_of_one_flow_with_different_variables_share_one_plan() -> None:
    document = flow({"n": {}}, {"$variable": "n"})
    async with house() as here:
        values = await asyncio.gather(*(value(here, document, {"n": n}) for n in range(20)))
        assert [one["v"] for one in values] == list(range(20))
        assert len(here.runtime.flows._plans) == 1


async def test_numbers_in_variables_stay_exact() -> None:
    document = flow(None, [{"$variable": "big"}, {"$variable": "one"}])
    async with house() as here:
        run = await submitted(here, document, {"big": 2**53 + 1, "one": 1.0})
        fold = await here.follow(run.run_id)
        assert fold.results[0].payload == b'{"in":1,"v":[9007199254740993,1.0]}'


def submitting(here: House, child: str, answers: list[RunStatus], **options: Any) -> Any:
    """A component that submits a sub-run of `child` and passes its own input on."""

    def behave(call: ComponentCall) -> bytes | None:
        if call.template.flow_id == child:
            return call.input

        async def nest() -> None:
            token = here.runtime.naming.task_token(call.number)
            answers.append(await here.submit(child, [b"2"], task_token=token, **options))
            here.server.answer(call, b"null")

        tasks.append(asyncio.get_running_loop().create_task(nest()))
        return None

    tasks: list[asyncio.Task[None]] = []
    return behave


async def test_variables_pass_on_to_sub_runs_and_those_submitted_with_them_stand_over() -> None:
    async with house() as here:
        child = await here.runtime.put_blob(
            flow(None, [{"$variable": "a"}, {"$variable": "b"}, {"$variable": "c"}]), blob_type="flow"
        )
        children: list[RunStatus] = []
        here.server.behave = submitting(here, child, children, variables=b'{"b":"own"}')
        run = await submitted(here, flow({"c": {"default": "declared"}}), {"a": "given", "b": "given"})
        await here.follow(run.run_id)
        fold = await here.follow(children[0].run_id)
        assert json.loads(fold.results[0].payload)["v"] == ["given", "own", "declared"]
        assert children[0].description.parent_run_id == run.run_id


async def test_an_inherited_variable_that_the_sub_flow_declares_is_checked_and_others_are_not_its_business() -> None:
    async with house() as here:
        strict = flow({"n": {"type": "integer"}}, {"$variable": "n"}, additionalProperties=False)
        child = await here.runtime.put_blob(strict, blob_type="flow")
        children: list[RunStatus] = []
        here.server.behave = submitting(here, child, children)
        run = await submitted(here, flow(None), {"n": 3, "other": "x"})
        await here.follow(run.run_id)
        fold = await here.follow(children[0].run_id)
        assert json.loads(fold.results[0].payload)["v"] == 3


async def test_an_input_that_violates_the_schema_fails_its_item_alone_and_runs_nothing() -> None:
    document = json.loads(flow(None))
    document["inputSchema"] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    async with house() as here:
        flow_id = await here.runtime.put_blob(json.dumps(document).encode(), blob_type="flow")
        run = await here.submit(flow_id, [b'{"n":1}', b'{"n":"x"}', b'{"n":2}', b"null"])
        fold = await here.follow(run.run_id)
        results = {result.item_index: result for result in fold.results}
        outcomes = [results[item].outcome for item in range(4)]
        assert outcomes == [Outcome.SUCCESS, Outcome.FAILED, Outcome.SUCCESS, Outcome.FAILED]
        error = json.loads(results[1].payload)
        assert error["code"] == "INVALID_INPUT"
        assert error["data"]["pointer"] == "/n"
        assert "/n" in error["message"]
        assert sorted(item for item, _, _ in here.server.seen) == [0, 2]


def secret_flow() -> bytes:
    return flow({"key": {"type": "string", "is_secret": True}}, {"$variable": "key"})


async def stored_bytes(store: MemoryStore, run_id: str) -> bytes:
    record = await store.find_run("default", run_id)
    assert record is not None
    rows = await store.read_rows(record.run_key, 0, 1 << 20)
    return record.settings + record.description + b"".join(row.data for row in rows)


async def test_secrets_reach_components_and_are_neither_stored_nor_shown() -> None:
    def behave(call: ComponentCall) -> CallFailure:
        key = json.loads(call.input)["v"]
        assert key == SECRET
        return CallFailure(
            FlowErrorCode.RESOURCE_UNAVAILABLE,
            f"cannot use {key}",
            json.dumps({"tried": [key, {"deep": [[key]]}], key: 1}).encode(),
        )

    store = MemoryStore()
    document = json.loads(secret_flow())
    document["steps"][0]["onError"] = {"action": "retry", "maxRetries": 1}
    async with house(behave, store=store) as here:
        run = await submitted(here, json.dumps(document).encode(), {"key": SECRET})
        fold = await here.follow(run.run_id)
        error = json.loads(fold.results[0].payload)
        assert error["message"] == "cannot use ***"
        assert error["data"] == {"tried": ["***", {"deep": [["***"]]}], "***": 1}
        attempts = [event for one in await here.log(run.run_id) for event in one.events if isinstance(event, AttemptEnded)]
        assert len(attempts) == 1
        everything = await stored_bytes(store, run.run_id)
        for form in (SECRET.encode(), json.dumps(SECRET).encode()[1:-1], b"hunter2"):
            assert form not in everything


async def test_a_success_value_is_never_altered() -> None:
    async with house() as here:
        assert (await value(here, secret_flow(), {"key": SECRET}))["v"] == SECRET


async def test_a_secret_stays_one_in_sub_runs_that_do_not_say_so() -> None:
    def broken(call: ComponentCall) -> CallFailure:
        return CallFailure(FlowErrorCode.COMPONENT_FAILED, json.loads(call.input)["v"])

    async with house() as here:
        child = await here.runtime.put_blob(flow(None, {"$variable": "key"}), blob_type="flow")
        children: list[RunStatus] = []
        nest = submitting(here, child, children)
        here.server.behave = lambda call: broken(call) if call.template.flow_id == child else nest(call)
        run = await submitted(here, secret_flow(), {"key": SECRET})
        await here.follow(run.run_id)
        fold = await here.follow(children[0].run_id)
        assert json.loads(fold.results[0].payload)["message"] == "***"


async def test_a_refused_secret_does_not_stand_in_the_refusal() -> None:
    document = flow({"key": {"type": "string", "maxLength": 3, "is_secret": True}})
    async with house() as here:
        with pytest.raises(InvalidArgumentError) as refused:
            await submitted(here, document, {"key": SECRET})
        assert "hunter2" not in refused.value.message + repr(refused.value.details)


async def test_a_repeated_run_has_the_secrets_of_the_first() -> None:
    def once(call: ComponentCall) -> bytes | CallFailure:
        if here.server.seen and call.template.run_id == first.run_id:
            return CallFailure(FlowErrorCode.COMPONENT_FAILED, "broken")
        return call.input

    async with house() as here:
        flow_id = await here.runtime.put_blob(secret_flow(), blob_type="flow")
        here.server.behave = lambda call: None
        first = await here.submit(flow_id, [b"1"], variables=json.dumps({"key": SECRET}).encode())
        await here.wait_until(lambda: len(here.server.open) == 1)
        here.server.behave = once
        here.server.answer(
            next(iter(here.server.open.values())),
            CallFailure(FlowErrorCode.COMPONENT_FAILED, "broken"),
        )
        await here.follow(first.run_id)
        again = await here.runtime.retry_run(first.run_id)
        fold = await here.follow(again.run_id)
        assert json.loads(fold.results[0].payload)["v"] == SECRET


class LostKey:
    """A box that has lost its key."""

    def seal(self, data: bytes) -> str:
        raise PreconditionError("no key")

    def unseal(self, sealed: str) -> bytes:
        raise PreconditionError("the key is missing")


async def test_without_a_key_a_submit_with_secrets_is_refused_and_one_without_is_not() -> None:
    async with house() as here:
        here.runtime.variables._box = LostKey()
        with pytest.raises(PreconditionError):
            await submitted(here, secret_flow(), {"key": SECRET})
        assert await runs(here) == 0
        assert (await value(here, flow({"a": {}}, {"$variable": "a"}), {"a": 1}))["v"] == 1


async def test_a_run_whose_key_is_missing_waits_for_it() -> None:
    store = MemoryStore()
    async with house(lambda call: None, store=store) as here:
        box = here.runtime.variables._box
        run = await submitted(here, secret_flow(), {"key": SECRET})
        await here.wait_until(lambda: len(here.server.open) == 1)
    async with house(store=store, secrets=LostKey()) as here:
        with pytest.raises(FlowspanError) as waits:
            await here.follow(run.run_id)
        assert waits.value.reason is Reason.FAILED_PRECONDITION
        status = await here.runtime.get_run(run.run_id, max_bytes=1 << 20)
        assert not status.is_terminal
        assert status.progress is not None
        assert status.progress.waiting_for == ("the key is missing",)
    async with house(store=store, secrets=box) as here:
        fold = await here.follow(run.run_id)
        assert json.loads(fold.results[0].payload)["v"] == SECRET


def test_the_settings_of_a_run_without_variables_say_nothing_of_them() -> None:
    assert NO_VARIABLES.bound == ()
    assert RunSettings(1, "t", "s").secrets == ""


async def test_a_required_variable_that_is_declared_in_no_other_way_may_be_inherited() -> None:
    async with house() as here:
        child = await here.runtime.put_blob(flow({}, {"$variable": "key", "default": 0}, required=["key"]), blob_type="flow")
        children: list[RunStatus] = []
        here.server.behave = submitting(here, child, children)
        run = await submitted(here, flow(None), {"key": 3})
        await here.follow(run.run_id)
        fold = await here.follow(children[0].run_id)
        assert json.loads(fold.results[0].payload)["v"] == 3


async def test_an_inherited_secret_that_does_not_fit_below_does_not_stand_in_the_refusal() -> None:
    refusals: list[InvalidArgumentError] = []

    async with house() as here:
        child = await here.runtime.put_blob(flow({"key": {"type": "integer"}}), blob_type="flow")

        def behave(call: ComponentCall) -> None:
            async def nest() -> None:
                with pytest.raises(InvalidArgumentError) as refused:
                    await here.submit(child, [b"2"], task_token=here.runtime.naming.task_token(call.number))
                refusals.append(refused.value)
                here.server.answer(call, b"null")

            tasks.append(asyncio.get_running_loop().create_task(nest()))

        tasks: list[asyncio.Task[None]] = []
        here.server.behave = behave
        run = await submitted(here, secret_flow(), {"key": SECRET})
        await here.follow(run.run_id)
        assert "hunter2" not in refusals[0].message + repr(refusals[0].details)
        assert refusals[0].details["pointer"] == "/key"


@pytest.mark.parametrize("secret", ["message", "code", "COMPONENT_FAILED", "CANCELLED", "the run was cancelled"])
async def test_whatever_a_secret_looks_like_an_error_stays_an_error(secret: str) -> None:
    def behave(call: ComponentCall) -> CallFailure:
        return CallFailure(FlowErrorCode.COMPONENT_FAILED, f"it was {secret}", json.dumps({"code": secret}).encode())

    document = json.loads(secret_flow())
    document["steps"][0]["onError"] = {"action": "retry", "maxRetries": 1}
    async with house(behave) as here:
        run = await submitted(here, json.dumps(document).encode(), {"key": secret})
        fold = await here.follow(run.run_id)
        error = json.loads(fold.results[0].payload)
        assert error["code"] == "COMPONENT_FAILED"
        assert error["message"] == "it was ***"
        assert len(here.server.seen) == 2


async def test_a_secret_in_the_reason_of_a_cancel_is_taken_out() -> None:
    async with house(lambda call: None) as here:
        run = await submitted(here, secret_flow(), {"key": SECRET})
        await here.wait_until(lambda: len(here.server.open) == 1)
        status, _ = await here.runtime.cancel_run(run.run_id, reason=f"leaked {SECRET}")
        assert status.cancel_reason == "leaked ***"


async def test_a_large_failure_is_redacted_before_it_goes_into_a_blob() -> None:
    names = ["x" * (3 << 20), SECRET]
    document = json.loads(secret_flow())
    document["inputSchema"] = {"additionalProperties": {"additionalProperties": {"type": "integer"}}}
    async with house() as here:
        flow_id = await here.runtime.put_blob(json.dumps(document).encode(), blob_type="flow")
        item = json.dumps({names[0]: {names[1]: "no"}}).encode()
        run = await here.submit(flow_id, [item], variables=json.dumps({"key": SECRET}).encode())
        fold = await here.follow(run.run_id)
        result = fold.results[0]
        assert result.outcome is Outcome.FAILED
        told = (await here.runtime.get_blob(result.payload.decode())).data if result.is_blob else result.payload
        assert b"hunter2" not in told


@pytest.mark.parametrize(("first", "second"), [(b"{}", b"{ }"), (b"{}", None), (None, b"{}"), (b'{"a":1.0}', b'{ "a": 1.0 }')])
async def test_the_same_request_spelled_differently_finds_its_run(first: bytes | None, second: bytes | None) -> None:
    async with house() as here:
        flow_id = await here.runtime.put_blob(flow(None), blob_type="flow")
        run = await here.submit(flow_id, [b"1"], variables=first, request_id="once")
        again = await here.submit(flow_id, [b"1"], variables=second, request_id="once")
        assert again.run_id == run.run_id


async def test_a_run_whose_key_is_gone_for_good_can_be_cancelled_and_deleted() -> None:
    store = MemoryStore()
    async with house(lambda call: None, store=store) as here:
        run = await submitted(here, secret_flow(), {"key": SECRET})
        await here.wait_until(lambda: len(here.server.open) == 1)
    async with house(store=store, secrets=LostKey()) as here:
        states = await asyncio.gather(
            *(here.runtime.cancel_run(run.run_id, reason="enough") for _ in range(3)), return_exceptions=True
        )
        assert any(isinstance(state, tuple) for state in states)
        fold = await here.follow(run.run_id)
        assert [result.outcome for result in fold.results] == [Outcome.CANCELLED]
        assert fold.cancel_reason == "enough"
        assert here.server.seen == []
        status = await here.runtime.get_run(run.run_id, max_bytes=1 << 20)
        assert status.is_terminal
        assert status.progress is None
        await here.runtime.delete_run(run.run_id)
        assert await runs(here) == 0


async def test_a_run_that_waits_for_its_key_goes_on_with_a_later_attempt_after_starts_in_vain() -> None:
    store = MemoryStore()
    async with house(lambda call: None, store=store) as here:
        box = here.runtime.variables._box
        run = await submitted(here, secret_flow(), {"key": SECRET}, request_id="once")
        await here.wait_until(lambda: len(here.server.open) == 1)
    for _ in range(2):
        async with house(store=store, secrets=LostKey()) as here:
            again = await submitted(here, secret_flow(), {"key": SECRET}, request_id="once")
            assert again.run_id == run.run_id
            with pytest.raises(PreconditionError):
                await here.runtime.delete_run(run.run_id)
            assert await runs(here) == 1
    async with house(store=store, secrets=box) as here:
        await here.follow(run.run_id)
        assert here.server.seen == [(0, "a", 2)]
