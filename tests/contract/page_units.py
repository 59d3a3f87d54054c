"""Every unit of the contract page: hash, a few of its words, and what it demands. See tests/contract/page.py."""

from __future__ import annotations

from typing import Final

from tests.contract.page import Unit

_HEADING: Final = "a heading"
_FORMAT: Final = "a word of the diagram's language, or a table's head"

PAGE_UNITS: Final[tuple[Unit, ...]] = (
    Unit("32080211", "# Runs", why_none=_HEADING),
    Unit("52a6f1ed", "Run methods enable component servers to submit and", ("overview.during-execution",)),
    Unit(
        "40dc50df",
        "These methods provide bidirectional communication capabilities for components",
        ("overview.during-execution", "submit.direction", "get.direction"),
    ),
    Unit("7337f3d0", "## Overview", why_none=_HEADING),
    Unit("873fa70b", "The run methods currently include:", why_none="introduces the list behind it"),
    Unit("5ee66e3b", "1. **`runs/submit`** - Submit a workflow run for", ("overview.submit",)),
    Unit("59b2ab22", "2. **`runs/get`** - Retrieve run status and results", ("overview.get",)),
    Unit(
        "bb2b7138",
        "These methods allow component servers to programmatically execute",
        ("use-case.orchestration", "use-case.batch"),
    ),
    Unit("ec45dd53", "## Run Method Sequences", why_none=_HEADING),
    Unit("e1b605be", "### Run Submission Sequence", why_none=_HEADING),
    Unit("536f52ac", "sequenceDiagram", why_none=_FORMAT),
    Unit("5cf6ed6d", "participant R as Runtime", why_none="names a participant"),
    Unit("31149371", "participant S as Component Server", why_none="names a participant"),
    Unit(
        "e17328f4",
        "Note over R,S: Component execution in progress",
        ("submit.sequence.execution-in-progress", "poll.sequence.execution-in-progress"),
    ),
    Unit("928a4986", "S->>+R: runs/submit (flow_id, inputs, wait=true)", ("submit.sequence.request", "params.spelling")),
    Unit("ded8474d", "Note over R: Load workflow from blob storage", ("submit.sequence.flow-from-blob-store",)),
    Unit("43378a1e", "Note over R: Execute workflow with inputs", ("submit.sequence.executes-inputs",)),
    Unit("bba67dff", "R-->>-S: RunStatus with results", ("submit.sequence.answers-with-results",)),
    Unit("ab6b98e0", "Note over S: Use run results in component", ("submit.sequence.results-in-component",)),
    Unit("e52814dd", "### Async Run Submission and Polling", why_none=_HEADING),
    Unit("7cee4f06", "S->>+R: runs/submit (flow_id, inputs, wait=false)", ("poll.sequence.submit",)),
    Unit("e2057df4", "Note over R: Start workflow execution", ("poll.sequence.starts",)),
    Unit("326d507b", 'R-->>-S: RunStatus (status: "running")', ("poll.sequence.answers-running",)),
    Unit("e9288b27", "Note over S: Continue other work...", ("poll.sequence.other-work",)),
    Unit("6127fbbf", "S->>+R: runs/get (run_id, wait=true)", ("poll.sequence.get",)),
    Unit("0a0248d1", "Note over R: Wait for completion", ("poll.sequence.waits-for-completion",)),
    Unit("7793a2d7", 'R-->>-S: RunStatus (status: "success", results)', ("poll.sequence.answers-with-results",)),
    Unit("17ff0edb", "## runs/submit Method", why_none=_HEADING),
    Unit("45a3c5d5", "**Method Name:** `runs/submit`", ("submit.name",)),
    Unit("41e36bc4", "**Direction:** Component Server → Runtime", ("submit.direction", "get.direction")),
    Unit("81b6a5d8", "**Type:** Request (expects response)", ("submit.response", "get.response")),
    Unit("86ba8e9e", "Submit a workflow run for execution.", ("overview.submit",)),
    Unit("945034c8", "The workflow must already be stored as a", ("submit.flow-must-be-stored",)),
    Unit("dacb9f2c", "### Parameters", why_none=_HEADING),
    Unit("4e118cd7", "| Field | Type | Required | Description", why_none=_FORMAT),
    Unit("868a9433", "| `flowId` | string | Yes | The", ("submit.param.flowId",)),
    Unit("3a46fae6", "| `inputs` | array | Yes | Array", ("submit.param.inputs",)),
    Unit("2a187330", "| `wait` | boolean | No | If", ("submit.param.wait", "get.param.wait")),
    Unit("62cf434a", "| `maxConcurrency` | number | No | Maximum", ("submit.param.maxConcurrency",)),
    Unit("4dcf8aee", "| `overrides` | object | No | Workflow", ("submit.param.overrides",)),
    Unit(
        "30cb7e8f", "| `observability` | object | No | Observability", ("submit.param.observability", "get.param.observability")
    ),
    Unit("3963488c", "### Request Example", why_none=_HEADING),
    Unit(
        "6fd58c1f", '{ "jsonrpc": "2.0", "id": "submit-run-001", "method": "runs/submit", "params":', ("submit.example.request",)
    ),
    Unit("41899911", "### Response Example", why_none=_HEADING),
    Unit(
        "4ec2ae0c",
        '{ "jsonrpc": "2.0", "id": "submit-run-001", "result": { "runId":',
        ("submit.example.response", "status.absent-not-null", "status.extra-members"),
    ),
    Unit("b59aff28", "## runs/get Method", why_none=_HEADING),
    Unit("2a2eab1a", "**Method Name:** `runs/get`", ("get.name",)),
    Unit("4b4f4e21", "Retrieve the status and optionally results of a", ("get.purpose",)),
    Unit("99fce153", "| `runId` | string | Yes | The", ("get.param.runId",)),
    Unit("e98f2a08", "| `includeResults` | boolean | No | If", ("get.param.includeResults",)),
    Unit("b4beea2e", "| `resultOrder` | string | No | Order", ("get.param.resultOrder",)),
    Unit("86c414cf", '{ "jsonrpc": "2.0", "id": "get-run-001", "method": "runs/get", "params":', ("get.example.request",)),
    Unit(
        "d27f8949",
        '{ "jsonrpc": "2.0", "id": "get-run-001", "result": { "runId":',
        ("get.example.response", "status.absent-not-null", "status.extra-members"),
    ),
    Unit("3290e100", "## Run Status Fields", why_none=_HEADING),
    Unit("7a5accf9", "The `RunStatus` response includes:", why_none="introduces the table behind it"),
    Unit("5c0ef493", "| Field | Type | Description |", why_none=_FORMAT),
    Unit("c2f51dcb", "| `runId` | string | Unique identifier for", ("status.runId",)),
    Unit("24c045df", "| `flowId` | string | Blob ID of", ("status.flowId",)),
    Unit("c1443a92", "| `flowName` | string | Name of the", ("status.flowName",)),
    Unit("5efd6213", "| `flowLabel` | string | Label for the", ("status.flowLabel",)),
    Unit("589367fb", '| `status` | string | Overall status: "pending",', ("status.status",)),
    Unit("bfa0d551", "| `items` | object | Statistics about run", ("status.items",)),
    Unit("7a8d7ace", "| `createdAt` | string | ISO 8601 timestamp", ("status.createdAt",)),
    Unit("840dc343", "| `completedAt` | string | ISO 8601 timestamp", ("status.completedAt",)),
    Unit("c5292602", "| `results` | array | Array of item", ("status.results",)),
    Unit("e2f5ae8c", "## Use Cases", why_none=_HEADING),
    Unit("d53a8561", "### Sub-workflow Orchestration", why_none=_HEADING),
    Unit("28195a99", "A component can submit a sub-workflow as part", ("use-case.orchestration",)),
    Unit(
        "8680c5bd", "@server.component async def orchestrator(input: Input, ctx: StepflowContext) ->", ("use-case.orchestration",)
    ),
    Unit("84d9f7ce", "### Batch Processing", why_none=_HEADING),
    Unit("542b34ce", "Process multiple items using a workflow:", ("use-case.batch",)),
    Unit("7b286e61", "@server.component async def batch_processor(input: Input, ctx: StepflowContext) ->", ("use-case.batch",)),
    Unit("966d5b57", "### Async Execution with Polling", why_none=_HEADING),
    Unit("2bd72c2f", "For long-running workflows, submit asynchronously and poll for", ("use-case.polling",)),
    Unit("9af4deaf", "@server.component async def async_processor(input: Input, ctx: StepflowContext) ->", ("use-case.polling",)),
)
