"""Components that wait for sub-runs which their own process executes: waits take no slot, so nothing can lock up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowspan.view.events import RunStatusCode
from runtime_core.stores.sqlite import SqliteStore
from tests.contract.requirements import requirement
from tests.e2e.house import house, one_step, python_plugin

SERVERS = Path(__file__).parent / "servers.py"


@requirement("submit.sequence.executes-inputs", "submit.param.maxConcurrency")
@pytest.mark.parametrize("component", ["descend", "descend_blocking"])
async def test_a_chain_of_eight_waits_fits_one_process_with_one_slot(tmp_path: Path, component: str) -> None:
    async with house(python_plugin("py", SERVERS, "1"), store=SqliteStore(tmp_path / "data")) as h:
        flow_id = await h.flow(one_step(f"/py/{component}"))
        run = await h.submit(flow_id, [json.dumps({"levels": 8, "flow_id": flow_id}).encode()], max_concurrency=1)
        fold = await h.follow(run.run_id)
        assert fold.results[0].value == 8, fold.results[0].error


@requirement("submit.sequence.executes-inputs")
@pytest.mark.parametrize("component", ["descend", "descend_blocking"])
async def test_three_hundred_waits_in_one_process_for_sub_runs_of_that_process(tmp_path: Path, component: str) -> None:
    async with house(python_plugin("py", SERVERS, "8"), store=SqliteStore(tmp_path / "data")) as h:
        flow_id = await h.flow(one_step(f"/py/{component}"))
        value = json.dumps({"levels": 1, "flow_id": flow_id}).encode()
        run = await h.submit(flow_id, [value] * 300, max_concurrency=300)
        fold = await h.follow(run.run_id)
        assert fold.status is RunStatusCode.SUCCESS
        assert [fold.results[n].value for n in range(300)] == [1] * 300


@requirement("submit.sequence.executes-inputs")
@pytest.mark.parametrize("component", ["descend", "descend_blocking"])
async def test_deeper_than_the_limit_is_refused_instead_of_running_for_ever(tmp_path: Path, component: str) -> None:
    async with house(python_plugin("py", SERVERS, "1"), store=SqliteStore(tmp_path / "data")) as h:
        flow_id = await h.flow(one_step(f"/py/{component}"))
        run = await h.submit(flow_id, [json.dumps({"levels": 99, "flow_id": flow_id}).encode()])
        fold = await h.follow(run.run_id)
        assert fold.status is RunStatusCode.FAILED
