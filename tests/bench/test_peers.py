"""Peers are started, asked, timed and ended; what they cannot do is told as not run. A program of ours stands for them."""

from __future__ import annotations

import asyncio
import io
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bench.claims import claimed
from bench.figures import DURABLE_RUN, IDLE_RUN, Figure, nearest_peer, times_as_good
from bench.peers import program
from bench.peers.catalog import ENVIRONMENTS, PEERS
from bench.peers.environment import Environment, make_all
from bench.peers.program import PROGRAMS, PeerError, last_line, parse_answer, running_peer
from bench.scenario import NotPossibleError, Plan
from bench.scenarios.peers import measure_peer, measure_program

PEER = replace(PEERS[0], items=30, quick_items=10)
WELL = """
import subprocess, sys
from exchange import serve, tell_ready
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print("some log line")
print("17")
tell_ready("pip")
serve(lambda items: sum(range(items * 100_000)))
"""
FAILING = """
from exchange import serve, tell_ready
tell_ready()
def run(items):
    if items > 1:
        raise ValueError("too many items")
serve(run)
"""
DYING = "import sys; sys.exit('no database here')"
HANGING = "from exchange import serve, tell_ready; import time; tell_ready(); serve(lambda items: time.sleep(60))"


def _command(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_a_peer_has_a_rate_a_latency_and_a_version_and_nothing_of_it_is_left() -> None:
    before = set(psutil.Process().children(recursive=True))
    rate, idle = asyncio.run(measure_program(PEER, Plan(2, True), _command(WELL)))
    assert (rate.unit, rate.job, rate.maker, len(rate.samples)) == ("items/s", DURABLE_RUN, "peer", 2)
    assert (idle.unit, idle.job, idle.maker) == ("ms", IDLE_RUN, "peer")
    assert rate.version
    assert rate.median > 0
    assert idle.median > 0
    _, left = psutil.wait_procs(set(psutil.Process().children(recursive=True)) - before, timeout=5)
    assert not left


@pytest.mark.parametrize(
    ("text", "why"), [(FAILING, "too many items"), (DYING, "no database here")], ids=["an order fails", "it does not start"]
)
def test_what_a_peer_cannot_do_is_told_with_its_own_words(text: str, why: str) -> None:
    with pytest.raises(NotPossibleError, match=why):
        asyncio.run(measure_program(PEER, Plan(1, True), _command(text)))


async def test_an_order_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "ORDER_S", 0.2)
    async with running_peer(_command(HANGING)) as peer:
        with pytest.raises(PeerError, match="no end of 5 items within"):
            await peer.order(5)


async def test_a_peer_that_is_not_installed_is_not_run(tmp_path: Path) -> None:
    missing = replace(PEER, environment=Environment("stepflow", ("stepflow-py==0.13.0",), tmp_path))
    with pytest.raises(NotPossibleError, match="make bench-peers"):
        await measure_peer(missing, Plan(1, True))


def test_an_environment_is_there_when_its_stamp_names_the_same_versions(tmp_path: Path) -> None:
    environment = Environment("one", ("a==1", "b==2"), tmp_path)
    assert not environment.is_there
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "bench-requirements.txt").write_text("a==1\nb==2\n")
    assert environment.is_there
    assert not replace(environment, requirements=("a==1", "b==3")).is_there
    assert make_all([environment]) == {}


def test_every_peer_has_a_program_and_exact_versions() -> None:
    assert {peer.environment for peer in PEERS} == set(ENVIRONMENTS)
    for peer in PEERS:
        assert (PROGRAMS / peer.program[0]).is_file()
    for environment in ENVIRONMENTS:
        assert all("==" in requirement for requirement in environment.requirements)


@pytest.mark.parametrize(
    ("said", "answer"), [(b'{"a": 1}\n', {"a": 1}), (b"[1]\n", None), (b"up at :80\n", None), (b"\xff\n", None)]
)
def test_only_objects_are_answers(said: bytes, answer: object) -> None:
    assert parse_answer(said) == answer


def test_the_last_line_of_stderr_is_the_reason() -> None:
    assert last_line(io.BytesIO(b"first\nlast one \n\n")) == "last one"
    assert last_line(io.BytesIO(b"")) == "it said nothing"


def test_the_nearest_peer_is_the_best_of_the_same_job_and_unit() -> None:
    ours = Figure("ours", "items/s", [100.0], job=DURABLE_RUN)
    peers = [
        Figure("a", "items/s", [10.0], job=DURABLE_RUN, maker="peer"),
        Figure("b", "items/s", [20.0], job=DURABLE_RUN, maker="peer"),
        Figure("other job", "items/s", [90.0], job="another", maker="peer"),
        Figure("other unit", "ms", [80.0], job=DURABLE_RUN, maker="peer"),
    ]
    nearest = nearest_peer(ours, [ours, *peers])
    assert nearest is peers[1]
    assert times_as_good(ours, nearest) == 5.0
    assert nearest_peer(peers[0], peers) is None


def test_of_latencies_the_smallest_is_nearest_and_less_is_better() -> None:
    ours = Figure("ours", "ms", [2.0], more_is_better=False, job=IDLE_RUN)
    peers = [Figure(name, "ms", [ms], more_is_better=False, job=IDLE_RUN, maker="peer") for name, ms in (("a", 60.0), ("b", 8.0))]
    nearest = nearest_peer(ours, peers)
    assert nearest is peers[1]
    assert times_as_good(ours, nearest) == 4.0


def test_claims_are_ratios_of_one_run_with_what_both_ranges_allow() -> None:
    ours = Figure("durable run, Python, K=256", "items/s", [30_000.0, 40_000.0, 50_000.0])
    durable = Figure("Stepflow, SQLite, Python", "items/s", [250.0, 200.0, 300.0], maker="peer", others_share=0.4)
    (claim,) = claimed([ours, durable])
    assert (claim.name, claim.median, claim.target) == ("times Stepflow's durable rate, Python", 160.0, 100.0)
    assert (min(claim.samples), max(claim.samples)) == (100.0, 250.0)
    assert claim.others_share == 0.4
    assert claimed([durable]) == []
