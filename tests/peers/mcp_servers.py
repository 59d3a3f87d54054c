"""Published MCP servers, unmodified behind the real gateway, and a published client of `flowspan mcp`.

`python -m tests.peers.mcp_servers`. What comes from PyPI is installed into a virtual environment, what comes from npm into a
directory, both below `--into`, else a temporary one. What cannot be installed counts as not run. Ends with 1 if a check
failed, and with 0 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.catalog import PluginHealth
from gateway.mcp_bridge.settings import McpPlugin, Root
from gateway.stdio_bridge.launch import LaunchSpec
from tests.e2e.house import House, house, one_step
from tests.peers.run import CHECK_S, HERE, QUICK, Report, encode, equal, outcomes, values

PYTHON_PACKAGES: Final = ("mcp==2.3.0", "mcp-server-time==2026.10.19", "mcp-server-git==2026.10.19")
NODE_PACKAGES: Final = tuple(f"@modelcontextprotocol/server-{name}@2026.8.31" for name in ("everything", "memory", "filesystem"))
WAIT_S: Final = 20.0
ONCE: Final = {"retry": {"maxRetries": 0}}

GREET: Final = {
    "name": "greet",
    "description": "Says hello.",
    "schemas": {
        "properties": {
            "input": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            "output": {"type": "object", "properties": {"hello": {"type": "string"}}, "required": ["hello"]},
        }
    },
    "steps": [
        {"id": "a", "component": "/builtin/sleep", "input": {"duration_ms": 300, "passthrough": {"$input": "name"}}},
        {"id": "b", "component": "/builtin/sleep", "input": {"duration_ms": 300, "passthrough": {"$step": "a"}}},
    ],
    "output": {"hello": {"$step": "b"}, "big": 12345678901234567890},
}
WAIT: Final = {
    "name": "wait",
    "steps": [{"id": "a", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}, "passthrough": 7}}],
    "output": {"$step": "a"},
}


class Server:
    """One server behind one gateway. Each check returns what is worth telling."""

    def __init__(self, house: House, place: Path) -> None:
        self.house = house
        self.place = place

    async def call(self, tool: str, *inputs: Any, **step: Any) -> list[Any]:
        fold = await self.house.run(one_step(f"/peer/{tool}", **step), encode(*inputs))
        return values(fold)

    async def refused(self, tool: str, given: Any) -> dict[str, Any]:
        fold = await self.house.run(one_step(f"/peer/{tool}", **ONCE), encode(given))
        equal([outcome.name for outcome in outcomes(fold)], ["FAILED"])
        error: dict[str, Any] = values(fold)[0]
        return error

    def tools(self) -> list[str]:
        return sorted(self.house.gateway._plugins["peer"].offered)

    async def up(self) -> str:
        if not await self.house.gateway.wait_plugins(WAIT_S):
            raise AssertionError(self.house.gateway._plugins["peer"].status().detail)
        return f"{len(self.tools())} tools"

    def pids(self) -> list[int]:
        """The server's processes below the reaper that holds them."""
        (process,) = self.house.gateway._plugins["peer"]._peers()
        found, left = [], [process.pid]
        while left:
            pid = left.pop()
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            found += map(int, children)
            left += map(int, children)
        return found

    async def crash(self, tool: str, given: Any) -> str:
        """The next call finds a new process; nobody is told of the old one."""
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        (value,) = await self.call(tool, given)
        assert "code" not in (value if isinstance(value, dict) else {}), value
        return ""

    async def freeze(self, tool: str, given: Any) -> str:
        """A server that stops answering: the call times out, a new process takes the next one."""
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)
        began = time.perf_counter()
        fold = await self.house.run(one_step(f"/peer/{tool}", timeout=1.0, **ONCE), encode(given))
        (error,) = values(fold)
        took = time.perf_counter() - began
        equal(error["code"], "TIMEOUT")
        assert took < 3.0, took
        (value,) = await self.call(tool, given)
        assert "code" not in (value if isinstance(value, dict) else {}), value
        return f"{took:.1f} s"

    # -- time ----------------------------------------------------------------------------------------------------------------

    async def time_answers(self) -> str:
        zones = ["Europe/Paris", "Asia/Tokyo"] * 20
        told = await self.call("get_current_time", *[{"timezone": zone} for zone in zones])
        equal([one["timezone"] for one in told], zones)
        (converted,) = await self.call(
            "convert_time", {"source_timezone": "Asia/Tokyo", "time": "12:00", "target_timezone": "Asia/Kolkata"}
        )
        equal(converted["time_difference"], "-3.5h")
        return ""

    async def time_refuses(self) -> str:
        error = await self.refused("get_current_time", {"timezone": "Nowhere"})
        assert error["code"] == "COMPONENT_FAILED" and "Nowhere" in error["message"], error
        error = await self.refused("get_current_time", ["Nowhere"])
        equal(error["code"], "INVALID_INPUT")
        return str(error["message"])

    async def time_ends(self) -> str:
        given = {"timezone": "UTC"}
        await self.crash("get_current_time", given)
        return await self.freeze("get_current_time", given)

    # -- git -----------------------------------------------------------------------------------------------------------------

    async def git_works(self) -> str:
        repo = {"repo_path": str(self.place)}
        (self.place / "a.txt").write_text("a\n")
        await self.call("git_add", {**repo, "files": ["a.txt"]})
        (said,) = await self.call("git_commit", {**repo, "message": "first"})
        assert "committed" in said, said
        logs = await self.call("git_log", *[repo] * 20)
        assert all("first" in str(log) for log in logs), logs
        return ""

    async def git_refuses(self) -> str:
        error = await self.refused("git_status", {"repo_path": "/"})
        equal(error["code"], "COMPONENT_FAILED")
        return str(error["message"])[:100]

    async def git_ends(self) -> str:
        given = {"repo_path": str(self.place)}
        await self.crash("git_status", given)
        return await self.freeze("git_status", given)

    # -- everything ----------------------------------------------------------------------------------------------------------

    async def everything_works(self) -> str:
        equal(await self.call("echo", {"message": "Ж"}), ["Echo: Ж"])
        (weather,) = await self.call("get-structured-content", {"location": "Chicago"})
        assert "temperature" in weather, weather
        (blocks,) = await self.call("get-tiny-image", {})
        equal([block["type"] for block in blocks], ["text", "image", "text"])
        (told,) = await self.call("get-roots-list", {})
        assert "file:///srv/files" in str(told), told
        error = await self.refused("get-structured-content", {"location": "Nowhere"})
        return f"{error['code']}: {error['message'][:80]!r}"

    async def everything_tells_progress(self) -> str:
        dispatcher = type(self.house.gateway._runtime.dispatcher)
        told: list[float] = []
        before = dispatcher.on_progress
        dispatcher.on_progress = lambda _self, _call, fraction, _message: told.append(fraction)  # type: ignore[method-assign]
        try:
            await self.call("trigger-long-running-operation", {"duration": 1, "steps": 4})
        finally:
            dispatcher.on_progress = before  # type: ignore[method-assign]
        equal(told, [0.25, 0.5, 0.75, 1.0])
        return ""

    async def everything_is_cancelled(self) -> str:
        flow_id = await self.house.flow(one_step("/peer/trigger-long-running-operation"))
        run = await self.house.submit(flow_id, encode({"duration": 60, "steps": 60}))
        await asyncio.sleep(0.5)  # into the tool
        began = time.perf_counter()
        await self.house.api.cancel_run(run.run_id, reason="enough")
        fold = await self.house.follow(run.run_id, wait_s=5.0)
        took = time.perf_counter() - began
        equal(fold.status.wire_name, "cancelled")
        equal(await self.call("echo", {"message": "on"}), ["Echo: on"])
        return f"{took:.2f} s"

    async def everything_times_out(self) -> str:
        given = {"duration": 60, "steps": 1}
        fold = await self.house.run(one_step("/peer/trigger-long-running-operation", timeout=0.5, **ONCE), encode(given))
        equal([value["code"] for value in values(fold)], ["TIMEOUT"])
        return str(values(fold)[0]["message"])[:80]

    async def everything_logs(self) -> str:
        await self.call("toggle-simulated-logging", {})
        equal(await self.call("echo", {"message": "on"}), ["Echo: on"])
        return ""

    async def everything_ends(self) -> str:
        await self.crash("echo", {"message": "a"})
        return await self.freeze("echo", {"message": "a"})

    # -- memory --------------------------------------------------------------------------------------------------------------

    async def memory_works(self) -> str:
        names = [f"entity {n}" for n in range(50)]
        entities = [{"entities": [{"name": name, "entityType": "t", "observations": ["Ж"]}]} for name in names]
        await self.call("create_entities", *entities)
        (graph,) = await self.call("read_graph", {})
        equal(sorted(entity["name"] for entity in graph["entities"]), sorted(names))
        return "50 written one at a time"

    async def memory_ends(self) -> str:
        await self.crash("read_graph", {})
        return await self.freeze("read_graph", {})

    # -- filesystem ----------------------------------------------------------------------------------------------------------

    async def filesystem_works(self) -> str:
        path = str(self.place / "large.txt")
        text = "0123456789abcdef" * 40_000
        await self.call("write_file", {"path": path, "content": text})
        (read,) = await self.call("read_text_file", {"path": path})
        equal(read["content"], text)
        error = await self.refused("read_text_file", {"path": "/etc/passwd"})
        assert error["code"] == "COMPONENT_FAILED" and "denied" in error["message"], error
        return f"{len(text) // 1024} KiB both ways"

    async def filesystem_ends(self) -> str:
        given = {"path": str(self.place)}
        await self.crash("list_directory", given)
        return await self.freeze("list_directory", given)


