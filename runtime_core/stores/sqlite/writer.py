"""The one writer: one connection that writes, and many calls to a commit.

Whatever arrives in one turn of the event loop is one commit. While nothing else is being written and the disk is quick, the loop
makes it itself; else a thread does, and what arrives meanwhile is queued, for its next commit (no timer, no linger). Results are
handed to the loop once per commit, after it. Nothing here awaits: a cancelled caller cannot leave a transaction open.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

import apsw

from runtime_core.ports import Append, NewRun, StoreHealth
from runtime_core.stores.sqlite import connection
from runtime_core.stores.sqlite.appends import write_appends
from runtime_core.stores.sqlite.checkpoints import IDLE_S, CheckpointPolicy
from runtime_core.stores.sqlite.commit_pace import CommitPace
from runtime_core.stores.sqlite.connection import StoreConnection
from runtime_core.stores.sqlite.faults import RETRY_S, Fault, classify, failed_store, translate
from runtime_core.stores.sqlite.runs import create_runs
from runtime_core.stores.statistics import StoreStatistics

_log = logging.getLogger(__name__)

MAX_COMMIT_BYTES: Final = 4 * 1024 * 1024
MAX_COMMIT_CALLS: Final = 1024
"""Bounds of one commit: how long it may keep the next ones waiting."""


class Transaction:
    """What a write may use: the connection, this incarnation, and files to be unlinked once the commit is durable."""

    __slots__ = ("db", "doomed_files", "epoch")

    def __init__(self, db: StoreConnection, epoch: int) -> None:
        self.db = db
        self.epoch = epoch
        self.doomed_files: list[Path] = []


class WriteCall:
    """One write of a caller.

    Attributes:
        apply: runs within the transaction, in whichever thread commits; raising undoes this call alone. It may run again,
            after what it has done was undone.
        future: of the caller; None for work that nobody waits for.
        size_bytes: about what it writes.
        file: written for this call before; unlinked if the call fails.
        then: another call to be queued behind everything else once this one is committed; given the result.
        new_run: what `apply` creates, if it does just that and it is plain (`runs.is_plain`): such runs are created together.
    """

    __slots__ = ("apply", "error", "file", "future", "new_run", "result", "size_bytes", "then")

    def __init__(
        self,
        apply: Callable[[Transaction], Any],
        future: asyncio.Future[Any] | None,
        *,
        size_bytes: int = 0,
        file: Path | None = None,
        then: Callable[[Any], WriteCall | None] | None = None,
        new_run: NewRun | None = None,
    ) -> None:
        self.new_run = new_run
        self.apply = apply
        self.future = future
        self.size_bytes = size_bytes
        self.file = file
        self.then = then
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """In the loop's thread: tell the caller, unless it has gone."""
        future = self.future
        if future is None or future.done():
            return
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.result)


Write = list[Append] | WriteCall


class _Nudge:
    """In the queue: the thread is to look after the log's file, or at what has become of the loop's commit."""


_NUDGE: Final = _Nudge()


