"""`flowspan watch --tree`: a run and its sub-runs, at any depth."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import IO

import msgspec

from flowspan.client import TreeNews, TreeWatch
from flowspan.view.events import RunStatusCode
from flowspan.view.status import RunStatus
from flowspan.view.wire import item_result_to_wire, run_status_to_wire
from gateway.cli.connection import ServerOptions
from gateway.cli.exits import RUN_FAILED, SUCCESS, UsageError, say
from gateway.cli.output import write_stdout
from gateway.cli.run_commands import interruptible


def watch_tree(run_id: str, server: ServerOptions, *, after_seq: int, output: Path | None, quiet: bool, as_json: bool) -> int:
    """Every result as a line of JSON with its `runId`; on stderr a line for each run that ends. The exit code is that of the
    run at the top."""
    if after_seq:
        raise UsageError("--after-seq is a cursor of one run, and --tree follows several: leave one of them out")
    try:
        file = None if output is None else output.open("wb")
    except OSError as error:
        raise UsageError(f"--output {output}: {error.strerror or error}") from error

    ended: Counter[str] = Counter()

    async def main() -> int:
        async with server.connect() as client, client.watch_tree(run_id) as watch:
            async for news in watch:
                ended[news.status.run_id] += len(news.results)
                if news.results:
                    await asyncio.to_thread(_write, news, file)
                if news.status.is_terminal and not quiet:
                    say(_told(watch, news.status, ended[news.status.run_id], as_json=as_json))
            return SUCCESS if watch.statuses[run_id].status is RunStatusCode.SUCCESS else RUN_FAILED

    try:
        return interruptible(main, lambda: f"to go on: flowspan watch --tree {run_id}")
    finally:
        if file is not None:
            file.close()


def _write(news: TreeNews, file: IO[bytes] | None) -> None:
    head = b'{"runId":%b,' % msgspec.json.encode(news.status.run_id)
    data = b"".join(head + item_result_to_wire(result)[1:] + b"\n" for result in news.results)
    if file is None:
        write_stdout(data)
    else:
        file.write(data)
        file.flush()


def _told(watch: TreeWatch, status: RunStatus, ended: int, *, as_json: bool) -> str:
    """A run's last line. `ended`: its items that have a result; what a cancel has kept from starting has none."""
    if as_json:
        return msgspec.json.encode({"run": msgspec.Raw(run_status_to_wire(status))}).decode()
    depth, above = 0, status.description.parent_run_id
    while above is not None and (parent := watch.status(above)) is not None:
        depth, above = depth + 1, parent.description.parent_run_id
    items = status.items
    name = status.description.flow_name or status.description.flow_id[:19]
    counts = f"{items.success} of {items.total} succeeded"
    if ended < items.total:
        counts += f"; {ended} of {items.total} ended, {items.total - ended} never started"
    return f"flowspan: {'  ' * depth}run {status.run_id} ({name}) {status.status.wire_name}: {counts}"
