"""`get`, `list`, `cancel`, `retry`, `components` and `blob`: questions and orders to a gateway that runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec

from flowspan.client import AsyncClient, ComponentList
from flowspan.discovery import TARGET_VARIABLE, find_server
from flowspan.errors import FlowspanError
from flowspan.view.events import RunStatusCode
from flowspan.view.status import ResultOrder, RunStatus, rfc3339
from flowspan.view.wire import item_results_to_wire, run_status_to_wire
from gateway.cli.connection import ServerOptions, embedded_client, run_loop
from gateway.cli.exits import INTERRUPTED, RUN_FAILED, SUCCESS, UNAVAILABLE, UsageError, say
from gateway.cli.output import OutputClosedError, write_stdout
from gateway.cli.reading import STDIN, read_whole


def get(run_id: str, server: ServerOptions, *, results: bool, order: ResultOrder, as_json: bool) -> int:
    async def main(client: AsyncClient) -> bytes:
        status = await client.get(run_id, include_results=results, order=order)
        if as_json:
            return run_status_to_wire(status) + b"\n"
        listed = b"" if status.results is None else item_results_to_wire(status.results) + b"\n"
        return "".join(f"{name:<12} {value}\n" for name, value in _facts(status)).encode() + listed

    return _ask(server, main)


def list_runs(
    server: ServerOptions,
    *,
    statuses: Sequence[str],
    flow_id: str,
    label: str,
    metadata: Sequence[str],
    parent_run_id: str,
    root_run_id: str,
    limit: int,
    as_json: bool,
) -> int:
    pairs = dict(pair.split("=", 1) for pair in metadata if "=" in pair)
    if len(pairs) != len(metadata):
        raise UsageError("--metadata: write NAME=VALUE")
    words = [code.wire_name for code in RunStatusCode]
    for status in statuses:
        if status not in words:
            raise UsageError(f"--status: {status!r} is none of {', '.join(words)}")

    async def main(client: AsyncClient) -> bytes:
        runs: list[RunStatus] = []
        pages = client.list(
            statuses=statuses,
            flow_id=flow_id,
            label=label,
            metadata=pairs,
            parent_run_id=parent_run_id,
            root_run_id=root_run_id,
            page_size=min(limit, 1_000),
        )
        async for run in pages:
            if len(runs) >= limit:
                break
            runs.append(run)
        if not runs:
            await _look_for(client, ("--parent", parent_run_id), ("--root", root_run_id))
        if as_json:
            return b"".join(run_status_to_wire(run) + b"\n" for run in runs)
        rows = [("RUN", "STATUS", "ITEMS", "FAILED", "CREATED", "FLOW")]
        for run in runs:
            done = f"{run.items.success + run.items.failed + run.items.cancelled}/{run.items.total}"
            created = rfc3339(run.description.created_at_us)
            name = run.flow_label or run.flow_name or run.flow_id[:19]
            rows.append((run.run_id, run.status.wire_name, done, str(run.items.failed), created, name))
        return _table(rows)

    return _ask(server, main)


async def _look_for(client: AsyncClient, *options: tuple[str, str]) -> None:
    """Nothing is below a run that is not there; but then that is what is wrong. Raises FlowspanError."""
    for option, run_id in options:
        try:
            if run_id:
                await client.get(run_id)
        except FlowspanError as error:
            raise FlowspanError(f"{option}: {error.message}", reason=error.reason, **error.details) from error


def cancel(run_id: str, server: ServerOptions, *, reason: str, as_json: bool) -> int:
    async def main(client: AsyncClient) -> bytes:
        status = await client.cancel(run_id, reason)
        return _told(status, as_json=as_json)

    return _ask(server, main)


def retry(run_id: str, server: ServerOptions, *, items: Sequence[int], max_concurrency: int | None, as_json: bool) -> int:
    async def main(client: AsyncClient) -> bytes:
        status = await client.retry(run_id, items, max_concurrency=max_concurrency)
        return _told(status, as_json=as_json)

    return _ask(server, main)


def components(server: ServerOptions, config: Path | None, *, as_json: bool) -> int:
    """Of the gateway that is named; else of the configuration that is named or holds here: by the gateway that serves it, or by
    starting its plugins. Only where no configuration holds any gateway that runs will do.

    69 if a plugin that was started for this does not come up; what the others offer is listed all the same.

    Raises:
        ConfigError: the configuration is wrong.
    """
    # The other questions need no gateway in this process.
    from gateway.config import find_config, load_config
    from gateway.telemetry import setup_telemetry

    is_down = False

    async def main(client: AsyncClient) -> bytes:
        nonlocal is_down
        offered = await client.components()
        is_down = any(plugin.health != "up" for plugin in offered.plugins)
        return _components_json(offered) if as_json else _components_text(offered)

    if config is None and (server.target or os.environ.get(TARGET_VARIABLE)):
        return _ask(server, main)
    found = config or find_config()
    if config is None:
        running = find_server(config=found)
        if running is not None:
            return _ask(replace(server, target=running.target, token=server.token or running.token), main)
    setup_telemetry(level="critical")  # what a plugin does wrong at its start is said in a line of its own
    loaded = load_config(found)
    for note in loaded.notes:
        say(f"flowspan: {loaded.path}: {note}")
    if not as_json:
        whose = (
            "there is no configuration here, so built-ins are all there is" if found is None else f"as the plugins of {found} say"
        )
        say(f"flowspan: {whose}; no gateway that runs was asked")
    code = _with_client(lambda: embedded_client(loaded, None, in_memory=True, need_plugins=False), main)
    return code or (UNAVAILABLE if is_down else SUCCESS)


def put_blob(file: str, server: ServerOptions, *, blob_type: str, as_json: bool) -> int:
    data = read_whole(file)

    async def main(client: AsyncClient) -> bytes:
        blob_id = await client.put_blob(data, blob_type)
        return (msgspec.json.encode({"blobId": blob_id}) if as_json else blob_id.encode()) + b"\n"

    return _ask(server, main)


def get_blob(blob_id: str, server: ServerOptions, *, output: str) -> int:
    async def main(client: AsyncClient) -> bytes:
        return await client.get_blob_bytes(blob_id)

    if output == STDIN:
        return _ask(server, main)

    async def save(client: AsyncClient) -> bytes:
        data = await main(client)
        try:
            Path(output).write_bytes(data)
        except OSError as error:
            raise UsageError(f"--output {output}: {error.strerror or error}") from error
        return b""

    return _ask(server, save)


def _ask(server: ServerOptions, question: Callable[[AsyncClient], Coroutine[Any, Any, bytes]]) -> int:
    return _with_client(server.connect, question)


def _with_client(connect: Callable[[], Any], question: Callable[[AsyncClient], Coroutine[Any, Any, bytes]]) -> int:
    async def main() -> bytes:
        async with connect() as client:
            return await question(client)

    try:
        write_stdout(run_loop(main()))
    except KeyboardInterrupt:
        say("flowspan: interrupted")
        return INTERRUPTED
    except OutputClosedError:
        return RUN_FAILED
    return SUCCESS


def _told(status: RunStatus, *, as_json: bool) -> bytes:
    if as_json:
        return run_status_to_wire(status) + b"\n"
    return f"{status.run_id} {status.status.wire_name}\n".encode()


def _facts(status: RunStatus) -> list[tuple[str, str]]:
    items = status.items
    counts = f"{items.pending} pending, {items.running} running, {items.success} success"
    facts = [
        ("run", status.run_id),
        ("status", status.status.wire_name + (f" ({status.cancel_reason})" if status.cancel_reason else "")),
        ("flow", " ".join(filter(None, (status.flow_name, status.flow_id)))),
        ("items", f"{items.total} = {counts}, {items.failed} failed, {items.cancelled} cancelled"),
        ("created", rfc3339(status.description.created_at_us)),
    ]
    if status.flow_label:
        facts.insert(2, ("label", status.flow_label))
    if status.completed_at_us is not None:
        facts.append(("completed", rfc3339(status.completed_at_us)))
    if status.progress is not None:
        eta = "" if status.progress.eta_seconds is None else f", {status.progress.eta_seconds:.0f} s left"
        facts.append(("progress", f"{status.progress.rate_per_second:.0f}/s{eta}"))
        facts += [("waiting for", text) for text in status.progress.waiting_for]
    facts += [("metadata", f"{name}={value}") for name, value in status.description.metadata.items()]
    return facts


def _components_json(offered: ComponentList) -> bytes:
    lines = [
        {
            "component": component.path,
            "plugin": component.plugin,
            "description": component.description,
            "input_schema": component.input_schema,
            "output_schema": component.output_schema,
        }
        for component in offered.components
    ]
    plugins = [{"plugin": plugin.name, **{k: v for k, v in asdict(plugin).items() if k != "name"}} for plugin in offered.plugins]
    return b"".join(msgspec.json.encode(line) + b"\n" for line in (*lines, *plugins))


def _components_text(offered: ComponentList) -> bytes:
    rows = [("COMPONENT", "PLUGIN", "DESCRIPTION")]
    rows += [
        (component.path, component.plugin, (component.description or "").strip().partition("\n")[0])
        for component in offered.components
    ]
    for plugin in offered.plugins:
        if plugin.health != "up":
            detail = f": {plugin.detail}" if plugin.detail else ""
            say(f"flowspan: plugin {plugin.name} ({plugin.type}) is {plugin.health}{detail}")
    return _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> bytes:
    """Columns that a person reads and `awk` splits. Control characters of names are escaped."""
    rows = [tuple(cell if cell.isprintable() else ascii(cell)[1:-1] for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()
