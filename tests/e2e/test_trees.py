"""Trees of runs, as a client follows them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from flowspan.client import AsyncClient, Client, TreeNews
from tests.e2e.house import house

INNER: dict[str, Any] = {
    "name": "inner",
    "steps": [{"id": "a", "component": "/builtin/noop", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}
MIDDLE: dict[str, Any] = {
    "name": "middle",
    "steps": [{"id": "e", "component": "/builtin/eval", "input": {"flow": {"$literal": INNER}, "input": {"$input": "$"}}}],
    "output": {"$step": "e", "path": "$.result.value"},
}
TOP: dict[str, Any] = {
    "name": "top",
    "steps": [{"id": "m", "component": "/builtin/map", "input": {"workflow": {"$literal": MIDDLE}, "items": {"$input": "$"}}}],
    "output": {"$step": "m", "path": "$.successful"},
}


def results_of(news: list[TreeNews]) -> dict[str, list[Any]]:
    """Values of the results, by the names of the flows."""
    found: dict[str, list[Any]] = {}
    for one in news:
        values = found.setdefault(one.status.description.flow_name or "", [])
        values += [json.loads(result.payload) for result in one.results]
    return {name: sorted(values) for name, values in found.items()}


async def test_a_tree_is_followed_to_the_end_of_every_run_also_over_lost_connections(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    async with house(listen=address), AsyncClient(address) as client:
        run = await client.submit(TOP, [[1, 2, 3]])
        news: list[TreeNews] = []
        async with client.watch_tree(run.run_id) as watch:
            async for one in watch:
                news.append(one)
                await watch.aclose()  # after each message the connection is gone
            statuses = watch.statuses
        assert results_of(news) == {"top": [3], "middle": [1, 2, 3], "inner": [1, 2, 3]}
        assert len(statuses) == 5
        assert all(status.is_terminal for status in statuses.values())
        parents = {status.description.parent_run_id for status in statuses.values() if status.description.flow_name == "inner"}
        assert {statuses[parent].description.flow_name for parent in parents if parent} == {"middle"}
        listed = [one.run_id async for one in client.list(root_run_id=run.run_id)]
        assert set(listed) == set(statuses)


async def test_the_blocking_client_follows_trees_as_well(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"

    def follow() -> list[TreeNews]:
        with Client(address) as client:
            run = client.submit(TOP, [["x"]])
            with client.watch_tree(run.run_id) as watch:
                return list(watch)

    async with house(listen=address):
        assert results_of(await asyncio.to_thread(follow)) == {"top": [1], "middle": ["x"], "inner": ["x"]}


SLOW: dict[str, Any] = {
    "name": "slow",
    "steps": [{"id": "s", "component": "/builtin/sleep", "input": {"duration_ms": 300}}],
    "output": {"$step": "s"},
}
WAITS: dict[str, Any] = {
    "name": "waits",
    "steps": [{"id": "e", "component": "/builtin/eval", "input": {"flow": {"$literal": SLOW}, "input": None}}],
    "output": {"$step": "e", "path": "$.result.outcome"},
}


async def test_a_sub_run_that_is_deleted_while_nobody_is_connected_does_not_keep_the_watch_open(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    async with house(listen=address), AsyncClient(address) as client, asyncio.timeout(20):
        run = await client.submit(WAITS, [None])
        async with client.watch_tree(run.run_id) as watch:
            child = None
            while child is None:
                news = await watch.next_news()
                assert news is not None
                if news.status.description.flow_name == "slow":
                    assert not news.status.is_terminal
                    child = news.status.run_id
            await watch.aclose()
            async with client.watch(child) as ending, client.watch(run.run_id) as ends_too:
                assert len([one async for one in ending]) == 1
                assert len([one async for one in ends_too]) == 1
            await client.delete(child)
            async for _ in watch:
                pass
            top = watch.status(run.run_id)
            assert top is not None
            assert top.is_terminal
            assert watch.status("unheard of") is None