Check = Callable[[Server], Awaitable[str]]


async def check_server(report: Report, name: str, plugin: McpPlugin, place: Path, checks: Sequence[Check]) -> None:
    async with house(plugin) as gateway:
        server = Server(gateway, place)
        for check in (Server.up, *checks):
            await _check(report, name, check.__name__, check(server))


async def check_start_failure(report: Report, name: str, plugin: McpPlugin) -> None:
    """A server that cannot start: the plugin says so, in the server's own words."""

    async def last_words() -> str:
        async with house(plugin) as gateway:
            broken = gateway.gateway._plugins["peer"]
            async with asyncio.timeout(WAIT_S):
                while not broken.status().last_end:
                    await asyncio.sleep(0.02)
            assert broken.status().health is not PluginHealth.UP
            return broken.status().last_end[:160]

    await _check(report, name, "start_failure", last_words())


async def check_client(report: Report, python: Path, place: Path) -> None:
    flows = []
    for flow in (GREET, WAIT):
        path = place / f"{flow['name']}.json"
        path.write_text(json.dumps(flow))
        flows.append(str(path))
    flowspan = Path(sys.executable).with_name("flowspan")

    async def drive() -> str:
        command = (str(python), str(HERE / "mcp_client.py"), str(flowspan), "mcp", "--state", str(place / "state"), *flows)
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()[-2000:]
        seen = json.loads(out)
        equal(seen["server"], "flowspan")
        equal(list(seen["tools"]), ["greet", "wait"])
        equal(seen["tools"]["greet"]["input"]["required"], ["name"])
        equal(seen["tools"]["wait"]["input"]["required"], ["ms"])  # not declared: inferred from its use
        equal(seen["greeting"]["structured"], {"hello": "Ж", "big": 12345678901234567890})
        equal(json.loads(seen["greeting"]["text"][0]), seen["greeting"]["structured"])
        assert seen["progress"] and seen["progress"] == sorted(set(seen["progress"])), seen["progress"]
        assert seen["wrong"]["isError"] and "INVALID_INPUT" in seen["wrong"]["text"][0], seen["wrong"]
        equal((seen["number"]["structured"], seen["number"]["text"]), ({"result": 7}, ["7"]))
        equal(seen["many"], [{"result": 7}] * 20)
        assert "nowhere" in seen["unknown"], seen
        equal(seen["after_cancel"]["structured"], {"result": 7})
        return f"20 calls in {seen['many_took_s']:.2f} s, end in {seen['end_took_s']:.2f} s"

    await _check(report, "client", "flowspan_mcp", drive())


