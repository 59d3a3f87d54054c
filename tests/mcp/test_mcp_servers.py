"""MCP servers behind a whole gateway, in processes of their own: what they offer, what they answer, how they misbehave."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog import PluginHealth
from gateway.mcp_bridge.settings import McpPlugin, Root
from gateway.stdio_bridge.restart_policy import RestartLimits
from gateway.stdio_bridge.settings import StdioPlugin
from tests.e2e.house import House, RawPeer, house, one_step, python_plugin, raw_peer_house

SERVER = Path(__file__).parent / "hand_server.py"
QUICK = RestartLimits(first_backoff_s=0.05, max_backoff_s=0.2)
WAIT_S = 10.0


def hand(marks: Path, mode: str = "well", **options: Any) -> StdioPlugin:
    settings: dict[str, Any] = {"kind": McpPlugin, "stop_grace_s": 0.2, "restart": QUICK, **options}
    return python_plugin("mcp", SERVER, str(marks), mode, **settings)


async def call(h: House, tool: str, *inputs: Any, **step: Any) -> list[dict[str, Any]]:
    """FlowResults as `{"outcome", ...payload}`."""
    fold = await h.run(one_step(f"/mcp/{tool}", **step), [json.dumps(given).encode() for given in inputs])
    results = sorted(fold.results, key=lambda result: result.item_index)
    return [{"outcome": result.outcome.name.lower(), "payload": json.loads(result.payload)} for result in results]


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_tools_of_all_pages_are_components_with_their_schemas(tmp_path: Path) -> None:
    async with house(hand(tmp_path)) as h:
        assert await h.gateway.wait_plugins(WAIT_S)
        listed = {one.path: one for one in await h.gateway.catalog.components() if one.plugin == "mcp"}
        assert sorted(listed) == [f"/mcp/{name}" for name in ("crash_once", "echo", "fail", "grow", "hang", "nothing", "refuse")]
        assert listed["/mcp/echo"].description == "Gives back."
        assert json.loads(listed["/mcp/echo"].input_schema or b"") == {"type": "object"}
        (status,) = [one for one in h.gateway.catalog.plugins() if one.name == "mcp"]
        assert (status.type, status.health, status.capacity) == ("mcp", PluginHealth.UP, 16)


async def test_calls_give_outputs_and_failures(tmp_path: Path) -> None:
    async with house(hand(tmp_path)) as h:
        inputs = [{"n": n} for n in range(40)]
        assert await call(h, "echo", *inputs) == [{"outcome": "success", "payload": given} for given in inputs]
        (failed,) = await call(h, "fail", {}, retry={"maxRetries": 0})
        assert failed["payload"]["code"] == "COMPONENT_FAILED" and failed["payload"]["message"] == "no such luck"
        (refused,) = await call(h, "refuse", {})
        assert (refused["payload"]["code"], refused["payload"]["message"]) == ("INVALID_INPUT", "not like that")
        (unknown,) = await call(h, "nowhere", {})
        assert unknown["payload"]["code"] == "COMPONENT_NOT_FOUND"
        (listed,) = await call(h, "echo", [1])
        assert listed["payload"]["code"] == "INVALID_INPUT"
        (empty,) = await call(h, "nothing", {}, retry={"maxRetries": 0})
        assert "something else than a tool's result" in empty["payload"]["message"]


async def test_an_input_beyond_the_line_fails_its_item_alone(tmp_path: Path) -> None:
    async with house(hand(tmp_path, max_line_bytes=4096)) as h:
        long, short = await call(h, "echo", {"text": "x" * 5000}, {"text": "y"})
        assert "bytes" in long["payload"]["message"] and short["outcome"] == "success"


async def test_a_crash_repeats_the_call(tmp_path: Path) -> None:
    async with house(hand(tmp_path)) as h:
        assert await call(h, "crash_once", {}) == [{"outcome": "success", "payload": "second try"}]


async def test_a_hanging_tool_times_out_and_the_server_is_replaced(tmp_path: Path) -> None:
    async with house(hand(tmp_path)) as h:
        (hung,) = await call(h, "hang", {}, timeout=0.3, retry={"maxRetries": 0})
        assert hung["payload"]["code"] == "TIMEOUT"
        assert await call(h, "echo", {"n": 1}) == [{"outcome": "success", "payload": {"n": 1}}]


async def test_a_changed_list_is_followed(tmp_path: Path) -> None:
    async with house(hand(tmp_path)) as h:
        (before,) = await call(h, "grown", {})
        assert before["payload"]["code"] == "COMPONENT_NOT_FOUND"
        await call(h, "grow", {})
        plugin = h.gateway._plugins["mcp"]
        await until(lambda: "/grown" in plugin.offered)
        assert await call(h, "grown", {}) == [{"outcome": "success", "payload": "I am new"}]


async def test_a_server_that_prints_between_its_messages_is_understood(tmp_path: Path) -> None:
    async with house(hand(tmp_path, "chatty")) as h:
        assert (await call(h, "echo", {"n": 1}))[0]["outcome"] == "success"


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("silent", "did not answer initialize within 0.3 s"),
        ("listless", "did not answer tools/list within 0.3 s"),
        ("ends", "cannot find my settings"),
    ],
)
async def test_a_server_that_does_not_come_up_says_why(tmp_path: Path, mode: str, words: str) -> None:
    async with house(hand(tmp_path, mode, initialize_timeout_s=0.3, list_timeout_s=0.3)) as h:
        plugin = h.gateway._plugins["mcp"]
        await until(lambda: words in plugin.status().detail)
        assert plugin.status().health is not PluginHealth.UP


@pytest.mark.parametrize(("mode", "words"), [("old", "1999-01-01"), ("endless", "1001 pages")])
async def test_a_server_that_no_restart_helps_is_broken(tmp_path: Path, mode: str, words: str) -> None:
    async with house(hand(tmp_path, mode)) as h:
        assert not await h.gateway.wait_plugins(WAIT_S)
        (failed,) = await call(h, "echo", {})
        assert failed["payload"]["code"] == "RESOURCE_UNAVAILABLE" and words in failed["payload"]["message"]


# -- the test as server ------------------------------------------------------------------------------------------------------


async def shake_hands(peer: RawPeer, *tools: str) -> dict[str, Any]:
    """What the gateway said in `initialize`."""
    asked = await peer.expect(method="initialize")
    result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": True}}, "serverInfo": {"name": "test"}}
    await peer.send_message({"jsonrpc": "2.0", "id": asked["id"], "result": result})
    assert (await peer.receive())["method"] == "notifications/initialized"
    listed = await peer.expect(method="tools/list")
    listing = [{"name": tool, "inputSchema": {"type": "object"}} for tool in tools]
    await peer.send_message({"jsonrpc": "2.0", "id": listed["id"], "result": {"tools": listing}})
    params: dict[str, Any] = asked["params"]
    return params


async def ask(peer: RawPeer, method: str, **params: Any) -> dict[str, Any]:
    await peer.send_message({"jsonrpc": "2.0", "id": f"q-{method}", "method": method, "params": params})
    return await peer.expect(id=f"q-{method}")


async def test_what_a_server_asks_is_answered(tmp_path: Path) -> None:
    roots = (Root("file:///srv/a", "a"), Root("file:///srv/b"))
    async with raw_peer_house(tmp_path, kind=McpPlugin, roots=roots) as (_, peer):
        hello = await shake_hands(peer, "work")
        assert hello["protocolVersion"] == "2025-11-25" and list(hello["capabilities"]) == ["roots"]
        assert (await ask(peer, "ping"))["result"] == {}
        assert (await ask(peer, "roots/list"))["result"] == {
            "roots": [{"uri": "file:///srv/a", "name": "a"}, {"uri": "file:///srv/b"}]
        }
        assert (await ask(peer, "elicitation/create", message="who?"))["result"] == {"action": "decline"}
        refused = await ask(peer, "sampling/createMessage", messages=[])
        assert refused["error"]["code"] == -32601 and "no model to ask" in refused["error"]["message"]
        assert (await ask(peer, "runs/submit"))["error"]["code"] == -32601


async def test_progress_reaches_the_engine_as_a_fraction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_peer_house(tmp_path, kind=McpPlugin) as (h, peer):
        told: list[tuple[float, str]] = []
        dispatcher = type(h.gateway._runtime.dispatcher)
        monkeypatch.setattr(dispatcher, "on_progress", lambda _self, _call, fraction, message: told.append((fraction, message)))
        await shake_hands(peer, "work")
        running = asyncio.ensure_future(h.run(one_step("/raw/work"), [b"{}"]))
        request = await peer.expect(method="tools/call")
        assert request["params"]["name"] == "work" and request["params"]["arguments"] == {}
        meta = request["params"]["_meta"]
        assert meta["traceparent"].count("-") == 3
        for params in (
            {"progress": 1, "total": 4, "message": "a quarter"},
            {"progress": 9, "total": 4},
            {"progress": 3},
            {"progress": 1, "total": 4, "progressToken": "of somebody else"},
        ):
            notice = {"progressToken": meta["progressToken"], **params}
            await peer.send_message({"jsonrpc": "2.0", "method": "notifications/progress", "params": notice})
        answer = {"content": [{"type": "text", "text": "done"}]}
        await peer.send_message({"jsonrpc": "2.0", "id": request["id"], "result": answer})
        fold = await running
        assert json.loads(fold.results[0].payload) == "done"
        assert told == [(0.25, "a quarter"), (1.0, ""), (0.0, "3")]


async def test_a_cancelled_run_ends_at_once_and_the_server_is_told(tmp_path: Path) -> None:
    async with raw_peer_house(tmp_path, kind=McpPlugin) as (h, peer):
        await shake_hands(peer, "work")
        run = await h.submit(await h.flow(one_step("/raw/work")), [b"{}"])
        request = await peer.expect(method="tools/call")
        await h.api.cancel_run(run.run_id, reason="enough")
        fold = await h.follow(run.run_id, wait_s=2.0)
        assert fold.status.wire_name == "cancelled"
        told = await peer.expect(method="notifications/cancelled")
        assert told["params"]["requestId"] == request["id"]
        # Servers that answer all the same are within their rights.
        await peer.send_message({"jsonrpc": "2.0", "id": request["id"], "error": {"code": 0, "message": "Request cancelled"}})
        assert (await ask(peer, "ping"))["result"] == {}


async def test_a_flood_of_changes_of_the_list_asks_for_one_list_at_a_time(tmp_path: Path) -> None:
    async with raw_peer_house(tmp_path, kind=McpPlugin) as (h, peer):
        await shake_hands(peer, "work")
        changed = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n'
        await peer.send(changed * 1000)
        first = await peer.expect(method="tools/list")
        await peer.send(changed * 1000)
        assert (await ask(peer, "ping"))["result"] == {}
        assert peer._inbox == []
        await peer.send_message({"jsonrpc": "2.0", "id": first["id"], "result": {"tools": []}})
        second = await peer.expect(method="tools/list")
        tools = [{"name": "late", "inputSchema": {"type": "object"}}, {"name": "twice"}, {"name": "twice"}]
        await peer.send_message({"jsonrpc": "2.0", "id": second["id"], "result": {"tools": tools}})
        plugin = h.gateway._plugins["raw"]
        await until(lambda: list(plugin.offered) == ["/late"])


async def test_an_idle_server_that_answers_no_ping_is_ended(tmp_path: Path) -> None:
    async with raw_peer_house(tmp_path, kind=McpPlugin, ping_s=0.01, restart=QUICK) as (h, peer):
        await shake_hands(peer, "work")
        plugin = h.gateway._plugins["raw"]
        await until(lambda: plugin.status().restarts > 0)


async def test_a_busy_server_need_not_answer_pings(tmp_path: Path) -> None:
    async with raw_peer_house(tmp_path, kind=McpPlugin, ping_s=0.01) as (h, peer):
        await shake_hands(peer, "work")
        running = asyncio.ensure_future(h.run(one_step("/raw/work"), [b"{}"]))
        request = await peer.expect(method="tools/call")
        (mcp,) = h.gateway._plugins["raw"]._peers()
        for _ in range(20):
            mcp.check_health()
        assert mcp.is_up
        await peer.send_message({"jsonrpc": "2.0", "id": request["id"], "result": {"content": []}})
        assert (await running).results[0].payload == b"null"


async def test_a_component_server_configured_as_mcp_is_told_to_be_of_another_type(tmp_path: Path) -> None:
    async with raw_peer_house(tmp_path, kind=McpPlugin) as (h, peer):
        asked = await peer.expect(method="initialize")
        await peer.send_message({"jsonrpc": "2.0", "id": asked["id"], "result": {"serverProtocolVersion": 1}})
        assert not await h.gateway.wait_plugins(WAIT_S)
        assert "type stdio" in h.gateway._plugins["raw"].status().detail
