"""`put_blob` and `get_blob`: values in the run's own namespace of the blob store."""

from __future__ import annotations

from typing import Final

import msgspec

from flowspan.errors import InvalidArgumentError
from runtime_core.builtins.host import Host
from runtime_core.builtins.inputs import InputReader, one_of
from runtime_core.calls import ComponentCall
from runtime_core.model.ids import parse_blob_id

BLOB_TYPES: Final = ("data", "flow")
"""Types whose blobs hold JSON."""


class _PutBlob(msgspec.Struct, forbid_unknown_fields=True):
    data: msgspec.Raw
    blob_type: str | None = None


class _GetBlob(msgspec.Struct, forbid_unknown_fields=True):
    blob_id: str


_put: Final = InputReader(_PutBlob)
_get: Final = InputReader(_GetBlob)


async def put_blob(host: Host, call: ComponentCall) -> bytes:
    """`{blob_id}` of a value."""
    given = _put.read(call.input)
    blob_type = one_of("blob_type", given.blob_type or "data", BLOB_TYPES)
    blob_id = await host.api.put_blob(bytes(given.data), namespace=call.template.namespace, blob_type=blob_type)
    return msgspec.json.encode({"blob_id": blob_id})


async def get_blob(host: Host, call: ComponentCall) -> bytes:
    """`{data}` of a blob."""
    given = _get.read(call.input)
    blob = await host.api.get_blob(parse_blob_id(given.blob_id, field="blob_id"), namespace=call.template.namespace)
    if blob.blob_type == "binary":
        raise InvalidArgumentError(f"blob_id: blob {given.blob_id} is binary, not JSON", field="blob_id")
    return b'{"data":%b}' % blob.data
