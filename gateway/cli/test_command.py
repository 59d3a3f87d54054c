"""`test`: the cases of each file as one run, in a gateway in memory; then the report, and expected outputs rewritten."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from flowspan.client import AsyncClient, RawJson
from flowspan.errors import FlowspanError
from flowspan.flows.near_names import near_name
from flowspan.jsonrpc import decode_payload
from flowspan.view.events import Outcome, RunStatusCode
from flowspan.view.flow_result import flow_result_to_wire
from flowspan.view.status import ItemResult
from gateway.authoring.flow_tests import (
    Case,
    CaseReport,
    FileReport,
    Verdict,
    chosen,
    decode_exact,
    edits_of,
    encode_exact,
    file_lines,
    judge,
    rewritten,
    summary,
    to_json,
    to_junit,
    totals_of,
    wants_update,
)
from gateway.cli.connection import embedded_client, run_loop
from gateway.cli.exits import INTERRUPTED, RUN_FAILED, SUCCESS, UsageError, exit_code_of, report, say
from gateway.cli.findings import say_findings
from gateway.cli.output import OutputClosedError, write_stdout
from gateway.cli.progress import choose_display
from gateway.cli.test_files import Configuration, FlowFile, configuration_of, find_flows
from gateway.config import Config, ConfigError


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command, as they were given."""

    paths: tuple[Path, ...]
    cases: tuple[str, ...] = ()
    update: bool = False
    diff: bool = False
    junit: Path | None = None
    config: Path | None = None
    deadline_s: float | None = None
    verbose: bool = False
    quiet: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class _Planned:
    """A file, those of its cases that are chosen, and what they run with."""

    flow: FlowFile
    cases: Sequence[Case]
    configuration: Configuration


def run_tests(options: Options) -> int:
    """The exit code: 0 all passed, 1 a case failed, else that of the first error (2, 78, ...).

    Nothing runs if a file cannot be used: all that is wrong is said at once.
    """
    began = time.perf_counter()
    flows, errors = find_flows(options.paths)
    if not errors:
        _check_patterns(flows, options.cases)
    planned, wrong = _plan(flows, options)
    if errors := [*errors, *wrong]:
        return _report_all(errors, options)
    for note in dict.fromkeys(
        f"{plan.configuration.loaded.path}: {note}" if plan.configuration.loaded.path is not None else note
        for plan in planned
        for note in plan.configuration.loaded.notes
    ):
        say(f"flowspan: {note}")
    if not options.quiet:
        for plan in planned:
            say_findings(plan.flow.document.data, plan.flow.name, as_json=options.as_json)
    try:
        reports = run_loop(_run_all(planned, options))
    except KeyboardInterrupt:
        say("flowspan: interrupted")
        return INTERRUPTED
    except OutputClosedError:
        return RUN_FAILED
    return _conclude(reports, options, time.perf_counter() - began)


def _plan(flows: Sequence[FlowFile], options: Options) -> tuple[list[_Planned], list[FlowspanError]]:
    planned: list[_Planned] = []
    errors: list[FlowspanError] = []
    checked: list[Config] = []
    for flow in flows:
        cases = chosen(flow.tests.cases, options.cases)
        if options.cases and not cases:
            continue
        try:
            configuration = configuration_of(flow, options.config)
            if configuration.loaded.config not in checked:
                configuration.check()
                checked.append(configuration.loaded.config)
            planned.append(_Planned(flow, cases, configuration))
        except ConfigError as error:
            if str(error) not in map(str, errors):  # files share configurations, and so their mistakes
                errors.append(error)
    return planned, errors


def _check_patterns(flows: Sequence[FlowFile], patterns: Sequence[str]) -> None:
    names = [case.name for flow in flows for case in flow.tests.cases]
    for pattern in patterns:
        if not any(chosen(flow.tests.cases, [pattern]) for flow in flows):
            near = near_name(pattern, names)
            hint = "" if near is None else f"; did you mean {near!r}?"
            raise UsageError(f"--case {pattern!r}: no case has this name{hint}")


async def _run_all(planned: Sequence[_Planned], options: Options) -> list[FileReport]:
    """Files of equal configuration share a gateway, one after the other; reports are in the order of `planned`."""
    reports: dict[int, FileReport] = {}
    for group in _groups(planned):
        try:
            async with embedded_client(group[0][1].configuration.loaded, None, in_memory=True) as client:
                for index, plan in group:
                    reports[index] = await _run_file(client, plan, options)
                    await _show(reports[index], options)
        except FlowspanError as error:
            # The gateway did not come up, for these files alone.
            for index, plan in group:
                if index not in reports:
                    reports[index] = FileReport(plan.flow.name, error=error)
                    await _show(reports[index], options)
    return [reports[index] for index in range(len(planned))]


