"""What a component may ask and tell while it runs.

Async components get a `ComponentContext`, whose calls are awaited; sync ones a `BlockingContext` with the same calls, which
block. Both may be made for every execution, so nothing is decoded before it is asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flowspan.components.executions import (
    Execution,
    ExecutionFacts,
    Observability,
    decode_facts,
    decode_observability,
)
from flowspan.components.registry import path_parameters
from flowspan.components.run_calls import ResultOrderLike, ResultsWatch, RunCalls
from flowspan.errors import InvalidArgumentError, RequestCancelledError
from flowspan.idempotency import idempotency_token
from flowspan.view.status import ItemResult, RunStatus

if TYPE_CHECKING:
    from flowspan.components.executor import Executor

_Value = TypeVar("_Value")

PROGRESS_INTERVAL_S: Final = 0.05
"""Progress in between is dropped: watchers cannot tell more than 20 steps a second apart."""


class _ExecutionContext:
    """Facts of the execution, and what needs no answer."""

    def __init__(self, connection: Executor[Any], execution: Execution) -> None:
        self._connection = connection
        self._execution = execution
        self._known_facts: ExecutionFacts | None = None
        self._known_ids: Observability | None = None
        self._known_api: RunCalls | None = None
        self._progress_at_s = 0.0

    # ---------------------------------------------------------------- facts

    @property
    def attempt(self) -> int:
        """From 1; rises with every repetition of this step of this item."""
        return self._facts.attempt or 1

    @property
    def idempotency_token(self) -> str | None:
        """Equal over all attempts of this step of this item: give it to services that recognise repetitions."""
        token = self._facts.idempotencyToken or self._facts.idempotency_token
        if token is None and self.run_id is not None and self.step_id is not None and self.item_index is not None:
            token = idempotency_token(self.run_id, self.item_index, self.step_id)
        return token

    @property
    def task_token(self) -> str | None:
        """What links requests to this execution; sent with all of them."""
        return self._facts.taskToken or self._facts.task_token

    @property
    def run_id(self) -> str | None:
        return self._ids.run_id

    @property
    def flow_id(self) -> str | None:
        return self._ids.flow_id

    @property
    def step_id(self) -> str | None:
        return self._ids.step_id

    @property
    def item_index(self) -> int | None:
        """Which item of the run, if the gateway tells."""
        facts = self._facts
        for known in (facts.itemIndex, facts.item_index, self._ids.item_index):
            if known is not None:
                return known
        return None

    @property
    def path_parameters(self) -> dict[str, str]:
        """What the parameters of the component's name stand for: of `/users/{id}`, called as `/users/7`, `{"id": "7"}`."""
        return path_parameters(self._execution.component.name, self._execution.path) or {}

    @property
    def traceparent(self) -> str | None:
        """W3C trace context of this execution's span."""
        ids = self._ids
        if ids.traceparent is None and ids.trace_id and ids.span_id:
            return f"00-{ids.trace_id}-{ids.span_id}-01"
        return ids.traceparent

    @property
    def cancelled(self) -> bool:
        """Whether the result is not wanted any more: the run was cancelled, the time is over or the gateway is gone."""
        return self._execution.stop is not None

    def raise_if_cancelled(self) -> None:
        """For long loops of sync components. Raises RequestCancelledError."""
        if self._execution.stop is not None:
            raise RequestCancelledError(f"the execution has ended: {self._execution.stop.value}")

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger of the standard library, to stderr, with `run_id`, `step_id` and `item_index` on each record."""
        logger = logging.getLogger("flowspan.component" + self._execution.component.name.replace("/", "."))
        return _ContextLogger(logger, {"run_id": self.run_id, "step_id": self.step_id, "item_index": self.item_index})

    def report_progress(self, fraction: float, message: str | None = None) -> None:
        """Tell watchers how far this execution is; `fraction` in 0..1. Never blocks; at most 20 a second are sent."""
        if not 0 <= fraction <= 1:
            raise InvalidArgumentError(f"progress must be in 0..1, not {fraction}", field="fraction")
        now_s = self._connection.monotonic()
        if now_s - self._progress_at_s < PROGRESS_INTERVAL_S and fraction < 1:
            return
        self._progress_at_s = now_s
        self._connection.tell_progress(self._execution, self.task_token, fraction, message)

    # ---------------------------------------------------------------- for the calls below

    def begin_wait(self) -> None:
        """The time-out of this execution rests from here on."""
        self._connection.begin_wait(self._execution)

    def end_wait(self) -> None:
        self._connection.end_wait(self._execution)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """The task ends with the execution."""
        self._connection.adopt(self._execution, task)

    @property
    def _facts(self) -> ExecutionFacts:
        if self._known_facts is None:
            self._known_facts = decode_facts(self._execution.params)
        return self._known_facts

    @property
    def _ids(self) -> Observability:
        if self._known_ids is None:
            self._known_ids = decode_observability(self._facts.observability) or Observability()
        return self._known_ids

    @property
    def _api(self) -> RunCalls:
        if self._known_api is None:
            self._known_api = self._connection.run_calls(self.task_token, bytes(self._facts.observability))
        return self._known_api

    async def _submit_run(self, options: dict[str, Any], inputs: Sequence[Any], wait: bool) -> RunStatus:
        if not wait:
            return await self._api.submit_run(options, inputs, wait)
        self.begin_wait()
        try:
            return await self._api.submit_run(options, inputs, wait)
        finally:
            self.end_wait()

    async def _get_run(
        self, run_id: str, wait: bool, include_results: bool | None, order: ResultOrderLike, timeout_s: float | None
    ) -> RunStatus:
        if not wait:
            return await self._api.get_run(run_id, wait, include_results, order, timeout_s)
        self.begin_wait()
        try:
            return await self._api.get_run(run_id, wait, include_results, order, timeout_s)
        finally:
            self.end_wait()

    def _watch(self, run_id: str, after_seq: int) -> ResultsWatch:
        return self._connection.watch_run(self._api, run_id, after_seq, self)


def _submit_options(
    flow_id: str,
    max_concurrency: int | None,
    overrides: Mapping[str, Any] | None,
    variables: Mapping[str, Any] | None,
    flow_label: str | None,
    metadata: Mapping[str, str] | None,
    item_labels: Sequence[str] | None,
    deadline_s: float | None,
    timeout_s: float | None,
    detached: bool,
    request_id: str | None,
) -> dict[str, Any]:
    return {
        "flowId": flow_id,
        "maxConcurrency": max_concurrency,
        "overrides": overrides,
        "variables": variables,
        "flowLabel": flow_label,
        "metadata": metadata,
        "itemLabels": None if item_labels is None else list(item_labels),
        "deadlineSecs": deadline_s,
        "timeoutSecs": timeout_s,
        "detached": True if detached else None,
        "requestId": request_id,
    }


class ComponentContext(_ExecutionContext):
    """The second argument of an async component."""

    async def put_blob(self, data: Any, blob_type: str = "data") -> str:
        """Store a value in the gateway's blob store (bytes: as a binary blob); its id, `sha256:...`."""
        return await self._api.put_blob(data, blob_type)

    async def get_blob(self, blob_id: str) -> Any:
        """The value of a blob; bytes for a binary one."""
        return await self._api.get_blob(blob_id)

    async def submit_run(
        self,
        flow_id: str,
        inputs: Sequence[Any],
        wait: bool = False,
        max_concurrency: int | None = None,
        overrides: Mapping[str, Any] | None = None,
        *,
        variables: Mapping[str, Any] | None = None,
        flow_label: str | None = None,
        metadata: Mapping[str, str] | None = None,
        item_labels: Sequence[str] | None = None,
        deadline_s: float | None = None,
        timeout_s: float | None = None,
        detached: bool = False,
        request_id: str | None = None,
    ) -> RunStatus:
        """Run a stored flow over `inputs` as a sub-run of this execution.

        Args:
            wait: until the run is terminal; the status then has results in index order. Waiting takes no slot and no time.
            timeout_s: bound on the wait; when it is over, the status as it stands.
            deadline_s: the run itself is cancelled after so many seconds.
            detached: the run outlives a cancel of its parent.

        Raises:
            FlowspanError: what the gateway answered. A run that fails is a status, not an error.
        """
        options = _submit_options(
            flow_id, max_concurrency, overrides, variables, flow_label, metadata, item_labels, deadline_s, timeout_s,
            detached, request_id,
        )  # fmt: skip
        return await self._submit_run(options, inputs, wait)

    async def get_run(
        self,
        run_id: str,
        wait: bool = False,
        include_results: bool | None = None,
        result_order: ResultOrderLike = "byIndex",
        *,
        timeout_s: float | None = None,
    ) -> RunStatus:
        """The status of a run. Results come with `include_results`, or with `wait` unless `include_results` is False."""
        return await self._get_run(run_id, wait, include_results, result_order, timeout_s)

    def watch_run(self, run_id: str, *, after_seq: int = 0) -> ResultsWatch:
        """Item results as they complete: `async for result in ctx.watch_run(run_id)`."""
        return self._watch(run_id, after_seq)

    async def cancel_run(self, run_id: str, reason: str | None = None) -> None:
        """Cancel a run and its sub-runs; durable when this returns."""
        await self._api.cancel_run(run_id, reason)


