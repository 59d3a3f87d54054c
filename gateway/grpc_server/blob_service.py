"""BlobService: content-addressed bytes, small ones in one message, large ones in streams."""

from __future__ import annotations

import asyncio
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor

from flowspan.errors import InvalidArgumentError, LimitExceededError, Reason
from flowspan.v1 import blob_service_pb2 as pb
from gateway.grpc_server.call import Call
from gateway.grpc_server.handlers import RequestReader, Write
from gateway.grpc_server.limits import CLEANUP_TIMEOUT_S, MAX_BLOB_BYTES, MAX_BLOB_CHUNK_BYTES, MAX_SMALL_BLOB_BYTES
from gateway.grpc_server.submissions import Submissions
from gateway.grpc_server.watch_stream import WatchStreams
from runtime_core.api import RuntimeApi
from runtime_core.model.ids import parse_blob_id
from runtime_core.ports import BlobWriter

_TYPE_NAMES: Final[dict[int, str]] = {
    pb.BLOB_TYPE_UNSPECIFIED: "data",
    pb.BLOB_TYPE_DATA: "data",
    pb.BLOB_TYPE_FLOW: "flow",
    pb.BLOB_TYPE_BINARY: "binary",
}
_TYPES: Final[dict[str, pb.BlobType.ValueType]] = {
    "data": pb.BLOB_TYPE_DATA,
    "flow": pb.BLOB_TYPE_FLOW,
    "binary": pb.BLOB_TYPE_BINARY,
}


def _read_type(number: int) -> str:
    name = _TYPE_NAMES.get(number)
    if name is None:
        raise InvalidArgumentError(f"blobType has no value {number}; it has 1 (DATA), 2 (FLOW), 3 (BINARY)", field="blobType")
    return name


def _read_expected(text: str) -> str | None:
    return parse_blob_id(text, field="expectedBlobId") if text else None


def _check_size(actual: int, maximum: int, remedy: str, reason: Reason = Reason.LIMIT_EXCEEDED) -> None:
    if actual > maximum:
        raise LimitExceededError(
            f"the blob has {actual} bytes or more, at most {maximum} are accepted here; {remedy}",
            reason=reason,
            limit="blob",
            max=maximum,
            actual=actual,
        )


class BlobService:
    """The methods of `flowspan.v1.BlobService`, over the core."""

    descriptor: Final[ServiceDescriptor] = pb.DESCRIPTOR.services_by_name["BlobService"]

    def __init__(self, api: RuntimeApi, submissions: Submissions, streams: WatchStreams) -> None:
        self._api: Final = api
        self._submissions: Final = submissions
        self._streams: Final = streams

    async def PutBlob(self, request: pb.PutBlobRequest, call: Call) -> pb.PutBlobResponse:
        blob_type = _read_type(request.blob_type)
        expected = _read_expected(request.expected_blob_id)
        _check_size(len(request.data), MAX_SMALL_BLOB_BYTES, "use WriteBlob")
        put = self._api.put_blob(request.data, namespace=call.namespace, blob_type=blob_type, expected_blob_id=expected)
        blob_id = await self._submissions.finish(put)
        return pb.PutBlobResponse(info=pb.BlobInfo(blob_id=blob_id, blob_type=_TYPES[blob_type], size=len(request.data)))

    async def GetBlob(self, request: pb.GetBlobRequest, call: Call) -> pb.GetBlobResponse:
        blob_id = parse_blob_id(request.blob_id)
        _, size = await self._api.blob_info(blob_id, namespace=call.namespace)
        _check_size(size, MAX_SMALL_BLOB_BYTES, "use ReadBlob", Reason.QUOTA_EXCEEDED)
        blob = await self._api.get_blob(blob_id, namespace=call.namespace)
        info = pb.BlobInfo(blob_id=blob.blob_id, blob_type=_TYPES[blob.blob_type], size=len(blob.data))
        return pb.GetBlobResponse(info=info, data=blob.data)

    async def WriteBlob(self, requests: RequestReader[pb.WriteBlobRequest], call: Call) -> pb.WriteBlobResponse:
        first = await requests.next()
        if first is None or not first.HasField("header"):
            raise InvalidArgumentError("the first message of the stream must hold the header", field="header")
        blob_type = _read_type(first.header.blob_type)
        expected = _read_expected(first.header.expected_blob_id)
        writer = self._api.begin_blob()
        is_handed_over = False
        try:
            while (message := await requests.next()) is not None:
                if not message.HasField("chunk"):
                    raise InvalidArgumentError("every message behind the first must hold a chunk", field="chunk")
                _check_size(len(message.chunk), MAX_BLOB_CHUNK_BYTES, "send smaller chunks")
                _check_size(writer.size + len(message.chunk), MAX_BLOB_BYTES, "store it elsewhere")
                await writer.write(message.chunk)
            size = writer.size
            is_handed_over = True
            blob_id = await self._submissions.finish(self._commit(writer, call, blob_type, expected))
        finally:
            if not is_handed_over:
                await self._submissions.finish(_abort(writer))
        return pb.WriteBlobResponse(info=pb.BlobInfo(blob_id=blob_id, blob_type=_TYPES[blob_type], size=size))

    async def _commit(self, writer: BlobWriter, call: Call, blob_type: str, expected: str | None) -> str:
        try:
            return await self._api.commit_blob(writer, namespace=call.namespace, blob_type=blob_type, expected_blob_id=expected)
        except BaseException:
            await _abort(writer)
            raise

    async def ReadBlob(self, request: pb.ReadBlobRequest, call: Call, write: Write) -> None:
        blob_id = parse_blob_id(request.blob_id)
        blob_type, size = await self._api.blob_info(blob_id, namespace=call.namespace)
        info = pb.BlobInfo(blob_id=blob_id, blob_type=_TYPES[blob_type], size=size)
        await self._streams.write(write, pb.ReadBlobResponse(info=info).SerializeToString())
        async for chunk in self._api.read_blob(blob_id, namespace=call.namespace):
            await self._streams.write(write, pb.ReadBlobResponse(chunk=chunk).SerializeToString())


async def _abort(writer: BlobWriter) -> None:
    async with asyncio.timeout(CLEANUP_TIMEOUT_S):
        await writer.abort()
