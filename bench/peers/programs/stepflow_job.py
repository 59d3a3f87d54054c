"""Stepflow: its orchestrator as a process of its own, its Python worker below it, its Python client here.

Usage: stepflow_job.py sqlite|memory python|builtin DIRECTORY. One run per order; the call that submits it waits for all results.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from exchange import payload, serve_async, tell_ready
from stepflow_orchestrator import OrchestratorConfig, StepflowOrchestrator
from stepflow_py import StepflowClient

AT_ONCE = 256
WORKER_AT_ONCE = 64
"""Of the worker's tasks; its default, 4, was slower here, and 256 no faster."""
WAIT_S = 55


def configuration(store: str, directory: str) -> dict[str, Any]:
    worker = ["-m", "stepflow_py.worker.main", "--max-concurrent", str(WORKER_AT_ONCE)]
    quiet = {"STEPFLOW_QUEUE_NAME": "python", "STEPFLOW_TRACE_ENABLED": "false", "STEPFLOW_LOG_LEVEL": "ERROR"}
    sqlite = {"type": "sqlite", "databaseUrl": f"sqlite:{directory}/stepflow.db?mode=rwc"}
    return {
        "plugins": {
            "builtin": {"type": "builtin"},
            "python": {"type": "grpc", "command": sys.executable, "args": worker, "queueName": "python", "env": quiet},
        },
        "routes": {"/python": [{"plugin": "python"}], "/builtin": [{"plugin": "builtin"}]},
        "storageConfig": sqlite if store == "sqlite" else {"type": "inMemory"},
    }


def flow(component: str) -> dict[str, Any]:
    """The echo of its worker, or the built-in that does least: one message out of one text."""
    if component == "python":
        step = {"component": "/python/echo", "input": {"$input": "$"}}
    else:
        step = {"component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "$.data"}}}
    return {"name": "echo", "steps": [{"id": "echo", **step}], "output": {"$step": "echo"}}


async def main(store: str, component: str, directory: str) -> None:
    config = OrchestratorConfig(config=configuration(store, directory), log_level="error")
    async with StepflowOrchestrator.start(config) as orchestrator:
        client = StepflowClient.connect(orchestrator.url, options=[("grpc.max_receive_message_length", -1)])
        flow_id = (await client.store_flow(flow(component))).flow_id

        async def run(items: int) -> None:
            inputs = [payload(index) for index in range(items)]
            answer = await client.run(flow_id, inputs, max_concurrency=AT_ONCE, timeout=WAIT_S + 5, wait_timeout=WAIT_S)
            if answer.summary.items.completed != items or len(answer.results) != items:
                raise ValueError(f"{answer.summary.items.completed} of {items} items completed within {WAIT_S} s")

        tell_ready("stepflow-orchestrator", "stepflow-py")
        await serve_async(run)
        await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
