"""Content-addressed bytes: named here, kept by the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from flowspan.errors import DataLossError, InvalidArgumentError, NotFoundError, Reason
from runtime_core.model.ids import blob_id_of_digest, parse_blob_id
from runtime_core.model.json_value import blob_id_of_binary, blob_id_of_json
from runtime_core.ports import BlobWriter, Store, StoredBlob

BLOB_TYPES: Final = frozenset({"data", "flow", "binary"})
READ_CHUNK_BYTES: Final = 1 << 20


class Blobs:
    """The blob calls of `runtime_core.api.RuntimeApi`.

    Args:
        refuse_if_not_serving: raises what a write is refused with, if it is.
    """

    def __init__(self, store: Store, refuse_if_not_serving: Callable[[], None]) -> None:
        self._store = store
        self._refuse_if_not_serving = refuse_if_not_serving

    async def put_blob(
        self, data: bytes, *, namespace: str = "default", blob_type: str = "data", expected_blob_id: str | None = None
    ) -> str:
        self._refuse_if_not_serving()
        blob_id = blob_id_of_binary(data) if _checked_type(blob_type) == "binary" else blob_id_of_json(data)
        _check_expected(blob_id, expected_blob_id)
        await self._store.put_blob(namespace, blob_id, blob_type, data)
        return blob_id

    def begin_blob(self) -> BlobWriter:
        self._refuse_if_not_serving()
        return self._store.begin_blob()

    async def commit_blob(
        self,
        writer: BlobWriter,
        *,
        namespace: str = "default",
        blob_type: str = "data",
        expected_blob_id: str | None = None,
    ) -> str:
        if _checked_type(blob_type) == "binary":
            blob_id: str = blob_id_of_digest(writer.sha256_hex)
        else:
            blob_id = blob_id_of_json(await writer.read_back())
        _check_expected(blob_id, expected_blob_id)
        await writer.commit(namespace, blob_id, blob_type)
        return blob_id

    async def get_blob(self, blob_id: str, *, namespace: str = "default") -> StoredBlob:
        blob_id = parse_blob_id(blob_id)
        blob = await self._store.get_blob(namespace, blob_id)
        if blob is None:
            raise NotFoundError(f"no blob {blob_id}", reason=Reason.BLOB_NOT_FOUND, blobId=blob_id)
        return blob

    async def blob_info(self, blob_id: str, *, namespace: str = "default") -> tuple[str, int]:
        blob_id = parse_blob_id(blob_id)
        info = await self._store.blob_info(namespace, blob_id)
        if info is None:
            raise NotFoundError(f"no blob {blob_id}", reason=Reason.BLOB_NOT_FOUND, blobId=blob_id)
        return info

    async def read_blob(self, blob_id: str, *, namespace: str = "default") -> AsyncIterator[bytes]:
        blob = await self.get_blob(blob_id, namespace=namespace)
        for start in range(0, len(blob.data), READ_CHUNK_BYTES):
            yield blob.data[start : start + READ_CHUNK_BYTES]

    async def check_inputs(self, blob_ids: Sequence[bytes], namespace: str) -> None:
        """Refuse inputs that name a blob which is not there or holds no JSON."""
        for text in blob_ids:
            blob_id = parse_blob_id(text.decode("ascii", "replace"), field="inputs")
            info = await self._store.blob_info(namespace, blob_id)
            if info is None:
                raise NotFoundError(f"inputs: no blob {blob_id}", reason=Reason.BLOB_NOT_FOUND, blobId=blob_id)
            if info[0] == "binary":
                raise InvalidArgumentError(f"inputs: blob {blob_id} is not JSON", field="inputs")


def _checked_type(blob_type: str) -> str:
    if blob_type not in BLOB_TYPES:
        raise InvalidArgumentError(f"blob_type must be data, flow or binary, not {blob_type[:40]!r}", field="blobType")
    return blob_type


def _check_expected(blob_id: str, expected: str | None) -> None:
    if expected and parse_blob_id(expected) != blob_id:
        raise DataLossError(f"the bytes have the id {blob_id}, not {expected}", blobId=blob_id, expected=expected)
