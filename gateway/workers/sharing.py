"""Which worker gets what: the emptiest first, so that all fill up evenly. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.workers.worker import Worker


def share_out(workers: Sequence[Worker], count: int) -> list[tuple[Worker, int]]:
    """How many of `count` executions each worker takes; fewer in all where there is not room for so many.

    Each gets in proportion to what it has free. What is too little to be divided goes to those with the lowest load, among
    equals to those that were given least so far.
    """
    room = [(worker, free) for worker in workers if (free := worker.free) > 0]
    total = sum(free for _, free in room)
    count = min(count, total)
    if len(room) == 1:
        return [(room[0][0], count)] if count else []
    shares: list[tuple[Worker, int]] = []
    left = count
    for worker, free in sorted(room, key=_emptiest_first):
        if not left:
            break
        share = min(free, left, -(-free * count // total))
        shares.append((worker, share))
        left -= share
    return shares


def _emptiest_first(entry: tuple[Worker, int]) -> tuple[float, int]:
    worker = entry[0]
    return worker.load, worker.given
