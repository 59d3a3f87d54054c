"""What every `runtime_core.ports.Store` does, as tests. `test_store.py` says for which stores."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from flowspan.errors import (
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
    StorageError,
    UnavailableError,
)
from flowspan.view.events import RunStatusCode
from flowspan.view.status import ItemCounts
from runtime_core.ports import Append, ExistingRun, InputChunk, RunFilter

from .store_harness import NS, Opened, blob_id_of, create, new_run, run_end


class StoreContract:
    """Each test gets `opened`, a fresh store that is open; the fixture closes it."""

    # --- log ---------------------------------------------------------------------------------------------------------

    async def test_a_created_run_is_found_as_it_was_given(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a", settings=b'{"s":1}'))
        record = await opened.store.find_run(NS, "a")
        assert record is not None
        assert (record.run_key, record.namespace, record.run_id, record.epoch, record.next_seq) == (key, NS, "a", opened.epoch, 3)
        assert (record.status, record.counts, record.completed_at_us) == (RunStatusCode.RUNNING, None, None)
        assert (record.description, record.settings) == (b'{"runId":"a"}', b'{"s":1}')

    async def test_a_run_id_is_taken_once(self, opened: Opened) -> None:
        await create(opened.store, new_run("a"))
        with pytest.raises(StorageError) as caught:
            await opened.store.create_run(new_run("a"))
        assert caught.value.details["outcome"] == "not_applied"

    async def test_the_log_begins_with_the_first_row(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        (row,) = await opened.store.read_rows(key, 0, 1000)
        assert (row.first_seq, row.last_seq, row.data) == (1, 2, b"first")

    async def test_runs_of_another_namespace_are_not_found(self, opened: Opened) -> None:
        await create(opened.store, new_run("a"))
        assert await opened.store.find_run("other", "a") is None

    async def test_one_name_in_two_namespaces_is_two_runs(self, opened: Opened) -> None:
        first = await create(opened.store, new_run("a"))
        second = await create(opened.store, new_run("a", namespace="other"))
        assert first != second

    async def test_appends_are_reported_in_their_order_and_can_be_read(self, opened: Opened) -> None:
        keys = [await create(opened.store, new_run(name)) for name in "abc"]
        made = [opened.append(key, seq, b"%d/%d;" % (key, seq)) for seq in range(3, 50) for key in keys]
        await opened.health.settled(len(made))
        assert opened.health.committed == made
        for key in keys:
            rows = await opened.store.read_rows(key, 2, 1 << 20)
            assert b"".join(row.data for row in rows) == b"".join(b"%d/%d;" % (key, seq) for seq in range(3, 50))

    async def test_appends_handed_over_together_are_one_commit_and_one_row(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        made = [Append(key, opened.epoch, seq, seq, b"x" * 100) for seq in range(3, 103)]
        opened.store.append(made)
        await opened.health.settled(100)
        assert opened.health.commits == [made]
        (row,) = await opened.store.read_rows(key, 2, 1 << 20)
        assert (row.first_seq, row.last_seq, row.data) == (3, 102, b"x" * 10_000)

    async def test_joined_rows_stay_within_64_kib_and_large_ones_stay_alone(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        sizes = [40_000, 20_000, 10_000, 200_000, 1, 1]
        opened.store.append([Append(key, opened.epoch, 3 + i, 3 + i, b"x" * size) for i, size in enumerate(sizes)])
        await opened.health.settled(len(sizes))
        rows = await opened.store.read_rows(key, 2, 1 << 20)
        assert [(row.first_seq, row.last_seq, len(row.data)) for row in rows] == [
            (3, 4, 60_000),
            (5, 5, 10_000),
            (6, 6, 200_000),
            (7, 8, 2),
        ]

    async def test_the_list_of_appends_may_be_reused_by_the_caller(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        made = [Append(key, opened.epoch, 3, 3, b"x")]
        opened.store.append(made)
        made.clear()
        await opened.health.settled(1)
        assert len(opened.health.committed) == 1

    async def test_the_context_of_an_append_comes_back_with_its_commit(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        context = object()
        opened.append(key, 3, context=context)
        await opened.health.settled(1)
        assert opened.health.committed[0].context is context

    async def test_nothing_is_told_before_append_returns(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        opened.append(key, 3)
        assert opened.health.commits == []
        await opened.health.settled(1)

    async def test_what_was_told_can_be_read_at_once(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        for seq in range(3, 30):
            opened.append(key, seq)
            await opened.health.settled(seq - 2)
            rows = await opened.store.read_rows(key, seq - 1, 1000)
            assert [row.last_seq for row in rows] == [seq]

    async def test_a_reader_never_sees_more_than_was_queued_nor_less_than_was_told(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        queued = 2
        while queued < 400:
            for _ in range(20):
                queued += 1
                opened.append(key, queued)
            told = 2 + len(opened.health.committed)
            rows = await opened.store.read_rows(key, 0, 1 << 20)
            assert told <= rows[-1].last_seq <= queued
            assert [row.first_seq for row in rows] == [1] + [row.last_seq + 1 for row in rows[:-1]]
        await opened.health.settled(queued - 2)

    async def test_a_page_of_rows_keeps_to_its_bytes_but_is_never_empty(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        for seq in range(3, 8):
            opened.append(key, seq, b"x" * 1000)
            await opened.health.settled(seq - 2)
        assert [row.last_seq for row in await opened.store.read_rows(key, 2, 2500)] == [3, 4]
        assert [row.last_seq for row in await opened.store.read_rows(key, 4, 1)] == [5]
        assert await opened.store.read_rows(key, 7, 2500) == []

    async def test_a_cursor_within_a_row_gets_that_row(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        opened.append(key, 3, count=10)
        await opened.health.settled(1)
        (row,) = await opened.store.read_rows(key, 7, 1000)
        assert (row.first_seq, row.last_seq) == (3, 12)

    async def test_rows_that_hold_given_numbers_come_once_each(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        for number, seq in enumerate(range(3, 33, 10)):
            opened.append(key, seq, count=10)
            await opened.health.settled(number + 1)
        rows = await opened.store.read_rows_with(key, [1, 4, 5, 12, 25, 99])
        assert [(row.first_seq, row.last_seq) for row in rows] == [(1, 2), (3, 12), (23, 32)]

    async def test_no_run_has_no_rows(self, opened: Opened) -> None:
        assert await opened.store.read_rows(77, 0, 1000) == []
        assert await opened.store.read_rows_with(77, [1]) == []
        assert await opened.store.read_item_index(77) is None

    # --- fencing -----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "change", [{"first_seq": 4, "last_seq": 4}, {"first_seq": 2, "last_seq": 2}, {"epoch": 999}, {"run_key": 999}]
    )
    async def test_an_append_that_does_not_meet_its_run_is_fenced_and_leaves_nothing(
        self, opened: Opened, change: dict[str, int]
    ) -> None:
        key = await create(opened.store, new_run("a"))
        bad = msgspec.structs.replace(Append(key, opened.epoch, 3, 3, b"bad"), **change)  # type: ignore[arg-type]
        opened.store.append([bad])
        await opened.health.settled(1)
        assert (opened.health.fenced, opened.health.committed) == ([bad], [])
        assert len(await opened.store.read_rows(key, 0, 1000)) == 1

    async def test_a_fenced_run_takes_no_other_run_of_the_commit_along(self, opened: Opened) -> None:
        good, bad = [await create(opened.store, new_run(name)) for name in "ab"]
        lost = [Append(bad, opened.epoch, 5, 5, b"x"), Append(bad, opened.epoch, 6, 6, b"x")]
        kept = [Append(good, opened.epoch, 3, 3, b"x"), Append(good, opened.epoch, 4, 4, b"x")]
        opened.store.append([lost[0], kept[0], lost[1], kept[1]])
        await opened.health.settled(4)
        assert (opened.health.fenced, opened.health.committed) == (lost, kept)

    async def test_behind_a_gap_everything_of_that_owner_is_fenced(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        appends = [Append(key, opened.epoch, seq, seq, b"x") for seq in (3, 5, 4)]
        opened.store.append(appends)
        await opened.health.settled(3)
        assert (opened.health.committed, opened.health.fenced) == (appends[:1], appends[1:])

    async def test_an_adopted_run_belongs_to_its_new_owner(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        record = await opened.store.find_run(NS, "a")
        assert record is not None
        assert await opened.store.adopt_run(record, opened.epoch + 1)
        old = opened.append(key, 3)
        new = opened.append(key, 3, epoch=opened.epoch + 1)
        await opened.health.settled(2)
        assert (opened.health.fenced, opened.health.committed) == ([old], [new])

    async def test_of_two_who_adopt_one_run_one_gets_it(self, opened: Opened) -> None:
        await create(opened.store, new_run("a"))
        record = await opened.store.find_run(NS, "a")
        assert record is not None
        answers = await asyncio.gather(*(opened.store.adopt_run(record, opened.epoch + i) for i in (1, 2, 3)))
        assert sorted(answers) == [False, False, True]

    async def test_a_terminal_run_cannot_be_adopted(self, opened: Opened) -> None:
        await create(opened.store, new_run("a"))
        record = await opened.store.find_run(NS, "a")
        assert record is not None
        opened.append(record.run_key, 3, end=run_end())
        assert not await opened.store.adopt_run(record, opened.epoch + 1)
        fresh = await opened.store.find_run(NS, "a")
        assert fresh is not None
        assert not await opened.store.adopt_run(fresh, opened.epoch + 1)

    # --- end of a run ------------------------------------------------------------------------------------------------

    async def test_the_terminal_commit_seals_the_run(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        assert await opened.store.read_item_index(key) is None
        opened.append(key, 3, end=run_end(RunStatusCode.FAILED))
        await opened.health.settled(1)
        record = await opened.store.find_run(NS, "a")
        assert record is not None
        assert (record.status, record.completed_at_us, record.next_seq) == (RunStatusCode.FAILED, 9_000, 4)
        assert record.counts == ItemCounts(3, 0, 0, 3, 0, 0)
        assert await opened.store.read_item_index(key) == b"index"

    @pytest.mark.parametrize("is_same_commit", [True, False])
    async def test_nothing_follows_the_terminal_event(self, opened: Opened, is_same_commit: bool) -> None:
        key = await create(opened.store, new_run("a"))
        last = opened.append(key, 3, end=run_end())
        if not is_same_commit:
            await opened.health.settled(1)
        late = opened.append(key, 4)
        await opened.health.settled(2)
        assert (opened.health.committed, opened.health.fenced) == ([last], [late])

    async def test_a_run_may_be_over_when_it_is_created(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a", total=0, chunks=[], end=run_end()))
        record = await opened.store.find_run(NS, "a")
        assert record is not None
        assert record.status is RunStatusCode.SUCCESS
        assert await opened.store.read_item_index(key) == b"index"
        late = opened.append(key, 3)
        await opened.health.settled(1)
        assert opened.health.fenced == [late]

    async def test_open_runs_are_those_that_are_not_terminal_oldest_first(self, opened: Opened) -> None:
        keys = [await create(opened.store, new_run(name, namespace=space)) for name, space in (("a", NS), ("b", "x"), ("c", NS))]
        opened.append(keys[0], 3, end=run_end())
        await opened.health.settled(1)
        assert [record.run_id for record in await opened.store.open_runs()] == ["b", "c"]

    # --- request keys ------------------------------------------------------------------------------------------------

    async def test_a_repeated_request_key_gives_the_first_run(self, opened: Opened) -> None:
        await create(opened.store, new_run("a", request_key="k", fingerprint=b"1"))
        again = await opened.store.create_run(new_run("b", request_key="k", fingerprint=b"2"))
        assert again == ExistingRun("a", b"1")
        assert await opened.store.find_run(NS, "b") is None
        assert await opened.store.find_request(NS, "k") == ExistingRun("a", b"1")

    async def test_of_many_submits_with_one_key_at_once_one_makes_the_run(self, opened: Opened) -> None:
        answers = await asyncio.gather(*(opened.store.create_run(new_run(f"r{i}", request_key="k")) for i in range(20)))
        assert [type(answer) for answer in answers] == [int] + [ExistingRun] * 19
        page, _ = await opened.store.list_runs(RunFilter(NS), limit=100, after=None)
        assert [record.run_id for record in page] == ["r0"]

    async def test_request_keys_of_namespaces_are_apart(self, opened: Opened) -> None:
        await create(opened.store, new_run("a", request_key="k"))
        await create(opened.store, new_run("a", namespace="other", request_key="k"))
        assert await opened.store.find_request("third", "k") is None

    async def test_the_key_of_a_deleted_run_counts_until_its_time(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a", request_key="k", fingerprint=b"1", key_expires_us=5_000))
        await opened.store.delete_runs(NS, [key])
        early = await opened.store.create_run(new_run("b", request_key="k", created_at_us=4_999))
        assert early == ExistingRun("a", b"1")
        await create(opened.store, new_run("c", request_key="k", created_at_us=5_000))

    async def test_the_key_of_a_living_run_does_not_expire(self, opened: Opened) -> None:
        await create(opened.store, new_run("a", request_key="k", fingerprint=b"1", key_expires_us=5_000))
        assert await opened.store.create_run(new_run("b", request_key="k", created_at_us=9_999)) == ExistingRun("a", b"1")

    # --- inputs ------------------------------------------------------------------------------------------------------

    async def test_every_input_is_read_back(self, opened: Opened) -> None:
        inputs = [b"%d" % i * (i % 50) for i in range(20_000)]
        key = await create(opened.store, new_run("a", total=20_000, chunks=[InputChunk(0, inputs)]))
        read: list[bytes] = []
        while len(read) < 20_000:
            chunk = await opened.store.read_inputs(key, len(read))
            read += chunk.inputs[len(read) - chunk.first_item :]
        assert read == inputs

    async def test_any_item_is_found_in_its_chunk(self, opened: Opened) -> None:
        chunks = [InputChunk(0, [b"0", b"1"]), InputChunk(2, [b"x" * 300_000, b"3"]), InputChunk(4, [b"4"])]
        key = await create(opened.store, new_run("a", total=5, chunks=chunks))
        for index, value in enumerate([b"0", b"1", b"x" * 300_000, b"3", b"4"]):
            chunk = await opened.store.read_inputs(key, index)
            assert chunk.inputs[index - chunk.first_item] == value

    async def test_blob_references_keep_their_items(self, opened: Opened) -> None:
        inputs = [b"x" * 50_000] * 9
        key = await create(opened.store, new_run("a", total=9, chunks=[InputChunk(0, inputs, frozenset({0, 4, 8}))]))
        found = set()
        for index in range(9):
            chunk = await opened.store.read_inputs(key, index)
            if index - chunk.first_item in chunk.blob_refs:
                found.add(index)
        assert found == {0, 4, 8}

    @pytest.mark.parametrize("index", [3, 1_000_000])
    async def test_an_input_beyond_the_last_is_not_found(self, opened: Opened, index: int) -> None:
        key = await create(opened.store, new_run("a"))
        with pytest.raises(NotFoundError) as caught:
            await opened.store.read_inputs(key, index)
        assert caught.value.reason is Reason.RUN_NOT_FOUND

    async def test_staged_inputs_become_those_of_the_run(self, opened: Opened) -> None:
        await opened.store.stage_inputs("s", [InputChunk(0, [b"0", b"1"])])
        await opened.store.stage_inputs("s", [InputChunk(2, [b"2"])])
        key = await create(opened.store, new_run("a", chunks=[], stage_id="s"))
        chunk = await opened.store.read_inputs(key, 2)
        assert chunk.inputs[2 - chunk.first_item] == b"2"

    async def test_staged_inputs_serve_one_run(self, opened: Opened) -> None:
        await opened.store.stage_inputs("s", [InputChunk(0, [b"0"])])
        await create(opened.store, new_run("a", chunks=[], stage_id="s"))
        with pytest.raises(PreconditionError):
            await opened.store.create_run(new_run("b", chunks=[], stage_id="s"))

    async def test_a_refused_submit_leaves_its_stage_as_it_was(self, opened: Opened) -> None:
        await create(opened.store, new_run("a"))
        await opened.store.stage_inputs("s", [InputChunk(0, [b"staged"])])
        with pytest.raises(StorageError):
            await opened.store.create_run(new_run("a", chunks=[], stage_id="s"))
        key = await create(opened.store, new_run("b", chunks=[], stage_id="s"))
        assert (await opened.store.read_inputs(key, 0)).inputs == [b"staged"]

    async def test_a_discarded_stage_is_gone(self, opened: Opened) -> None:
        await opened.store.stage_inputs("s", [InputChunk(0, [b"0"])])
        await opened.store.discard_stage("s")
        await opened.store.discard_stage("s")
        with pytest.raises(PreconditionError):
            await opened.store.create_run(new_run("a", chunks=[], stage_id="s"))
        assert await opened.store.find_run(NS, "a") is None

    async def test_a_retry_shares_its_source_s_inputs_even_when_that_is_deleted(self, opened: Opened) -> None:
        source = await create(opened.store, new_run("a"))
        retry = await create(opened.store, new_run("b", chunks=[], source_run_id="a"))
        await opened.store.delete_runs(NS, [source])
        chunk = await opened.store.read_inputs(retry, 1)
        assert chunk.inputs[1 - chunk.first_item] == b"11"
        with pytest.raises(NotFoundError):
            await opened.store.create_run(new_run("c", chunks=[], source_run_id="a"))

    # --- lists -------------------------------------------------------------------------------------------------------

    async def test_runs_are_listed_newest_first_in_pages(self, opened: Opened) -> None:
        for i in range(7):
            await create(opened.store, new_run(f"r{i}"))
        listed: list[str] = []
        token: str | None = None
        for expected in (3, 3, 1):
            page, token = await opened.store.list_runs(RunFilter(NS), limit=3, after=token)
            assert len(page) == expected
            listed += [record.run_id for record in page]
        assert (listed, token) == ([f"r{i}" for i in reversed(range(7))], None)

    async def test_a_page_that_is_just_full_is_the_last(self, opened: Opened) -> None:
        for i in range(3):
            await create(opened.store, new_run(f"r{i}"))
        page, token = await opened.store.list_runs(RunFilter(NS), limit=3, after=None)
        assert (len(page), token) == (3, None)

    async def test_runs_that_come_meanwhile_do_not_disturb_the_next_page(self, opened: Opened) -> None:
        for i in range(4):
            await create(opened.store, new_run(f"r{i}"))
        _, token = await opened.store.list_runs(RunFilter(NS), limit=2, after=None)
        await create(opened.store, new_run("late"))
        page, _ = await opened.store.list_runs(RunFilter(NS), limit=2, after=token)
        assert [record.run_id for record in page] == ["r1", "r0"]

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (RunFilter(NS), "dcba"),
            (RunFilter(NS, statuses=(RunStatusCode.SUCCESS,)), "c"),
            (RunFilter(NS, statuses=(RunStatusCode.SUCCESS, RunStatusCode.RUNNING)), "dcba"),
            (RunFilter(NS, flow_id="other"), "b"),
            (RunFilter(NS, flow_label="prod"), "ca"),
            (RunFilter(NS, metadata={"team": "x"}), "ba"),
            (RunFilter(NS, metadata={"team": "x", "tier": "1"}), "b"),
            (RunFilter(NS, metadata={"team": "none"}), ""),
            (RunFilter(NS, created_from_us=200), "dcb"),
            (RunFilter(NS, created_from_us=200, created_before_us=400), "cb"),
            (RunFilter(NS, parent_run_id="a"), "d"),
            (RunFilter(NS, root_run_id="a"), "da"),
            (RunFilter("nobody"), ""),
        ],
    )
    async def test_filters_choose_runs(self, opened: Opened, wanted: RunFilter, expected: str) -> None:
        store = opened.store
        await create(store, new_run("a", created_at_us=100, flow_label="prod", metadata={"team": "x"}))
        await create(store, new_run("b", created_at_us=200, flow_id="other", metadata={"team": "x", "tier": "1"}))
        await create(store, new_run("c", created_at_us=300, flow_label="prod", end=run_end()))
        await create(store, new_run("d", created_at_us=400, parent_run_id="a", root_run_id="a"))
        await create(store, new_run("e", namespace="elsewhere", metadata={"team": "x"}))
        page, _ = await store.list_runs(wanted, limit=10, after=None)
        assert "".join(record.run_id for record in page) == expected

    @pytest.mark.parametrize(
        "token", ["", "x", "a2x:1", "azE6", "azE6LTU", "azE6MTIzNDU2Nzg5MDEyMzQ1Njc4OTA", "\N{SNOWMAN}", "!!!!"]
    )
    async def test_a_page_token_of_somebody_else_is_refused(self, opened: Opened, token: str) -> None:
        with pytest.raises(InvalidArgumentError):
            await opened.store.list_runs(RunFilter(NS), limit=3, after=token)
        with pytest.raises(InvalidArgumentError):
            await opened.store.list_blobs(NS, "flow", limit=3, after=token)

    async def test_child_runs_are_listed_oldest_first(self, opened: Opened) -> None:
        await create(opened.store, new_run("p"))
        for name in "xy":
            await create(opened.store, new_run(name, parent_run_id="p", root_run_id="p"))
        await create(opened.store, new_run("z", parent_run_id="x", root_run_id="p"))
        assert [record.run_id for record in await opened.store.child_runs(NS, "p")] == ["x", "y"]

    # --- deletion ----------------------------------------------------------------------------------------------------

    async def test_a_deleted_run_is_gone_with_its_log_inputs_and_index(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a", metadata={"m": "1"}, end=run_end()))
        kept = await create(opened.store, new_run("b"))
        await opened.store.delete_runs(NS, [key])
        assert await opened.store.find_run(NS, "a") is None
        assert await opened.store.read_rows(key, 0, 1000) == []
        assert await opened.store.read_rows_with(key, [1]) == []
        assert await opened.store.read_item_index(key) is None
        assert await opened.store.list_runs(RunFilter(NS, metadata={"m": "1"}), limit=9, after=None) == ([], None)
        with pytest.raises(NotFoundError):
            await opened.store.read_inputs(key, 0)
        assert len(await opened.store.read_rows(kept, 0, 1000)) == 1

    async def test_appends_to_a_deleted_run_are_fenced(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        await opened.store.delete_runs(NS, [key])
        late = opened.append(key, 3)
        await opened.health.settled(1)
        assert opened.health.fenced == [late]

    async def test_another_namespace_cannot_delete_a_run(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        await opened.store.delete_runs("other", [key])
        assert await opened.store.find_run(NS, "a") is not None

    async def test_many_runs_are_deleted_in_one_call(self, opened: Opened) -> None:
        keys = [await create(opened.store, new_run(f"r{i}")) for i in range(250)]
        await opened.store.delete_runs(NS, keys)
        assert await opened.store.list_runs(RunFilter(NS), limit=10, after=None) == ([], None)

    async def test_a_run_key_is_not_given_twice(self, opened: Opened) -> None:
        first = await create(opened.store, new_run("a"))
        await opened.store.delete_runs(NS, [first])
        assert await create(opened.store, new_run("b")) > first

    # --- cancellation, life ------------------------------------------------------------------------------------------

    async def test_a_cancelled_caller_disturbs_no_write(self, opened: Opened) -> None:
        tasks = [asyncio.ensure_future(opened.store.create_run(new_run(f"r{i}"))) for i in range(50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, int) for answer in answers[1::2])
        key = await create(opened.store, new_run("last"))
        opened.append(key, 3)
        await opened.health.settled(1)
        page, _ = await opened.store.list_runs(RunFilter(NS), limit=100, after=None)
        assert {f"r{i}" for i in range(1, 50, 2)} | {"last"} <= {record.run_id for record in page}
        for record in page:
            assert (await opened.store.read_rows(record.run_key, 0, 1000))[0].data == b"first"

    async def test_a_cancelled_reader_disturbs_no_other(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        for _ in range(20):
            task = asyncio.ensure_future(opened.store.read_rows(key, 0, 1000))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert len(await opened.store.read_rows(key, 0, 1000)) == 1

    async def test_a_refused_write_leaves_its_neighbours_alone(self, opened: Opened) -> None:
        store = opened.store
        answers = await asyncio.gather(
            store.create_run(new_run("a")),
            store.create_run(new_run("b", chunks=[], stage_id="nowhere")),
            store.create_run(new_run("c")),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [int, PreconditionError, int]

    async def test_writes_take_effect_in_the_order_of_the_calls(self, opened: Opened) -> None:
        flow_id = blob_id_of(b"{}")
        store = opened.store
        answers = await asyncio.gather(
            store.put_blob(NS, flow_id, "flow", b"{}"),
            store.delete_blob(NS, flow_id),
            store.delete_blob(NS, flow_id),
            store.put_blob(NS, flow_id, "flow", b"{}"),
            store.create_run(new_run("a", flow_id=flow_id)),
            store.delete_blob(NS, flow_id),
            return_exceptions=True,
        )
        assert list(answers[1:3]) == [True, False]
        assert isinstance(answers[5], PreconditionError)

    async def test_closing_commits_what_is_queued(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        made = [opened.append(key, seq) for seq in range(3, 20)]
        await opened.store.close()
        await opened.health.settled(len(made))
        assert opened.health.committed == made

    async def test_a_closed_store_refuses_and_may_be_closed_again(self, opened: Opened) -> None:
        await opened.store.close()
        await opened.store.close()
        with pytest.raises(UnavailableError):
            opened.append(1, 3)
        with pytest.raises(UnavailableError):
            await opened.store.create_run(new_run("a"))
        with pytest.raises(UnavailableError):
            await opened.store.find_run(NS, "a")
        with pytest.raises(UnavailableError):
            opened.store.begin_blob()

    async def test_a_new_incarnation_has_a_higher_epoch_and_finds_everything_but_stages(self, opened: Opened) -> None:
        key = await create(opened.store, new_run("a"))
        await opened.store.stage_inputs("s", [InputChunk(0, [b"0"])])
        opened.append(key, 3)
        await opened.store.close()
        epoch = await opened.store.open(opened.health)
        assert epoch > opened.epoch
        (record,) = await opened.store.open_runs()
        assert (record.run_id, record.epoch, record.next_seq) == ("a", opened.epoch, 4)
        with pytest.raises(PreconditionError):
            await opened.store.create_run(new_run("b", chunks=[], stage_id="s"))
