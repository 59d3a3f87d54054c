"""A program that appends to a store as fast as it can and writes a line for everything that was acknowledged.

Arguments: the directory. It runs until it is killed.
Lines: `ack <run key> <last sequence number>`, `blob <id>`, `gone <run key>`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime_core.ports import Append
from runtime_core.stores.sqlite import SqliteStore

from .store_harness import NS, RecordingHealth, blob_id_of, create, new_run


class AcknowledgingHealth(RecordingHealth):
    def on_committed(self, appends: Sequence[Append]) -> None:
        os.write(1, b"".join(b"ack %d %d\n" % (append.run_key, append.last_seq) for append in appends))
        super().on_committed(appends)


def row(run_key: int, seq: int) -> bytes:
    """What the row of this number holds. Some are so large that they stand in files."""
    return b"%d/%d;" % (run_key, seq) * (60_000 if seq % 45 == 0 else seq % 400 + 1)


async def main(directory: Path) -> None:
    store = SqliteStore(directory)
    health = AcknowledgingHealth()
    epoch = await store.open(health)
    prefix = f"{os.getpid()}"
    keys = [await create(store, new_run(f"{prefix}-{name}")) for name in "abc"]
    settled = 0
    for number in range(1_000_000):
        seq = 3 + number
        store.append([Append(key, epoch, seq, seq, row(key, seq)) for key in keys])
        settled += len(keys)
        if number % 7 == 0:
            await health.settled(settled - 30)
        if number % 20 == 0:
            data = b"%s %d " % (prefix.encode(), number) * (30_000 if number % 40 else 3)
            await store.put_blob(NS, blob_id_of(data), "binary", data)
            os.write(1, b"blob %s\n" % blob_id_of(data).encode())
        if number % 50 == 0:
            gone = await create(store, new_run(f"{prefix}-gone-{number}"))
            await store.delete_runs(NS, [gone])
            os.write(1, b"gone %d\n" % gone)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
