"""What the gateway can be asked about itself, gathered when it is asked: counters and sizes that are there anyway.

Nothing here is kept per item. A gateway with very many open runs is looked at in slices, so that its work goes on between them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from flowspan import __version__
from flowspan.view.events import RunStatusCode
from gateway.catalog import CountedServer, PluginHealth
from gateway.telemetry import dropped_lines
from gateway.telemetry.exposition import Family, Sample
from gateway.telemetry.observer import GatewayObserver
from runtime_core.engine.open_run import OpenRun
from runtime_core.engine.runtime import Runtime
from runtime_core.stores.statistics import StoreStatistics

if TYPE_CHECKING:
    from gateway.grpc_server.server import GrpcServer

SLICE_RUNS: Final = 500
"""Open runs looked at in one go: about a millisecond."""

_OUTCOMES: Final = ("success", "failed", "cancelled")


@runtime_checkable
class CountingStore(Protocol):
    """A store that counts its work; the port does not ask for it."""

    def statistics(self) -> StoreStatistics: ...


class Figures:
    """Gathers families of figures. Counters count from the start of this process."""

    def __init__(
        self,
        runtime: Runtime,
        observer: GatewayObserver,
        plugins: Sequence[CountedServer],
        server: Callable[[], GrpcServer | None],
    ) -> None:
        self._runtime = runtime
        self._observer = observer
        self._plugins = plugins
        self._server = server
        self._earlier_items: Counter[str] = Counter()
        self._earlier_events = 0

    def begin(self) -> None:
        """After recovery: what open runs brought along was the work of an earlier process."""
        for run in self._runtime.open_runs.values():
            self._earlier_items.update(_ended_items(run))
            self._earlier_events += run.committed_seq

    async def collect(self) -> list[Family]:
        runtime, observer = self._runtime, self._observer
        # Taken together, without a pause: what ends during the look is counted once.
        runs = list(runtime.open_runs.values())
        items, events = observer.ended_items.copy(), observer.ended_events
        ended_runs = observer.ended_runs.copy()
        families = [
            Family("flowspan_info", "gauge", "Version of the gateway.", [Sample(1, {"version": __version__})]),
            _counter("flowspan_runs_accepted_total", "Runs that became durable.", observer.accepted_runs),
            Family(
                "flowspan_runs_ended_total",
                "counter",
                "Runs that ended, by status.",
                [
                    Sample(ended_runs[status], {"status": status.name.lower()})
                    for status in RunStatusCode
                    if status >= RunStatusCode.SUCCESS
                ],
            ),
            observer.submit_seconds.family("flowspan_submit_seconds", "From the first check of a submit to its commit."),
        ]
        open_runs: Counter[str] = Counter(pending=0, running=0)
        open_items: Counter[str] = Counter(pending=0, running=0)
        waiting: Counter[str] = Counter(dict.fromkeys((plugin.name for plugin in self._plugins), 0))
        for position, run in enumerate(runs, 1):
            counts = run.counts()
            open_runs["running" if counts.pending < counts.total else "pending"] += 1
            open_items["pending"] += counts.pending
            open_items["running"] += counts.running
            items.update(_ended_items(run))
            events += run.committed_seq
            for lane, run_lane in run.lanes.items():
                name = lane.server.name
                if name in waiting:  # paths that lead nowhere have lanes too, named by whoever wrote the flow
                    waiting[name] += len(run_lane.ready)
            if position % SLICE_RUNS == 0:
                await asyncio.sleep(0)
        items.subtract(self._earlier_items)
        families += [
            _by("flowspan_runs_open", "gauge", "Runs that have not ended.", "status", open_runs),
            _by("flowspan_items_open", "gauge", "Items of open runs that have not ended.", "status", open_items),
            Family(
                "flowspan_items_ended_total",
                "counter",
                "Items whose result is durable, by outcome; skipped ones count as success.",
                [Sample(items[outcome], {"outcome": outcome}) for outcome in _OUTCOMES],
            ),
            _counter("flowspan_events_total", "Events that became durable.", events - self._earlier_events),
            _gauge("flowspan_calls_in_flight", "Component calls under way.", len(runtime.dispatcher.calls)),
            _gauge("flowspan_calls_parked", "Of these, calls that wait for sub-runs.", len(runtime.dispatcher.parking)),
            _gauge("flowspan_watches_open", "Readers that follow runs.", runtime.open_watches),
            _by("flowspan_calls_waiting", "gauge", "Calls whose claim is durable and that wait for a slot.", "plugin", waiting),
        ]
        return [*families, *self._store(), *self._plugin_families(), *self._grpc(), *self._telemetry()]

    def _store(self) -> list[Family]:
        store = self._runtime.store
        if not isinstance(store, CountingStore):
            return []
        counts = store.statistics()
        return [
            _counter("flowspan_store_commits_total", "Commits of the store.", counts.commits),
            _counter("flowspan_store_rows_total", "Rows of logs that were committed.", counts.rows),
            _counter("flowspan_store_writes_total", "Other writes that were applied.", counts.calls),
        ]

    def _plugin_families(self) -> list[Family]:
        facts = {plugin.name: plugin.statistics for plugin in self._plugins}
        up = {plugin.name: int(plugin.status().health is PluginHealth.UP) for plugin in self._plugins}
        return [
            _by("flowspan_plugin_up", "gauge", "Whether a process of the plugin takes calls.", "plugin", up),
            *(
                _by(f"flowspan_plugin_{name}", kind, meaning, "plugin", {plugin: fact[key] for plugin, fact in facts.items()})
                for name, kind, key, meaning in _PLUGIN_FACTS
            ),
        ]

    def _grpc(self) -> list[Family]:
        server = self._server()
        if server is None:
            return []
        now = server.statistics()
        return [
            _gauge("flowspan_grpc_watch_streams", "Open streams of events.", now.watch_streams),
            _gauge("flowspan_grpc_writing_bytes", "Bytes under way to readers that read.", now.writing_bytes),
            _gauge("flowspan_grpc_stalled_bytes", "Bytes under way to readers that do not.", now.stalled_bytes),
            _gauge("flowspan_grpc_submissions", "Submits and other changes that are being worked on.", now.submissions),
        ]

    def _telemetry(self) -> list[Family]:
        families = [_counter("flowspan_log_lines_dropped_total", "Log lines that stderr did not take.", dropped_lines())]
        traces = self._observer.traces
        if traces is not None:
            families += [
                _counter("flowspan_spans_total", "Spans handed to the exporter.", traces.recorded),
                _counter("flowspan_spans_dropped_total", "Spans that were too many for their second.", traces.dropped),
            ]
        return families


_PLUGIN_FACTS: Final = (
    ("processes", "gauge", "processes", "Processes of the plugin."),
    ("calls_in_flight", "gauge", "in_flight", "Calls that the plugin works on."),
    ("calls_parked", "gauge", "parked", "Of these, calls that wait for sub-runs."),
    ("queued_bytes", "gauge", "queued_bytes", "Bytes that the plugin has not read yet."),
    ("restarts_total", "counter", "restarts", "Processes that ended and are started anew."),
)


def _ended_items(run: OpenRun) -> dict[str, int]:
    tally = run.committed
    return {"success": tally.success, "failed": tally.failed, "cancelled": tally.cancelled}


def _counter(name: str, meaning: str, value: int) -> Family:
    return Family(name, "counter", meaning, [Sample(value)])


def _gauge(name: str, meaning: str, value: int) -> Family:
    return Family(name, "gauge", meaning, [Sample(value)])


def _by(name: str, kind: str, meaning: str, label: str, values: dict[str, int] | Counter[str]) -> Family:
    samples = [Sample(value, {label: key}) for key, value in values.items()]
    return Family(name, "counter" if kind == "counter" else "gauge", meaning, samples)
