"""Watches of trees with very many runs: what they cost."""

from __future__ import annotations

import asyncio
import time

from flowspan.view.fold import RunFold
from runtime_core.calls import ComponentCall
from tests.engine.house import ONE_STEP, house

SUB_RUNS = 3_000


async def test_a_tree_of_thousands_of_ended_runs_is_told_in_time_linear_in_their_number() -> None:
    tasks: list[asyncio.Task[None]] = []

    async with house() as here:
        child = await here.flow(ONE_STEP)
        top = await here.flow(ONE_STEP.replace(b'"one"', b'"top"'))

        def behave(call: ComponentCall) -> bytes | None:
            if call.template.flow_id == child:
                return call.input

            async def nest() -> None:
                token = here.runtime.naming.task_token(call.number)
                for number in range(SUB_RUNS):
                    await here.submit(child, [b"%d" % number], task_token=token)
                here.server.answer(call, b"null")

            tasks.append(asyncio.get_running_loop().create_task(nest()))
            return None

        here.server.behave = behave
        run = await here.submit(top, [b"1"])
        await here.follow(run.run_id)
        began_s = time.monotonic()
        folds: dict[str, RunFold] = {}
        watch = await here.runtime.watch_run(run.run_id, whole_tree=True)
        while (batch := await watch.next_batch()) is not None:
            fold = folds.setdefault(batch.run_id, RunFold())
            for row in batch.rows:
                fold.apply_all(here.runtime.codec.decode(row))
        await watch.aclose()
        assert time.monotonic() - began_s < 10.0
        assert len(folds) == SUB_RUNS + 1
        assert all(fold.is_terminal for fold in folds.values())
        assert here.runtime.open_watches == 0
