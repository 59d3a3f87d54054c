"""Runs that a built-in submits and waits for: runs of their own, with the execution as their parent.

The execution's token makes them its sub-runs: parent and root, depth, variables, cancel, and a key by which a repeated
execution finds them again all follow from it, in the engine. While it waits, the execution is parked: it holds no slot, and
nothing polls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from flowspan.errors import LimitExceededError, NotFoundError, Reason
from flowspan.view.events import ItemCompleted, Outcome, Segment
from runtime_core.api import RuntimeApi, SubmitRun
from runtime_core.builtins.chosen_flow import ChosenFlow, FlowDocuments
from runtime_core.calls import CallNaming, ComponentCall

NOT_STARTED: Final = (Outcome.CANCELLED, b"")
"""Of an item whose run was cancelled before the item began."""


@dataclass(frozen=True, slots=True)
class EndedSubRun:
    """`results`: by item index, outcome and payload as in `flowspan.view.events.ItemCompleted`, blobs read."""

    run_id: str
    results: Sequence[tuple[Outcome, bytes]]


class SubRuns:
    """Submits runs for executions, and waits for them.

    Args:
        result_bytes: bound on the results of one sub-run together.
    """

    def __init__(
        self, api: RuntimeApi, naming: CallNaming, decode: Callable[[bytes], Iterable[Segment]], result_bytes: int
    ) -> None:
        self._api = api
        self._naming = naming
        self._decode = decode
        self._result_bytes = result_bytes
        self._documents = FlowDocuments(api)

    async def run(
        self, call: ComponentCall, flow: ChosenFlow, inputs: Sequence[bytes], *, max_concurrency: int | None = None
    ) -> EndedSubRun:
        """Submit a run over `inputs` (JSON bytes) and wait for its end, whatever that is.

        Raises:
            FlowspanError: it was refused: the flow is not there or does not compile, it nests too deep, ...
            LimitExceededError: its results are too large together; the run itself is there with all of them.
        """
        run_id = await self._submit(call, flow, inputs, max_concurrency)
        return EndedSubRun(run_id, await self._results(call, run_id, len(inputs)))

    async def _submit(self, call: ComponentCall, flow: ChosenFlow, inputs: Sequence[bytes], max_concurrency: int | None) -> str:
        document, namespace = flow.document, call.template.namespace
        try:
            return await self._submit_once(call, flow, inputs, max_concurrency)
        except NotFoundError as error:
            if document is None or error.reason is not Reason.FLOW_NOT_FOUND:
                raise
            self._documents.forget(namespace, document)  # somebody has deleted it since
        return await self._submit_once(call, flow, inputs, max_concurrency)

    async def _submit_once(
        self, call: ComponentCall, flow: ChosenFlow, inputs: Sequence[bytes], max_concurrency: int | None
    ) -> str:
        namespace = call.template.namespace
        flow_id = flow.flow_id
        if flow_id is None:
            assert flow.document is not None
            flow_id = await self._documents.flow_id(namespace, flow.document)
        status = await self._api.submit_run(
            SubmitRun(
                flow_id,
                inputs,
                namespace=namespace,
                max_concurrency=max_concurrency,
                task_token=self._naming.task_token(call.number),
            )
        )
        return status.description.run_id

    async def _results(self, call: ComponentCall, run_id: str, total: int) -> Sequence[tuple[Outcome, bytes]]:
        namespace = call.template.namespace
        found: list[tuple[Outcome, bytes]] = [NOT_STARTED] * total
        blobs: list[int] = []
        size = 0
        limit = self._result_bytes
        watch = await self._api.watch_run(run_id, namespace=namespace, task_token=self._naming.task_token(call.number))
        try:
            while (batch := await watch.next_batch()) is not None:
                for row in batch.rows:
                    for segment in self._decode(row):
                        for event in segment.events:
                            if type(event) is not ItemCompleted:
                                continue
                            if event.is_blob:
                                blobs.append(event.item_index)
                                size += (await self._api.blob_info(event.payload.decode("ascii"), namespace=namespace))[1]
                            size += len(event.payload)
                            if size <= limit:
                                found[event.item_index] = (event.outcome, event.payload)
            if size > limit:
                raise LimitExceededError(
                    f"the results of run {run_id} have {size} bytes; at most {limit} are allowed together: let the flow answer "
                    "with less, or put large values into blobs",
                    limit="resultBytes",
                    max=limit,
                    actual=size,
                    runId=run_id,
                )
            for item_index in blobs:
                outcome, blob_id = found[item_index]
                found[item_index] = (outcome, (await self._api.get_blob(blob_id.decode("ascii"), namespace=namespace)).data)
            await watch.wait_for_slot()
        finally:
            await watch.aclose()
        return found
