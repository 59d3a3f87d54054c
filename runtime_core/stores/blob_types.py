"""Rules about blobs that all stores share: kinds, what a second put changes, how bytes are verified."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from flowspan.errors import DataLossError, InvalidArgumentError
from runtime_core.model.ids import BLOB_ID_PREFIX

BINARY: Final = "binary"
_RANK: Final = {BINARY: 0, "data": 1, "flow": 2}
"""A blob put again as another type keeps the type of the higher rank: whoever can read the higher can read the lower."""


def check_blob(blob_id: str, blob_type: str, raw_sha256: bytes) -> None:
    """Refuse what must not be stored: an unknown type, or binary bytes under a name that is not their hash.

    Raises:
        InvalidArgumentError: `blob_type` is not data, flow or binary.
        DataLossError: a binary blob whose bytes do not have the hash that `blob_id` names.
    """
    if blob_type not in _RANK:
        raise InvalidArgumentError(f"blob type {blob_type!r} is not one of data, flow, binary", field="blobType")
    if blob_type == BINARY and blob_id != BLOB_ID_PREFIX + raw_sha256.hex():
        raise DataLossError(f"the bytes given for blob {blob_id} have the hash {raw_sha256.hex()}", blobId=blob_id)


def merged_type(old: str, new: str) -> str:
    """The type of a blob that was `old` and is put again as `new`."""
    return max(old, new, key=_RANK.__getitem__)


def verify_content(blob_id: str, data: bytes | memoryview, raw_sha256: bytes) -> None:
    """Compare bytes that were read with the hash they were stored with.

    The id of JSON is the hash of its canonical form, so each content carries the hash of its bytes as well.

    Raises:
        DataLossError: they differ.
    """
    if sha256(data).digest() != raw_sha256:
        raise DataLossError(f"blob {blob_id} is damaged: its bytes do not have the hash they were stored with", blobId=blob_id)
