"""Which worker gets what, and what becomes of it when workers go."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from flowspan.errors import FlowErrorCode, FlowspanError, InvalidArgumentError
from flowspan.jsonrpc import WireError
from gateway.workers.paths import PathPattern
from gateway.workers.worker import AWAY_S
from runtime_core.calls import CallFailure, CallSkip
from tests.workers.fakes import SESSION, Bench


async def _turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_free_slots_are_those_of_all_workers() -> None:
    bench = Bench()
    assert bench.queue.free_slots() == 0
    assert bench.queue.waiting_for == "no worker serves queue q"
    bench.join("one", 4)
    bench.join("two", 8)
    assert bench.queue.free_slots() == 12
    assert bench.queue.waiting_for is None
    bench.queue.start(bench.calls(5))
    assert bench.queue.free_slots() == 7


async def test_calls_are_spread_in_proportion_to_what_is_free() -> None:
    bench = Bench()
    links = {name: bench.join(name, capacity)[1] for name, capacity in (("one", 10), ("two", 20), ("three", 30))}
    bench.queue.start(bench.calls(30))
    assert {name: len(link.pending) for name, link in links.items()} == {"one": 5, "two": 10, "three": 15}


async def test_single_calls_go_round() -> None:
    bench = Bench()
    joined = {name: bench.join(name, 4) for name in ("one", "two", "three")}
    given: Counter[str] = Counter()
    for _ in range(30):
        (call,) = bench.calls(1)
        bench.queue.start([call])
        (holder,) = [name for name, (_, link) in joined.items() if link.write()]
        given[holder] += 1
        bench.queue.on_results(joined[holder][0].worker, [(call.number, b"1")], [])
    assert set(given.values()) == {10}


async def test_a_newcomer_takes_its_turn_like_the_others() -> None:
    bench = Bench()
    joined = {"old": bench.join("old", 4)}
    given: Counter[str] = Counter()
    for n in range(40):
        if n == 20:
            joined["new"] = bench.join("new", 4)
        (call,) = bench.calls(1)
        bench.queue.start([call])
        (holder,) = [name for name, (_, link) in joined.items() if link.write()]
        given[holder] += 1
        bench.queue.on_results(joined[holder][0].worker, [(call.number, b"1")], [])
    assert given == {"old": 30, "new": 10}


async def test_no_worker_is_ever_given_more_than_its_capacity() -> None:
    bench = Bench()
    links = [bench.join(str(n), n + 1)[1] for n in range(5)]
    bench.queue.start(bench.calls(15))
    assert [len(link.pending) for link in links] == [1, 2, 3, 4, 5]
    assert bench.queue.free_slots() == 0


async def test_a_result_frees_the_slot_and_reaches_the_engine_once() -> None:
    bench = Bench()
    joined, _ = bench.join(capacity=1)
    (call,) = bench.calls(1)
    bench.queue.start([call])
    bench.queue.on_results(joined.worker, [(call.number, b"7"), (call.number, b"8"), (999, b"9")], [])
    assert bench.sink.results == [(call, b"7")]
    assert bench.queue.free_slots() == 1


async def test_an_output_above_the_limit_fails_its_item_only() -> None:
    bench = Bench()
    joined, _ = bench.join()
    large, small = bench.calls(2)
    bench.queue.start([large, small])
    bench.queue.on_results(joined.worker, [(large.number, b"1" * 65), (small.number, b"1")], [])
    (_, failure), ok = bench.sink.results
    assert isinstance(failure, CallFailure) and failure.code is FlowErrorCode.COMPONENT_FAILED
    assert ok == (small, b"1")


async def test_an_input_that_no_message_holds_fails_its_item_only() -> None:
    bench = Bench()
    _, link = bench.join()
    large, small = bench.calls(2)
    large.input = b"1" * 3_500_001
    bench.queue.start([large, small])
    await _turn()
    assert list(link.pending.values()) == [small]
    ((call, failure),) = bench.sink.results
    assert call is large and isinstance(failure, CallFailure) and "3500001 bytes" in failure.message


async def test_what_nobody_offers_fails_and_what_busy_ones_offer_waits() -> None:
    bench = Bench()
    able, able_link = bench.join("able", 1, ["/rare", "/work"])
    bench.join("other", 4, ["/work"])
    first, second = bench.calls(2, "/rare")
    (unknown,) = bench.calls(1, "/unknown")
    bench.queue.start([first, second, unknown])
    await _turn()
    assert [call for call, _ in bench.sink.results] == [unknown]
    assert list(able_link.pending.values()) == [first]
    able_link.write()
    bench.queue.on_results(able.worker, [(first.number, b"1")], [])
    await _turn()
    assert list(able_link.pending.values()) == [second]


async def test_calls_that_wait_for_a_worker_that_goes_are_not_forgotten() -> None:
    bench = Bench()
    able, link = bench.join("able", 1, ["/rare"])
    bench.join("other", 4, ["/work"])
    calls = bench.calls(2, "/rare")
    bench.queue.start(calls)
    link.write()
    bench.queue.on_leaving(able.worker, [calls[0].number])
    bench.queue.on_disconnected(able.worker, link)
    await _turn()
    assert bench.sink.unsent == [calls[0]]
    ((call, failure),) = bench.sink.results
    assert call is calls[1] and isinstance(failure, CallFailure) and failure.code is FlowErrorCode.COMPONENT_NOT_FOUND


async def test_a_worker_that_comes_back_in_time_goes_on_with_what_it_holds() -> None:
    bench = Bench()
    joined, link = bench.join()
    seen, unseen, unwritten = bench.calls(3)
    bench.queue.start([seen, unseen])
    link.write()
    bench.queue.start([unwritten])
    bench.queue.on_disconnected(joined.worker, link)
    assert bench.sink.unsent == [unwritten]
    assert bench.queue.free_slots() == 0
    again, _ = bench.join(session=SESSION, held=[seen.number, 77])
    assert again.unwanted == {77}
    await _turn()
    assert bench.sink.unsent == [unwritten, unseen]
    bench.queue.on_results(again.worker, [(seen.number, b"1")], [])
    assert bench.sink.results == [(seen, b"1")]
    assert not bench.sink.lost and not bench.sink.crashed


async def test_a_silent_worker_is_lost_after_the_bound_and_what_it_held_is_under_no_suspicion() -> None:
    bench = Bench()
    joined, link = bench.join()
    calls = bench.calls(2)
    bench.queue.start(calls)
    link.write()
    bench.queue.heard(joined.worker)
    bench.now_s += AWAY_S - 0.1
    bench.queue._tick()
    assert not bench.sink.lost
    bench.now_s += 0.2
    bench.queue._tick()
    assert bench.sink.lost == calls and not bench.sink.crashed
    assert link.closed
    bench.queue.on_results(joined.worker, [(calls[0].number, b"late")], [])
    assert not bench.sink.results
    await bench.queue.close()


async def test_silence_counts_from_the_last_word_also_when_the_connection_breaks_later() -> None:
    bench = Bench()
    joined, link = bench.join()
    calls = bench.calls(1)
    bench.queue.start(calls)
    link.write()
    bench.now_s += AWAY_S - 1
    bench.queue.on_disconnected(joined.worker, link)
    bench.now_s += 1.1
    bench.queue._tick()
    assert bench.sink.lost == calls
    await bench.queue.close()


async def test_only_who_is_there_at_two_losses_is_suspected() -> None:
    bench = Bench()
    joined, link = bench.join("one")
    twice, once = bench.calls(2)
    bench.queue.start([twice])
    link.write()
    bench.queue.on_leaving(joined.worker, [])
    bench.queue.on_disconnected(joined.worker, link)
    assert bench.sink.lost == [twice]
    second, link = bench.join("two")
    bench.queue.start([twice, once])
    link.write()
    bench.queue.on_leaving(second.worker, [])
    bench.queue.on_disconnected(second.worker, link)
    assert bench.sink.crashed == [twice]
    assert bench.sink.lost == [twice, once]


async def test_suspects_get_a_worker_of_their_own() -> None:
    bench = Bench()
    busy, _ = bench.join("busy", 4)
    bench.queue.start(bench.calls(1))
    _, idle_link = bench.join("idle", 4)
    suspects = bench.calls(2)
    assert bench.queue.can_start_alone()
    bench.queue.start_alone(suspects)
    assert list(idle_link.pending.values()) == suspects
    assert bench.queue.free_slots() == 3, "the worker of suspects takes nothing else"
    assert not bench.queue.can_start_alone()
    assert busy.worker.used == 1


async def test_suspects_wait_for_a_worker_that_offers_them() -> None:
    bench = Bench()
    able, able_link = bench.join("able", 4, ["/rare"])
    bench.join("other", 4, ["/work"])
    (running,) = bench.calls(1, "/rare")
    bench.queue.start([running])
    able_link.write()
    (suspect,) = bench.calls(1, "/rare")
    assert bench.queue.can_start_alone()
    bench.queue.start_alone([suspect])
    await _turn()
    assert not able_link.pending and not bench.sink.unsent
    assert not bench.queue.can_start_alone()
    bench.queue.on_results(able.worker, [(running.number, b"1")], [])
    await _turn()
    assert list(able_link.pending.values()) == [suspect]


async def test_a_cancel_is_answered_by_the_worker_and_by_results() -> None:
    bench = Bench()
    joined, link = bench.join()
    unwritten, dropped, running, ended = calls = bench.calls(4)
    bench.queue.start([dropped, running, ended])
    link.write()
    bench.queue.start([unwritten])
    # One slot is left, so the fourth call is on its way.
    unconfirmed = asyncio.ensure_future(bench.queue.cancel(calls))
    await _turn()
    assert sorted(link.cancelled) == [dropped.number, running.number, ended.number]
    assert [call for call, _ in bench.sink.results] == [unwritten]
    bench.queue.on_cancelled(joined.worker, [dropped.number], [running.number])
    assert not unconfirmed.done()
    bench.queue.on_results(joined.worker, [(ended.number, b"1")], [])
    async with asyncio.timeout(0.5):
        assert await unconfirmed == 0
    assert [call for call, _ in bench.sink.results] == [unwritten, dropped, ended]


async def test_a_cancel_of_what_nobody_holds_is_answered_at_once() -> None:
    bench = Bench()
    bench.join("able", 1, ["/rare"])
    bench.join("other", 4)
    calls = bench.calls(2, "/rare")
    bench.queue.start(calls)
    async with asyncio.timeout(0.5):
        assert await bench.queue.cancel([calls[1], *bench.calls(1)]) == 0
    await _turn()
    assert [call for call, _ in bench.sink.results] == [calls[1]]


async def test_a_cancel_reaches_a_worker_that_comes_back() -> None:
    bench = Bench()
    joined, link = bench.join()
    (call,) = bench.calls(1)
    bench.queue.start([call])
    link.write()
    bench.queue.on_disconnected(joined.worker, link)
    bench.queue.cancel([call])
    _, link = bench.join(session=SESSION, held=[call.number])
    assert link.cancelled == [call.number]


async def test_a_parked_call_lends_its_slot_and_takes_one_again() -> None:
    bench = Bench()
    joined, link = bench.join(capacity=1)
    waiting, nested = bench.calls(2)
    bench.queue.start([waiting])
    bench.queue.park(waiting)
    assert bench.queue.free_slots() == 1
    bench.queue.start([nested])
    assert not bench.queue.try_unpark(waiting)
    bench.queue.on_results(joined.worker, [(nested.number, b"1")], [])
    assert bench.queue.try_unpark(waiting)
    assert bench.queue.free_slots() == 0
    assert link.pending.keys() == {waiting.number, nested.number}


async def test_a_timed_out_call_holds_its_slot_until_the_worker_lets_go() -> None:
    bench = Bench()
    joined, link = bench.join(capacity=1)
    (call,) = bench.calls(1)
    bench.queue.start([call])
    link.write()
    bench.queue.time_out([call])
    assert link.cancelled == [call.number]
    assert bench.queue.free_slots() == 0
    bench.queue.on_results(joined.worker, [(call.number, b"late")], [])
    assert bench.queue.free_slots() == 1
    assert not bench.sink.results


async def test_progress_and_what_has_begun_reach_the_engine() -> None:
    bench = Bench()
    joined, _ = bench.join()
    (call,) = bench.calls(1)
    bench.queue.start([call])
    for number, fraction in ((call.number, 0.5), (call.number, 7.0), (999, 0.5)):
        bench.queue.on_progress(joined.worker, number, fraction, "half\n")
    bench.queue.on_started(joined.worker, [call.number, 999])
    assert bench.sink.progress == [(call, 0.5, "half\\n")]
    assert bench.sink.started == [call]


async def test_a_worker_that_leaves_gives_back_what_it_has_not_begun() -> None:
    bench = Bench()
    joined, link = bench.join()
    begun, unbegun = bench.calls(2)
    bench.queue.start([begun, unbegun])
    link.write()
    bench.queue.on_leaving(joined.worker, [unbegun.number])
    assert bench.sink.unsent == [unbegun]
    assert bench.queue.free_slots() == 0 and not link.closed
    bench.queue.on_results(joined.worker, [(begun.number, b"1")], [])
    assert link.closed == ["nothing is left to do"]


async def test_a_worker_id_belongs_to_one_worker() -> None:
    bench = Bench()
    bench.join("one")
    with pytest.raises(InvalidArgumentError, match="worker_id"):
        bench.join("one")
    with pytest.raises(InvalidArgumentError, match="worker_id"):
        bench.join("one", session="another gateway's")


async def test_a_worker_that_never_saw_its_welcome_begins_anew() -> None:
    bench = Bench()
    joined, link = bench.join("one")
    calls = bench.calls(1)
    bench.queue.start(calls)
    link.write()
    bench.queue.on_disconnected(joined.worker, link)
    again, _ = bench.join("one")
    assert bench.sink.lost == calls
    assert again.worker is not joined.worker and bench.queue.free_slots() == 4


async def test_executions_of_another_gateway_are_unwanted() -> None:
    bench = Bench()
    joined, _ = bench.join(session="of the former gateway", held=[1, 2])
    assert joined.unwanted == {1, 2}


async def test_nobody_is_let_in_while_the_gateway_stops() -> None:
    bench = Bench()
    _, link = bench.join()
    await bench.queue.close()
    assert link.drained and link.closed
    with pytest.raises(FlowspanError, match="stops"):
        bench.join("two")


async def test_what_died_with_a_process_behind_the_worker_is_repeated_with_care() -> None:
    bench = Bench()
    joined, _ = bench.join()
    first, second, failed, skipped = bench.calls(4)
    bench.queue.start([first, second, failed, skipped])
    crash = WireError(-32002, "it ended with signal 11", b'{"reason":"PLUGIN_CRASHED"}')
    bench.queue.on_results(
        joined.worker,
        [],
        [
            (first.number, crash),
            (failed.number, WireError(-32000, "no")),
            (second.number, crash),
            (skipped.number, WireError(0, "not today")),
        ],
    )
    assert bench.sink.crashed == [first, second]
    (call, failure), skip = bench.sink.results
    assert call is failed and isinstance(failure, CallFailure)
    assert skip == (skipped, CallSkip("not today"))
    assert bench.queue.free_slots() == 4


@pytest.mark.parametrize(
    ("name", "path", "fits"),
    [
        ("/users/{id}", "/users/7", True),
        ("/users/{id}", "/users/", False),
        ("/users/{id}", "/users/7/8", False),
        ("/users/{id}/mail", "/users/7/mail", True),
        ("/users/{id}/mail", "/users/7/male", False),
        ("/a.c", "/abc", False),
    ],
)
def test_a_parameter_stands_for_one_part_of_a_path(name: str, path: str, fits: bool) -> None:
    assert PathPattern(name).fits(path) is fits


@pytest.mark.parametrize("name", ["/x{a}", "/{a}{b}", "/{}", "/{a", "/a}"])
def test_a_parameter_is_a_whole_part(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="whole part"):
        PathPattern(name)