async def _check(report: Report, server: str, name: str, check: Awaitable[str]) -> None:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_S):
            said = await check
    except Exception as error:
        report.failed += 1
        report.line(server, name, "FAILED", f"{type(error).__name__}: {error}", time.perf_counter() - began)
    else:
        report.line(server, name, "ok", said, time.perf_counter() - began)


def install_python(directory: Path) -> Path | None:
    """The directory of the programs; None if they cannot be had."""
    if not (directory / "bin" / "python").exists():
        venv.create(directory, with_pip=True)
    command = [directory / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-q", "install", *PYTHON_PACKAGES]
    done = subprocess.run(command, capture_output=True, timeout=600)
    return directory / "bin" if done.returncode == 0 else None


def install_node(directory: Path) -> Path | None:
    """The same for npm."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", directory, "--no-audit", "--no-fund", "--ignore-scripts", *NODE_PACKAGES]
    done = subprocess.run(command, capture_output=True, timeout=600)
    return directory / "node_modules" / ".bin" if done.returncode == 0 else None


def make_repository(directory: Path) -> None:
    subprocess.run(["git", "init", "-q", directory], check=True)
    for key, value in (("user.name", "peer"), ("user.email", "peer@example.org")):
        subprocess.run(["git", "-C", directory, "config", key, value], check=True)


def plugin(program: Path, *args: str, **options: Any) -> McpPlugin:
    env = options.pop("env", {})
    return McpPlugin(LaunchSpec("peer", str(program), args, env=env), restart=QUICK, stop_grace_s=0.5, **options)


async def check_python(report: Report, programs: Path, place: Path) -> None:
    repository = place / "repository"
    await asyncio.to_thread(make_repository, repository)
    clock = plugin(programs / "mcp-server-time", "--local-timezone", "UTC")
    await check_server(report, "time", clock, place, [Server.time_answers, Server.time_refuses, Server.time_ends])
    git = plugin(programs / "mcp-server-git", "--repository", str(repository))
    await check_server(report, "git", git, repository, [Server.git_works, Server.git_refuses, Server.git_ends])
    await check_start_failure(report, "time", plugin(programs / "mcp-server-time", "--no-such-option"))
    await check_client(report, programs / "python", place)


async def check_node(report: Report, programs: Path, place: Path) -> None:
    everything = plugin(programs / "mcp-server-everything", roots=(Root("file:///srv/files", "files"),))
    checks = [
        Server.everything_works,
        Server.everything_tells_progress,
        Server.everything_is_cancelled,
        Server.everything_times_out,
        Server.everything_logs,
        Server.everything_ends,
    ]
    await check_server(report, "everything", everything, place, checks)
    memory = plugin(programs / "mcp-server-memory", env={"MEMORY_FILE_PATH": str(place / "memory.json")}, capacity=1)
    await check_server(report, "memory", memory, place, [Server.memory_works, Server.memory_ends])
    files = plugin(programs / "mcp-server-filesystem", str(place))
    await check_server(report, "filesystem", files, place, [Server.filesystem_works, Server.filesystem_ends])
    await check_start_failure(report, "filesystem", plugin(programs / "mcp-server-filesystem", str(place / "nowhere")))


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, help="directory of what is installed, kept for the next time")
    parser.add_argument("--verbose", action="store_true", help="the gateway's log too")
    options = parser.parse_args()
    if not options.verbose:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    report = Report()
    with tempfile.TemporaryDirectory() as temporary:
        into, place = options.into or Path(temporary), Path(temporary) / "place"
        place.mkdir()
        for kind, install, check in (("PyPI", install_python, check_python), ("npm", install_node, check_node)):
            programs = await asyncio.to_thread(install, into / kind.lower())
            if programs is None:
                report.not_run += 1
                report.line(kind, "all", "not run", "the packages cannot be installed")
            else:
                await check(report, programs, place)
    print(f"{report.failed} failed, {report.not_run} not run")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
