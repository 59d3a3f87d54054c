"""What the store tests share: an opened store, what it tells, and runs to put into it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from flowspan.view.events import RunStatusCode
from flowspan.view.status import ItemCounts
from runtime_core.ports import Append, InputChunk, NewRun, RunEnd, Store

NS = "default"
FLOW = "sha256:" + "f" * 64
WAIT_S = 5.0


class RecordingHealth:
    """Keeps what a store tells; `settled` waits until so many appends were committed or fenced."""

    def __init__(self) -> None:
        self.commits: list[list[Append]] = []
        self.fenced: list[Append] = []
        self.full: list[bool] = []
        self.failures: list[BaseException] = []
        self._news = asyncio.Event()

    @property
    def committed(self) -> list[Append]:
        return [append for commit in self.commits for append in commit]

    def on_committed(self, appends: Sequence[Append]) -> None:
        self.commits.append(list(appends))
        self._news.set()

    def on_fenced(self, append: Append) -> None:
        self.fenced.append(append)
        self._news.set()

    def on_full(self, is_full: bool) -> None:
        self.full.append(is_full)
        self._news.set()

    def on_failed(self, error: BaseException) -> None:
        self.failures.append(error)
        self._news.set()

    async def news(self) -> None:
        """The next call, at most 5 s away."""
        self._news.clear()
        async with asyncio.timeout(WAIT_S):
            await self._news.wait()

    async def settled(self, count: int) -> None:
        while len(self.committed) + len(self.fenced) < count:
            await self.news()


def new_run(run_id: str, **changes: object) -> NewRun:
    run = NewRun(
        namespace=NS,
        run_id=run_id,
        flow_id=FLOW,
        flow_name="greet",
        flow_label=None,
        root_run_id=run_id,
        parent_run_id=None,
        source_run_id=None,
        metadata={},
        created_at_us=1_000,
        total=3,
        description=b'{"runId":"' + run_id.encode() + b'"}',
        settings=b"{}",
        chunks=[InputChunk(0, [b"10", b"11", b"12"])],
        stage_id=None,
        first_row=b"first",
        last_seq=2,
    )
    return msgspec.structs.replace(run, **changes)  # type: ignore[arg-type]


def run_end(status: RunStatusCode = RunStatusCode.SUCCESS) -> RunEnd:
    return RunEnd(status, 9_000, ItemCounts(3, 0, 0, 3, 0, 0), b"index")


def blob_id_of(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


async def create(store: Store, run: NewRun) -> int:
    key = await store.create_run(run)
    assert isinstance(key, int)
    return key


class Opened:
    """An open store, its epoch and what it tells."""

    def __init__(self, store: Store, health: RecordingHealth, epoch: int) -> None:
        self.store = store
        self.health = health
        self.epoch = epoch

    def append(self, run_key: int, first_seq: int, row: bytes = b"r", count: int = 1, **changes: object) -> Append:
        made = msgspec.structs.replace(Append(run_key, self.epoch, first_seq, first_seq + count - 1, row), **changes)  # type: ignore[arg-type]
        self.store.append([made])
        return made
