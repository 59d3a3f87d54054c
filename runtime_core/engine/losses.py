"""What becomes of calls whose server went away with them: back into the queue, repeated, or searched for the guilty one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from runtime_core.calls import CallFailure, ComponentCall
from runtime_core.engine.lane import Lane, SuspectKey, suspect_key
from runtime_core.engine.open_run import OpenRun
from runtime_core.engine.parking import Parking


class Losses:
    """Part of the dispatcher.

    Args:
        calls: executions that are with a component server, by number; what is lost is taken out of it.
        touch: the run has news for its log.
        requeue: the call waits for a slot again, ahead of others of its run.
    """

    def __init__(
        self,
        calls: dict[int, ComponentCall],
        parking: Parking,
        touch: Callable[[OpenRun], None],
        requeue: Callable[[ComponentCall], None],
    ) -> None:
        self._calls = calls
        self._parking = parking
        self._touch = touch
        self._requeue = requeue

    def drop(self, calls: Iterable[ComponentCall]) -> None:
        """The gateway stops: the next one repeats them."""
        for call in calls:
            self._calls.pop(call.number, None)
            self._parking.forget(call)

    def take(self, calls: Iterable[ComponentCall]) -> list[ComponentCall]:
        """Of these, the ones that were under way until now."""
        return [call for call in calls if self._calls.pop(call.number, None) is not None]

    def lose(self, calls: Sequence[ComponentCall], failure: CallFailure) -> None:
        """The way to these is lost, and none of them is to blame: they are repeated."""
        for call in calls:
            self._parking.forget(call)
            suspects = call.owner.lane.suspects
            if not suspects.is_idle:
                suspects.forget(suspect_key(call))
            call.owner.run.on_crash(call, call.owner, failure)
            self._touch(call.owner.run)

    def crash(self, calls: Sequence[ComponentCall], failure: CallFailure) -> None:
        """A process of one server died with these in flight: one of them may have brought it down."""
        # What was parked ran no code of its own: it is repeated, but under no suspicion.
        parked = [call for call in calls if self._parking.is_parked(call)]
        suspects = [call for call in calls if not self._parking.is_parked(call)]
        for call in parked:
            self._parking.forget(call)
            call.owner.run.on_crash(call, call.owner, failure)
            self._touch(call.owner.run)
        if not suspects:
            return
        lane = suspects[0].owner.lane
        guilty = lane.suspects.crashed([suspect_key(call) for call in suspects])
        for call in suspects:
            run = call.owner.run
            key = suspect_key(call)
            if run.on_crash(call, call.owner, failure, alone=True, is_guilty=key == guilty):
                lane.suspects_pending += 1
            else:
                lane.suspects.forget(key)
            self._touch(run)

    def take_back(self, lane: Lane, unsent: Sequence[ComponentCall]) -> None:
        """These never reached a process: they wait again, suspects as suspects."""
        suspects: list[SuspectKey] = []
        for call in reversed(unsent):
            if self._calls.pop(call.number, None) is None:
                continue
            run = call.owner.run
            key = suspect_key(call)
            if call.item_index not in run.items:
                run.let_go(call)
                lane.suspects.forget(key)
                self._touch(run)
                continue
            if run.has_left:  # cancelled while it was on its way
                run.cancel_items([call.item_index])
                self._touch(run)
            if not lane.suspects.is_suspect(key):
                self._requeue(call)
            elif run.has_left:
                lane.suspects.forget(key)
            else:
                suspects.append(key)
                lane.suspect_calls[key] = call
        lane.suspects.put_back(reversed(suspects))
