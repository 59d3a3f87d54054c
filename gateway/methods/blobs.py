"""`blobs/put` and `blobs/get`."""

from __future__ import annotations

import binascii
from typing import Final

import msgspec

from flowspan.errors import InvalidArgumentError
from gateway.methods.context import RequestContext
from gateway.methods.dialect import blob_id_for, full_blob_id
from gateway.methods.run_port import RunPort
from gateway.methods.wire import GetBlobParams, PutBlobParams

_TYPES: Final = frozenset({"data", "flow", "binary"})
_TEXT: Final = msgspec.json.Decoder(str)


async def put(api: RunPort, context: RequestContext, params: PutBlobParams) -> bytes:
    """`{"blob_id"}`. The bytes of a binary blob come as base64 text."""
    link = context.link(params.origin)
    data = bytes(params.data)
    if params.blob_type not in _TYPES:
        raise InvalidArgumentError("params: blob_type must be data, flow or binary", field="blobType")
    if params.blob_type == "binary":
        try:
            data = binascii.a2b_base64(_TEXT.decode(data), strict_mode=True)
        except (ValueError, msgspec.ValidationError):
            raise InvalidArgumentError("params: data of a binary blob must be base64 text", field="data") from None
    blob_id = await api.put_blob(data, namespace=link.namespace, blob_type=params.blob_type)
    name = msgspec.json.encode(blob_id_for(context.dialect, blob_id))
    # The older SDKs decode snake_case only; the contract's own spelling rides along for the others.
    return b'{"blob_id":%b}' % name if context.dialect == "stepflow" else b'{"blobId":%b,"blob_id":%b}' % (name, name)


async def get(api: RunPort, context: RequestContext, params: GetBlobParams) -> bytes:
    """`{"data", "blob_type"}`, the data as it was put."""
    link = context.link(params.origin)
    blob = await api.get_blob(full_blob_id(params.blob_id), namespace=link.namespace)
    data, blob_type = blob.data, blob.blob_type
    if blob_type == "binary":
        data = b'"%b"' % binascii.b2a_base64(data, newline=False)
        if context.dialect == "stepflow":
            # The older SDKs know `data` and `flow` only, and would wait for ever for an answer that they cannot decode.
            blob_type = "data"
    return b'{"data":%b,"blob_type":"%b"}' % (data, blob_type.encode())
