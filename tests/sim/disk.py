"""A store whose commits take time, whose news come later, whose disk fills up, and which forgets what was not committed."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flowspan.errors import Reason, StorageError, UnavailableError
from runtime_core.ports import Append
from runtime_core.stores.memory import MemoryStore, _Call

if TYPE_CHECKING:
    from tests.sim.oracle import Oracle

READS = (
    "blob_info", "child_runs", "find_request", "find_run", "get_blob", "list_runs", "read_inputs", "read_item_index",
    "read_rows", "read_rows_with",
)  # fmt: skip
RETRY_S = 1.0


class SimDisk:
    """What all incarnations share."""

    def __init__(self, rng: random.Random, oracle: Oracle) -> None:
        self.rng = rng
        self.oracle = oracle
        self.is_full = False
        self.owner: SimStore | None = None

    def store(self) -> SimStore:
        """A store for the next incarnation, on what the former ones have committed."""
        self.owner = SimStore(self, self.owner)
        return self.owner


class SimStore(MemoryStore):
    """Like the SQLite store: one commit at a time, news in order but later, reads somewhere between call and answer."""

    def __init__(self, disk: SimDisk, former: SimStore | None) -> None:
        super().__init__()
        self.disk = disk
        self.is_dead = False
        self._held: deque[Append] = deque()
        self._busy = False
        self._told_full = False
        self._news_due_s = 0.0
        self._news: deque[tuple[Any, tuple[Any, ...]]] = deque()
        if former is not None:
            for name in ("_epoch", "_runs", "_run_keys", "_last_run_key", "_stages", "_requests", "_blobs", "_last_blob_key"):
                setattr(self, name, getattr(former, name))

    def die(self) -> None:
        """kill -9: what is queued was never written, what was written is told to nobody."""
        self.is_dead = True
        self._queue.clear()
        self._held.clear()

    async def close(self) -> None:
        while (self._busy or self._queue or self._news) and not self.is_dead:
            await asyncio.sleep(0.01)
        self.is_dead = True

    def _check_open(self) -> None:
        if self.is_dead:
            raise UnavailableError("the store is closed")
        super()._check_open()

    def _delay_s(self) -> float:
        return self.disk.rng.choice((0.0, 0.0001, 0.001, 0.02))

    def _enqueue(self, write: list[Append] | _Call) -> None:
        self._check_open()
        self._queue.append(write)
        self._begin()

    def _begin(self) -> None:
        if self._busy or self.is_dead or not self._queue:
            return
        self._busy = True
        asyncio.get_running_loop().call_later(self._delay_s(), self._apply)

    def _apply(self) -> None:
        """The batch that has grown while the last commit ran is committed now."""
        if self.is_dead:
            return
        queue, self._queue = self._queue, []
        committed: list[Append] = []
        fenced: list[Append] = []
        calls: list[_Call] = []
        for write in queue:
            if not isinstance(write, _Call):
                self._held.extend(write)
                continue
            self._write_held(committed, fenced)
            if self.disk.is_full:
                write.error = StorageError("the disk is full", reason=Reason.STORAGE_FULL, outcome="not_applied")
            else:
                try:
                    write.result = write.apply()
                except Exception as error:
                    write.error = error
            calls.append(write)
        self._write_held(committed, fenced)
        self._post(committed, fenced, calls)
        self._busy = False
        if self._held:
            self._tell_full(True)
            asyncio.get_running_loop().call_later(RETRY_S, self._retry)
        self._begin()

    def _write_held(self, committed: list[Append], fenced: list[Append]) -> None:
        if not self.disk.is_full and self._held:
            appends = list(self._held)
            self._held.clear()
            self._apply_appends(appends, committed, fenced)

    def _retry(self) -> None:
        if self.is_dead or not self._held:
            return
        if self.disk.is_full:
            asyncio.get_running_loop().call_later(RETRY_S, self._retry)
            return
        committed: list[Append] = []
        fenced: list[Append] = []
        self._write_held(committed, fenced)
        self._post(committed, fenced, [])

    def _tell_full(self, is_full: bool) -> None:
        if is_full != self._told_full:
            self._told_full = is_full
            assert self._health is not None
            self._later(self._health.on_full, is_full)

    def _post(self, committed: list[Append], fenced: list[Append], calls: list[_Call]) -> None:
        assert self._health is not None
        self._later(self._tell, self._health, committed, fenced, calls)
        if not self._held:
            self._tell_full(False)

    def _later(self, callback: Any, *args: Any) -> None:
        """News come in their order, some time after the commit."""
        loop = asyncio.get_running_loop()
        self._news_due_s = max(self._news_due_s, loop.time() + self._delay_s())
        self._news.append((callback, args))
        loop.call_at(self._news_due_s, self._deliver)

    def _deliver(self) -> None:
        """The oldest news; timers of one moment come in any order."""
        callback, args = self._news.popleft()
        if not self.is_dead:
            callback(*args)

    # --- the oracle looks at what is written

    def _create_run(self, new: Any) -> Any:
        created = super()._create_run(new)
        if isinstance(created, int):
            self.disk.oracle.on_durable(new.run_id, 1, new.first_row)
        return created

    def _apply_appends(self, appends: list[Append], committed: list[Append], fenced: list[Append]) -> None:
        done = len(committed)
        super()._apply_appends(appends, committed, fenced)
        for append in committed[done:]:
            self.disk.oracle.on_durable(self._runs[append.run_key].new.run_id, append.first_seq, append.row)

    def _delete_runs(self, namespace: str, run_keys: Sequence[int]) -> None:
        self.disk.oracle.deleted |= {self._runs[run_key].new.run_id for run_key in run_keys if run_key in self._runs}
        super()._delete_runs(namespace, run_keys)

    def steal(self, run_id: str) -> None:
        """Another gateway takes a run."""
        run_key = self._run_keys.get(("default", run_id))
        if run_key is not None and self._runs[run_key].end is None:
            self._runs[run_key].epoch += 1_000


def _slow(name: str) -> Any:
    read = getattr(MemoryStore, name)

    async def later(self: SimStore, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(self._delay_s())
        found = await read(self, *args, **kwargs)
        await asyncio.sleep(self._delay_s())
        return found

    return later


for _name in READS:
    setattr(SimStore, _name, _slow(_name))
