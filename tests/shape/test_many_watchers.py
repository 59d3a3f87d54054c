"""What a run's watchers get is made for all of them together; what each costs is its own messages, and those are few."""

from __future__ import annotations

import pytest

from tests.shape.counted_run import CountedRun, counted_run

WATCHERS = 50


@pytest.fixture(scope="module")
def watched_run() -> CountedRun:
    return counted_run([{"n": number, "data": "x" * 80} for number in range(5_000)], watchers=WATCHERS)


def test_messages_are_joined_per_place_and_not_per_watcher(watched_run: CountedRun) -> None:
    sent = sum(watched_run.messages)
    assert len(watched_run.messages) == WATCHERS
    assert watched_run.joined * 5 < sent
    assert watched_run.gateway.of("protobuf/segments.py:encode_segment") < watched_run.items / 10


def test_no_task_and_no_timer_per_message_of_a_watcher(watched_run: CountedRun) -> None:
    rounds = max(watched_run.messages)
    assert watched_run.asked["tasks"] < 5 * WATCHERS
    assert watched_run.asked["timers"] < 4 * rounds + 50
