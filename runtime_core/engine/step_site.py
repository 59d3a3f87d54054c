"""A step of a run at the component server that its path leads to, and how much may be done there without calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from runtime_core.calls import CallAnswer, CallTemplate
from runtime_core.flow.plan import PlannedStep
from runtime_core.flow.retry import RetryPolicy

if TYPE_CHECKING:
    from runtime_core.engine.lane import Lane, RunLane
    from runtime_core.engine.open_run import OpenRun


class SiteChoice(NamedTuple):
    """Where the calls of a step go depends on their input. The last of `sites` takes what no route takes."""

    choose: Callable[[bytes], int]
    sites: list[StepSite]

    def site(self, input: bytes) -> StepSite:
        return self.sites[self.choose(input)]


class StepSite:
    """A step of a run at the component server that its path leads to: the `owner` of its calls.

    Attributes:
        instant: what its component does, where that needs no call (`ComponentServer.instant`), or None.
        choice: where the inputs decide which site it is; None as a rule.
        is_plain: its items are plain (`FlowPlan.is_plain`), and each takes a call.
    """

    __slots__ = ("choice", "instant", "is_plain", "lane", "policy", "run", "run_lane", "step", "template")

    def __init__(
        self,
        run: OpenRun,
        step: PlannedStep,
        template: CallTemplate,
        lane: Lane,
        run_lane: RunLane,
        policy: RetryPolicy,
        instant: Callable[[bytes], CallAnswer] | None,
    ) -> None:
        self.choice: SiteChoice | None = None
        self.instant = instant
        self.is_plain = instant is None and run.plan.is_plain
        self.run = run
        self.step = step
        self.template = template
        self.lane = lane
        self.run_lane = run_lane
        self.policy = policy


class InstantSteps:
    """How many steps that need no call may still be done before the event loop gets its turn.

    Beyond, they go out as calls: a long chain of them must not keep others waiting.
    """

    __slots__ = ("left",)

    PER_TURN: Final = 4_096
    """Some ten milliseconds."""

    def __init__(self) -> None:
        self.left = self.PER_TURN
