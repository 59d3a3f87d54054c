"""Live many seeds: `python -m tests.sim FIRST COUNT`. Prints the seeds that fail."""

from __future__ import annotations

import sys
import time

from tests.sim.world import live


def main() -> int:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    failed = 0
    begin_s = time.monotonic()
    for seed in range(first, first + count):
        try:
            live(seed)
        except Exception as error:
            failed += 1
            print(f"{seed} {type(error).__name__}: {str(error)[:300]}", flush=True)
    print(f"{count} seeds, {failed} failed, {time.monotonic() - begin_s:.0f} s", flush=True)
    return 1 if failed else 0


sys.exit(main())