def _groups(planned: Sequence[_Planned]) -> list[list[tuple[int, _Planned]]]:
    groups: list[list[tuple[int, _Planned]]] = []
    for index, plan in enumerate(planned):
        config = plan.configuration.loaded.config
        same = next((group for group in groups if group[0][1].configuration.loaded.config == config), None)
        if same is None:
            groups.append([(index, plan)])
        else:
            same.append((index, plan))
    return groups


async def _run_file(client: AsyncClient, plan: _Planned, options: Options) -> FileReport:
    """Run the chosen cases, one item each; rewrite the file if asked to. What goes wrong is in the report."""
    began = time.perf_counter()
    flow = plan.flow
    results: dict[int, ItemResult] = {}
    run_id, began_us, was_cut_off = None, 0, False
    error: FlowspanError | None = None
    variables = None if flow.tests.variables is None else decode_payload(encode_exact(flow.tests.variables))
    try:
        if plan.cases:
            follow = await client.submit_and_watch(
                flow.document.data,
                [RawJson(case.input) for case in plan.cases],
                variables=variables,
                deadline_s=options.deadline_s,
            )
            with choose_display(flow.name, quiet=options.quiet, as_json=options.as_json) as display:
                async with follow:
                    while batch := await follow.next_batch():
                        results |= {result.item_index: result for result in batch}
                        if (status := follow.status) is not None:
                            display.show(status.items)
            run_id = follow.run_id
            if (status := follow.status) is not None:
                began_us = status.description.created_at_us
                was_cut_off = status.status is RunStatusCode.CANCELLED
    except FlowspanError as raised:
        error = raised
    cases = [] if error is not None and not results else [
        _judged(case, results.get(index), began_us, was_cut_off) for index, case in enumerate(plan.cases)
    ]  # fmt: skip
    told = FileReport(flow.name, cases, time.perf_counter() - began, run_id, error)
    return await asyncio.to_thread(_updated, flow, told) if options.update and error is None else told


def _judged(case: Case, result: ItemResult | None, began_us: int, was_cut_off: bool) -> CaseReport:
    if result is None or (was_cut_off and result.outcome is Outcome.CANCELLED):
        # What a deadline cut off says nothing about the flow; a component may answer with this code of its own accord.
        return judge(case, None)
    actual = decode_exact(flow_result_to_wire(result.outcome, result.payload, is_blob=result.is_blob))
    assert isinstance(actual, dict)
    return judge(case, actual, max(0, result.completed_at_us - began_us) / 1e6)


def _updated(flow: FlowFile, told: FileReport) -> FileReport:
    """Write what the cases gave into the file; untouched if all of them hold."""
    edits = edits_of(told.cases)
    if not edits:
        return told
    try:
        _replace(flow, rewritten(flow.document, flow.name, edits))
    except FlowspanError as error:
        return replace(told, error=error)
    done = [replace(case, verdict=Verdict.UPDATED) if wants_update(case) else case for case in told.cases]
    return replace(told, cases=done)


def _replace(flow: FlowFile, data: bytes) -> None:
    """The new bytes in one step, with the file's own mode; behind a link, where it leads.

    Raises:
        UsageError: the file has changed since it was read, is read-only, or cannot be written.
    """
    path = flow.path.resolve()
    try:
        if path.read_bytes() != flow.document.data:
            raise UsageError(f"{flow.name}: the file has changed while its tests ran; run them again")
        mode = path.stat().st_mode
        if not mode & 0o222:  # another file in its place would need no right to write to it
            raise UsageError(f"{flow.name}: cannot be written: it is read-only")
        descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(new, mode & 0o7777)
            os.replace(new, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(new)
            raise
    except OSError as error:
        raise UsageError(f"{flow.name}: cannot be written: {error.strerror or error}") from error


async def _show(told: FileReport, options: Options) -> None:
    if options.as_json:
        return
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    lines = file_lines(told, with_diff=options.diff, verbose=options.verbose, colour=colour)
    # In a thread: a reader that takes its time must not hold up the gateway.
    await asyncio.to_thread(write_stdout, "".join(f"{line}\n" for line in lines).encode())


def _conclude(reports: Sequence[FileReport], options: Options, seconds: float) -> int:
    totals = totals_of(reports)
    if options.junit is not None:
        try:
            options.junit.write_bytes(to_junit(reports, seconds))
        except OSError as error:
            raise UsageError(f"--junit {options.junit}: {error.strerror or error}") from error
    if options.as_json:
        write_stdout(encode_exact(to_json(reports, seconds)) + b"\n")
    if not options.quiet:
        say(f"flowspan: {summary(totals, seconds)}")
    first_error = next((told.error for told in reports if told.error is not None), None)
    if first_error is not None:
        return exit_code_of(first_error)
    return RUN_FAILED if totals.bad else SUCCESS


def _report_all(errors: Sequence[FlowspanError], options: Options) -> int:
    codes = [report(error, as_json=options.as_json) for error in errors]
    return codes[0]
