"""What must hold after kills: judged from the client's record, the ledger, and the final log."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from flowspan.view.events import ItemCompleted, ItemsStarted, RunCompleted, RunRecovered, Segment


@dataclass(frozen=True, slots=True)
class Start:
    """An execution that began: line of the ledger."""

    item: int
    attempt: int
    token: str
    at: float


def ledger_lines(ledger: Path) -> list[str]:
    """The lines so far. A reader may see the half of one that is being written."""
    text = ledger.read_text() if ledger.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def read_starts(ledger: Path, run_id: str) -> list[Start]:
    starts: list[Start] = []
    for line in ledger_lines(ledger):
        what, item, _, attempt, token, at, run, _ = line.split()
        if what == "start" and run == run_id:
            starts.append(Start(int(item), int(attempt), token, float(at)))
    return starts


def most_at_once(ledger: Path, run_id: str, kills: list[float]) -> int:
    """The largest number of executions of the run that were open at one moment; a kill closes all."""
    moments: list[tuple[float, int, int]] = [(at, 0, 0) for at in kills]
    for line in ledger_lines(ledger):
        what, item, _, _, _, at, run, _ = line.split()
        if run == run_id:
            moments.append((float(at), 1 if what == "start" else -1, int(item)))
    open_items: set[int] = set()
    most = 0
    for _, change, item in sorted(moments):
        if change == 0:
            open_items.clear()
        elif change > 0:
            open_items.add(item)
        else:
            open_items.discard(item)
        most = max(most, len(open_items))
    return most


def judge(
    segments: list[Segment],
    seen: dict[int, bytes],
    starts: list[Start],
    kills: list[float],
    total: int,
    max_concurrency: int,
) -> list[str]:
    """Broken promises, in words; empty if all hold.

    Args:
        segments: the whole log of the finished run.
        seen: results that a watcher saw, over all kills.
        kills: when the gateway was killed (monotonic), rising.
    """
    broken: list[str] = []
    expected_seq = 1
    results: dict[int, bytes] = {}
    finished_before: list[set[int]] = []
    started = 0
    terminal = 0
    for segment in segments:
        if segment.first_seq != expected_seq:
            broken.append(f"the log has a gap before {segment.first_seq}")
        expected_seq = segment.last_seq + 1
        for event in segment.events:
            if terminal:
                broken.append("an event follows the terminal one")
            match event:
                case ItemCompleted(item_index, _, payload):
                    if item_index in results:
                        broken.append(f"item {item_index} has two results")
                    results[item_index] = payload
                case ItemsStarted(first_item, count):
                    if first_item != started:
                        broken.append(f"items {first_item}.. start after {started}")
                    started += count
                case RunRecovered():
                    finished_before.append(set(results))
                case RunCompleted():
                    terminal += 1
                case _:
                    pass
    if terminal != 1:
        broken.append(f"{terminal} terminal events")
    if sorted(results) != list(range(total)):
        broken.append(f"{len(results)} of {total} items have a result")
    broken += [
        f"item {item} was seen as {value!r} and is {results.get(item)!r}"
        for item, value in seen.items()
        if results.get(item) != value
    ]
    if len(finished_before) != len(kills):
        broken.append(f"{len(finished_before)} recoveries after {len(kills)} kills")

    lives = [*kills, float("inf")]
    by_item: dict[int, list[Start]] = defaultdict(list)
    for start in starts:
        by_item[start.item].append(start)
    for item, own in by_item.items():
        attempts = [start.attempt for start in own]
        if attempts != sorted(set(attempts)):
            broken.append(f"item {item}: attempts {attempts} do not rise")
        if len({start.token for start in own}) != 1:
            broken.append(f"item {item}: the idempotency token changed")
    for number, (kill, finished) in enumerate(zip(kills, finished_before, strict=False)):
        until = lives[number + 1]
        again = {start.item for start in starts if kill < start.at <= until}
        before = {start.item for start in starts if start.at <= kill}
        if again & finished:
            broken.append(f"kill {number}: finished items ran again: {sorted(again & finished)[:5]}")
        repeated = again & before
        if len(repeated) > max_concurrency:
            broken.append(f"kill {number}: {len(repeated)} items were repeated, more than {max_concurrency}")
    counts = Counter(start.item for start in starts)
    if len(counts) != total:
        broken.append(f"{total - len(counts)} items never ran")
    return broken
