"""The event loop is asked for nothing per item: no task, no timer, no future, no callback."""

from __future__ import annotations

from tests.shape.counted_run import CountedRun, counted_run


def test_no_task_and_no_timer_per_item(plain_run: CountedRun) -> None:
    assert 0 < plain_run.asked["tasks"] < 100
    assert plain_run.asked["timers"] < 100


def test_callbacks_and_futures_are_per_batch(plain_run: CountedRun) -> None:
    batches = plain_run.commits + len(plain_run.messages) * plain_run.messages[0]
    assert plain_run.asked["callbacks"] + plain_run.asked["futures"] < 20 * batches
    assert plain_run.asked["callbacks"] + plain_run.asked["futures"] < plain_run.items / 4
    assert plain_run.asked["callbacks from threads"] < plain_run.items / 20


def test_items_of_built_ins_ask_the_loop_for_nothing() -> None:
    run = counted_run([{"n": number} for number in range(5_000)], component="/builtin/noop")
    assert run.asked["tasks"] < 100
    assert run.asked["timers"] < 100
    assert run.asked["callbacks"] + run.asked["futures"] < run.items / 4
