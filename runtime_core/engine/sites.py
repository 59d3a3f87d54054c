"""Where the calls of a run's steps go: a site for each step, at the lane of its component server."""

from __future__ import annotations

from flowspan.errors import FlowErrorCode
from flowspan.view.status import FlowError
from runtime_core.calls import CallFailure, CallTemplate
from runtime_core.engine.lane import Lane, RunLane
from runtime_core.engine.open_run import OpenRun
from runtime_core.engine.step_site import SiteChoice, StepSite
from runtime_core.engine.unreachable import Unreachable
from runtime_core.flow.plan import PlannedStep
from runtime_core.flow.retry import retry_policy
from runtime_core.limits import Limits
from runtime_core.ports import ComponentServer, Route, RouteChoice


def site_of(
    run: OpenRun,
    step: PlannedStep,
    route: Route | RouteChoice | FlowError,
    lanes: dict[ComponentServer, Lane],
    limits: Limits,
    *,
    may_be_instant: bool,
) -> StepSite:
    """The site of a step; a lane for a server that has none yet joins `lanes`.

    `route`: where the step's component leads; an error gives it a server of its own that refuses all calls. Where that depends
    on the input, the site is the first of several (`StepSite.choice`).
    `may_be_instant`: a component that needs no call is done without one.
    """
    if isinstance(route, RouteChoice):
        ends: list[Route | FlowError] = [*route.routes, route.none]
        sites = [_site_of(run, step, end, lanes, limits, may_be_instant=may_be_instant) for end in ends]
        sites[0].choice = SiteChoice(route.choose, sites)
        sites[0].is_plain = False
        return sites[0]
    return _site_of(run, step, route, lanes, limits, may_be_instant=may_be_instant)


def _site_of(
    run: OpenRun,
    step: PlannedStep,
    route: Route | FlowError,
    lanes: dict[ComponentServer, Lane],
    limits: Limits,
    *,
    may_be_instant: bool,
) -> StepSite:
    if isinstance(route, FlowError):
        failure = CallFailure(FlowErrorCode(route.code), route.message)
        route = Route(Unreachable(step.component, failure), step.component)
    lane = lanes.get(route.server)
    if lane is None:
        lane = lanes[route.server] = Lane(route.server)
    template = CallTemplate(
        namespace=run.namespace,
        run_id=run.run_id,
        flow_id=run.description.flow_id,
        step_id=step.id,
        step_index=step.index,
        component=route.component,
        timeout_s=step.timeout_s if step.timeout_s is not None else limits.call_timeout_s,
        trace_id=run.settings.trace_id,
        parent_span_id=run.settings.span_id,
        depth=run.settings.depth,
        sampled=run.settings.sampled,
    )
    policy = retry_policy(step.on_error, step.retry, limits.transport_retries)
    instant = route.server.instant(route.component) if may_be_instant else None
    return StepSite(run, step, template, lane, run_lane_of(run, lane), policy, instant)


def run_lane_of(run: OpenRun, lane: Lane) -> RunLane:
    """The run as a claimant at `lane`; made at its first step there."""
    run_lane = run.lanes.get(lane)
    if run_lane is None:
        run_lane = run.lanes[lane] = RunLane(run, lane)
    return run_lane
