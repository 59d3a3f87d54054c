"""What items leave behind that end while steps of them, which nothing needs any more, are under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from runtime_core.calls import ComponentCall
from runtime_core.engine.open_run import OpenRun
from runtime_core.ports import ComponentServer


@dataclass(slots=True)
class LeftBehind:
    """What is to be cancelled: calls at their servers, and open runs that the abandoned executions have submitted."""

    calls: dict[ComponentServer, list[ComponentCall]] = field(default_factory=dict)
    sub_runs: list[OpenRun] = field(default_factory=list)


def take_abandoned(runs: Sequence[OpenRun], open_calls: Iterable[ComponentCall]) -> LeftBehind:
    """Take what the items that have ended in these runs leave behind. Calls of theirs that wait for a slot, or to be tried
    alone, do not go out.

    Args:
        open_calls: all that are with component servers. Those that are abandoned keep their items' places in their runs until
            they are over: what runs of a run at its servers stays within its limit.
    """
    left = LeftBehind()
    ended = {run: run.abandoned for run in runs}
    for call in open_calls:
        run: OpenRun = call.owner.run
        if call.item_index in ended.get(run, ()):
            run.linger(call)
            left.calls.setdefault(call.owner.lane.server, []).append(call)
    for run, steps in ended.items():
        run.abandoned = {}
        _forget_waiting(run, steps)
        for child, submitter in run.children.items():
            if submitter is not None and submitter[1] in steps.get(submitter[0], ()) and not child.settings.detached:
                left.sub_runs.append(child)
    return left


def _forget_waiting(run: OpenRun, ended: Mapping[int, Sequence[int]]) -> None:
    for lane, run_lane in run.lanes.items():
        if any(call.item_index in ended for call in run_lane.ready):
            run_lane.ready = deque(call for call in run_lane.ready if call.item_index not in ended)
        if lane.suspect_calls:
            lane.drop_suspects(run)
