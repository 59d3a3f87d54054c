"""Many workers on one queue, a third of which are killed at random during a run.

`python -m tests.workers.crowd --workers 100 --items 100000` starts workers of every SDK that is built here, prints what it saw as
one line of JSON, and ends with 1 where an item has not exactly one result, a worker was given more than its capacity, or the
spread among the survivors is more than 20 % from fair.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gateway.workers.worker import Worker
from runtime_core.api import SubmitRun
from runtime_core.calls import ComponentCall
from tests.e2e.house import one_step
from tests.workers.hand_worker import WorkerHouse, worker_house
from tests.workers.processes import ended_at_last, start, workers_there

ROOT = Path(__file__).parents[2]
CROWD_MEMBER = Path(__file__).with_name("crowd_member.py")
LANGUAGES = ("typescript", "go", "rust", "java")
CAPACITY = 8
TOLERANCE = 0.2


@dataclass
class Seen:
    """What a run through a crowd showed.

    Attributes:
        most_held: what a Python worker has seen under way in itself at once.
        fullest: the largest share of its capacity that the gateway has given any worker at once.
        shares: what each survivor was given, as a part of what survivors of its language were given on average: `/echo` takes
            longer in some than in others.
    """

    items: int
    results: int = 0
    wrong: int = 0
    workers: dict[str, int] = field(default_factory=dict)
    killed: int = 0
    most_held: int = 0
    fullest: float = 0.0
    shares: list[float] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def faults(self) -> list[str]:
        found = []
        if self.results != self.items or self.wrong:
            found.append(f"{self.items} items, {self.results} results, {self.wrong} of them wrong")
        if self.most_held > CAPACITY:
            found.append(f"a worker held {self.most_held} at once, its capacity is {CAPACITY}")
        if self.fullest > 1:
            found.append(f"a worker was given {self.fullest:.2f} of its capacity")
        if self.shares and (min(self.shares) < 1 - TOLERANCE or max(self.shares) > 1 + TOLERANCE):
            found.append(f"shares of the survivors are {min(self.shares):.2f} to {max(self.shares):.2f} of fair")
        return found


def built_languages() -> dict[str, list[str]]:
    """Commands of component servers with `/echo`, by language, of the SDKs that are built here."""
    commands = {}
    for language in LANGUAGES:
        makefile = ROOT / "clients" / language / "Makefile"
        if not makefile.is_file():
            continue
        asked = subprocess.run(
            ["make", "-s", "-C", str(makefile.parent), "conformance-server"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        try:
            command = json.loads(asked.stdout)
        except ValueError:
            continue
        files = [argument.split(":")[0] for argument in command if argument.startswith("/")]
        if asked.returncode or not shutil.which(command[0]) or not all(Path(file).exists() for file in files):
            continue
        if _starts(command):
            commands[language] = command
    return commands


def _starts(command: Sequence[str]) -> bool:
    """Whether it goes on looking for a gateway that is not there, as a worker does."""
    process = start(command, "127.0.0.1:9")
    try:
        process.wait(2.0)
    except subprocess.TimeoutExpired:
        return True
    finally:
        process.kill()
        process.wait(10)
    return False


async def run_crowd(*, workers: int, items: int, others: dict[str, list[str]], seed: int, work_s: float) -> Seen:
    """As many workers of each language as of any other; `work_s`: how long those in Python take for an item."""
    dice = random.Random(seed)
    languages = ["python", *others]
    async with worker_house(away_s=2.0, heartbeat_s=0.5) as house:
        with tempfile.TemporaryDirectory(prefix="fs-crowd-") as directory:
            processes: list[subprocess.Popen[bytes]] = []
            for n in range(workers):
                member = [sys.executable, str(CROWD_MEMBER), f"{directory}/{n}.json", str(CAPACITY), str(work_s)]
                processes.append(start(others.get(languages[n % len(languages)], member), house.target))
            with ended_at_last(*processes):
                await workers_there(house, workers, wait_s=30.0 + 2.0 * workers)
                seen = await _run(house, processes, items, dice)
            for path in Path(directory).iterdir():
                seen.most_held = max(seen.most_held, json.loads(path.read_text())["mostHeld"])
            return seen


async def _run(house: WorkerHouse, processes: Sequence[subprocess.Popen[bytes]], items: int, dice: random.Random) -> Seen:
    flow_id = await house.flow(one_step("/w/echo"))
    inputs = [b"%d" % n for n in range(items)]
    clock = asyncio.get_running_loop().time
    queue = house.gateway._queues["w"]
    seen = Seen(items)
    seen.workers = dict(Counter(worker.sdk for worker in queue._workers.values()))
    give = queue._give

    def watched(worker: Worker, calls: Sequence[ComponentCall]) -> None:
        give(worker, calls)
        seen.fullest = max(seen.fullest, worker.used / worker.capacity)

    queue._give = watched  # type: ignore[method-assign]
    began_s = clock()
    in_all = sum(worker.capacity for worker in queue._workers.values())
    run = await house.api.submit_run(SubmitRun(flow_id, inputs, max_concurrency=in_all))
    victims = dice.sample(processes, len(processes) // 3)
    killing = asyncio.ensure_future(_kill(house, run.run_id, victims, items, dice))
    try:
        fold = await house.follow(run.run_id, wait_s=600.0 + items / 100)
    finally:
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
    seen.took_s = round(clock() - began_s, 2)
    seen.results = len(fold.results)
    seen.wrong = sum(result.payload != b"%d" % result.item_index for result in fold.results)
    seen.wrong += len(fold.results) - len({result.item_index for result in fold.results})
    seen.killed = sum(process.poll() is not None for process in victims)
    by_language: dict[str, list[int]] = {}
    for worker in queue._workers.values():
        if worker.link is not None:
            by_language.setdefault(worker.sdk, []).append(worker.given)
    for given in by_language.values():
        seen.shares += [round(one * len(given) / sum(given), 3) for one in given if sum(given)]
    seen.shares.sort()
    return seen


async def _kill(
    house: WorkerHouse, run_id: str, victims: Sequence[subprocess.Popen[bytes]], items: int, dice: random.Random
) -> None:
    """One after the other, over the first half of the run, so that the survivors have something to share."""
    moments = sorted(dice.random() * 0.5 * items for _ in victims)
    for moment, victim in zip(moments, victims, strict=True):
        while True:
            counts = (await house.api.get_run(run_id, max_bytes=0)).items
            if counts.total - counts.pending - counts.running >= moment:
                break
            await asyncio.sleep(0.01)
        victim.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--work-ms", type=float, default=5.0)
    options = parser.parse_args()
    others = built_languages()
    missing = sorted(set(LANGUAGES) - others.keys())
    if missing:
        print(f"not built, so not run: {', '.join(missing)}", file=sys.stderr)
    seen = asyncio.run(
        run_crowd(workers=options.workers, items=options.items, others=others, seed=options.seed, work_s=options.work_ms / 1000)
    )
    print(json.dumps({"seed": options.seed, **asdict(seen), "faults": seen.faults}))
    return 1 if seen.faults else 0


if __name__ == "__main__":
    sys.exit(main())