class BlockingContext(_ExecutionContext):
    """The second argument of a sync component: the calls of `ComponentContext`, which block this thread only.

    A thread that waits here does not count: another one takes its place.
    """

    def put_blob(self, data: Any, blob_type: str = "data") -> str:
        """See `ComponentContext.put_blob`."""
        return self._wait(self._api.put_blob(data, blob_type))

    def get_blob(self, blob_id: str) -> Any:
        """See `ComponentContext.get_blob`."""
        return self._wait(self._api.get_blob(blob_id))

    def submit_run(
        self,
        flow_id: str,
        inputs: Sequence[Any],
        wait: bool = False,
        max_concurrency: int | None = None,
        overrides: Mapping[str, Any] | None = None,
        *,
        variables: Mapping[str, Any] | None = None,
        flow_label: str | None = None,
        metadata: Mapping[str, str] | None = None,
        item_labels: Sequence[str] | None = None,
        deadline_s: float | None = None,
        timeout_s: float | None = None,
        detached: bool = False,
        request_id: str | None = None,
    ) -> RunStatus:
        """See `ComponentContext.submit_run`."""
        options = _submit_options(
            flow_id, max_concurrency, overrides, variables, flow_label, metadata, item_labels, deadline_s, timeout_s,
            detached, request_id,
        )  # fmt: skip
        return self._wait(self._submit_run(options, inputs, wait))

    def get_run(
        self,
        run_id: str,
        wait: bool = False,
        include_results: bool | None = None,
        result_order: ResultOrderLike = "byIndex",
        *,
        timeout_s: float | None = None,
    ) -> RunStatus:
        """See `ComponentContext.get_run`."""
        return self._wait(self._get_run(run_id, wait, include_results, result_order, timeout_s))

    def watch_run(self, run_id: str, *, after_seq: int = 0) -> Iterator[ItemResult]:
        """Item results as they complete: `for result in ctx.watch_run(run_id)`."""
        watch = self._watch(run_id, after_seq)
        try:
            while True:
                try:
                    result = self._wait(watch.__anext__())
                except StopAsyncIteration:
                    return
                yield result
        finally:
            # Not waited for: the generator may be closed anywhere, also where waiting is impossible.
            self._connection.on_loop(watch.cancel)

    def cancel_run(self, run_id: str, reason: str | None = None) -> None:
        """See `ComponentContext.cancel_run`."""
        self._wait(self._api.cancel_run(run_id, reason))

    def _wait(self, call: Coroutine[Any, Any, _Value]) -> _Value:
        return self._connection.wait_in_thread(self._execution, call)


class _ContextLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds the execution's fields to what the caller passes as `extra`, instead of replacing it."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **kwargs.get("extra", {})}
        return msg, kwargs
