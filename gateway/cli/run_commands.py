"""`run`, `submit` and `watch`: a run's results as they complete."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from flowspan.errors import FlowspanError
from flowspan.view.events import RunStatusCode
from flowspan.view.status import ResultOrder, RunStatus
from flowspan.view.wire import run_status_to_wire
from gateway.cli.connection import ServerOptions, embedded_client, resumable_request_id, run_loop
from gateway.cli.exits import INTERRUPTED, RUN_FAILED, SUCCESS, UsageError, say
from gateway.cli.findings import say_findings
from gateway.cli.inputs import RunInputs, read_inputs, read_object
from gateway.cli.output import OutputClosedError, ResultWriter, write_stdout
from gateway.cli.progress import Display, choose_display, done_of
from gateway.cli.reading import naming_the_file, read_whole
from gateway.cli.variables import naming_the_remedy, variables_from_environment

if TYPE_CHECKING:
    from flowspan.client import AsyncClient, SubmitOptions, Watch
    from gateway.cli.trace_recording import ItemTracer
    from runtime_core.flow.types.components import KnownComponents

ASK_EVERY_S: Final = 2.0
"""While no result comes, the gateway is asked so often what it waits for."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The options that `run` and `submit` share, as they were given."""

    flow: str
    input_file: str | None = None
    input_json: str | None = None
    inputs_file: str | None = None
    output: Path | None = None
    order: ResultOrder = ResultOrder.BY_COMPLETION
    max_concurrency: int | None = None
    variables: str | None = None
    overrides: str | None = None
    env_variables: bool = False
    label: str | None = None
    metadata: tuple[str, ...] = ()
    deadline_s: float | None = None
    request_id: str | None = None
    quiet: bool = False
    as_json: bool = False


def run(request: RunRequest, *, config: Path | None, state: Path | None, trace: Sequence[str] = ()) -> int:
    """`flowspan run`: in a gateway of this process; `trace`: items whose stories are told. Returns the exit code."""
    from gateway.authoring.checking.configured import RoutedComponents
    from gateway.config import load_config

    flow = _flow_document(request.flow)
    if flow is None:
        raise UsageError(f"{request.flow}: an embedded gateway has stored no flows yet; name the flow's file")
    loaded = load_config(config, beside=Path(request.flow).parent)
    for note in loaded.notes:
        say(f"flowspan: {loaded.path}: {note}")
    tracer: ItemTracer | None = None
    if trace:
        from gateway.cli.trace_recording import ItemTracer

        tracer = ItemTracer(trace)
    adopt = None if tracer is None else tracer.adopt
    return _carry_out(
        request,
        flow,
        lambda: embedded_client(loaded, state, adopt=adopt),
        is_resumable=state is not None,
        is_embedded=True,
        tracer=tracer,
        components=RoutedComponents(loaded.config),
    )


def submit(request: RunRequest, server: ServerOptions, *, detach: bool) -> int:
    """`flowspan submit`: in the gateway that runs. With `detach` its answer is all that is waited for."""
    return _carry_out(request, _flow_document(request.flow), server.connect, detach=detach)


def watch(
    run_id: str, server: ServerOptions, *, after_seq: int, order: ResultOrder, output: Path | None, quiet: bool, as_json: bool
) -> int:
    """`flowspan watch`: the results of a run that was submitted before; resumes by itself."""

    async def main() -> int:
        async with server.connect() as client:
            by_index = order is ResultOrder.BY_INDEX
            follow = client.watch(run_id, after_seq, order if by_index else None)
            with ResultWriter(output, is_single=False) as writer:
                display = choose_display(run_id, quiet=quiet, as_json=as_json, beside_results=output is None)
                return await _follow(client, follow, writer, display, quiet=quiet, as_json=as_json)

    return interruptible(main, lambda: f"to go on: flowspan watch {run_id}")


def _carry_out(
    request: RunRequest,
    flow: bytes | None,
    connect: Callable[[], AbstractAsyncContextManager[AsyncClient]],
    *,
    detach: bool = False,
    is_resumable: bool = False,
    is_embedded: bool = False,
    tracer: ItemTracer | None = None,
    components: KnownComponents | None = None,
) -> int:
    with ExitStack() as resources:
        inputs = read_inputs(
            resources,
            input_file=request.input_file,
            input_json=request.input_json,
            inputs_file=request.inputs_file,
            want_digest=is_resumable,
        )
        options = _submit_options(request, flow, inputs if is_resumable else None)
        document = request.flow if flow is None else flow
        if flow is not None and not request.quiet:
            say_findings(
                flow,
                Path(request.flow).name,
                as_json=request.as_json,
                overrides=options.get("overrides"),
                variables=options.get("variables") or (),
                components=components,
            )
        started: list[Watch] = []

        async def main() -> int:
            async with connect() as client:
                if detach:
                    status = await client.submit(document, inputs.values, **options)
                    await asyncio.to_thread(write_stdout, run_status_to_wire(status) + b"\n")
                    return SUCCESS
                by_index = request.order is ResultOrder.BY_INDEX
                follow = await client.submit_and_watch(
                    document, inputs.values, order=request.order if by_index else None, **options
                )
                started.append(follow)
                with _writer(request.output, inputs.is_single, tracer) as writer:
                    display = choose_display(
                        Path(request.flow).name,
                        quiet=request.quiet,
                        as_json=request.as_json,
                        beside_results=request.output is None,
                    )
                    code = await _follow(client, follow, writer, display, quiet=request.quiet, as_json=request.as_json)
                if tracer is not None and flow is not None and follow.status is not None:
                    await tracer.tell(client, follow.status.description, flow, options, as_json=request.as_json)
                return code

        def remedy() -> str | None:
            if is_embedded:
                return "to go on: the same command again" if is_resumable else "with --state DIR the same command would resume"
            run_id = started[0].run_id if started else None
            return f"to go on: flowspan watch {run_id}" if run_id is not None else None

        with naming_the_remedy(flow, env_variables=request.env_variables), _naming_the_flow(request.flow, flow):
            return interruptible(main, remedy)


