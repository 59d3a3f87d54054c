"""Use case 1: a component stores a sub-workflow, runs it over its input and waits for the results."""

from typing import Any

from pydantic import BaseModel

from flowspan.stepflow_names import StepflowContext, StepflowServer

server = StepflowServer()

sub_workflow_definition = {
    "name": "Square",
    "steps": [{"id": "square", "component": "/orchestrator/square", "input": {"$input": "$.item"}}],
    "output": {"$step": "square"},
}


class Input(BaseModel):
    items: list[float]


class Output(BaseModel):
    results: list[Any]


@server.component
async def orchestrator(input: Input, ctx: StepflowContext) -> Output:
    """Squares all items, each in an item of a sub-run."""
    # Store the sub-workflow as a blob
    flow_id = await ctx.put_blob(sub_workflow_definition)

    # Submit the sub-workflow
    run_status = await ctx.submit_run(
        flow_id=flow_id, inputs=[{"item": item} for item in input.items], wait=True, max_concurrency=5
    )

    return Output(results=list(run_status.results or ()))


@server.component
def square(number: float) -> float:
    """The square of a number."""
    return number * number


if __name__ == "__main__":
    server.run()
