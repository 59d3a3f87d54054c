"""Streamed submit: inputs are staged while they arrive and become a run when the caller closes the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import Final
from uuid import uuid4

from flowspan.errors import InvalidArgumentError, LimitExceededError
from flowspan.v1 import run_service_pb2 as pb
from flowspan.view.status import RunStatus
from gateway.grpc_server.call import Call
from gateway.grpc_server.handlers import RequestReader
from gateway.grpc_server.limits import CLEANUP_TIMEOUT_S, MAX_STREAMED_ITEMS, STAGE_CHUNK_BYTES, STAGE_CHUNK_ITEMS
from gateway.grpc_server.requests import check_label_count, read_inputs, read_options
from gateway.grpc_server.submissions import Submissions
from runtime_core.api import RuntimeApi
from runtime_core.ports import InputChunk


class InputStage:
    """The inputs of one streamed submit: staged in chunks, hashed on the way.

    Attributes:
        total: items so far.
        stage_id: names the staged inputs at the core.
    """

    def __init__(self, api: RuntimeApi) -> None:
        self.total = 0
        self.stage_id: Final = uuid4().hex
        self._api: Final = api
        self._digest: Final = sha256()
        self._chunk: list[bytes] = []
        self._blobs: set[int] = set()
        self._chunk_bytes = 0
        self._is_used = False

    async def add(self, inputs: Sequence[bytes], blobs: frozenset[int]) -> None:
        """The next inputs, in order. `blobs`: positions within `inputs` that hold a blob id."""
        hashed: list[bytes] = []
        for position, data in enumerate(inputs):
            hashed.append(b"%d:%b" % (len(data), data))
            if position in blobs:
                self._blobs.add(len(self._chunk))
            self._chunk.append(data)
            self._chunk_bytes += len(data)
            self.total += 1
            if self._chunk_bytes >= STAGE_CHUNK_BYTES or len(self._chunk) >= STAGE_CHUNK_ITEMS:
                await self._flush()
        self._digest.update(b"".join(hashed))

    async def _flush(self) -> None:
        if not self._chunk:
            return
        chunk = InputChunk(self.total - len(self._chunk), self._chunk, frozenset(self._blobs))
        self._chunk, self._blobs, self._chunk_bytes = [], set(), 0
        self._is_used = True
        await self._api.stage_inputs(self.stage_id, (chunk,))

    async def close(self) -> bytes:
        """Stage what is left. Returns the SHA-256 over all inputs, each with its length in decimal and a colon before it."""
        await self._flush()
        return self._digest.digest()

    async def discard(self) -> None:
        """Leave nothing behind. Bounded; leftovers are swept when the store is opened."""
        if self._is_used:
            async with asyncio.timeout(CLEANUP_TIMEOUT_S):
                await self._api.discard_stage(self.stage_id)


async def submit_stream(
    api: RuntimeApi, submissions: Submissions, requests: RequestReader[pb.SubmitRunStreamRequest], call: Call
) -> RunStatus:
    """Read a streamed submit to its end and submit it; a stream that breaks before leaves nothing.

    Raises:
        InvalidArgumentError: no options in the first message, options in a later one, or a wrong option or input.
        LimitExceededError: too many items.
    """
    first = await requests.next()
    if first is None or not first.HasField("options"):
        raise InvalidArgumentError("the first message of the stream must hold the options", field="options")
    options = first.options
    read_options(options, call)  # refuse a bad header before its inputs come
    stage = InputStage(api)
    is_handed_over = False
    try:
        message: pb.SubmitRunStreamRequest | None = first
        while message is not None:
            if message is not first and message.HasField("options"):
                raise InvalidArgumentError("only the first message of the stream may hold options", field="options")
            if stage.total + len(message.inputs) > MAX_STREAMED_ITEMS:
                raise LimitExceededError(
                    f"a run has at most {MAX_STREAMED_ITEMS} items; make several runs of it",
                    field="inputs",
                    limit="items",
                    max=MAX_STREAMED_ITEMS,
                    actual=stage.total + len(message.inputs),
                )
            inputs, blobs = read_inputs(message.inputs, stage.total)
            await stage.add(inputs, blobs)
            message = await requests.next()
        check_label_count(options, stage.total)
        digest = await stage.close()
        is_handed_over = True
        return await submissions.finish(_submit(api, stage, options, call, digest))
    finally:
        if not is_handed_over:
            await submissions.finish(stage.discard())


async def _submit(api: RuntimeApi, stage: InputStage, options: pb.RunOptions, call: Call, digest: bytes) -> RunStatus:
    command = read_options(options, call, stage_id=stage.stage_id, staged_total=stage.total, staged_sha256=digest)
    try:
        return await api.submit_run(command)
    except BaseException:
        await stage.discard()
        raise
