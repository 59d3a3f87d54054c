"""A disk that tests own: SQLite's files pass through it, can be made to fail, and can lose what was not synchronised."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import apsw

SECTOR_BYTES = 512


@dataclass(slots=True)
class Op:
    """One thing that was done to a file: write (`data` at `offset`), truncate (to `offset`), sync, delete; or an ack."""

    kind: str
    name: str
    offset: int = 0
    data: bytes = b""


@dataclass
class FaultyDisk:
    """The default VFS while it is entered.

    Attributes:
        ops: everything that was done, in order.
        write_error, sync_error: raised by every write or sync of the write-ahead log while set.
        sync_s: how long a sync takes; others run meanwhile.
    """

    ops: list[Op] = field(default_factory=list)
    write_error: type[apsw.Error] | None = None
    sync_error: type[apsw.Error] | None = None
    is_recording: bool = False
    sync_s: float = 0.0

    def __enter__(self) -> FaultyDisk:
        self._vfs = _Vfs(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._vfs.unregister()

    def note(self, op: Op) -> None:
        if self.is_recording:
            self.ops.append(op)

    def acknowledge(self, seq: int) -> None:
        self.note(Op("ack", "", seq))


class _Vfs(apsw.VFS):
    def __init__(self, disk: FaultyDisk) -> None:
        self._disk = disk
        super().__init__("flowspan-test", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:
        return _File(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        name = Path(filename).name
        self._disk.note(Op("delete", name))
        if syncdir:
            self._disk.note(Op("sync", name))


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = Path(path or "temporary").name
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._disk.write_error is not None and self._name.endswith("-wal"):
            raise self._disk.write_error("injected")
        self._disk.note(Op("write", self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._disk.note(Op("truncate", self._name, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        if self._disk.sync_error is not None and self._name.endswith("-wal"):
            raise self._disk.sync_error("injected")
        if self._disk.sync_s:
            time.sleep(self._disk.sync_s)
        super().xSync(flags)
        self._disk.note(Op("sync", self._name))


def power_cut(ops: list[Op], cut: int, directory: Path, rng: random.Random) -> int:
    """Write the files as a power cut after `ops[:cut]` may leave them; return the last acknowledged number.

    What a file had when it was last synchronised is kept. Of the later writes some are kept, some lost, some torn at a sector.
    """
    settled: dict[str, bytearray] = {}
    loose: dict[str, list[Op]] = {}
    acknowledged = 0
    for op in ops[:cut]:
        if op.kind == "ack":
            acknowledged = max(acknowledged, op.offset)
        elif op.kind == "sync":
            for earlier in loose.pop(op.name, []):
                _do(settled, earlier)
        else:
            loose.setdefault(op.name, []).append(op)
    keep_share = rng.choice([0.0, 0.3, 0.7, 1.0])
    for waiting in loose.values():
        for op in waiting:
            if rng.random() < keep_share:
                if op.kind == "write" and len(op.data) > SECTOR_BYTES and rng.random() < 0.3:
                    op = Op("write", op.name, op.offset, op.data[: rng.randrange(0, len(op.data), SECTOR_BYTES)])
                _do(settled, op)
    directory.mkdir()
    for name, content in settled.items():
        (directory / name).write_bytes(content)
    return acknowledged


def _do(files: dict[str, bytearray], op: Op) -> None:
    if op.kind == "delete":
        files.pop(op.name, None)
        return
    content = files.setdefault(op.name, bytearray())
    if op.kind == "truncate":
        del content[op.offset :]
        return
    if len(content) < op.offset:
        content.extend(bytes(op.offset - len(content)))
    content[op.offset : op.offset + len(op.data)] = op.data
