"""`onError`, both retry budgets, back-off, hints."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from flowspan.errors import FlowErrorCode
from flowspan.protobuf.convert import flow_result_to_message
from flowspan.view.events import Outcome
from runtime_core.limits import Limits
from tests.language.house import Ran, attempts, failed, flow, language, of, run, step
from tests.language.rows import row

QUICK = {"backoff": "constant"}


def numbers_of(ran: Ran) -> list[int]:
    return [called.attempt for called in ran.calls]


@row("onError.fail")
async def test_fail_fails_the_step() -> None:
    document = flow(step("a", onError={"action": "fail"}), output=of("a"))
    ran = await run(document, answers={"a": failed("no luck")})
    assert (ran.error, numbers_of(ran)) == ({"code": "COMPONENT_FAILED", "message": "no luck"}, [1])


@pytest.mark.parametrize(
    ("on_error", "value"),
    [
        ({"action": "useDefault", "defaultValue": {"$input": "$.x", "n": [1]}}, {"$input": "$.x", "n": [1]}),
        ({"action": "useDefault"}, None),
        ({"action": "useDefault", "defaultValue": None}, None),
    ],
)
@row("onError.useDefault")
async def test_use_default_makes_the_step_succeed_with_a_literal(on_error: Any, value: Any) -> None:
    document = flow(step("a", onError=on_error), step("b", of("a")), output=of("b"))
    ran = await run(document, answers={"a": failed()})
    assert (ran.value, numbers_of(ran)) == (value, [1, 1])


@row("onError.useDefault.after-transport")
async def test_use_default_applies_after_the_transport_retries_are_spent() -> None:
    document = flow(
        step("a", onError={"action": "useDefault", "defaultValue": "d"}, retry={"maxRetries": 2, **QUICK}), output=of("a")
    )
    ran = await run(document, answers={"a": failed(code="UNREACHABLE")})
    assert (ran.value, numbers_of(ran)) == ("d", [1, 2, 3])
    saved = await run(document, answers={"a": attempts(failed(code="UNREACHABLE"), "saved")})
    assert (saved.value, numbers_of(saved)) == ("saved", [1, 2])


@row("onError.useDefault.not-own-input")
async def test_use_default_does_not_cover_a_failure_to_resolve_the_step_s_own_input() -> None:
    default = {"action": "useDefault", "defaultValue": "d"}
    for given in ({"$input": "$.none"}, of("bad"), {"$variable": "none"}):
        ran = await run(flow(step("bad"), step("a", given, onError=default), output=of("a")), {}, answers={"bad": failed("gone")})
        assert ran.result["outcome"] == "failed"
        assert "a" not in ran.steps


@pytest.mark.parametrize("code", ["COMPONENT_FAILED", "RESOURCE_UNAVAILABLE"])
@row("onError.retry")
async def test_retry_makes_that_many_more_attempts(code: str) -> None:
    document = flow(step("a", onError={"action": "retry", "maxRetries": 2}, retry=QUICK), output=of("a"))
    ran = await run(document, answers={"a": failed("again", code)})
    assert (ran.error, numbers_of(ran)) == ({"code": code, "message": "again"}, [1, 2, 3])
    saved = await run(document, answers={"a": attempts(failed(code=code), failed(code=code), "third")})
    assert (saved.value, numbers_of(saved)) == ("third", [1, 2, 3])


@row("onError.retry")
async def test_retry_makes_three_more_attempts_by_default_and_none_for_other_codes() -> None:
    document = flow(step("a", onError={"action": "retry"}, retry=QUICK), output=of("a"))
    assert numbers_of(await run(document, answers={"a": failed()})) == [1, 2, 3, 4]
    for code in ("INVALID_INPUT", "COMPONENT_NOT_FOUND", "EXPRESSION_FAILURE", "ORCHESTRATOR_ERROR", "WORKER_ERROR"):
        ran = await run(document, answers={"a": failed("m", code)})
        assert (ran.error["code"], numbers_of(ran)) == (code, [1])


@pytest.mark.parametrize("default", [{"n": 1}, None])
@row("onError.retry.default")
async def test_retry_with_a_default_value_gives_it_once_the_retries_are_spent(default: Any) -> None:
    on_error = {"action": "retry", "maxRetries": 1, "defaultValue": default}
    document = flow(step("a", onError=on_error, retry=QUICK), output=of("a"))
    ran = await run(document, answers={"a": failed()})
    assert (ran.result, numbers_of(ran)) == ({"outcome": "success", "value": default}, [1, 2])


@row("onError.skip")
async def test_skip_counts_the_failed_step_as_skipped() -> None:
    document = flow(step("a", onError={"action": "skip"}), step("b", of("a")), output=of("b"))
    ran = await run(document, answers={"a": failed()})
    assert (ran.result["outcome"], ran.steps, ran.status.items.success) == ("skipped", ["a"], 1)


@pytest.mark.parametrize("code", ["TIMEOUT", "UNREACHABLE"])
@row("budgets.transport")
async def test_transport_failures_are_always_retried_three_times_by_default(code: str) -> None:
    document = flow(step("a", retry=QUICK), output=of("a"))
    ran = await run(document, answers={"a": failed(code=code)})
    assert (ran.error["code"], numbers_of(ran)) == (code, [1, 2, 3, 4])


@row("budgets.transport")
async def test_the_number_of_transport_retries_is_configurable_for_the_gateway_and_the_step() -> None:
    for fields, count in (({}, 2), ({"maxRetries": 0}, 1)):
        async with language(a=failed(code="UNREACHABLE"), limits=Limits(transport_retries=1)) as one:
            ran = await one.run(flow(step("a", retry={**QUICK, **fields}), output=of("a")), None)
            assert numbers_of(ran) == list(range(1, count + 1))


@row("budgets.two", "attempt.rises")
async def test_the_two_budgets_stand_side_by_side_and_one_attempt_counter_rises() -> None:
    lost, broken = failed(code="UNREACHABLE"), failed("broken")
    document = flow(step("a", onError={"action": "retry", "maxRetries": 1}, retry={"maxRetries": 1, **QUICK}), output=of("a"))
    ran = await run(document, answers={"a": attempts(lost, broken, "third")})
    assert (ran.value, numbers_of(ran)) == ("third", [1, 2, 3])
    spent = await run(document, answers={"a": attempts(lost, broken, lost, "never")})
    assert (spent.error["code"], numbers_of(spent)) == ("UNREACHABLE", [1, 2, 3])


async def _delays(backoff: str | None, count: int) -> list[float]:
    """Seconds between attempts."""
    at: list[float] = []
    fields = {"maxRetries": count} | ({} if backoff is None else {"backoff": backoff})
    async with language() as one:

        def note(call: object) -> Any:
            at.append(time.monotonic())
            return failed(code="UNREACHABLE")

        one.core.server.behave = note
        await one.run(flow(step("a", retry=fields), output=of("a")), None)
    return [after - before for before, after in itertools.pairwise(at)]


@pytest.mark.parametrize(
    ("backoff", "whole"), [(None, [0.05, 0.1, 0.2]), ("constant", [0.05, 0.05, 0.05]), ("fibonacci", [0.05, 0.05, 0.1])]
)
@row("backoff.kinds")
async def test_delays_grow_from_50_ms_as_the_step_asks_with_jitter(backoff: str | None, whole: list[float]) -> None:
    delays = await _delays(backoff, 3)
    # Half of a delay is fixed; a busy machine only lengthens it.
    assert all(delay >= least / 2 for delay, least in zip(delays, whole, strict=True))
    assert sum(delays) < sum(whole) + 0.5


@row("backoff.hint")
async def test_a_retry_after_hint_is_honoured() -> None:
    at: list[float] = []
    async with language() as one:

        def note(call: object) -> Any:
            at.append(time.monotonic())
            return failed(code="RESOURCE_UNAVAILABLE", retry_after_s=0.3) if len(at) == 1 else b"1"

        one.core.server.behave = note
        await one.run(flow(step("a", onError={"action": "retry"}), output=of("a")), None)
    assert at[1] - at[0] >= 0.3


@row("error.codes")
async def test_every_code_comes_through_by_its_bare_name_in_json_and_protobuf() -> None:
    names = {
        "TIMEOUT", "INVALID_INPUT", "COMPONENT_FAILED", "CANCELLED", "UNREACHABLE", "COMPONENT_NOT_FOUND", "RESOURCE_UNAVAILABLE",
        "EXPRESSION_FAILURE", "ORCHESTRATOR_ERROR", "WORKER_ERROR",
    }  # fmt: skip
    assert {code.value for code in FlowErrorCode} == names
    for code in sorted(names - {"CANCELLED"}):
        ran = await run(flow(step("a", retry={"maxRetries": 0}), output=of("a")), answers={"a": failed("m", code)})
        assert ran.error == {"code": code, "message": "m"}
        assert flow_result_to_message(Outcome.FAILED, failed("m", code).payload()).error.code == code


@pytest.mark.parametrize(
    ("component", "given"),
    [
        ("sleep", {"duration_ms": "10"}),
        ("sleep", {}),
        ("create_messages", {"user_prompt": 1}),
        ("get_blob", {"blob_id": "x"}),
        ("put_blob", 1),
    ],
)
@row("error.builtin-input")
async def test_bad_input_to_a_built_in_is_invalid_input(component: str, given: Any) -> None:
    document = flow(
        {"id": "b", "component": f"/builtin/{component}", "input": given, "onError": {"action": "retry"}}, output=of("b")
    )
    started = time.monotonic()
    ran = await run(document)
    assert ran.error["code"] == "INVALID_INPUT"
    assert time.monotonic() - started < 0.1 + 5 * 0.05  # three retries would take longer than one
