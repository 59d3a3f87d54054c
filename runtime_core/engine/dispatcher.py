"""The engine's heart: results in, log rows out; after their commit, the next calls.

Decisions are made in the pure parts (`RunMachine`, `ItemExecution`, `FairQueue`, `Suspects`); this shell performs them, in
batches: whatever one read from a component server brings is one turn, one row per run, one write per server.

Nothing here awaits. Every method leaves the state whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Final

from flowspan.errors import FlowErrorCode
from flowspan.view.events import Outcome
from runtime_core.calls import CallFailure, CallNaming, CallResult, CallSkip, ComponentCall
from runtime_core.engine.abandonment import take_abandoned
from runtime_core.engine.delays import DelayQueue
from runtime_core.engine.lane import Lane, suspect_key
from runtime_core.engine.losses import Losses
from runtime_core.engine.open_run import CommitNote, OpenRun
from runtime_core.engine.parking import Parking
from runtime_core.engine.sites import run_lane_of, site_of
from runtime_core.engine.step_site import InstantSteps, StepSite
from runtime_core.engine.unreachable import BROKEN_SLOTS, Unreachable
from runtime_core.limits import Limits
from runtime_core.ports import Append, Clock, ComponentRouter, ComponentServer, Store

SWEEP_S: Final = 0.25
"""How often deadlines of executions are looked at: time-outs are late by at most this."""
BACKSTOP_SLACK_S: Final = 5.0
"""How much later than a server that keeps time-outs itself the engine gives an execution up: its threads may be busy, its
answer on its way."""


class Dispatcher:
    """Moves open runs. Implements `runtime_core.ports.EngineSink`.

    Attributes:
        calls: executions that are with a component server, by number.
        on_run_ended: called after the terminal event of a run is durable.
        on_progress_report: called with what components report.
        on_broken: called with an error of our own in the middle of a turn: what is in memory cannot be trusted any more.
        is_recovering: not all open runs are known yet; nothing starts.
        on_calls_ended: called with attempts that ended, if anybody looks on.
    """

    def __init__(self, store: Store, router: ComponentRouter, clock: Clock, limits: Limits, naming: CallNaming) -> None:
        self.calls: dict[int, ComponentCall] = {}
        self.parking = Parking()
        self.lanes: dict[ComponentServer, Lane] = {}
        self.on_run_ended: Callable[[OpenRun], None] = lambda run: None
        self.on_progress_report: Callable[[ComponentCall, float, str], None] = lambda call, fraction, message: None
        self.on_calls_ended: Callable[[Sequence[CallResult]], None] | None = None
        self.on_inputs_wanted: Callable[[OpenRun, int], None] = lambda run, item_index: None
        self.on_cancel_wanted: Callable[[ComponentServer, list[ComponentCall]], None] = lambda server, calls: None
        self.on_sub_runs_abandoned: Callable[[list[OpenRun]], None] = lambda runs: None
        self.on_large_results: Callable[[OpenRun, list[tuple[int, Outcome, bytes]]], None] = lambda run, results: None
        self.on_broken: Callable[[BaseException], None] = lambda error: None
        self.is_stopping = False
        self.is_store_full = False
        self.is_recovering = False
        self._store = store
        self._router = router
        self._clock = clock
        self._limits = limits
        self._naming = naming
        self._loop = asyncio.get_running_loop()
        self._delays = DelayQueue(self._loop)
        self._turn_handle: asyncio.Handle | None = None
        self._in_turn = False
        self._is_closed = False
        self._dirty: dict[OpenRun, None] = {}
        self._first: list[CommitNote] = []
        self._first_handle: asyncio.Handle | None = None
        self._instants = InstantSteps()
        self._failed: list[CallResult] = []
        self._losses = Losses(self.calls, self.parking, self._dirty_now, self._requeue)
        self._inline = Lane(Unreachable("flows without components", None))
        self._sweeper: asyncio.TimerHandle | None = self._loop.call_later(SWEEP_S, self._sweep)

    def close(self) -> None:
        """No call goes out after this. What is with component servers is left to them."""
        self.is_stopping = self._is_closed = True
        self._delays.close()
        for handle in (self._sweeper, self._turn_handle, self._first_handle):
            if handle is not None:
                handle.cancel()

    @property
    def is_busy(self) -> bool:
        """Executions run, those that wait for sub-runs aside, or are about to: their claims are being committed."""
        return len(self.calls) > len(self.parking) or any(lane.reserved for lane in self.lanes.values())

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Run `action` in the loop's thread in `delay_s` seconds."""
        self._delays.after(delay_s, action)

    def execution(self, task_token: str | None) -> ComponentCall | None:
        """The open execution of a token; None for no token or an execution that is over."""
        if not task_token:
            return None
        number = self._naming.number_of_token(task_token)
        return None if number is None else self.calls.get(number)

    # --- runs come and go

    def attach(self, run: OpenRun) -> None:
        """Give a run its sites and lanes. It takes part in scheduling after `enter`."""
        run.instants = self._instants
        # Somebody who looks on at calls is to see them all.
        is_watched = self.on_calls_ended is not None
        run.sites = [
            site_of(run, step, self._router.resolve(step.component), self.lanes, self._limits, may_be_instant=not is_watched)
            for step in run.plan.steps
        ]
        several = run.plan.component_steps > 1
        run.journals_steps = several and any(
            site.choice is not None or site.lane.server.journals(site.template.component) for site in run.sites
        )
        first = next((index for index in run.plan.initial_ready if index < len(run.sites)), None)
        # Where inputs decide, items start whichever of the servers is there.
        is_open = first is None or run.sites[first].choice is not None
        run.entry = run_lane_of(run, self._inline) if is_open else run.sites[first or 0].run_lane
        run.entry.is_entry = True

    def enter(self, run: OpenRun) -> None:
        """The run wants slots from now on, unless it has left before."""
        if run.has_left:
            return
        for lane, run_lane in run.lanes.items():
            lane.queue.add(run_lane)
        self._want_inputs(run)
        self.turn_soon()

    def leave(self, run: OpenRun) -> None:
        """The run wants no slots any more."""
        run.has_left = True
        for lane, run_lane in run.lanes.items():
            lane.queue.remove(run_lane)
            run_lane.ready.clear()
            if lane.suspect_calls:
                lane.drop_suspects(run)
            if isinstance(lane.server, Unreachable):
                self.lanes.pop(lane.server, None)  # it was this run's alone

    def start_at_once(self, run: OpenRun) -> None:
        """Start as many items of a run that is just being submitted as there are slots that nobody else waits for."""
        assert run.entry is not None
        lane = run.entry.lane
        self._want_inputs(run)
        if self._turn_handle is not None:
            self.turn()  # others first: what is free after a turn, nobody else wants
        if self._may_start() and not lane.resuming and not lane.holds_back:
            count = min(self._free(lane), run.startable())
            if count > 0:
                self._start_items(lane, run, count)

    def withdraw(self, run: OpenRun, notes: Iterable[object]) -> None:
        """A run that was never created: give back what was reserved for it."""
        self.leave(run)
        for note in notes:
            self.release(note)

    def release(self, note: object) -> None:
        """A row that is not to be: give back what was reserved for what it would have started."""
        if isinstance(note, CommitNote):
            self._release(note)
            self.turn_soon()

    def inputs_loaded(self, run: OpenRun) -> None:
        """More items of the run may start."""
        assert run.entry is not None
        if not run.has_left:
            self._want_inputs(run)
            run.entry.lane.queue.add(run.entry)
            self.turn_soon()

    def touch(self, run: OpenRun) -> None:
        """The run has news for its log; the next turn writes them."""
        self._dirty[run] = None
        self.turn_soon()

    # --- what component servers tell (EngineSink)

    def on_results(self, results: list[CallResult]) -> None:
        """Calls ended; one turn for all of them."""
        calls, dirty = self.calls, self._dirty
        if self.on_calls_ended is not None:
            self.on_calls_ended([result for result in results if result[0].number in calls])
        plain: list[tuple[ComponentCall, bytes]] = []  # successes of one site, told together
        plain_site: StepSite | None = None
        for call, result in results:
            if calls.pop(call.number, None) is None:
                continue  # timed out or cancelled meanwhile
            site: StepSite = call.owner
            if site is not plain_site:
                if plain:
                    plain[0][0].owner.run.on_plain_outputs(plain)
                    plain = []
                plain_site = site if site.is_plain and not site.lane.suspects.is_trying else None
                dirty[site.run] = None
            if site is plain_site and type(result) is bytes:
                plain.append((call, result))
                continue
            run = site.run
            if type(result) is bytes:
                run.on_output(call, site, result)
            elif type(result) is CallSkip:
                run.on_output(call, site, result.payload(), Outcome.SKIPPED)
            elif self.is_stopping and not run.is_cancelling:
                continue  # it may have failed because we stop; the next gateway repeats it
            else:
                run.on_failure(call, site, result)  # type: ignore[arg-type]
            if site.lane.suspects.is_trying:
                site.lane.suspects.ended([suspect_key(call)])
        if plain:
            plain[0][0].owner.run.on_plain_outputs(plain)
        if len(self.parking):
            for call, _ in results:
                self.parking.forget(call)
        self.turn()

    def on_slots(self, server: ComponentServer) -> None:
        self.turn_soon()

    def on_crash(
        self, server: ComponentServer, calls: Sequence[ComponentCall], unsent: Sequence[ComponentCall], failure: CallFailure
    ) -> None:
        """A process died. What never reached it goes back to its queue; what was in flight is tried again with care."""
        if self.is_stopping:
            self._losses.drop((*calls, *unsent))
            return
        if unsent:
            self._losses.take_back(self.lanes[server], unsent)
        in_flight = self._losses.take(calls)
        if self.on_calls_ended is not None:
            self.on_calls_ended([(call, failure) for call in in_flight])
        self._losses.crash(in_flight, failure)
        self.turn()

    def on_lost(self, server: ComponentServer, calls: Sequence[ComponentCall], failure: CallFailure) -> None:
        """The way to these is lost. They are repeated, under no suspicion."""
        if self.is_stopping:
            self._losses.drop(calls)
            return
        lost = self._losses.take(calls)
        if self.on_calls_ended is not None:
            self.on_calls_ended([(call, failure) for call in lost])
        self._losses.lose(lost, failure)
        self.turn()

    def _dirty_now(self, run: OpenRun) -> None:
        self._dirty[run] = None

    def on_progress(self, call: ComponentCall, fraction: float, message: str) -> None:
        self.on_progress_report(call, fraction, message)

    def on_started(self, calls: Sequence[ComponentCall]) -> None:
        """The servers of these keep their time-outs; should one hang, their executions still end. Only the first word counts."""
        backstop_s = self._clock.monotonic_s() + BACKSTOP_SLACK_S
        for call in calls:
            if call.number in self.calls and call.deadline_s == inf:
                call.deadline_s = backstop_s + call.template.timeout_s

    # --- what the store tells

    def on_committed(self, appends: Sequence[Append]) -> None:
        """Rows are durable: others may see them, and the calls that they cover go out."""
        by_lane: dict[Lane, list[ComponentCall]] = {}
        wants_turn = False
        for append in appends:
            note = append.context
            if not isinstance(note, CommitNote):
                continue
            run = note.run
            run.on_durable(note)
            if note.granted or note.queued or note.retries:
                wants_turn |= self._perform(note, by_lane)
            if append.end is not None:
                self._end(run)
        for lane, calls in by_lane.items():
            self._send(lane, calls)
        if wants_turn:
            self.turn()

    def perform_first(self, note: CommitNote) -> None:
        """The first row of a run, which is written by its creation, is durable. Its calls go out soon, together with those of the
        other runs of the commit: one write per server."""
        note.run.on_durable(note)
        if note.granted or note.queued or note.retries:
            self._first.append(note)
            if self._first_handle is None and not self._is_closed:
                self._first_handle = self._loop.call_soon(self._perform_all_first)

    def _perform_all_first(self) -> None:
        self._first_handle = None
        notes, self._first = self._first, []
        by_lane: dict[Lane, list[ComponentCall]] = {}
        wants_turn = False
        for note in notes:
            wants_turn |= self._perform(note, by_lane)
        for lane, calls in by_lane.items():
            self._send(lane, calls)
        if wants_turn:
            self.turn_soon()

    def _perform(self, note: CommitNote, by_lane: dict[Lane, list[ComponentCall]]) -> bool:
        """Let a durable note take effect; sends are collected. True if queues have grown or slots were given back."""
        run = note.run
        if run.has_left:
            self._release(note)
            return True
        for lane, calls in note.granted:
            lane.reserved -= len(calls)
            if lane in by_lane:
                by_lane[lane] += calls
            else:
                by_lane[lane] = calls
        for call in note.queued:
            self._queue(call)
        for retry in note.retries:
            self._perform_retry(retry.call, retry.delay_s, alone=retry.alone)
        return bool(note.queued or note.retries)

    def _perform_retry(self, call: ComponentCall, delay_s: float, *, alone: bool) -> None:
        if alone:
            lane = call.owner.lane
            lane.suspects_pending -= 1
            if call.item_index in call.owner.run.items:
                lane.suspect_calls[suspect_key(call)] = call
            else:
                lane.suspects.forget(suspect_key(call))
        elif delay_s > 0:
            self._delays.after(delay_s, lambda: self._requeue(call))
        else:
            self._requeue(call)

    def _requeue(self, call: ComponentCall) -> None:
        """A call whose claim is durable waits for a slot, ahead of others of its run."""
        run = call.owner.run
        if call.item_index in run.items and not run.has_left:
            run_lane = call.owner.run_lane
            run_lane.ready.appendleft(call)
            run_lane.lane.queue.add(run_lane)
            self.turn_soon()

    def _queue(self, call: ComponentCall) -> None:
        """A call that may go out waits for a slot, behind others of its run."""
        run_lane = call.owner.run_lane
        if call.item_index in run_lane.run.items:
            run_lane.ready.append(call)
            run_lane.lane.queue.add(run_lane)

    def _release(self, note: CommitNote) -> None:
        """What a note would have started is not to start."""
        for lane, calls in note.granted:
            lane.reserved -= len(calls)
        for retry in note.retries:
            if retry.alone:
                lane = retry.call.owner.lane
                lane.suspects_pending -= 1
                lane.suspects.forget(suspect_key(retry.call))

    def _end(self, run: OpenRun) -> None:
        self.leave(run)
        self.on_run_ended(run)

    # --- turns

    def turn_soon(self) -> None:
        """A turn at the next opportunity, one for all who ask until then."""
        if self._turn_handle is None and not self._is_closed:
            self._turn_handle = self._loop.call_soon(self._soon)

    def _soon(self) -> None:
        self._turn_handle = None
        self.turn()

    def turn(self) -> None:
        """Give free slots to those who wait, and write what has happened."""
        if self._in_turn:
            self.turn_soon()
            return
        if self._is_closed:
            return
        self._in_turn = True
        try:
            if self._failed:
                self._fail_now()
            self._ask_dirty()
            if self._may_start():
                self._serve(self._inline)
                for lane in list(self.lanes.values()):
                    self._serve(lane)
            else:
                for lane in self.lanes.values():
                    lane.let_resume(self.parking)
            if self._dirty:
                self._write()
        except Exception as error:
            self.on_broken(error)
        finally:
            self._in_turn = False
            self._instants.left = InstantSteps.PER_TURN

    def _ask_dirty(self) -> None:
        """Runs of which items have ended may start others. What those left behind is cancelled first."""
        abandoning = [run for run in self._dirty if run.abandoned]
        if abandoning:
            left_behind = take_abandoned(abandoning, self.calls.values())
            for server, calls in left_behind.calls.items():
                self.on_cancel_wanted(server, calls)
            if left_behind.sub_runs:
                self.on_sub_runs_abandoned(left_behind.sub_runs)
        for run in self._dirty:
            if not run.has_left and run.machine.startable:
                assert run.entry is not None
                run.entry.lane.queue.add(run.entry)

    def _may_start(self) -> bool:
        return not (self.is_stopping or self.is_store_full or self.is_recovering)

    def _serve(self, lane: Lane) -> None:
        lane.let_resume(self.parking)
        if not lane.suspects.is_idle:
            if lane.server.broken is not None:
                self._send(lane, lane.take_all_suspects())
            suspects = lane.take_suspects()
            if suspects:
                self._register(lane, suspects)
                lane.server.start_alone(suspects)
        if not len(lane.queue) or lane.holds_back:
            return
        free = self._free(lane)
        if free <= 0:
            return
        ready: list[ComponentCall] = []
        for run_lane, count in lane.queue.grant(free):
            queue = run_lane.ready
            while count and queue:
                call = queue.popleft()
                if call.item_index in run_lane.run.items:
                    ready.append(call)
                    count -= 1
            if count and run_lane.is_entry:
                count = min(count, run_lane.run.startable())
                if count:
                    self._start_items(lane, run_lane.run, count)
                self._want_inputs(run_lane.run)
        if ready:
            self._send(lane, ready)

    def _free(self, lane: Lane) -> int:
        return BROKEN_SLOTS if lane.server.broken is not None else lane.free()

    def _start_items(self, lane: Lane, run: OpenRun, count: int) -> None:
        """Start items whose first calls go to `lane`, for which `count` slots are free. Other calls queue."""
        granted: list[ComponentCall] = []
        queued: list[ComponentCall] = []
        for call in run.start_items(count):
            if call.owner.lane is lane and len(granted) < count:
                granted.append(call)
            else:
                queued.append(call)
        lane.reserved += len(granted)
        if granted:
            run.grant(lane, granted)
        if queued:
            run.enqueue(queued)
        self._dirty[run] = None
        if len(granted) + len(queued) < count and run.run_key:
            assert run.entry is not None
            lane.queue.add(run.entry)
            self.turn_soon()  # some have ended at once: nothing will come back that would start the next ones

    def _want_inputs(self, run: OpenRun) -> None:
        if run.run_key and not run.has_left and not self.is_stopping:
            wanted = run.inputs.next_to_load(run.machine.started)
            if wanted is not None:
                self.on_inputs_wanted(run, wanted)

    def _send(self, lane: Lane, calls: list[ComponentCall]) -> None:
        """These claims are durable: the calls go out."""
        broken = lane.server.broken
        if broken is not None:
            self._register(lane, calls)
            self._failed += [(call, broken) for call in calls]
            self.turn_soon()
            return
        room = lane.server.free_slots()
        if room < len(calls):  # the server went away between the claim and its commit
            for call in reversed(calls[room:]):
                self._requeue(call)
            calls = calls[:room]
        if calls:
            self._register(lane, calls)
            lane.server.start(calls)

    def _register(self, lane: Lane, calls: Sequence[ComponentCall]) -> None:
        self.calls.update([(call.number, call) for call in calls])
        now_s = self._clock.monotonic_s()
        since_s = inf if lane.server.keeps_timeouts else now_s
        for call in calls:
            call.sent_s = now_s
            call.deadline_s = since_s + call.template.timeout_s

    def _fail_now(self) -> None:
        failed, self._failed = self._failed, []
        if self.on_calls_ended is not None:
            self.on_calls_ended([result for result in failed if result[0].number in self.calls])
        for call, failure in failed:
            if self.calls.pop(call.number, None) is not None:
                run = call.owner.run
                run.on_failure(call, call.owner, failure)
                self._dirty[run] = None

    def _write(self) -> None:
        now_us = self._clock.now_us()
        dirty, self._dirty = self._dirty, {}
        appends: list[Append] = []
        for run in dirty:
            if run.large_results:
                large, run.large_results = run.large_results, []
                self.on_large_results(run, large)
            if run.run_key and not run.lost:
                rows = run.flush(now_us)
                if rows:
                    appends += rows
                else:
                    self._queue_unlogged(run)
        if appends:
            self._store.append(appends)

    def _queue_unlogged(self, run: OpenRun) -> None:
        calls = run.take_unlogged()
        for call in calls:
            if not run.has_left:
                self._queue(call)
        if calls:
            self.turn_soon()

    # --- time-outs

    def _sweep(self) -> None:
        """Executions whose time is over. One look at all of them, instead of a timer each."""
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        now_s = self._clock.monotonic_s()
        late = [call for call in self.calls.values() if call.deadline_s <= now_s and not self.parking.is_parked(call)]
        if late:
            self.give_up(late, FlowErrorCode.TIMEOUT)

    def give_up(self, calls: Sequence[ComponentCall], code: FlowErrorCode) -> None:
        """These executions are over for us; their servers are told and clean up."""
        by_server: dict[ComponentServer, list[ComponentCall]] = {}
        for call in calls:
            if self.calls.pop(call.number, None) is None:
                continue
            self.parking.forget(call)
            site: StepSite = call.owner
            by_server.setdefault(site.lane.server, []).append(call)
            site.lane.suspects.ended([suspect_key(call)])
            timeout_s = call.template.timeout_s
            message = (
                f"step {site.step.id} of item {call.item_index}: no answer from {site.lane.server.name} within {timeout_s:g} s"
            )
            failure = CallFailure(code, message)
            if self.on_calls_ended is not None:
                self.on_calls_ended([(call, failure)])
            site.run.on_failure(call, site, failure)
            self._dirty[site.run] = None
        for server, late in by_server.items():
            server.time_out(late)
        self.turn()
