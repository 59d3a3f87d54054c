"""The three use cases of the run methods page, as written there, against a played gateway, over real pipes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.components.conftest import Spawn
from tests.components.played_gateway import Message, PlayedGateway, item, run_status

USE_CASES = """
@server.component
async def orchestrator(input: Input, ctx: StepflowContext) -> Output:
    # Store the sub-workflow as a blob
    flow_id = await ctx.put_blob(sub_workflow_definition)

    # Submit the sub-workflow
    run_status = await ctx.submit_run(
        flow_id=flow_id,
        inputs=[{"item": item} for item in input.items],
        wait=True,
        max_concurrency=5
    )

    return Output(results=run_status.results)

@server.component
async def batch_processor(input: Input, ctx: StepflowContext) -> Output:
    # Submit batch for processing
    run_status = await ctx.submit_run(
        flow_id=input.workflow_id,
        inputs=input.batch_items,
        wait=True,
        max_concurrency=10
    )

    # Check for failures
    if run_status.items.failed > 0:
        # Handle partial failures
        pass

    return Output(
        processed=run_status.items.success,
        failed=run_status.items.failed
    )

@server.component
async def async_processor(input: Input, ctx: StepflowContext) -> Output:
    # Submit without waiting
    run_status = await ctx.submit_run(
        flow_id=input.workflow_id,
        inputs=[input.data],
        wait=False
    )

    # Do other work while workflow runs...
    await do_other_work()

    # Poll for completion
    final_status = await ctx.get_run(
        run_id=run_status.run_id,
        wait=True,
        include_results=True
    )

    return Output(result=final_status.results[0])
"""

PREPARED = """
import pydantic
from flowspan.stepflow_names import StepflowContext
sub_workflow_definition = {"steps": []}
async def do_other_work(): await asyncio.sleep(0)
"""
DATACLASSES = """
@dataclasses.dataclass
class Input:
    items: list[Any] = ()
    workflow_id: str = ""
    batch_items: list[Any] = ()
    data: Any = None

@dataclasses.dataclass
class _Output:
    results: list | None = None
    processed: int | None = None
    failed: int | None = None
    result: Any = None
"""
MODELS = """
class Input(pydantic.BaseModel):
    items: list[Any] = []
    workflow_id: str = ""
    batch_items: list[Any] = []
    data: Any = None

class _Output(pydantic.BaseModel):
    results: list | None = None
    processed: int | None = None
    failed: int | None = None
    result: Any = None
"""
TYPED_MODELS = MODELS.replace("results: list", "results: list[ItemResult]").replace("result: Any", "result: ItemResult | None")
IMPORT_RESULT = "from flowspan.view.status import ItemResult\n"
KINDS = {
    "dataclasses": DATACLASSES + "Output = _Output\n",
    "models": MODELS + "Output = _Output\n",
    "models of results": IMPORT_RESULT + TYPED_MODELS + "Output = _Output\n",
    "dict": DATACLASSES + "Output = dict\n",
}


@pytest.fixture(params=KINDS)
def gateway(request: pytest.FixtureRequest, spawn: Spawn) -> PlayedGateway:
    return spawn(PREPARED + KINDS[request.param] + USE_CASES).initialize()


def _said(output: Message) -> Message:
    return {name: value for name, value in output.items() if value is not None}


def test_sub_workflow_orchestration(gateway: PlayedGateway) -> None:
    request_id = gateway.execute("/orchestrator", {"items": ["a", "b"]})
    put = gateway.next_request("blobs/put")
    assert put["params"]["data"] == {"steps": []}
    gateway.answer(put, {"blob_id": "sha256:1"})
    submit = gateway.next_request("runs/submit")
    assert submit["params"]["inputs"] == [{"item": "a"}, {"item": "b"}]
    assert submit["params"]["maxConcurrency"] == 5
    values: list[Any] = [{"done": 10**30}, 1.0]
    gateway.answer(submit, run_status("run-1", values))
    output = gateway.answer_to(request_id)["result"]["output"]
    assert _said(output) == {"results": [item(0, values[0]), item(1, values[1])]}


def test_batch_processing(gateway: PlayedGateway) -> None:
    request_id = gateway.execute("/batch_processor", {"workflow_id": "sha256:2", "batch_items": [1, 2, 3]})
    submit = gateway.next_request("runs/submit")
    assert submit["params"]["inputs"] == [1, 2, 3]
    assert submit["params"]["maxConcurrency"] == 10
    status = run_status("run-1", [1, 2], "success")
    status["status"] = "failed"
    status["items"].update(total=3, success=2, failed=1)
    gateway.answer(submit, status)
    assert _said(gateway.answer_to(request_id)["result"]["output"]) == {"processed": 2, "failed": 1}


def test_async_execution_with_polling(gateway: PlayedGateway) -> None:
    request_id = gateway.execute("/async_processor", {"workflow_id": "sha256:2", "data": {"n": 1}})
    submit = gateway.next_request("runs/submit")
    assert "wait" not in submit["params"]
    gateway.answer(submit, run_status("run-7", [1], "running"))
    get = gateway.next_request("runs/get")
    assert (get["params"]["runId"], get["params"]["wait"], get["params"]["includeResults"]) == ("run-7", True, True)
    gateway.answer(get, run_status("run-7", [{"n": 2}]))
    assert _said(gateway.answer_to(request_id)["result"]["output"]) == {"result": item(0, {"n": 2})}


def test_the_same_process_executes_while_one_of_its_own_submits_is_open(spawn: Spawn, loop: str) -> None:
    leaf = "\n@server.component\nasync def leaf(input): return input['item'] + '!'\n"
    gateway = spawn(PREPARED + KINDS["dataclasses"] + USE_CASES + leaf, loop=loop, capacity=1).initialize()
    parent = gateway.execute("/orchestrator", {"items": ["a"]})
    gateway.answer(gateway.next_request("blobs/put"), {"blob_id": "sha256:1"})
    submit = gateway.next_request("runs/submit")
    inner = gateway.output("/leaf", submit["params"]["inputs"][0])
    gateway.answer(submit, run_status("run-1", [inner]))
    assert gateway.answer_to(parent)["result"]["output"]["results"] == [item(0, "a!")]
