"""`flowspan graph`: a flow, or a run of it, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from flowspan.client.run_log import read_log
from flowspan.view.status import ItemCounts
from gateway.authoring.graph.build import build_graph
from gateway.authoring.graph.dot import to_dot
from gateway.authoring.graph.mermaid import to_mermaid
from gateway.authoring.graph.model import FlowGraph, NodeStatus
from gateway.authoring.graph.run_tally import RunTally, with_statuses
from gateway.authoring.graph.svg import to_svg
from gateway.cli.connection import ServerOptions, run_loop
from gateway.cli.exits import INTERRUPTED, RUN_FAILED, SUCCESS, UsageError, say
from gateway.cli.flow_search import configuration_hint
from gateway.cli.output import OutputClosedError, write_stdout
from gateway.cli.reading import STDIN, naming_the_file, read_whole
from gateway.config import ConfigError, load_config
from runtime_core.flow.document import Flow
from runtime_core.flow.source import parse_flow
from runtime_core.model.json_value import canonical_of_value

_DRAWERS: Final = {"svg": to_svg, "dot": to_dot, "mermaid": to_mermaid}
_FORMATS_OF_NAMES: Final = {".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid"}
_OTHER_PICTURES: Final = frozenset((".pdf", ".png", ".jpg", ".jpeg", ".gif", ".webp"))
"""Names that promise what no drawer keeps."""
MAX_ITEMS_READ: Final = 10_000
MAX_BYTES_READ: Final = 64 << 20
"""So far the log is read with its values, which tell ways through branches; from there on without."""


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """The options of `graph`, as they were given."""

    flow: str | None
    form: str | None
    output: Path | None
    run_id: str | None
    config: Path | None
    as_json: bool


def graph(request: GraphRequest, server: ServerOptions) -> int:
    """Draw; the exit code."""
    form = request.form or _form_by_name(request.output)
    given = None if request.flow is None else _flow_in(request.flow)
    if given is None and request.run_id is None:
        raise UsageError("nothing to draw: name the flow's file, or a run with --run")
    directory = Path() if request.flow in (None, STDIN) else Path(request.flow or "").parent
    routes = _routes(request.config, directory)
    title = "flow" if request.flow in (None, STDIN) else Path(request.flow or "").name
    try:
        if request.run_id is None:
            assert given is not None
            drawn = build_graph(given, routes, title=title)
        else:
            drawn = run_loop(_graph_of_run(server, request.run_id, given, routes))
        return _write(drawn, form, request)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OutputClosedError:
        return RUN_FAILED


def _form_by_name(output: Path | None) -> str:
    suffix = "" if output is None else output.suffix.lower()
    if suffix in _OTHER_PICTURES:
        raise UsageError(f"--output {output}: no {suffix} is written; name it .svg, .dot or .mmd, or say --format")
    return _FORMATS_OF_NAMES.get(suffix, "svg")


def _flow_in(file: str) -> Flow | None:
    data = read_whole(file)
    with naming_the_file(file):
        flow = parse_flow(data).flow
    if flow is not None and (hint := configuration_hint(flow.value, file)) is not None:
        say(f"flowspan: {hint}")
    return flow


def _write(drawn: FlowGraph, form: str, request: GraphRequest) -> int:
    # A lone surrogate cannot be written. No document that was checked has one; a file's name may.
    text = msgspec.json.encode(drawn.to_json()).decode() + "\n" if request.as_json else _DRAWERS[form](drawn)
    data = text.encode("utf-8", "replace")
    if request.output is None:
        write_stdout(data)
        return SUCCESS
    try:
        request.output.write_bytes(data)
    except OSError as error:
        raise UsageError(f"--output {request.output}: {error.strerror or error}") from error
    return SUCCESS


def _routes(config: Path | None, directory: Path) -> Mapping[str, str]:
    """Which plugin offers what, as far as a configuration says so. A picture does not need one."""
    try:
        loaded = load_config(config, beside=directory)
    except ConfigError as error:
        if config is not None:
            raise
        say(f"flowspan: colours are by path, not by plugin, for the configuration is wrong: {error.message}")
        return {}
    return {prefix: targets[0].plugin for prefix, targets in loaded.config.routes.items()}


async def _graph_of_run(server: ServerOptions, run_id: str, given: Flow | None, routes: Mapping[str, str]) -> FlowGraph:
    async with server.connect() as client:
        status = await client.get(run_id)
        stored = await client.get_flow(status.description.flow_id)
        flow = parse_flow(stored.json).flow
        assert flow is not None
        if given is not None and canonical_of_value(given.value) != canonical_of_value(flow.value):
            raise UsageError(f"run {run_id} is a run of another flow than the one named; leave it out, and the run's is drawn")
        tally = RunTally(flow)
        seq = size = 0
        is_whole = True
        async with aclosing(read_log(client, run_id, status.as_of_seq)) as segments:
            async for segment in segments:
                tally.apply(segment.events)
                seq = segment.last_seq
                size += sum(len(getattr(event, "payload", b"")) for event in segment.events)
                if tally.ended >= MAX_ITEMS_READ or size > MAX_BYTES_READ:
                    is_whole = False
                    break
        valued = tally.ended
        if not is_whole:
            async for segment in read_log(client, run_id, status.as_of_seq, payloads=False, after_seq=seq):
                tally.apply(segment.events[max(0, seq + 1 - segment.first_seq) :], has_payloads=False)
        name = flow.name or status.description.flow_label or "flow"
        drawn = build_graph(flow, routes, title=name)
        title = f"{name}: {status.status.wire_name}"
        statuses = tally.statuses()
        note = f"run {run_id}: {_counts(status.items)}{_reservations(tally, statuses, valued)}"
        return with_statuses(drawn, statuses, title=title, note=note)


def _reservations(tally: RunTally, statuses: Mapping[str, NodeStatus], valued: int) -> str:
    """What the picture does not tell, for its note."""
    said: list[str] = []
    if tally.untold_failures:
        said.append(f"where {tally.untold_failures:,} failed is not known")
    if any(status.untold for status in statuses.values()):
        said.append("? is what the log leaves open: it has no inputs of items")
    if tally.ended > valued:
        said.append(f"branches are told by the values of the first {valued:,} items")
    if tally.is_sampled:
        said.append("of rare ways through the flow only what was logged is told")
    if tally.contradicts:
        said.append(f"{tally.contradicts:,} took ways that this flow does not have: the run may have had overrides")
    return "".join(f"; {one}" for one in said)


def _counts(items: ItemCounts) -> str:
    named = (
        (items.success, "succeeded"),
        (items.failed, "failed"),
        (items.cancelled, "cancelled"),
        (items.running, "running"),
        (items.pending, "waiting"),
    )
    return f"{', '.join(f'{count:,} {word}' for count, word in named if count) or 'nothing yet'} of {items.total:,}"
