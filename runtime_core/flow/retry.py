"""Whether a failed attempt is followed by another, and after what delay. Pure: the caller brings the random number.

Two budgets stand side by side: component retries (only with `onError: retry`) and transport retries (always). Attempts lost
with a gateway, or with a component server that another item killed, are charged to neither; the caller does not count them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from flowspan.errors import BUDGET_OF, Budget, FlowErrorCode
from runtime_core.flow.document import DEFAULT_MAX_RETRIES, BackoffKind, OnError, OnErrorAction, RetrySettings

BASE_DELAY_S: Final = 0.05
DELAY_FACTOR: Final = 2.0
MAX_DELAY_S: Final = 10.0
MAX_RETRY_AFTER_S: Final = 300.0
"""A hint is honoured up to here: a component must not be able to park an item for a day."""
_JITTER_SHARE: Final = 0.5
"""Half of a delay is fixed, half is random: retries of many items spread out, and none comes at once."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The retries of one step.

    Attributes:
        component_retries: attempts after the first on COMPONENT_FAILED and RESOURCE_UNAVAILABLE, >= 0.
        transport_retries: the same on TIMEOUT and UNREACHABLE.
        backoff: how the delay grows.
    """

    component_retries: int = 0
    transport_retries: int = DEFAULT_MAX_RETRIES
    backoff: BackoffKind = BackoffKind.EXPONENTIAL


def retry_policy(on_error: OnError, retry: RetrySettings, default_transport_retries: int = DEFAULT_MAX_RETRIES) -> RetryPolicy:
    """The policy that a step asks for; `default_transport_retries` is the configured number."""
    component_retries = on_error.max_retries if on_error.action is OnErrorAction.RETRY else 0
    transport_retries = default_transport_retries if retry.max_retries is None else retry.max_retries
    return _shared(component_retries, transport_retries, retry.backoff)


_shared: Final = lru_cache(maxsize=256)(RetryPolicy)
"""Every run asks for those of its steps, and most are alike."""


def decide(
    policy: RetryPolicy,
    code: FlowErrorCode,
    component_failures: int,
    transport_failures: int,
    rand: float,
    retry_after_s: float | None = None,
) -> float | None:
    """Whether to try again.

    Args:
        code: of the attempt that just failed.
        component_failures, transport_failures: charged failures so far, this one included.
        rand: in [0, 1).
        retry_after_s: the component's hint; it can lengthen the delay, not shorten it.

    Returns:
        Seconds until the next attempt, or None: the failure is final.
    """
    budget = BUDGET_OF[code]
    if budget is Budget.COMPONENT:
        failures, allowed = component_failures, policy.component_retries
    elif budget is Budget.TRANSPORT:
        failures, allowed = transport_failures, policy.transport_retries
    else:
        return None
    if failures > allowed:
        return None
    delay_s = backoff_delay_s(policy.backoff, max(failures, 1)) * (1.0 - _JITTER_SHARE + _JITTER_SHARE * rand)
    if retry_after_s is not None and retry_after_s > delay_s:
        return min(retry_after_s, MAX_RETRY_AFTER_S)
    return delay_s


def backoff_delay_s(kind: BackoffKind, failures: int) -> float:
    """The delay after failure number `failures` (from 1), without jitter; at most 10 s."""
    if kind is BackoffKind.CONSTANT:
        return BASE_DELAY_S
    delay_s, before_s = BASE_DELAY_S, 0.0
    for _ in range(failures - 1):
        if delay_s >= MAX_DELAY_S:
            break
        following_s = delay_s * DELAY_FACTOR if kind is BackoffKind.EXPONENTIAL else delay_s + before_s
        before_s, delay_s = delay_s, following_s
    return min(delay_s, MAX_DELAY_S)
