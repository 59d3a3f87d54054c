"""Ten thousand items through a spawned Python component: results while it runs, progress that never goes back, both orders."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from flowspan.protobuf.segments import decode_rows
from flowspan.view.fold import RunFold
from flowspan.view.status import ResultOrder, RunStatus
from runtime_core.api import SubmitRun
from runtime_core.stores.sqlite import SqliteStore
from tests.contract.requirements import requirement
from tests.e2e.house import House, house, one_step, python_plugin

SERVERS = Path(__file__).parent / "servers.py"
ITEMS = 10_000


async def _poll(h: House, run_id: str) -> list[RunStatus]:
    """The run's status, as often as it can be had, until its end."""
    seen: list[RunStatus] = []
    began_s, progress_s = time.monotonic(), 0.0
    while not seen or not seen[-1].is_terminal:
        seen.append(await h.api.get_run(run_id, max_bytes=0))
        if seen[-1].items.success and not progress_s:
            progress_s = time.monotonic() - began_s
            print(f"runs/get shows progress {progress_s * 1e3:.1f} ms after the acknowledgement")
        await asyncio.sleep(0.002)
    return seen


@requirement("status.items", "get.param.resultOrder", "overview.get")
async def test_ten_thousand_items_are_seen_while_they_run(tmp_path: Path) -> None:
    async with house(python_plugin("py", SERVERS, "256"), store=SqliteStore(tmp_path / "data")) as h:
        assert await h.gateway.wait_plugins(10)
        flow_id = await h.flow(one_step("/py/tick"))
        inputs = [b"%d" % n for n in range(ITEMS)]
        run = await h.api.submit_run(SubmitRun(flow_id, inputs, max_concurrency=256))
        acknowledged_s = time.monotonic()
        polling = asyncio.ensure_future(_poll(h, run.run_id))
        fold, first_result_s, first_status = RunFold(), 0.0, None
        watch = await h.api.watch_run(run.run_id, after_seq=0)
        arrived: list[int] = []
        async with asyncio.timeout(50):
            while (batch := await watch.next_batch()) is not None:
                for row in batch.rows:
                    for segment in decode_rows(row):
                        arrived += [result.item_index for result in fold.apply(segment)]
                if arrived and first_status is None:
                    first_result_s = time.monotonic() - acknowledged_s
                    first_status = await h.api.get_run(run.run_id, max_bytes=0)
            seen = await polling
        await watch.aclose()
        total_s = time.monotonic() - acknowledged_s
        print(f"first result {first_result_s * 1e3:.1f} ms after the acknowledgement, all after {total_s:.2f} s")
        assert first_status is not None
        assert not first_status.is_terminal
        assert 0 < first_status.items.success < ITEMS
        assert first_result_s < 2.0  # a bound for a loaded machine; the figure above is what counts
        # Progress never goes back, and there is some to see.
        ended = [one.items.success + one.items.failed for one in seen]
        assert ended == sorted(ended)
        assert [one.as_of_seq for one in seen] == sorted(one.as_of_seq for one in seen)
        assert len({count for count in ended if 0 < count < ITEMS}) >= 5
        for one in seen:
            items = one.items
            assert items.total == ITEMS == items.pending + items.running + items.success + items.failed + items.cancelled
            assert items.running <= 256
        # Both orders are true.
        by_index = await h.api.get_run(run.run_id, order=ResultOrder.BY_INDEX, max_bytes=64 << 20)
        by_completion = await h.api.get_run(run.run_id, order=ResultOrder.BY_COMPLETION, max_bytes=64 << 20)
        assert by_index.results is not None
        assert by_completion.results is not None
        assert [(one.item_index, one.value) for one in by_index.results] == [(n, n) for n in range(ITEMS)]
        assert [one.item_index for one in by_completion.results] == arrived
        assert arrived != sorted(arrived)
        assert sorted(arrived) == list(range(ITEMS))
        times = [one.completed_at_us for one in by_completion.results]
        assert times == sorted(times)
