"""Streamed submit: inputs are staged while they arrive and become a run when the caller closes the stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from flowspan.errors import InvalidArgumentError, LimitExceededError
from flowspan.protobuf.large_inputs import large_inputs
from flowspan.v1 import run_service_pb2 as pb
from flowspan.view.status import RunStatus
from gateway.grpc_server.call import Call
from gateway.grpc_server.handlers import RequestReader
from gateway.grpc_server.limits import (
    CLEANUP_TIMEOUT_S,
    LARGE_INPUT_BYTES,
    MAX_STREAMED_ITEMS,
    STAGE_AHEAD_BYTES,
    STAGE_CHUNK_BYTES,
    STAGE_CHUNK_ITEMS,
)
from gateway.grpc_server.requests import check_inputs, check_label_count, read_inputs, read_options
from gateway.grpc_server.submissions import Submissions
from runtime_core.api import RuntimeApi
from runtime_core.ports import InputChunk

if TYPE_CHECKING:
    from hashlib import _Hash as Hash


class InputStage:
    """The inputs of one streamed submit: staged in chunks, hashed on the way.

    What was handed to the store is committed while the next messages are read, up to `STAGE_AHEAD_BYTES`.

    Attributes:
        total: items so far.
        stage_id: names the staged inputs at the core.
    """

    def __init__(self, api: RuntimeApi) -> None:
        self.total = 0
        self.stage_id: Final = uuid4().hex
        self._api: Final = api
        self._digest: Final = sha256()
        self._hashing: asyncio.Future[None] | None = None
        self._chunk: list[bytes] = []
        self._blobs: set[int] = set()
        self._chunk_bytes = 0
        self._staging: Final[deque[tuple[asyncio.Task[None], int]]] = deque()
        self._staging_bytes = 0
        self._is_used = False

    async def add(self, inputs: Sequence[bytes], blobs: frozenset[int]) -> None:
        """The next inputs, in order. `blobs`: positions within `inputs` that hold a blob id.

        Raises:
            FlowspanError: an earlier chunk could not be staged.
        """
        hashed: list[bytes] = []
        size = 0
        for position, data in enumerate(inputs):
            hashed += (b"%d:" % len(data), data)
            if position in blobs:
                self._blobs.add(len(self._chunk))
            self._chunk.append(data)
            self._chunk_bytes += len(data)
            size += len(data)
            self.total += 1
            if self._chunk_bytes >= STAGE_CHUNK_BYTES or len(self._chunk) >= STAGE_CHUNK_ITEMS:
                await self._flush()
        await self._hash(hashed, size)

    async def _hash(self, pieces: Sequence[bytes], size: int) -> None:
        await self._hashed()
        if size < LARGE_INPUT_BYTES * len(pieces) // 2:
            self._digest.update(b"".join(pieces))
        else:
            # 0.6 ms per MB, for which the event loop is not needed.
            self._hashing = asyncio.get_running_loop().run_in_executor(None, _update, self._digest, pieces)

    async def _hashed(self) -> None:
        hashing, self._hashing = self._hashing, None
        if hashing is not None:
            await hashing

    async def _flush(self) -> None:
        if not self._chunk:
            return
        chunk = InputChunk(self.total - len(self._chunk), self._chunk, frozenset(self._blobs))
        size = self._chunk_bytes
        self._chunk, self._blobs, self._chunk_bytes = [], set(), 0
        self._is_used = True
        self._staging.append((asyncio.ensure_future(self._api.stage_inputs(self.stage_id, (chunk,))), size))
        self._staging_bytes += size
        while self._staging_bytes > STAGE_AHEAD_BYTES or (self._staging and self._staging[0][0].done()):
            await self._staged()

    async def _staged(self) -> None:
        """The oldest chunk that was handed over is durable."""
        task, size = self._staging[0]
        await asyncio.shield(task)
        self._staging.popleft()
        self._staging_bytes -= size

    async def close(self) -> bytes:
        """Stage what is left. Returns the SHA-256 over all inputs, each with its length in decimal and a colon before it."""
        await self._flush()
        while self._staging:
            await self._staged()
        await self._hashed()
        return self._digest.digest()

    async def discard(self) -> None:
        """Leave nothing behind. Bounded; leftovers are swept when the store is opened."""
        if self._is_used:
            async with asyncio.timeout(CLEANUP_TIMEOUT_S):
                # Behind them, or they would come after it.
                await asyncio.gather(*(task for task, _ in self._staging), return_exceptions=True)
                await self._api.discard_stage(self.stage_id)


def _update(digest: Hash, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        digest.update(piece)


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
            await stage.add(*read_inputs(message.inputs, stage.total))
            message = await _next_small(requests, stage)
        check_label_count(options, stage.total)
        digest = await stage.close()
        is_handed_over = True
        return await submissions.finish(_submit(api, stage, options, call, digest))
    finally:
        if not is_handed_over:
            await submissions.finish(stage.discard())


async def _next_small(requests: RequestReader[pb.SubmitRunStreamRequest], stage: InputStage) -> pb.SubmitRunStreamRequest | None:
    """The next message that does not consist of large inputs; what comes before it is staged."""
    while (data := await requests.next_bytes()) is not None:
        inputs = large_inputs(data)
        if inputs is None or stage.total + len(inputs) > MAX_STREAMED_ITEMS:
            return requests.parse(data)
        check_inputs(inputs, stage.total)
        await stage.add(inputs, frozenset())
    return None


async def _submit(api: RuntimeApi, stage: InputStage, options: pb.RunOptions, call: Call, digest: bytes) -> RunStatus:
    command = read_options(options, call, stage_id=stage.stage_id, staged_total=stage.total, staged_sha256=digest)
    try:
        return await api.submit_run(command)
    except BaseException:
        await stage.discard()
        raise