class Writer:
    """The thread, and what the loop does in its place. To be used in the loop's thread, where callbacks come as well.

    Whoever uses the connection holds the lock. The loop never waits for it: it commits only if everything that it has queued
    before is done, so that the order of writes is that of `submit`.

    Args:
        open_database: opens and prepares the database; runs in the writer's thread, its errors are given to `ready`.
        release: lets go of what `open_database` took, after the connection is closed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        health: StoreHealth,
        open_database: Callable[[], tuple[StoreConnection, CheckpointPolicy, int]],
        release: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._health = health
        self._open_database = open_database
        self._release = release
        self._queue: SimpleQueue[Write | _Nudge | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._opened: tuple[StoreConnection, CheckpointPolicy] | None = None  # for the loop; None: not for it (any more)
        self._lost: tuple[list[Write], BaseException] | None = None
        self._gathered: list[Write] = []
        self._queued = self._done = 0  # of what the loop has queued
        self._is_nudged = self._sleeps_long = False
        self._written_at_s = 0.0
        self._pace = CommitPace()
        self._held: deque[Append] = deque()
        self._retry_at_s = 0.0
        self._told_full = False
        self._epoch = 0
        self._in_hand: list[Write] = []
        self._commits = self._appends = self._rows = self._calls = 0
        self.ready: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._main, name="flowspan-store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, write: Write) -> None:
        """Take a write; it is committed with all others of this turn of the loop, at its end."""
        self._gathered.append(write)
        if len(self._gathered) == 1:
            self._loop.call_soon(self._hand_on)

    def stop(self) -> None:
        """End the thread behind everything that was submitted."""
        self._opened = None
        self._hand_on()
        self._queue.put(None)

    def statistics(self) -> StoreStatistics:
        return StoreStatistics(self._commits, self._appends, self._rows, self._calls)

    # --- loop --------------------------------------------------------------------------------------------------------

    def _hand_on(self) -> None:
        """Commit what has come in this turn, or leave it to the thread."""
        writes, self._gathered = self._gathered, []
        if not writes or self._commit_here(writes):
            return
        self._queued += len(writes)
        for write in writes:
            self._queue.put(write)

    def _commit_here(self, writes: list[Write]) -> bool:
        """Commit in the loop's thread, where that costs nobody much. False: nothing was done, the thread has to do it.

        Two changes of threads less, and nobody to share the interpreter with: a third of the gateway's CPU time at K = 256.
        """
        began_s = time.monotonic()
        if self._opened is None or not all(map(_is_quick, writes)):
            return False
        if not self._pace.allows(_size(writes), sum(isinstance(write, WriteCall) for write in writes), began_s):
            return False
        if not self._lock.acquire(blocking=False):
            return False
        try:
            # Looked at under the lock: whatever the thread has taken, it has done, and `_deliver` is on its way to this loop.
            if self._opened is None or self._held or self._queued != self._done:
                return False
            db, checkpoints = self._opened
            db.set_busy_timeout(0)  # a foreign process's lock is waited for by the thread
            try:
                why_not = self._commit(db, writes, self._loop.call_soon)
            finally:
                db.set_busy_timeout(connection.BUSY_TIMEOUT_MS)
        except BaseException as error:
            self._opened = None
            self._lost = writes, error
            self._queue.put(_NUDGE)
            return True
        finally:
            self._lock.release()
        ended_s = self._written_at_s = time.monotonic()
        self._pace.took(ended_s - began_s, ended_s)
        if why_not is not None:
            return False  # the thread has patience
        if not self._is_nudged and (checkpoints.is_pressing or (self._sleeps_long and checkpoints.wants_rest)):
            self._is_nudged = True
            self._queue.put(_NUDGE)
        return True

    # --- thread ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _using(self) -> Iterator[None]:
        """The connection, for the thread. After an error the loop uses it no more."""
        with self._lock:
            try:
                yield
            except BaseException:
                self._opened = None
                raise

    def _main(self) -> None:
        try:
            try:
                db, checkpoints, epoch = self._open_database()
            except BaseException as error:
                self._release()
                self._post(_fail, self.ready, translate(error))
                return
            self._epoch = epoch
            self._opened = db, checkpoints
            self._post(_succeed, self.ready, epoch)
            try:
                self._work(db, checkpoints)
            except BaseException as error:
                self._fail_stop(error)
            finally:
                try:
                    db.close()
                finally:
                    self._release()
        finally:
            self._post(_succeed, self.ended, None)

    def _work(self, db: StoreConnection, checkpoints: CheckpointPolicy) -> None:
        while True:
            try:
                first = self._queue.get(timeout=self._patience_s(checkpoints))
            except Empty:
                with self._using():
                    if self._held:
                        self._retry_held(db)
                    elif checkpoints.wants_rest and time.monotonic() - self._written_at_s >= IDLE_S:
                        checkpoints.at_rest()
                continue
            writes, is_last = self._gather(first)
            self._in_hand = writes
            if self._lost is not None:
                self._in_hand, error = [*self._lost[0], *writes], self._lost[1]
                raise error
            with self._using():
                if writes:
                    self._write(db, writes)
                    self._done += len(writes)
                    self._written_at_s = time.monotonic()
                self._in_hand = []
                checkpoints.under_load()
            self._is_nudged = False
            if is_last:
                if self._held:
                    self._retry_held(db)
                checkpoints.at_end()
                return

    def _patience_s(self, checkpoints: CheckpointPolicy) -> float | None:
        if self._held:
            return max(0.0, self._retry_at_s - time.monotonic())
        # Said before it is looked: a commit of the loop in between nudges.
        self._sleeps_long = True
        self._sleeps_long = not checkpoints.wants_rest
        return None if self._sleeps_long else IDLE_S

    def _gather(self, first: Write | _Nudge | None) -> tuple[list[Write], bool]:
        """All that is queued, within the bounds of a commit; and whether the end has come."""
        writes: list[Write] = []
        size = 0
        write = first
        get = self._queue.get_nowait
        while write is not None:
            if not isinstance(write, _Nudge):
                writes.append(write)
                size += _size((write,))
            if size >= MAX_COMMIT_BYTES or len(writes) >= MAX_COMMIT_CALLS:
                return writes, False
            try:
                write = get()
            except Empty:
                return writes, False
        return writes, True

    def _write(self, db: StoreConnection, writes: list[Write]) -> None:
        if not self._held:
            error = self._commit(db, writes)
            if error is None:
                return
            _log.warning("the store cannot commit for now: %s", error)
            self._retry_at_s = 0.0
        # No room, or locked out: appends are kept in their order, each call is tried by itself and told.
        for write in writes:
            if not isinstance(write, WriteCall):
                self._held.extend(write)
        if self._retry_at_s <= time.monotonic():
            self._retry_held(db)
        for write in writes:
            if isinstance(write, WriteCall):
                error = self._commit(db, [write])
                if error is not None:
                    self._drop(write, translate(error))

    def _retry_held(self, db: StoreConnection) -> None:
        """Commit kept rows in slices, as far as there is room."""
        while self._held:
            appends: list[Append] = []
            size = 0
            for append in self._held:
                appends.append(append)
                size += len(append.row)
                if size >= MAX_COMMIT_BYTES:
                    break
            if self._commit(db, [appends]) is not None:
                self._retry_at_s = time.monotonic() + RETRY_S
                self._tell_full(True)
                return
            for _ in appends:
                self._held.popleft()
        self._tell_full(False)

    def _tell_full(self, is_full: bool) -> None:
        if is_full != self._told_full:
            self._told_full = is_full
            self._post(self._health.on_full, is_full)

    def _commit(
        self, db: StoreConnection, writes: Sequence[Write], post: Callable[..., object] | None = None
    ) -> BaseException | None:
        """One transaction. Returns why nothing of it was applied (full, locked out), None if it is durable.

        Raises:
            BaseException: the store can no longer be trusted.
        """
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                done = _apply_all(Transaction(db, self._epoch), writes, guarded=False)
            except _CallFailedError:  # rare; what was done beside it is done again, each call guarded
                _roll_back(db)
                db.execute("BEGIN IMMEDIATE")
                done = _apply_all(Transaction(db, self._epoch), writes, guarded=True)
            db.row_files.sync()
            db.execute("COMMIT")
        except BaseException as error:
            _roll_back(db)
            if classify(error) not in (Fault.FULL, Fault.BUSY):
                raise
            return error
        self._commits += 1
        self._appends += len(done.committed)
        self._rows += done.rows
        self._calls += len(done.calls)
        self._after_commit(done.transaction, done.calls)
        (post or self._post)(self._deliver, done.committed, done.fenced, done.calls)
        return None

    def _after_commit(self, transaction: Transaction, calls: list[WriteCall]) -> None:
        for call in calls:
            if call.error is not None:
                if call.file is not None:
                    transaction.doomed_files.append(call.file)
            elif call.then is not None and (following := call.then(call.result)) is not None:
                self._done -= 1  # nobody has submitted it
                self._queue.put(following)
        for path in transaction.doomed_files:
            _unlink(path)

    def _drop(self, call: WriteCall, error: BaseException) -> None:
        call.error = error
        if call.file is not None:
            _unlink(call.file)
        self._post(self._deliver, [], [], [call])

    def _fail_stop(self, error: BaseException) -> None:
        """Tell the owner, then refuse every call until `stop`: whether those at hand were applied is unknown."""
        _log.critical("the store has failed; nothing is committed any more", exc_info=error)
        self._post(self._health.on_failed, error)
        for write in self._in_hand:
            self._refuse(write, error)
        while (queued := self._queue.get()) is not None:
            self._refuse(queued, error)

    def _refuse(self, write: Write | _Nudge, error: BaseException) -> None:
        if isinstance(write, WriteCall) and write.future is not None:
            self._post(_fail, write.future, failed_store(error))

    # --- towards the loop --------------------------------------------------------------------------------------------

    def _post(self, callback: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            _log.debug("the event loop has gone; a result of the store was not delivered")

    def _deliver(self, committed: list[Append], fenced: list[Append], calls: list[WriteCall]) -> None:
        pace, now_s = self._pace, time.monotonic()
        for append in committed:
            if append.end is None:
                pace.wrote(append.run_key, now_s)
            else:
                pace.ended(append.run_key)
        for call in calls:
            if call.new_run is not None and call.new_run.end is None and isinstance(call.result, int):
                pace.wrote(call.result, now_s)
        try:
            if committed:
                self._health.on_committed(committed)
            for append in fenced:
                self._health.on_fenced(append)
        finally:
            for call in calls:
                call.settle()


def _is_quick(write: Write) -> bool:
    """Rows and new runs: what runs wait for. All else can be large, or has files to see to."""
    return not isinstance(write, WriteCall) or write.new_run is not None


def _size(writes: Sequence[Write]) -> int:
    """About how many bytes these write."""
    size = 0
    for write in writes:
        if isinstance(write, WriteCall):
            size += write.size_bytes
        else:
            for append in write:
                size += len(append.row)
    return size


class _Done:
    """What one transaction has done."""

    __slots__ = ("calls", "committed", "fenced", "rows", "transaction")

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.committed: list[Append] = []
        self.fenced: list[Append] = []
        self.calls: list[WriteCall] = []
        self.rows = 0


class _CallFailedError(Exception):
    """A call that was not guarded has failed: nothing of its transaction can be kept."""


def _apply_all(transaction: Transaction, writes: Sequence[Write], *, guarded: bool) -> _Done:
    """Apply writes in their order within the open transaction.

    Args:
        guarded: run each call between savepoints, so that its failure undoes it alone. A savepoint keeps a copy of each page that
            is changed behind it; of a submit, these are so many that SQLite puts them into a file, at a third of its cost.

    Raises:
        _CallFailedError: a call has failed, and was not guarded.
        BaseException: the transaction cannot go on.
    """
    db = transaction.db
    done = _Done(transaction)
    pending: list[Append] = []
    births: list[WriteCall] = []
    for write in writes:
        if not isinstance(write, WriteCall):
            pending += write
        elif write.new_run is not None and not guarded:
            births.append(write)  # no append can be of a run that is not there yet: their order does not matter
            done.calls.append(write)
        else:
            _create_runs(transaction, births)
            births = []
            if pending:
                done.rows += write_appends(db, pending, done.committed, done.fenced)
                pending = []
            _apply(transaction, write, guarded)
            done.calls.append(write)
    _create_runs(transaction, births)
    if pending:
        done.rows += write_appends(db, pending, done.committed, done.fenced)
    return done


def _create_runs(transaction: Transaction, births: Sequence[WriteCall]) -> None:
    """Create plain runs together, or one after the other where that cannot be. Raises as `_apply` does, not guarded."""
    if births:
        try:
            new_runs = [birth.new_run for birth in births if birth.new_run is not None]
            run_keys = create_runs(transaction.db, new_runs, transaction.epoch)
        except Exception as error:
            if isinstance(error, (apsw.Error, OSError)) and classify(error) is not Fault.REFUSED:
                raise
            raise _CallFailedError from error
        if run_keys is not None:
            for birth, run_key in zip(births, run_keys, strict=True):
                birth.result = run_key
            return
    for birth in births:
        _apply(transaction, birth, False)


def _apply(transaction: Transaction, call: WriteCall, guarded: bool) -> None:
    db = transaction.db
    kept_files = len(transaction.doomed_files)
    if guarded:
        db.execute("SAVEPOINT write_call")
    try:
        call.result = call.apply(transaction)
    except Exception as error:
        if isinstance(error, (apsw.Error, OSError)) and classify(error) is not Fault.REFUSED:
            raise
        if not guarded:
            raise _CallFailedError from error
        db.execute("ROLLBACK TO write_call")
        del transaction.doomed_files[kept_files:]
        call.error = translate(error)
    if guarded:
        db.execute("RELEASE write_call")


def _roll_back(db: StoreConnection) -> None:
    """End a transaction that failed. SQLite may have done so itself; it is certain only once it says so."""
    if db.in_transaction:
        db.execute("ROLLBACK")
    if db.in_transaction:
        raise apsw.InternalError("a failed transaction could not be rolled back")


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("blob file %s is no longer needed and could not be removed: %s", path.name, error)


def _succeed(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
