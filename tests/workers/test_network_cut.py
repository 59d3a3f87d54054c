"""A worker in a network namespace of its own, whose cable is cut: no reset, no end of stream, silence."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.house import one_step
from tests.workers.hand_worker import WAIT_S, worker_house
from tests.workers.processes import EVERY_KIND, ended_at_last, start, start_worker, workers_there

FOUND_WITHIN_S = 15.0


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=WAIT_S)


@contextmanager
def _cable(tag: str) -> Iterator[tuple[str, str, str]]:
    """Names: a namespace, our end of a cable to it, our address there."""
    number = os.getpid() % 200 + 20
    space, near, far = f"fs{tag}{number}", f"fsn{number}", f"fsf{number}"
    _ip("netns", "add", space)
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", space)
        _ip("addr", "add", f"10.217.{number}.1/24", "dev", near)
        _ip("link", "set", near, "up")
        _ip("-n", space, "addr", "add", f"10.217.{number}.2/24", "dev", far)
        _ip("-n", space, "link", "set", far, "up")
        yield space, near, f"10.217.{number}.1"
    finally:
        subprocess.run(["ip", "link", "del", near], capture_output=True, timeout=WAIT_S, check=False)
        subprocess.run(["ip", "netns", "del", space], capture_output=True, timeout=WAIT_S, check=False)


def _may_cut_cables() -> bool:
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    try:
        with _cable("t"):
            return True
    except (subprocess.SubprocessError, OSError):
        return False


@pytest.mark.deep
async def test_a_worker_behind_a_cut_cable_is_found_and_its_items_finish_elsewhere() -> None:
    assert _may_cut_cables(), "this test needs network namespaces: run it as root, with iproute2"
    with _cable("w") as (space, near, address):
        async with worker_house(target=f"{address}:0") as house:
            command = ["ip", "netns", "exec", space, sys.executable, str(EVERY_KIND)]
            behind = start(command, house.target)
            with ended_at_last(behind):
                await workers_there(house, 1)
                run = await house.submit(await house.flow(one_step("/w/nap")), [b"1"] * 8, max_concurrency=8)
                async with asyncio.timeout(WAIT_S):
                    while house.in_flight < 8:
                        await asyncio.sleep(0.01)
                clock = asyncio.get_running_loop().time
                _ip("link", "set", near, "down")
                cut_s = clock()
                other = start_worker(house.target)
                with ended_at_last(other):
                    # Its address lies on the cut cable, but is ours: the other one reaches the gateway through loopback.
                    while house.gateway._queues["w"]._lost_workers == 0:
                        await asyncio.sleep(0.05)
                        assert clock() - cut_s < FOUND_WITHIN_S, "not found in time"
                    fold = await house.follow(run.run_id)
                    assert fold.status.wire_name == "success" and len(fold.results) == 8
                    _ip("link", "set", near, "up")
                    await workers_there(house, 2)
