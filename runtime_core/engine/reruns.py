"""Runs made from runs: the failed items of a finished one again, and the submit that made a stored one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from flowspan.errors import InvalidArgumentError, PreconditionError
from flowspan.view.events import Outcome
from flowspan.view.status import RunDescription, RunStatus
from runtime_core.api import SubmitRun
from runtime_core.engine.queries import Queries
from runtime_core.engine.settings import RunSettings
from runtime_core.engine.variables import VariableKeeper
from runtime_core.model.ids import parse_run_id
from runtime_core.model.item_index import open_index
from runtime_core.ports import InputChunk, Store


class Reruns:
    """`retry_run` of `runtime_core.api.RuntimeApi`, by way of `submit`."""

    def __init__(
        self, store: Store, queries: Queries, variables: VariableKeeper, submit: Callable[[SubmitRun], Awaitable[RunStatus]]
    ) -> None:
        self._store = store
        self._queries = queries
        self._variables = variables
        self._submit = submit

    async def retry_run(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        item_indexes: Sequence[int] = (),
        request_id: str | None = None,
        max_concurrency: int | None = None,
    ) -> RunStatus:
        run_id = parse_run_id(run_id)
        record = await self._queries.ended(namespace, run_id)
        source = msgspec.json.decode(record.description, type=RunDescription)
        settings = msgspec.json.decode(record.settings, type=RunSettings)
        index = open_index(await self._store.read_item_index(record.run_key) or b"")
        if item_indexes:
            wanted = sorted(set(item_indexes))
            if wanted[0] < 0 or wanted[-1] >= source.total:
                raise InvalidArgumentError(f"run {run_id} has items 0..{source.total - 1}", field="itemIndexes")
        else:
            good = (Outcome.SUCCESS, Outcome.SKIPPED)
            wanted = [item for item, outcome in enumerate(index.outcomes) if outcome not in good]
        if not wanted:
            raise PreconditionError(f"no item of run {run_id} failed or was cancelled; name the items to repeat", runId=run_id)
        inputs, blobs = await self._inputs_of(record.run_key, wanted)
        command = SubmitRun(
            flow_id=source.flow_id,
            inputs=inputs,
            input_blobs=blobs,
            namespace=namespace,
            max_concurrency=max_concurrency if max_concurrency is not None else source.max_concurrency,
            overrides=None if settings.overrides is None else bytes(settings.overrides),
            variables=self._variables.given(settings),
            flow_label=source.flow_label,
            metadata=source.metadata,
            item_labels=[settings.item_labels[item] for item in wanted] if settings.item_labels else (),
            request_id=f"retry:{run_id}:{request_id}" if request_id else None,
            source_run_id=run_id,
            source_items=tuple(wanted),
        )
        return await self._submit(command)

    async def stored_command(self, namespace: str, run_id: str) -> SubmitRun | None:
        """The submit that made a run, put together from what is stored; None if the run is gone."""
        record = await self._store.find_run(namespace, run_id)
        if record is None:
            return None
        description = msgspec.json.decode(record.description, type=RunDescription)
        settings = msgspec.json.decode(record.settings, type=RunSettings)
        inputs, blobs = await self._inputs_of(record.run_key, range(description.total))
        deadline_us = settings.deadline_us
        return SubmitRun(
            flow_id=description.flow_id,
            inputs=inputs,
            input_blobs=blobs,
            namespace=namespace,
            max_concurrency=description.max_concurrency,
            overrides=None if settings.overrides is None else bytes(settings.overrides),
            variables=self._variables.given(settings),
            flow_label=description.flow_label,
            metadata=description.metadata,
            item_labels=settings.item_labels,
            deadline_s=None if deadline_us is None else (deadline_us - description.created_at_us) / 1e6,
            detached=settings.detached,
        )

    async def _inputs_of(self, run_key: int, items: Sequence[int]) -> tuple[list[bytes], frozenset[int]]:
        inputs: list[bytes] = []
        blobs: set[int] = set()
        chunk: InputChunk | None = None
        for item_index in items:
            if chunk is None or not chunk.first_item <= item_index < chunk.first_item + len(chunk.inputs):
                chunk = await self._store.read_inputs(run_key, item_index)
            position = item_index - chunk.first_item
            if position in chunk.blob_refs:
                blobs.add(len(inputs))
            inputs.append(chunk.inputs[position])
        return inputs, frozenset(blobs)
