"""The peers, in the same run: their rate, their CPU, and the time of a run of one item. See `bench.peers`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from functools import partial

from bench.figures import IDLE_RUN, Figure
from bench.measure import Repetition, peer_figure, repeat
from bench.peers.catalog import PEERS, Peer
from bench.peers.program import PROGRAMS, PeerError, PeerProgram, running_peer
from bench.scenario import NotPossibleError, Plan, Scenario

MOST_REPETITIONS = 5
WARM_UP_ITEMS = 20


async def measure_peer(peer: Peer, plan: Plan) -> Sequence[Figure]:
    """Raises NotPossibleError: it is not installed, or could not do the job."""
    if not peer.environment.is_there:
        raise NotPossibleError("not installed: `make bench-peers`")
    script, *arguments = peer.program
    return await measure_program(peer, plan, [str(peer.environment.python), str(PROGRAMS / script), *arguments])


async def measure_program(peer: Peer, plan: Plan, command: Sequence[str]) -> Sequence[Figure]:
    """As `measure_peer`, with the command that stands for it."""
    items = plan.size(peer.items, peer.quick_items)
    try:
        async with running_peer(command) as program:
            await program.order(1)
            await program.order(min(items, WARM_UP_ITEMS))
            took_ms = await _one_by_one(program, plan.size(20, 8)) if peer.tells_latency else []

            async def once(one: Repetition) -> None:
                await program.order(items)

            repetitions = await repeat(plan, program.pids, items, once, most_tries=1)
    except PeerError as error:
        raise NotPossibleError(str(error)) from None
    version = ", ".join(f"{package} {number}" for package, number in program.versions.items())
    figures = [peer_figure(peer.name, repetitions, peer.job, version)]
    if took_ms:
        p50 = Figure(
            f"{peer.name}: one-item run", "ms", took_ms, more_is_better=False, job=IDLE_RUN, maker="peer", version=version
        )
        figures.append(p50)
    return figures


async def _one_by_one(program: PeerProgram, count: int) -> list[float]:
    """Milliseconds of runs of one item on an idle peer: median of each five, as the samples of a figure."""
    took_ms = []
    for _ in range(count):
        began_s = time.perf_counter()
        await program.order(1)
        took_ms.append(1000 * (time.perf_counter() - began_s))
    return [statistics.median(took_ms[first : first + 5]) for first in range(0, count, 5)]


SCENARIOS = tuple(
    Scenario(f"peer-{peer.scenario}", f"the same job: {peer.name}", partial(measure_peer, peer), is_peer=True) for peer in PEERS
)
