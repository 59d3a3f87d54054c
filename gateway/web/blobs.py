"""`/v1/blobs`: values in JSON as component servers put and get them, and bytes as they are."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from flowspan.errors import LimitExceededError, Reason
from flowspan.jsonrpc import check_payload
from gateway.grpc_server.limits import CLEANUP_TIMEOUT_S, MAX_BLOB_BYTES, MAX_SMALL_BLOB_BYTES
from gateway.methods import blobs
from gateway.methods.wire import GetBlobParams, PutBlobParams
from gateway.web.parameters import BlobParams
from gateway.web.request import Answer, WebRequest
from runtime_core.model.ids import parse_blob_id
from runtime_core.ports import BlobWriter

OCTETS: Final = "application/octet-stream"


async def put(request: WebRequest) -> Answer:
    """`{"blobId", "blob_id"}` of the value in the body; a body of type application/octet-stream is a binary blob."""
    if request.exchange.content_type() == OCTETS:
        return await _put_octets(request)
    params = await request.members(PutBlobParams)
    check_payload(bytes(params.data))
    return Answer(await request.faces.submissions.finish(blobs.put(request.api, request.context, params)))


async def get(request: WebRequest) -> Answer:
    """`{"data", "blob_type"}`"""
    blob_id = parse_blob_id(request.parameters(BlobParams).blob_id)
    _, size = await request.api.blob_info(blob_id, namespace=request.call.namespace)
    if size > MAX_SMALL_BLOB_BYTES:
        raise LimitExceededError(
            f"the blob has {size} bytes, at most {MAX_SMALL_BLOB_BYTES} fit an answer; read it at /v1/blobs/{blob_id}/content",
            reason=Reason.QUOTA_EXCEEDED,
            limit="blob",
            max=MAX_SMALL_BLOB_BYTES,
            actual=size,
        )
    return Answer(await blobs.get(request.api, request.context, GetBlobParams(blob_id=blob_id)))


async def content(request: WebRequest) -> None:
    """The bytes as they were put, of any size."""
    blob_id, namespace = parse_blob_id(request.parameters(BlobParams).blob_id), request.call.namespace
    blob_type, size = await request.api.blob_info(blob_id, namespace=namespace)
    chunks = request.api.read_blob(blob_id, namespace=namespace)
    first = await anext(chunks, b"")  # verified before it is given: what is wrong is told by the status
    exchange, streams = request.exchange, request.faces.streams
    await exchange.begin(
        OCTETS if blob_type == "binary" else "application/json",
        (("content-length", str(size)), ("etag", f'"{blob_id}"'), ("content-disposition", "attachment")),
    )
    await streams.write(exchange.write, first)
    async for chunk in chunks:
        await streams.write(exchange.write, chunk)
    await exchange.end()


async def _put_octets(request: WebRequest) -> Answer:
    writer = request.api.begin_blob()
    is_handed_over = False
    try:
        while (chunk := await request.exchange.chunk()) is not None:
            if writer.size + len(chunk) > MAX_BLOB_BYTES:
                raise LimitExceededError(
                    f"the blob has more than {MAX_BLOB_BYTES} bytes; store it elsewhere",
                    limit="blob",
                    max=MAX_BLOB_BYTES,
                    actual=writer.size + len(chunk),
                )
            await writer.write(chunk)
        is_handed_over = True
        blob_id = await request.faces.submissions.finish(_commit(request, writer))
    finally:
        if not is_handed_over:
            await request.faces.submissions.finish(_abort(writer))
    name = msgspec.json.encode(blob_id)
    return Answer(b'{"blobId":%b,"blob_id":%b}' % (name, name))


async def _commit(request: WebRequest, writer: BlobWriter) -> str:
    try:
        return await request.api.commit_blob(writer, namespace=request.call.namespace, blob_type="binary")
    except BaseException:
        await _abort(writer)
        raise


async def _abort(writer: BlobWriter) -> None:
    async with asyncio.timeout(CLEANUP_TIMEOUT_S):
        await writer.abort()
