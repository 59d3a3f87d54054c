"""When a server that ended is started again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stdio_bridge.restart_policy import Circuit, RestartDecision, RestartLimits, RestartPolicy

PATIENT = RestartLimits(max_crashes=1000)


def test_the_back_off_doubles_from_half_a_second_to_thirty() -> None:
    policy = RestartPolicy(PATIENT)
    decisions = [policy.on_crash(0.0, 1.0) for _ in range(9)]
    assert [decision.restart_at for decision in decisions] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert [decision.crashes for decision in decisions] == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_the_whole_delay_is_drawn_by_chance() -> None:
    assert RestartPolicy().on_crash(10.0, 0.0).restart_at == 10.0
    assert RestartPolicy().on_crash(10.0, 0.25).restart_at == 10.125


def test_five_crashes_in_three_minutes_open_the_circuit_for_a_minute_then_one_probe() -> None:
    """Catalogue C3."""
    policy = RestartPolicy()
    for at in (0.0, 10.0, 20.0, 30.0):
        assert policy.on_crash(at, 0.5).circuit is Circuit.CLOSED
    assert policy.on_crash(40.0, 0.5) == RestartDecision(100.0, Circuit.OPEN, 5, 0.0)
    assert not policy.may_start(99.9)
    assert policy.circuit(100.0) is Circuit.HALF_OPEN and policy.may_start(100.0)
    policy.on_started(100.0)
    assert policy.circuit(100.1) is Circuit.HALF_OPEN
    assert policy.on_crash(101.0, 0.5) == RestartDecision(161.0, Circuit.OPEN, 6, 0.0)


def test_a_probe_that_stays_healthy_for_a_minute_closes_the_circuit_and_clears_the_counters() -> None:
    policy = RestartPolicy()
    for _ in range(5):
        policy.on_crash(0.0, 0.5)
    policy.on_started(60.0)
    policy.on_healthy(61.0)
    assert policy.circuit(120.9) is Circuit.HALF_OPEN
    assert policy.circuit(121.0) is Circuit.CLOSED
    assert policy.on_crash(121.0, 1.0) == RestartDecision(121.5, Circuit.CLOSED, 1, 0.5)


def test_a_probe_that_was_healthy_too_briefly_opens_it_again() -> None:
    policy = RestartPolicy()
    for _ in range(5):
        policy.on_crash(0.0, 0.5)
    policy.on_started(60.0)
    policy.on_healthy(61.0)
    assert policy.on_crash(120.9, 0.5).circuit is Circuit.OPEN


def test_five_crashes_that_are_far_apart_open_nothing_but_keep_the_back_off() -> None:
    policy = RestartPolicy()
    decisions = [policy.on_crash(at * 50.0, 1.0) for at in range(20)]
    assert {decision.circuit for decision in decisions} == {Circuit.CLOSED}
    assert decisions[-1].backoff_ceiling_s == 30.0
    assert max(decision.crashes for decision in decisions) == 4


def test_time_before_the_handshake_is_not_health() -> None:
    policy = RestartPolicy()
    policy.on_crash(0.0, 1.0)
    policy.on_started(1.0)
    assert policy.on_crash(100.0, 1.0).backoff_ceiling_s == 1.0


def test_crashes_of_a_search_for_a_poisonous_item_neither_count_nor_raise_the_back_off() -> None:
    """decisions.md 22."""
    policy = RestartPolicy()
    for at in range(50):
        assert policy.on_crash(float(at), 1.0, attributable=False) == RestartDecision(at + 0.5, Circuit.CLOSED, 0, 0.5)
    assert policy.on_crash(50.0, 1.0) == RestartDecision(50.5, Circuit.CLOSED, 1, 0.5)
    assert policy.on_crash(51.0, 1.0, attributable=False) == RestartDecision(51.5, Circuit.CLOSED, 1, 0.5)


def test_such_a_crash_does_not_shorten_an_open_circuit() -> None:
    policy = RestartPolicy()
    for _ in range(5):
        policy.on_crash(0.0, 0.5)
    assert policy.on_crash(1.0, 0.0, attributable=False).restart_at == 60.0


def test_a_program_that_cannot_be_started_is_not_retried_until_reset() -> None:
    """Catalogue C17, B14."""
    policy = RestartPolicy()
    assert policy.on_start_error(3.0) == RestartDecision(None, Circuit.BLOCKED, 0, 0.0)
    assert not policy.may_start(1e9)
    assert policy.on_crash(4.0, 0.5).restart_at is None
    policy.reset()
    assert policy.circuit(5.0) is Circuit.CLOSED and policy.may_start(5.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 0.999), st.booleans(), st.booleans()), max_size=60))
def test_a_restart_never_lies_in_the_past_nor_beyond_the_pause(
    steps: list[tuple[float, float, bool, bool]],
) -> None:
    policy, now = RestartPolicy(), 0.0
    for pause, chance, healthy, attributable in steps:
        policy.on_started(now)
        if healthy:
            policy.on_healthy(now)
        now += pause
        decision = policy.on_crash(now, chance, attributable=attributable)
        assert decision.restart_at is not None
        assert now <= decision.restart_at <= now + 60.0
        assert policy.may_start(decision.restart_at)
        now = decision.restart_at


def test_a_crash_loop_of_years_does_not_overflow() -> None:
    policy = RestartPolicy(PATIENT)
    for at in range(5000):
        decision = policy.on_crash(at * 31.0, 0.999)
    assert decision.backoff_ceiling_s == pytest.approx(30.0)
