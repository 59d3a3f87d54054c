"""Use case 2: a component runs a workflow that it is given over a batch, and counts what failed."""

import math
from typing import Any

from pydantic import BaseModel

from flowspan.stepflow_names import StepflowContext, StepflowServer

server = StepflowServer()


class Input(BaseModel):
    workflow_id: str
    batch_items: list[Any]


class Output(BaseModel):
    processed: int
    failed: int


@server.component
async def batch_processor(input: Input, ctx: StepflowContext) -> Output:
    """Runs a workflow over a batch."""
    # Submit batch for processing
    run_status = await ctx.submit_run(flow_id=input.workflow_id, inputs=input.batch_items, wait=True, max_concurrency=10)

    # Check for failures
    if run_status.items.failed > 0:
        ctx.log.warning("%d of %d items failed", run_status.items.failed, run_status.items.total)

    return Output(processed=run_status.items.success, failed=run_status.items.failed)


@server.component
def square_root(number: float) -> float:
    """The square root of a number; fails for negative ones."""
    return math.sqrt(number)


if __name__ == "__main__":
    server.run()
