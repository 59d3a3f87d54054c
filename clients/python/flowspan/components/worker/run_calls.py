"""Runs and blobs over gRPC from inside an execution, in its name: the task token links what it submits and lends its slot."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from flowspan.client.answers import RawJson
from flowspan.client.async_client import AsyncClient
from flowspan.client.submission import is_flow_id
from flowspan.client.watch import Watch
from flowspan.components.executions import decode_observability
from flowspan.components.run_calls import ResultOrderLike, WatchOwner
from flowspan.components.values import encode_value
from flowspan.errors import InvalidArgumentError
from flowspan.view.status import ItemResult, RunStatus

_OPTIONS: Final = {
    "maxConcurrency": "max_concurrency",
    "overrides": "overrides",
    "variables": "variables",
    "flowLabel": "label",
    "metadata": "metadata",
    "itemLabels": "item_labels",
    "deadlineSecs": "deadline_s",
    "detached": "detached",
    "requestId": "request_id",
}
"""Names in `runs/submit` and in `AsyncClient.submit`."""


class GrpcRunCalls:
    """`flowspan.components.run_calls.RunCalls` over gRPC."""

    def __init__(self, client: AsyncClient, task_token: str, observability: bytes) -> None:
        self._client = client
        self._token = task_token
        self._observability = observability

    async def put_blob(self, data: Any, blob_type: str) -> str:
        if isinstance(data, (bytes, bytearray, memoryview)):
            return await self._client.put_blob(data)
        return await self._client.put_blob(RawJson(encode_value(data)), blob_type)

    async def get_blob(self, blob_id: str) -> Any:
        return await self._client.get_blob(blob_id)

    async def submit_run(self, options: Mapping[str, Any], inputs: Sequence[Any], wait: bool) -> RunStatus:
        if isinstance(inputs, (str, bytes, Mapping)):
            raise InvalidArgumentError("inputs must be a list with one input per item", field="inputs")
        if not is_flow_id(options["flowId"]):
            raise InvalidArgumentError("flow_id must be sha256: and 64 hexadecimal digits", field="flowId")
        values = [RawJson(encode_value(value)) for value in inputs]
        known: Any = {name: _given(wire, options[wire]) for wire, name in _OPTIONS.items() if options.get(wire) is not None}
        known |= {"task_token": self._token, "traceparent": self._traceparent()}
        if not wait:
            return replace(await self._client.submit(options["flowId"], values, **known), results=None)
        watch: Watch | None = None
        results: list[ItemResult] = []
        timeout_s = options.get("timeoutSecs")
        try:
            async with asyncio.timeout(timeout_s) as bound:
                # The wait ends ahead of the answer: time that the gateway takes to know the run is not the run's.
                watch = await self._client.submit_and_watch(options["flowId"], values, wait_token=self._token, **known)
                while batch := await watch.next_batch():
                    results += batch
        except TimeoutError:
            if not bound.expired() or watch is None or watch.run_id is None:
                raise
            return await self._client.get(watch.run_id, include_results=True)
        finally:
            if watch is not None:
                await watch.aclose()
        status = watch.status
        assert status is not None  # it began with event 1
        labels = options.get("itemLabels")
        if labels:
            results = [msgspec.structs.replace(result, item_label=labels[result.item_index]) for result in results]
        results.sort(key=lambda result: result.item_index)
        return replace(status, results=results)

    async def get_run(
        self, run_id: str, wait: bool, include_results: bool | None, order: ResultOrderLike, timeout_s: float | None
    ) -> RunStatus:
        if wait:
            await self._client.wait(run_id, timeout_s, task_token=self._token)
        with_results = wait if include_results is None else include_results
        return await self._client.get(run_id, include_results=with_results, order=order)

    async def cancel_run(self, run_id: str, reason: str | None) -> None:
        await self._client.cancel(run_id, reason or "")

    def watch(self, run_id: str, after_seq: int, owner: WatchOwner) -> GrpcRunWatch:
        return GrpcRunWatch(self._client, self._token, run_id, after_seq, owner)

    def _traceparent(self) -> str | None:
        ids = decode_observability(self._observability)
        return None if ids is None else ids.traceparent


def _given(name: str, value: Any) -> Any:
    """Values as JSON: they may hold what only the encoder of components knows."""
    return RawJson(encode_value(value)) if name in ("overrides", "variables") else value


class GrpcRunWatch:
    """`flowspan.components.run_calls.ResultsWatch` over gRPC. The execution waits from the first result asked for to the end."""

    def __init__(self, client: AsyncClient, task_token: str, run_id: str, after_seq: int, owner: WatchOwner) -> None:
        self.run_id = run_id
        self.status: RunStatus | None = None
        self._client = client
        self._watch = client.watch(run_id, after_seq, task_token=task_token)
        self._owner = owner
        self._wait: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def cursor(self) -> int:
        return self._watch.cursor

    def __aiter__(self) -> GrpcRunWatch:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def __anext__(self) -> ItemResult:
        if self._closed:
            raise StopAsyncIteration
        if self._wait is None:
            self._wait = asyncio.get_running_loop().create_task(self._wait_for_end())
            self._owner.adopt(self._wait)
        try:
            return await self._watch.__anext__()
        except StopAsyncIteration:
            self.status = self._watch.status or await self._client.get(self.run_id)
            await self.aclose()
            raise
        except BaseException:
            self.cancel()
            raise

    async def aclose(self) -> None:
        """Stop watching; harmless when it is over."""
        wait = self.cancel()
        await self._watch.aclose()
        if wait is not None:
            await asyncio.wait([wait])

    def cancel(self) -> asyncio.Task[None] | None:
        """Stop watching without waiting for it. On the loop's thread."""
        self._closed = True
        wait, self._wait = self._wait, None
        if wait is not None:
            wait.cancel()
        return wait

    async def _wait_for_end(self) -> None:
        """The execution's wait; ends with the watch, or with the execution."""
        self._owner.begin_wait()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._owner.end_wait()
            await self._watch.aclose()
