"""Blobs in the database: contents, stored once per bytes, and who may see them under which id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import apsw

from flowspan.errors import PreconditionError
from runtime_core.stores.blob_types import BINARY, check_blob, merged_type
from runtime_core.stores.page_token import decode_page_token, encode_page_token


@dataclass(frozen=True, slots=True)
class NewContent:
    """Bytes to be stored: in the row (`data`) or in a file that was published before (`file_name`)."""

    raw_sha256: bytes
    size_bytes: int
    data: bytes | None = None
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class BlobRow:
    """A blob as stored, not verified yet."""

    blob_key: int
    blob_id: str
    blob_type: str
    raw_sha256: bytes
    size_bytes: int
    data: bytes | None
    file_name: str | None


_SELECT: Final = (
    "SELECT blob.blob_key, blob.blob_id, blob.blob_type, content.raw_sha256, content.size_bytes, content.data, content.file_name"
    " FROM blob JOIN blob_content AS content USING (content_key) WHERE blob.namespace = ? AND "
)


def inline_content(data: bytes) -> NewContent:
    return NewContent(sha256(data).digest(), len(data), data=data)


def put_blob(
    db: apsw.Connection,
    doomed_files: list[Path],
    file_path: Callable[[str], Path],
    namespace: str,
    blob_id: str,
    blob_type: str,
    content: NewContent,
) -> None:
    """Let `namespace` see these bytes as `blob_id`. Files that are not needed (any more) are added to `doomed_files`."""
    check_blob(blob_id, blob_type, content.raw_sha256)
    known = db.execute("SELECT content_key, file_name FROM blob_content WHERE raw_sha256 = ?", (content.raw_sha256,)).get
    if known is None:
        db.execute(
            "INSERT INTO blob_content (raw_sha256, size_bytes, data, file_name) VALUES (?, ?, ?, ?)",
            (content.raw_sha256, content.size_bytes, content.data, content.file_name),
        )
        content_key = db.last_insert_rowid()
    else:
        content_key = known[0]
        if content.file_name is not None and content.file_name != known[1]:
            doomed_files.append(file_path(content.file_name))
    present = db.execute(
        "SELECT blob_key, blob_type, content_key FROM blob WHERE namespace = ? AND blob_id = ?", (namespace, blob_id)
    ).get
    if present is None:
        db.execute(
            "INSERT INTO blob (namespace, blob_id, blob_type, content_key) VALUES (?, ?, ?, ?)",
            (namespace, blob_id, blob_type, content_key),
        )
        return
    blob_key, old_type, old_content_key = present
    # Of the JSON texts with one id the first stays, except that a reader of binary needs the canonical one.
    kept_key = content_key if blob_type == BINARY else old_content_key
    db.execute(
        "UPDATE blob SET blob_type = ?, content_key = ? WHERE blob_key = ?",
        (merged_type(old_type, blob_type), kept_key, blob_key),
    )
    for unused_key in {content_key, old_content_key} - {kept_key}:
        _drop_unused_content(db, doomed_files, file_path, unused_key)


def delete_blob(
    db: apsw.Connection, doomed_files: list[Path], file_path: Callable[[str], Path], namespace: str, blob_id: str
) -> bool:
    """See `runtime_core.ports.Store.delete_blob`."""
    present = db.execute("SELECT blob_key, content_key FROM blob WHERE namespace = ? AND blob_id = ?", (namespace, blob_id)).get
    if present is None:
        return False
    user = db.execute("SELECT run_id FROM run WHERE namespace = ? AND flow_id = ? LIMIT 1", (namespace, blob_id)).get
    if user is not None:
        raise PreconditionError(f"blob {blob_id} is the flow of run {user}; delete its runs first", blobId=blob_id, runId=user)
    db.execute("DELETE FROM blob WHERE blob_key = ?", (present[0],))
    _drop_unused_content(db, doomed_files, file_path, present[1])
    return True


def _drop_unused_content(
    db: apsw.Connection, doomed_files: list[Path], file_path: Callable[[str], Path], content_key: int
) -> None:
    if db.execute("SELECT 1 FROM blob WHERE content_key = ? LIMIT 1", (content_key,)).get is not None:
        return
    file_name = db.execute("DELETE FROM blob_content WHERE content_key = ? RETURNING file_name", (content_key,)).get
    if file_name is not None:
        doomed_files.append(file_path(file_name))


def _all(db: apsw.Connection, sql: str, bindings: tuple[str | int, ...]) -> list[Any]:
    """Every row of a statement: typed where it is unpacked, by a dataclass whose columns stand beside the SQL."""
    return db.execute(sql, bindings).fetchall()


def find_blob(db: apsw.Connection, namespace: str, blob_id: str) -> BlobRow | None:
    row = db.execute(_SELECT + "blob.blob_id = ?", (namespace, blob_id)).get
    return None if row is None else BlobRow(*row)


def blob_info(db: apsw.Connection, namespace: str, blob_id: str) -> tuple[str, int] | None:
    row: tuple[str, int] | None = db.execute(
        "SELECT blob.blob_type, content.size_bytes FROM blob JOIN blob_content AS content USING (content_key)"
        " WHERE blob.namespace = ? AND blob.blob_id = ?",
        (namespace, blob_id),
    ).get
    return row


def list_blobs(
    db: apsw.Connection, namespace: str, blob_type: str, limit: int, after: str | None
) -> tuple[list[BlobRow], str | None]:
    """A page, newest first, and the token of the next page."""
    before = (1 << 63) - 1 if after is None else decode_page_token(after)
    sql = _SELECT + "blob.blob_type = ? AND blob.blob_key < ? ORDER BY blob.blob_key DESC LIMIT ?"
    rows = [BlobRow(*row) for row in _all(db, sql, (namespace, blob_type, before, limit + 1))]
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode_page_token(rows[limit - 1].blob_key)
