"""The client that the conformance runner drives: see tests/conformance/PROTOCOL.md."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import traceback
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from flowspan import AsyncClient
from flowspan.errors import FlowspanError, InvalidArgumentError, RequestCancelledError
from flowspan.view.events import Outcome
from flowspan.view.status import ItemResult, RunStatus

Command = dict[str, Any]


def answer(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def without_unset(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def result_of(item: ItemResult) -> dict[str, Any]:
    outcome = item.outcome.name.lower()
    error = item.error
    return without_unset(
        item_index=item.item_index,
        outcome=outcome,
        value_json=written(item.value) if outcome == "success" else None,
        error=None
        if error is None
        else without_unset(
            code=str(error.code),
            message=error.message,
            data_json=None if error.data is None else written(error.data_value),
        ),
        reason=item.reason,
        item_label=item.item_label,
        source_item_index=item.source_item_index,
    )


def status_of(run: RunStatus) -> dict[str, Any]:
    items = run.items
    counts = {name: getattr(items, name) for name in ("total", "pending", "running", "success", "failed", "cancelled")}
    return without_unset(
        run_id=run.run_id,
        flow_id=run.flow_id,
        status=run.status.wire_name,
        items=counts,
        as_of_seq=run.as_of_seq,
        results=None if run.results is None else [result_of(item) for item in run.results],
    )


def value_of(text: str | None) -> Any:
    return None if text is None else json.loads(text)


class Program:
    """The connection and the commands that are open."""

    def __init__(self) -> None:
        self._connected: AsyncClient | None = None
        self._place: tuple[str, str | None] = ("", None)
        self._open: dict[int, asyncio.Task[None]] = {}

    @property
    def client(self) -> AsyncClient:
        if self._connected is None:
            raise InvalidArgumentError("connect comes first")
        return self._connected

    def begin(self, command: Command) -> None:
        task = asyncio.create_task(self._handle(command))
        self._open[command["id"]] = task
        task.add_done_callback(lambda _: self._open.pop(command["id"], None))

    async def end(self) -> None:
        """At the end of stdin: what is open is given up."""
        for task in (tasks := list(self._open.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connected is not None:
            await self._connected.aclose()

    async def _handle(self, command: Command) -> None:
        try:
            answer({"id": command["id"], "ok": await getattr(self, "op_" + command["op"])(command)})
        except asyncio.CancelledError:
            # `stop`, or the end of stdin: this task has no owner who waits for its end in another way.
            self._fail(command, RequestCancelledError("given up"))
        except FlowspanError as error:
            self._fail(command, error)
        except Exception as error:
            traceback.print_exc()
            self._fail(command, FlowspanError(f"{type(error).__name__}: {error}"))

    def _fail(self, command: Command, error: FlowspanError) -> None:
        failure = {
            "reason": error.reason.value,
            "grpc": error.row.grpc.value,
            "message": error.message,
            "retryable": error.retryable,
            "details": error.details,
        }
        answer({"id": command["id"], "error": failure})

    async def op_connect(self, command: Command) -> dict[str, Any]:
        if self._connected is not None:
            await self._connected.aclose()
        self._place = (command["target"], command.get("token"))
        self._connected = AsyncClient(self._place[0], token=self._place[1])
        await self._connected.health()
        return {"sdk": "flowspan-python", "version": version("flowspan")}

    async def op_store_flow(self, command: Command) -> dict[str, Any]:
        return {"flow_id": await self.client.store_flow(value_of(command["flow_json"]))}

    async def op_put_blob(self, command: Command) -> dict[str, Any]:
        encoded = command.get("data_base64")
        data = value_of(command["data_json"]) if encoded is None else base64.b64decode(encoded)
        return {"blob_id": await self.client.put_blob(data, command.get("blob_type"))}

    async def op_get_blob(self, command: Command) -> dict[str, Any]:
        data = await self.client.get_blob(command["blob_id"])
        if isinstance(data, bytes):
            return {"blob_type": "binary", "data_base64": base64.b64encode(data).decode()}
        return {"data_json": written(data)}

    async def op_submit(self, command: Command) -> dict[str, Any]:
        return status_of(await self.client.submit(command["flow_id"], inputs_of(command), **options_of(command)))

    async def op_submit_stream(self, command: Command) -> dict[str, Any]:
        return status_of(await self.client.submit(command["flow_id"], streamed(inputs_of(command)), **options_of(command)))

    async def op_get(self, command: Command) -> dict[str, Any]:
        order = command.get("order") or "byIndex"
        return status_of(await self.client.get(command["run_id"], command.get("include_results") or False, order))

    async def op_wait(self, command: Command) -> dict[str, Any]:
        await self.client.wait(command["run_id"], command.get("timeout_s"))
        return status_of(await self.client.get(command["run_id"], True, command.get("order") or "byIndex"))

    async def op_watch(self, command: Command) -> dict[str, Any]:
        order = "byIndex" if command.get("by_index") else None
        async with self.client.watch(command["run_id"], command.get("after_seq") or 0, order) as watch:
            async for item in watch:
                answer({"id": command["id"], "event": {"result": result_of(item), "cursor": watch.cursor}})
            # A watch from a cursor has not seen what describes the run.
            status = watch.status or await self.client.get(command["run_id"])
            return {"status": status_of(status), "cursor": watch.cursor}

    async def op_run(self, command: Command) -> dict[str, Any]:
        return status_of(await self.client.run(command["flow_id"], inputs_of(command), **options_of(command)))

    async def op_cancel(self, command: Command) -> dict[str, Any]:
        return status_of(await self.client.cancel(command["run_id"], command.get("reason") or ""))

    async def op_retry(self, command: Command) -> dict[str, Any]:
        indexes = command.get("item_indexes") or ()
        return status_of(await self.client.retry(command["run_id"], indexes, request_id=command.get("request_id")))

    async def op_delete(self, command: Command) -> dict[str, Any]:
        await self.client.delete(command["run_id"])
        return {}

    async def op_list_runs(self, command: Command) -> dict[str, Any]:
        pages = self.client.list(
            statuses=command.get("statuses") or (),
            label=command.get("flow_label") or "",
            metadata=command.get("metadata"),
            page_size=command.get("page_size") or 0,
        )
        return {"run_ids": [run.run_id async for run in pages]}

    async def op_list_items(self, command: Command) -> dict[str, Any]:
        outcomes = [Outcome[word.upper()] for word in command.get("outcomes") or ()]
        pages = self.client.items(command["run_id"], outcomes=outcomes, page_size=command.get("page_size") or 10_000)
        return {"results": [result_of(item) async for item in pages]}

    async def op_components(self, command: Command) -> dict[str, Any]:
        return {"names": [component.path for component in (await self.client.components()).components]}

    async def op_stop(self, command: Command) -> dict[str, Any]:
        if (task := self._open.get(command["op_id"])) is not None:
            task.cancel()
        return {}

    async def op_deadline(self, command: Command) -> dict[str, Any]:
        async with AsyncClient(self._place[0], token=self._place[1], timeout_s=command["timeout_ms"] / 1000) as hurried:
            return status_of(await hurried.get(command["run_id"]))


def inputs_of(command: Command) -> list[Any]:
    return [value_of(text) for text in command["inputs_json"]]


async def streamed(values: list[Any]) -> AsyncIterator[Any]:
    for value in values:
        yield value


def options_of(command: Command) -> dict[str, Any]:
    return {
        "max_concurrency": command.get("max_concurrency"),
        "overrides": value_of(command.get("overrides_json")),
        "variables": value_of(command.get("variables_json")),
        "label": command.get("flow_label"),
        "metadata": command.get("metadata"),
        "item_labels": command.get("item_labels"),
        "deadline_s": command.get("deadline_s"),
        "request_id": command.get("request_id"),
    }


async def main() -> None:
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    program = Program()
    while line := await reader.readline():
        program.begin(json.loads(line))
    await program.end()


if __name__ == "__main__":
    asyncio.run(main())
