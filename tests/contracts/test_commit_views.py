"""What one commit does to many runs takes as many statements as for one, and means the same as run by run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flowspan.view.events import RunStatusCode
from flowspan.view.status import ItemCounts
from runtime_core.ports import Append, NewRun, RunEnd
from runtime_core.stores.sqlite.appends import write_appends
from runtime_core.stores.sqlite.commit_views import MAX_ROWS, open_views
from runtime_core.stores.sqlite.connection import StoreConnection, open_writer
from runtime_core.stores.sqlite.row_files import LARGE_ROW_BYTES
from runtime_core.stores.sqlite.runs import create_run, create_runs, find_request, is_plain
from runtime_core.stores.sqlite.schema import migrate
from tests.contracts.store_harness import new_run

EPOCH = 3


@pytest.fixture
def db(tmp_path: Path) -> Iterator[StoreConnection]:
    path = tmp_path / "runs.db"
    path.touch()
    opened = open_writer(path)
    migrate(opened, 0)
    open_views(opened)
    opened.row_files.prepare()
    yield opened
    opened.close()


@contextmanager
def counted(db: StoreConnection) -> Iterator[list[str]]:
    """The statements that are executed meanwhile."""
    statements: list[str] = []

    def note(_cursor: Any, sql: str, _bindings: Any) -> bool:
        statements.append(sql)
        return True

    db.exec_trace = note
    try:
        yield statements
    finally:
        db.exec_trace = None


def runs(count: int, first: int = 0) -> list[NewRun]:
    return [new_run(f"r{number}", request_key=f"k{number}") for number in range(first, first + count)]


def end_of(run_key: int, *, first_seq: int, epoch: int = EPOCH) -> Append:
    end = RunEnd(RunStatusCode.SUCCESS, 9, ItemCounts(1, 0, 0, 1, 0, 0), b"index")
    return Append(run_key, epoch, first_seq, first_seq + 1, b"end", end)


def rows(db: StoreConnection, table: str) -> list[Any]:
    return db.execute(f"SELECT * FROM {table}").fetchall()


def write(db: StoreConnection, appends: Sequence[Append]) -> tuple[list[Append], list[Append]]:
    committed: list[Append] = []
    fenced: list[Append] = []
    write_appends(db, appends, committed, fenced)
    return committed, fenced


def test_many_runs_are_created_and_ended_with_as_many_statements_as_one(db: StoreConnection) -> None:
    spent: list[int] = []
    for new_runs in (runs(1), runs(MAX_ROWS, first=1)):
        with counted(db) as statements:
            keys = create_runs(db, new_runs, EPOCH)
            assert keys is not None
            committed, _ = write(db, [end_of(key, first_seq=run.last_seq + 1) for key, run in zip(keys, new_runs, strict=True)])
            assert len(committed) == len(new_runs)
        spent.append(len(statements))
    assert spent[0] == spent[1] == 3
    assert {status for (status,) in db.execute("SELECT status FROM run")} == {int(RunStatusCode.SUCCESS)}


def test_runs_that_are_created_together_leave_what_runs_leave_that_are_created_one_by_one(tmp_path: Path) -> None:
    tables = ("input_set", "input_chunk", "run", "run_document", "run_metadata", "log_head", "log_row", "request_key")
    contents: list[dict[str, list[Any]]] = []
    for together in (True, False):
        path = tmp_path / f"{together}.db"
        path.touch()
        db = open_writer(path)
        migrate(db, 0)
        open_views(db)
        new_runs = [*runs(40), new_run("labelled", flow_label="l", metadata={"a": "1", "b": "2"}), new_run("plain")]
        keys = create_runs(db, new_runs, EPOCH) if together else [create_run(db, run, EPOCH) for run in new_runs]
        assert keys is not None and list(keys) == list(range(1, 43))
        contents.append({table: rows(db, table) for table in tables})
        db.close()
    assert contents[0] == contents[1]


def test_keys_of_runs_are_given_out_once_whoever_creates_them(db: StoreConnection) -> None:
    first = create_runs(db, runs(2), EPOCH)
    second = create_run(db, new_run("alone"), EPOCH)
    third = create_runs(db, runs(2, first=2), EPOCH)
    assert [*(first or ()), second, *(third or ())] == [1, 2, 3, 4, 5]
    db.execute("DELETE FROM run WHERE run_key = 5")
    assert list(create_runs(db, [new_run("next")], EPOCH) or ()) == [6]


@pytest.mark.parametrize("known", [runs(1), []])
def test_a_request_key_that_is_known_or_comes_twice_leaves_each_run_to_itself(db: StoreConnection, known: list[NewRun]) -> None:
    for run in known:
        create_run(db, run, EPOCH)
    asked = [*runs(2), new_run("other", request_key="k0")]
    assert create_runs(db, asked, EPOCH) is None
    assert len(rows(db, "run")) == len(known)


def test_an_expired_tombstone_leaves_each_run_to_itself(db: StoreConnection) -> None:
    create_run(db, new_run("old", request_key="k0", key_expires_us=10), EPOCH)
    db.execute("UPDATE request_key SET is_tombstone = 1")
    (again,) = [new_run("new", request_key="k0", created_at_us=10)]
    assert create_runs(db, [again], EPOCH) is None
    assert create_run(db, again, EPOCH) == 2
    found = find_request(db, again.namespace, "k0")
    assert found is not None and found.run_id == "new"


def test_a_row_that_does_not_meet_its_run_is_left_out_with_all_that_follows_it_and_nothing_else(db: StoreConnection) -> None:
    new_runs = runs(3)
    keys = create_runs(db, new_runs, EPOCH)
    assert keys is not None
    at = new_runs[0].last_seq + 1
    strange = Append(keys[1], EPOCH - 1, at, at, b"of a former owner")
    after = Append(keys[1], EPOCH - 1, at + 1, at + 1, b"and behind it")
    own = [Append(keys[0], EPOCH, at, at, b"one"), Append(keys[2], EPOCH, at, at, b"three")]
    committed, fenced = write(db, [own[0], strange, own[1], after])
    assert (committed, fenced) == (own, [strange, after])
    assert [data for (data,) in db.execute("SELECT data FROM log_row WHERE first_seq = ? ORDER BY run_key", (at,))] == [
        b"one",
        b"three",
    ]


def test_nothing_of_a_large_row_is_written_to_the_file_of_a_run_that_has_another_owner(db: StoreConnection) -> None:
    (run,) = runs(1)
    keys = create_runs(db, [run], EPOCH)
    assert keys is not None
    at = run.last_seq + 1
    large = Append(keys[0], EPOCH - 1, at, at, b"x" * (LARGE_ROW_BYTES + 1))
    assert write(db, [large]) == ([], [large])
    assert list(db.row_files.directory.iterdir()) == []


def test_a_terminal_run_takes_no_row(db: StoreConnection) -> None:
    (run,) = runs(1)
    keys = create_runs(db, [run], EPOCH)
    assert keys is not None
    end = end_of(keys[0], first_seq=run.last_seq + 1)
    late = Append(keys[0], EPOCH, end.last_seq + 1, end.last_seq + 1, b"late")
    assert write(db, [end, late]) == ([end], [late])


def test_runs_with_inputs_from_elsewhere_or_that_end_at_once_are_not_plain() -> None:
    assert is_plain(new_run("a"))
    assert not is_plain(new_run("a", chunks=[], stage_id="s"))
    assert not is_plain(new_run("a", chunks=[], source_run_id="b"))
    assert not is_plain(new_run("a", first_row=b"x" * (LARGE_ROW_BYTES + 1)))
    assert not is_plain(new_run("a", end=RunEnd(RunStatusCode.SUCCESS, 1, ItemCounts(0, 0, 0, 0, 0, 0), b"")))
