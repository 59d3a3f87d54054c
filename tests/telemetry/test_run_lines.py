"""Log lines about runs and plugins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import CapturingLogger

from flowspan.view.events import RunStatusCode
from flowspan.view.status import ItemCounts, RunDescription, RunStatus
from gateway.telemetry.observer import RUN_LINES_PER_S, GatewayObserver
from gateway.telemetry.second_budget import SecondBudget
from runtime_core.ports import RunTrace
from tests.e2e.house import one_step
from tests.telemetry.house import PLUGIN, watched_house

TRACE = RunTrace("1" * 32, "2" * 16, "", True)
DESCRIPTION = RunDescription(
    run_id="r", flow_id="f", total=3, created_at_us=1_000_000, max_concurrency=10, root_run_id="r", flow_name="name"
)


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    caught = CapturingLogger()
    structlog.configure(processors=[], logger_factory=lambda *_: caught, cache_logger_on_first_use=False)
    seen: list[dict[str, object]] = []

    def keep(_logger: object, method: str, event: dict[str, object]) -> dict[str, object]:
        seen.append({**event, "level": method})
        raise structlog.DropEvent

    structlog.configure(processors=[keep])  # type: ignore[list-item]  # the type wants a MutableMapping
    try:
        yield seen
    finally:
        structlog.reset_defaults()


def named(lines: list[dict[str, object]], event: str) -> list[dict[str, object]]:
    return [line for line in lines if line["event"] == event]


async def test_a_run_has_a_line_at_its_begin_and_one_at_its_end(lines: list[dict[str, object]]) -> None:
    async with watched_house(PLUGIN) as h:
        run = await h.submit(await h.flow(one_step("/p/once_held")), [b"{}", b"{}"])
        await h.follow(run.run_id)
    (accepted,), (ended,) = named(lines, "run_accepted"), named(lines, "run_ended")
    assert (accepted["run_id"], accepted["items"], accepted["flow"]) == (run.run_id, 2, "one step")
    assert (ended["run_id"], ended["status"], ended["failed"], ended["level"]) == (run.run_id, "success", 0, "info")
    (up,) = named(lines, "plugin_up")
    assert up["plugin"] == "p"
    said = named(lines, "plugin_stderr")
    assert {line["plugin"] for line in said} == {"p"}
    assert "a line for the log" in {line["text"] for line in said}
    assert named(lines, "gateway_ready") and named(lines, "gateway_stopped")


def test_thousands_of_runs_in_a_second_leave_some_lines_and_their_number(lines: list[dict[str, object]]) -> None:
    now_s = 5.0
    observer = GatewayObserver(clock_s=lambda: now_s)
    status = RunStatus(DESCRIPTION, RunStatusCode.SUCCESS, ItemCounts(3, 0, 0, 3, 0, 0), 9, 2_000_000)
    for _ in range(1_000):
        observer.on_run_accepted(DESCRIPTION, 0.001)
        observer.on_run_ended(status, TRACE)
    assert len(lines) == RUN_LINES_PER_S
    now_s = 6.0
    observer.on_run_ended(status, TRACE)
    (left_out,) = named(lines, "run_lines_left_out")
    assert left_out["lines"] == 2_000 - RUN_LINES_PER_S
    assert observer.accepted_runs == 1_000 and observer.ended_items["success"] == 3_003


def test_a_budget_is_new_each_second() -> None:
    budget = SecondBudget(2)
    assert [budget.take(now_s) for now_s in (0.0, 0.1, 0.2, 0.99, 1.0, 1.5, 1.6)] == [True, True, False, False, True, True, False]
    assert budget.refused == 3
