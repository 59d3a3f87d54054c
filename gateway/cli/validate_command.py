"""`validate`: all that can be said of flows without running them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.authoring.checking.documents import CheckedFile
from gateway.cli.exits import INTERRUPTED, RUN_FAILED, SUCCESS, USAGE, UsageError, say
from gateway.cli.flow_checks import NoFlowsError, check_files
from gateway.cli.output import OutputClosedError, write_stdout
from runtime_core.flow.diagnostics import MAX_KEPT, Level

_COLOURS: Final = {Level.FATAL: "\x1b[1;31m", Level.ERROR: "\x1b[31m", Level.WARNING: "\x1b[33m"}
_PLAIN: Final = "\x1b[0m"


def validate(names: Sequence[str], config: Path | None, *, strict: bool, offline: bool, as_json: bool) -> int:
    """Check flows. 2 if a file cannot be opened; 1 if one has a fatal finding or an error, with `strict` also a warning, or
    components whose plugin did not say what it offers.

    Raises:
        ConfigError: a configuration is wrong.
    """
    from gateway.telemetry import setup_telemetry

    # What a plugin does wrong at its start is said in a note.
    setup_telemetry(level="critical")
    try:
        found = check_files(names, config, offline=offline, as_json=as_json)
        checked = found.files
        if as_json:
            shown: dict[str, Any] = {"files": [_to_json(one, strict=strict) for one in checked]}
            if found.looked_at is not None:
                shown["filesLookedAt"] = found.looked_at
            write_stdout(msgspec.json.encode(shown) + b"\n")
        else:
            coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
            lines = [line for one in checked for line in _lines(one, coloured=coloured)]
            write_stdout("".join(f"{line}\n" for line in lines).encode())
            say(_summary(checked, found.looked_at))
    except KeyboardInterrupt:
        say("flowspan: interrupted")
        return INTERRUPTED
    except OutputClosedError:
        return RUN_FAILED
    if any(isinstance(one.file.problem, UsageError) for one in checked):
        return USAGE
    return SUCCESS if all(one.is_ok(strict=strict) for one in checked) else RUN_FAILED


def _to_json(checked: CheckedFile, *, strict: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"file": checked.file.name, "ok": checked.is_ok(strict=strict)}
    if checked.flow_id is not None:
        shown["flowId"] = checked.flow_id
    problem = checked.file.problem
    if problem is not None:
        shown["error"] = {"reason": problem.reason.value, "message": problem.message, "details": problem.details}
    if checked.silent:
        shown["notChecked"] = [{"plugin": one.name, "reason": one.why} for one in checked.silent]
    return shown | {"diagnostics": [finding.to_json() for finding in checked.findings]}


def _lines(checked: CheckedFile, *, coloured: bool) -> list[str]:
    """A line for each finding: `file:line:column: level: message (kind code)`."""
    name = checked.file.name
    problem = checked.file.problem
    if problem is not None:
        line, column = problem.details.get("line"), problem.details.get("column")
        place = f":{line}:{column or 1}" if line else ""
        message = problem.message.removeprefix(f"{name}: ")
        return [f"{name}{place}: {_shown(Level.FATAL, coloured=coloured)}: {message} ({problem.reason.value})"]
    lines = []
    for finding in checked.findings:
        place = f":{finding.line}:{finding.column}" if finding.line is not None else ""
        level = _shown(finding.level, coloured=coloured)
        lines.append(f"{name}{place}: {level}: {finding.message} ({finding.kind} {finding.code})")
    return lines


def _shown(level: Level, *, coloured: bool) -> str:
    return f"{_COLOURS[level]}{level.value}{_PLAIN}" if coloured else level.value


def _summary(files: Sequence[CheckedFile], looked_at: int | None) -> str:
    checked = [one for one in files if not isinstance(one.file.problem, UsageError)]
    unread = sum(isinstance(one.file.problem, UsageError) and not isinstance(one.file.problem, NoFlowsError) for one in files)
    levels = [finding.level for one in checked for finding in one.findings]
    levels += [Level.FATAL for one in checked if one.file.problem is not None]
    counts = [
        f"{count}{' or more' if count >= MAX_KEPT else ''} {word if count == 1 else words}"
        for level, word, words in (
            (Level.FATAL, "fatal finding", "fatal findings"),
            (Level.ERROR, "error", "errors"),
            (Level.WARNING, "warning", "warnings"),
        )
        if (count := levels.count(level))
    ]
    said = [f"{_counted(len(checked), 'flow')} checked: {', '.join(counts) or 'nothing found'}"] if checked else []
    if not checked and not unread:
        said.append("no flow to check")
    if unread:
        said.append(f"{_counted(unread, 'file')} could not be read")
    silent = list(dict.fromkeys(one.name for file in checked for one in file.silent))
    if silent:
        said.append(f"not checked: what is routed to {_listed(silent)}, which did not start")
    if looked_at is not None:
        said.append(f"{_counted(looked_at, 'file')} looked at")
    return f"flowspan: {'; '.join(said)}"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


def _listed(plugins: Sequence[str]) -> str:
    return f"plugin {plugins[0]}" if len(plugins) == 1 else f"plugins {', '.join(plugins[:-1])} and {plugins[-1]}"