async def _follow(
    client: AsyncClient, watch: Watch, writer: ResultWriter, display: Display, *, quiet: bool, as_json: bool
) -> int:
    """Write every result, show progress, and say at the end how it went."""
    batches = 0

    async def ask_why_nothing_comes() -> None:
        known = 0
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            if batches == known and watch.run_id is not None:
                # What is wrong with the connection is for the watch to say.
                with suppress(FlowspanError):
                    status = await client.get(watch.run_id)
                    display.show(status.items)
                    display.wait(() if status.progress is None else status.progress.waiting_for)
            known = batches

    async with watch:
        with display:
            asking = None if quiet else asyncio.create_task(ask_why_nothing_comes())
            try:
                while batch := await watch.next_batch():
                    batches += 1
                    # In a thread: a reader of stdout that takes its time must not hold up an embedded gateway.
                    await asyncio.to_thread(writer.write, batch)
                    if (status := watch.status) is not None:
                        display.show(status.items)
            finally:
                if asking is not None:
                    asking.cancel()
                    await asyncio.gather(asking, return_exceptions=True)
    status = watch.status
    if status is None or not status.is_terminal:
        # Of a watch that began behind the first event.
        assert watch.run_id is not None
        status = await client.get(watch.run_id)
    if not quiet:
        say(_summary(status, as_json=as_json))
    return SUCCESS if status.status is RunStatusCode.SUCCESS else RUN_FAILED


def _writer(path: Path | None, is_single: bool, tracer: ItemTracer | None) -> ResultWriter:
    if tracer is None:
        return ResultWriter(path, is_single=is_single)
    from gateway.cli.trace_recording import TracedWriter

    return TracedWriter(tracer, path, is_single=is_single)


def _summary(status: RunStatus, *, as_json: bool) -> str:
    if as_json:
        return msgspec.json.encode({"run": msgspec.Raw(run_status_to_wire(status))}).decode()
    items = status.items
    took = ""
    if status.completed_at_us is not None:
        seconds = (status.completed_at_us - status.description.created_at_us) / 1e6
        rate = f", {done_of(items) / seconds:,.0f} items/s" if seconds >= 0.1 and items.total > 1 else ""
        took = f" in {seconds:.2f} s{rate}"
    parts = [f"{items.success} succeeded"]
    parts += [f"{count} {word}" for count, word in ((items.failed, "failed"), (items.cancelled, "cancelled")) if count]
    why = f" ({status.cancel_reason})" if status.cancel_reason else ""
    return f"flowspan: run {status.run_id} {status.status.wire_name}{why}: {', '.join(parts)} of {items.total}{took}"


def interruptible(main: Callable[[], Coroutine[Any, Any, int]], remedy: Callable[[], str | None]) -> int:
    try:
        return run_loop(main())
    except KeyboardInterrupt:
        how = remedy()
        say("flowspan: interrupted" + (f"; {how}" if how else ""))
        return INTERRUPTED
    except OutputClosedError:
        return RUN_FAILED


def _submit_options(request: RunRequest, flow: bytes | None, resumable: RunInputs | None) -> SubmitOptions:
    variables = read_object(request.variables, "--variables")
    if request.env_variables:
        if flow is None:
            raise UsageError("--env-variables needs the flow's file: it says which variables the environment may set")
        with naming_the_file(request.flow):
            variables = variables_from_environment(flow, variables, os.environ)
    overrides = read_object(request.overrides, "--overrides")
    request_id = request.request_id
    if resumable is not None and request_id is None:
        encode = msgspec.json.Encoder(order="sorted").encode
        request_id = resumable_request_id(flow or b"", resumable.digest, encode([variables, overrides, request.max_concurrency]))
    from flowspan.client import SubmitOptions

    return SubmitOptions(
        max_concurrency=request.max_concurrency,
        overrides=overrides,
        variables=variables,
        label=request.label,
        metadata=_metadata(request.metadata),
        deadline_s=request.deadline_s,
        request_id=request_id,
    )


def _naming_the_flow(name: str, flow: bytes | None) -> AbstractContextManager[None]:
    return nullcontext() if flow is None else naming_the_file(name)


def _metadata(pairs: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"--metadata {pair!r}: write NAME=VALUE")
        found[name] = value
    return found


def _flow_document(flow: str) -> bytes | None:
    """The bytes of a flow's file; None for the id of a stored flow."""
    from flowspan.client.submission import is_flow_id

    return None if is_flow_id(flow) else read_whole(flow)
