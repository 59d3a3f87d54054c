"""How the command ends: exit codes, and what is said when something did not work."""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec

from flowspan.errors import FlowspanError, Reason

SUCCESS: Final = 0
RUN_FAILED: Final = 1
USAGE: Final = 2
DAMAGED: Final = 65
"""EX_DATAERR: the store's files are damaged; starting again does not help, a backup does."""
UNAVAILABLE: Final = 69
"""EX_UNAVAILABLE: no gateway answers, or what it needs is held by another one."""
STORAGE: Final = 74
"""EX_IOERR: the store failed, or its directory cannot be used; nothing that was acknowledged is lost, nothing more is
promised."""
CONFIGURATION: Final = 78
"""EX_CONFIG: what the gateway was told when it was started cannot be used; whoever runs it must change it."""
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells report it."""

_UNAVAILABLE_REASONS: Final = frozenset(
    {
        Reason.UNAVAILABLE,
        Reason.OVERLOADED,
        Reason.TIMEOUT,
        Reason.UNAUTHENTICATED,
        Reason.PERMISSION_DENIED,
        Reason.FAILED_PRECONDITION,
        Reason.RESOURCE_UNAVAILABLE,
        Reason.STORAGE_FULL,
    }
)
_USAGE_REASONS: Final = frozenset(
    {
        Reason.INVALID_ARGUMENT,
        Reason.FLOW_INVALID,
        Reason.PARSE_ERROR,
        Reason.INVALID_VALUE,
        Reason.LIMIT_EXCEEDED,
        Reason.NOT_FOUND,
        Reason.RUN_NOT_FOUND,
        Reason.FLOW_NOT_FOUND,
        Reason.BLOB_NOT_FOUND,
        Reason.IDEMPOTENCY_CONFLICT,
    }
)


MATTERS_OF_TASTE: Final = frozenset({1001, 1002})
"""Findings about flows: no name, no description. Good in a flow that is kept, a nuisance while one is being tried."""
_IN_THE_MESSAGE: Final = frozenset({2005})
"""A required variable has no value: the message names them all, and the option that gives them one."""


class UsageError(FlowspanError):
    """The command line does not make sense. The message names the option and the remedy."""

    default_reason = Reason.INVALID_ARGUMENT


def exit_code_of(error: FlowspanError) -> int:
    """The code that the command ends with for this error."""
    # Of a ConfigError; commands that read no configuration need not load what reads it.
    if isinstance(code := getattr(error, "exit_code", None), int):
        return code
    if error.details.get("isConfiguration"):
        return CONFIGURATION
    if error.reason in _UNAVAILABLE_REASONS:
        return UNAVAILABLE
    if error.reason is Reason.STORAGE_FAILED:
        return DAMAGED if error.details.get("isDamaged") else STORAGE
    return USAGE if error.reason in _USAGE_REASONS else RUN_FAILED


def report(error: FlowspanError, *, as_json: bool) -> int:
    """Say on stderr what happened; the exit code."""
    if as_json:
        body: dict[str, Any] = {"error": {"reason": error.reason.value, "message": error.message, "details": error.details}}
        line = msgspec.json.encode(body, enc_hook=repr).decode()
    else:
        said = "\n".join(_lines(error))
        line = "\n".join(map(_harmless, f"flowspan: {said}".split("\n")))
    say(line)
    return exit_code_of(error)


def say(text: str) -> None:
    """A line for people, on stderr; a reader that is gone does not matter."""
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command's own voice
    except (BrokenPipeError, ValueError):
        pass


def _harmless(line: str) -> str:
    """Without what would move the cursor of a terminal: messages quote names of all kinds."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def _lines(error: FlowspanError) -> list[str]:
    """The message; of a refused flow a line for each thing that is wrong with it, which the message does not say again."""
    found = error.details.get("diagnostics")
    held = found if isinstance(found, list) else []
    entries = [entry for entry in held if isinstance(entry, dict) and entry.get("code") not in MATTERS_OF_TASTE | _IN_THE_MESSAGE]
    if not entries:
        return [error.message]
    headline, said, _ = error.message.partition(str(entries[0].get("message") or "\0"))
    lines = [headline.rstrip() if said and headline else error.message]
    for entry in entries:
        place = f"{entry['line']}:{entry.get('column', 1)}: " if entry.get("line") else ""
        lines.append(f"  {place}{entry.get('path') or 'as a whole'}: {entry.get('message', '')} ({entry.get('kind', '')})")
    count = error.details.get("diagnosticCount")
    if isinstance(count, int) and count > len(held):
        lines.append(f"  and {count - len(held)} more")
    return lines
