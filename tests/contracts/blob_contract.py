"""What every store does with blobs, as tests. `test_store.py` says for which stores."""

from __future__ import annotations

import asyncio

import pytest

from flowspan.errors import (
    DataLossError,
    InvalidArgumentError,
    PreconditionError,
)
from runtime_core.ports import StoredBlob

from .store_harness import FLOW, NS, Opened, blob_id_of, create, new_run


class BlobContract:
    """Each test gets `opened`, a fresh store that is open; the fixture closes it."""

    @pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 3_000_000])
    async def test_a_blob_is_read_back(self, opened: Opened, size: int) -> None:
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        blob_id = blob_id_of(data)
        await opened.store.put_blob(NS, blob_id, "binary", data)
        assert await opened.store.get_blob(NS, blob_id) == StoredBlob(blob_id, "binary", data)
        assert await opened.store.blob_info(NS, blob_id) == ("binary", size)

    @pytest.mark.parametrize("size", [10, 300_000])
    async def test_json_keeps_its_bytes_under_the_id_of_its_canonical_form(self, opened: Opened, size: int) -> None:
        data = b'{"b": 1,  "a": "' + b"x" * size + b'"}'
        blob_id = "sha256:" + "1" * 64
        await opened.store.put_blob(NS, blob_id, "data", data)
        assert await opened.store.get_blob(NS, blob_id) == StoredBlob(blob_id, "data", data)

    async def test_no_blob_is_none(self, opened: Opened) -> None:
        assert await opened.store.get_blob(NS, FLOW) is None
        assert await opened.store.blob_info(NS, FLOW) is None
        assert not await opened.store.delete_blob(NS, FLOW)

    @pytest.mark.parametrize("size", [10, 300_000])
    async def test_a_blob_belongs_to_the_namespaces_that_put_it(self, opened: Opened, size: int) -> None:
        data = b"x" * size
        blob_id = blob_id_of(data)
        await opened.store.put_blob(NS, blob_id, "binary", data)
        assert await opened.store.get_blob("other", blob_id) is None
        await opened.store.put_blob("other", blob_id, "binary", data)
        assert await opened.store.delete_blob(NS, blob_id)
        assert await opened.store.get_blob(NS, blob_id) is None
        assert await opened.store.get_blob("other", blob_id) == StoredBlob(blob_id, "binary", data)

    async def test_namespaces_never_see_each_other_s_spelling(self, opened: Opened) -> None:
        blob_id = "sha256:" + "1" * 64
        await opened.store.put_blob(NS, blob_id, "data", b'{"a":1}')
        await opened.store.put_blob("other", blob_id, "data", b'{ "a": 1 }')
        mine = await opened.store.get_blob(NS, blob_id)
        other = await opened.store.get_blob("other", blob_id)
        assert mine is not None
        assert other is not None
        assert (mine.data, other.data) == (b'{"a":1}', b'{ "a": 1 }')

    @pytest.mark.parametrize("size", [10, 300_000])
    async def test_bytes_that_are_not_what_their_id_says_are_refused(self, opened: Opened, size: int) -> None:
        with pytest.raises(DataLossError):
            await opened.store.put_blob(NS, FLOW, "binary", b"x" * size)
        assert await opened.store.get_blob(NS, FLOW) is None

    async def test_an_unknown_type_is_refused(self, opened: Opened) -> None:
        with pytest.raises(InvalidArgumentError):
            await opened.store.put_blob(NS, FLOW, "video", b"x")

    @pytest.mark.parametrize(
        ("first", "second", "kept"), [("data", "flow", "flow"), ("flow", "data", "flow"), ("binary", "data", "data")]
    )
    async def test_put_again_a_blob_has_the_higher_type(self, opened: Opened, first: str, second: str, kept: str) -> None:
        blob_id = blob_id_of(b"{}")
        await opened.store.put_blob(NS, blob_id, first, b"{}")
        await opened.store.put_blob(NS, blob_id, second, b"{}")
        assert await opened.store.blob_info(NS, blob_id) == (kept, 2)

    async def test_put_again_as_binary_the_canonical_bytes_replace_the_spelling(self, opened: Opened) -> None:
        blob_id = blob_id_of(b"{}")
        await opened.store.put_blob(NS, blob_id, "data", b"{ }")
        await opened.store.put_blob(NS, blob_id, "binary", b"{}")
        assert await opened.store.get_blob(NS, blob_id) == StoredBlob(blob_id, "data", b"{}")

    @pytest.mark.parametrize("size", [10, 400_000])
    async def test_one_blob_put_many_times_at_once_is_there(self, opened: Opened, size: int) -> None:
        data = b"x" * size
        blob_id = blob_id_of(data)
        await asyncio.gather(*(opened.store.put_blob(NS, blob_id, "binary", data) for _ in range(8)))
        assert await opened.store.get_blob(NS, blob_id) == StoredBlob(blob_id, "binary", data)

    @pytest.mark.parametrize("size", [10, 400_000])
    async def test_a_blob_can_be_deleted_and_put_again(self, opened: Opened, size: int) -> None:
        data = b"x" * size
        blob_id = blob_id_of(data)
        for _ in range(3):
            await opened.store.put_blob(NS, blob_id, "binary", data)
            assert await opened.store.delete_blob(NS, blob_id)
            assert await opened.store.get_blob(NS, blob_id) is None

    async def test_the_flow_of_a_run_cannot_be_deleted_before_the_run(self, opened: Opened) -> None:
        flow_id = blob_id_of(b"{}")
        await opened.store.put_blob(NS, flow_id, "flow", b"{}")
        key = await create(opened.store, new_run("a", flow_id=flow_id))
        with pytest.raises(PreconditionError):
            await opened.store.delete_blob(NS, flow_id)
        await opened.store.delete_runs(NS, [key])
        assert await opened.store.delete_blob(NS, flow_id)

    async def test_blobs_of_a_type_are_listed_newest_first_in_pages(self, opened: Opened) -> None:
        texts = [b'{"n":%d}' % i for i in range(5)]
        for text in texts:
            await opened.store.put_blob(NS, blob_id_of(text), "flow", text)
        await opened.store.put_blob(NS, blob_id_of(b"1"), "data", b"1")
        await opened.store.put_blob("other", blob_id_of(b"2"), "flow", b"2")
        listed: list[bytes] = []
        token: str | None = None
        for expected in (2, 2, 1):
            page, token = await opened.store.list_blobs(NS, "flow", limit=2, after=token)
            assert len(page) == expected
            listed += [blob.data for blob in page]
        assert (listed, token) == (texts[::-1], None)

    async def test_large_blobs_are_listed_with_their_bytes(self, opened: Opened) -> None:
        data = b'"' + b"x" * 300_000 + b'"'
        await opened.store.put_blob(NS, FLOW, "flow", data)
        assert await opened.store.list_blobs(NS, "flow", limit=2, after=None) == ([StoredBlob(FLOW, "flow", data)], None)

    @pytest.mark.parametrize("chunks", [[], [b"abc"], [b"x" * 200_000] * 7])
    async def test_a_blob_in_chunks_is_visible_once_it_is_committed(self, opened: Opened, chunks: list[bytes]) -> None:
        data = b"".join(chunks)
        blob_id = blob_id_of(data)
        writer = opened.store.begin_blob()
        for chunk in chunks:
            await writer.write(chunk)
        assert (writer.size, "sha256:" + writer.sha256_hex) == (len(data), blob_id)
        assert await writer.read_back() == data
        assert await opened.store.get_blob(NS, blob_id) is None
        await writer.commit(NS, blob_id, "binary")
        await writer.abort()
        assert await opened.store.get_blob(NS, blob_id) == StoredBlob(blob_id, "binary", data)

    async def test_an_aborted_blob_leaves_nothing_and_takes_nothing_more(self, opened: Opened) -> None:
        writer = opened.store.begin_blob()
        await writer.write(b"x")
        await writer.abort()
        await writer.abort()
        with pytest.raises(PreconditionError):
            await writer.write(b"y")
        with pytest.raises(PreconditionError):
            await writer.commit(NS, blob_id_of(b"x"), "binary")
