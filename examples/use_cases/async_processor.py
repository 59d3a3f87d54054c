"""Use case 3: a component submits a run, does other work meanwhile and comes back for the result."""

import asyncio
from typing import Any

from pydantic import BaseModel

from flowspan.stepflow_names import StepflowContext, StepflowServer

server = StepflowServer()


class Input(BaseModel):
    workflow_id: str
    data: Any


class Output(BaseModel):
    result: Any


async def do_other_work() -> None:
    await asyncio.sleep(0.01)


@server.component
async def async_processor(input: Input, ctx: StepflowContext) -> Output:
    """Runs a workflow beside other work."""
    # Submit without waiting
    run_status = await ctx.submit_run(flow_id=input.workflow_id, inputs=[input.data], wait=False)

    # Do other work while workflow runs...
    await do_other_work()

    # Poll for completion
    final_status = await ctx.get_run(run_id=run_status.run_id, wait=True, include_results=True)

    assert final_status.results is not None
    return Output(result=final_status.results[0])


@server.component
async def shout(text: str) -> str:
    """Upper case, after a while."""
    await asyncio.sleep(0.02)
    return text.upper()


if __name__ == "__main__":
    server.run()
