"""Section 5: the two budgets and the delays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowspan.errors import BUDGET_OF, Budget, FlowErrorCode
from runtime_core.flow.document import BackoffKind, OnError, OnErrorAction, RetrySettings
from runtime_core.flow.retry import MAX_RETRY_AFTER_S, RetryPolicy, backoff_delay_s, decide, retry_policy

COMPONENT = [code for code, budget in BUDGET_OF.items() if budget is Budget.COMPONENT]
TRANSPORT = [code for code, budget in BUDGET_OF.items() if budget is Budget.TRANSPORT]
FINAL = [code for code, budget in BUDGET_OF.items() if budget is Budget.NONE]


def test_without_on_error_retry_there_are_transport_retries_only() -> None:
    assert retry_policy(OnError(), RetrySettings()) == RetryPolicy(0, 3)
    assert retry_policy(OnError(), RetrySettings(), default_transport_retries=5) == RetryPolicy(0, 5)
    assert retry_policy(OnError(), RetrySettings(max_retries=0)) == RetryPolicy(0, 0)


def test_on_error_retry_brings_component_retries() -> None:
    assert retry_policy(OnError(OnErrorAction.RETRY), RetrySettings()) == RetryPolicy(3, 3)
    assert retry_policy(OnError(OnErrorAction.RETRY, max_retries=7), RetrySettings()) == RetryPolicy(7, 3)
    assert retry_policy(OnError(OnErrorAction.USE_DEFAULT, max_retries=7), RetrySettings()).component_retries == 0


@pytest.mark.parametrize("code", COMPONENT)
def test_component_failures_draw_on_the_component_budget(code: FlowErrorCode) -> None:
    policy = RetryPolicy(component_retries=2, transport_retries=0)
    assert [decide(policy, code, made, 99, 0.0) is not None for made in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("code", TRANSPORT)
def test_transport_failures_draw_on_the_transport_budget(code: FlowErrorCode) -> None:
    policy = RetryPolicy(component_retries=0, transport_retries=2)
    assert [decide(policy, code, 99, made, 0.0) is not None for made in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("code", FINAL)
def test_other_failures_are_final(code: FlowErrorCode) -> None:
    assert decide(RetryPolicy(100, 100), code, 1, 1, 0.5, retry_after_s=1.0) is None


@pytest.mark.parametrize(
    ("kind", "delays"),
    [
        (BackoffKind.EXPONENTIAL, [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]),
        (BackoffKind.CONSTANT, [0.05] * 10),
        (BackoffKind.FIBONACCI, [0.05, 0.05, 0.1, 0.15, 0.25, 0.4, 0.65, 1.05, 1.7, 2.75]),
    ],
)
def test_delays_grow_as_the_flow_asks(kind: BackoffKind, delays: list[float]) -> None:
    assert [backoff_delay_s(kind, failures) for failures in range(1, 11)] == pytest.approx(delays)
    assert backoff_delay_s(kind, 10**6) <= 10.0


@given(st.sampled_from(BackoffKind), st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_jitter_keeps_a_delay_between_half_and_whole(kind: BackoffKind, failures: int, rand: float) -> None:
    delay_s = decide(RetryPolicy(100, 100, kind), FlowErrorCode.TIMEOUT, 0, failures, rand)
    assert delay_s is not None
    assert 0.5 * backoff_delay_s(kind, failures) <= delay_s <= backoff_delay_s(kind, failures)


def test_a_hint_lengthens_a_delay_up_to_a_bound_and_never_shortens_it() -> None:
    policy = RetryPolicy(component_retries=3)
    code = FlowErrorCode.RESOURCE_UNAVAILABLE
    assert decide(policy, code, 1, 0, 0.0, retry_after_s=7.0) == 7.0
    assert decide(policy, code, 1, 0, 0.0, retry_after_s=0.0) == decide(policy, code, 1, 0, 0.0)
    assert decide(policy, code, 1, 0, 0.0, retry_after_s=1e9) == MAX_RETRY_AFTER_S
    assert decide(policy, code, 4, 0, 0.0, retry_after_s=7.0) is None
