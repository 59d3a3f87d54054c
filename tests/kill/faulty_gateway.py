"""`flowspan` on a disk that a test can make fail: every write and sync of the write-ahead log looks at the file FAULT first.

FAULT holds `full` (no room) or `broken` (an I/O error), or does not exist. The moment of the first failure (monotonic
seconds) is written beside it, to `FAULT.at`. Arguments are those of `flowspan`.
"""

import os
import sys
import time
from pathlib import Path

import apsw

from gateway.cli import main

FAULT = Path(os.environ["FAULT"])


def fail_if_asked(name: str) -> None:
    if not name.endswith("-wal"):
        return
    try:
        kind = FAULT.read_text()
    except OSError:
        return
    at = FAULT.with_suffix(".at")
    if not at.exists():
        at.write_text(repr(time.monotonic()))
    raise apsw.FullError("injected") if kind == "full" else apsw.IOError("injected")


class FaultyFile(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = Path(path or "temporary").name
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        fail_if_asked(self._name)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        fail_if_asked(self._name)
        super().xSync(flags)


class FaultyDisk(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("faulty", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> FaultyFile:
        return FaultyFile(name, flags)


disk = FaultyDisk()
sys.exit(main())
