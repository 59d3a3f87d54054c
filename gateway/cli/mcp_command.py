"""`mcp`: an MCP server over stdin and stdout, whose tools are the flows of a gateway."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flowspan.client import AsyncClient
from flowspan.client.submission import is_flow_id
from flowspan.components.stdout_guard import WirePipes, take_over_stdio
from gateway.cli.connection import ServerOptions, embedded_client, run_loop
from gateway.cli.exits import INTERRUPTED, SUCCESS, UsageError, say
from gateway.cli.inputs import read_object
from gateway.cli.reading import naming_the_file, read_whole
from gateway.config import load_config
from gateway.mcp_server.flow_catalog import FlowCatalog
from gateway.mcp_server.server import FlowServer
from gateway.mcp_server.stdio import StdioPipes
from gateway.mcp_server.tool_run import ToolRuns

_FILE_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Options:
    """What was given on the command line. `config` or `state`: the gateway is one of this process."""

    flows: tuple[str, ...] = ()
    config: Path | None = None
    state: Path | None = None
    variables: str | None = None
    deadline_s: float | None = None


def serve(options: Options, server: ServerOptions) -> int:
    """Until the client closes its end. Returns the exit code.

    Raises:
        UsageError: options that exclude each other, or a file that cannot be read.
        FlowspanError: no gateway can be reached, or a flow cannot be offered.
    """
    is_embedded = options.config is not None or options.state is not None
    if is_embedded and server.target is not None:
        raise UsageError("--config and --state are for a gateway of this process, --target names one that runs; give either")
    files = {name: read_whole(name) for name in options.flows if _is_file(name)}
    flow_ids = [name for name in options.flows if name not in files and is_flow_id(name)]
    names = [name for name in options.flows if name not in files and not is_flow_id(name)]
    if is_embedded and not options.flows and options.state is None:
        raise UsageError("a gateway of this process has stored no flows yet; name the files of flows to offer")
    variables = read_object(options.variables, "--variables")
    client = _embedded(options) if is_embedded else server.connect()
    pipes = take_over_stdio()

    async def main() -> int:
        async with client as connected:
            for name, data in files.items():
                with naming_the_file(name):
                    flow_ids.append(await connected.store_flow(data))
            catalog = FlowCatalog(connected, flow_ids, names)
            await catalog.check()
            await _converse(catalog, ToolRuns(connected, variables=variables, deadline_s=options.deadline_s), pipes)
        return SUCCESS

    try:
        return run_loop(main())
    except KeyboardInterrupt:
        return INTERRUPTED


def _is_file(name: str) -> bool:
    return not is_flow_id(name) and (name.endswith(_FILE_SUFFIXES) or Path(name).is_file())


def _embedded(options: Options) -> AbstractAsyncContextManager[AsyncClient]:
    beside = next((Path(name).parent for name in options.flows if _is_file(name)), None)
    loaded = load_config(options.config, beside=beside)
    for note in loaded.notes:
        say(f"flowspan: {loaded.path}: {note}")
    return embedded_client(loaded, options.state)


async def _converse(catalog: FlowCatalog, runs: ToolRuns, pipes: WirePipes) -> None:
    stdio = StdioPipes(pipes, lambda data: server.receive(data))
    server = FlowServer(catalog, runs, stdio.write, version=_version())
    stdio.start()
    try:
        await stdio.ended
    finally:
        await server.close()
        await stdio.flush()


def _version() -> str:
    try:
        return version("flowspan-gateway")
    except PackageNotFoundError:
        return "0"
