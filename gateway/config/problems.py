"""What is wrong with a configuration, in a form that people can act on: file, line, field, and the nearest name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from flowspan.errors import FlowspanError, Reason
from flowspan.flows.near_names import near_name


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. `pointer`: RFC 6901, into the file's value; `line`: from 1, or None where it is not known."""

    pointer: str
    message: str
    line: int | None = None

    def describe(self, file: str) -> str:
        place = f"{file}:{self.line}" if self.line else file
        return f"{place}: {self.pointer}: {self.message}" if self.pointer else f"{place}: {self.message}"


class ConfigError(FlowspanError):
    """The configuration cannot be used; the command ends with exit code 78. `details`: `file` and `problems`."""

    default_reason = Reason.INVALID_ARGUMENT
    exit_code: Final = 78
    """EX_CONFIG"""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        super().__init__(
            "\n".join(problem.describe(file) for problem in problems),
            file=file,
            problems=[{"path": problem.pointer, "message": problem.message, "line": problem.line} for problem in problems],
        )
        self.file = file
        self.problems = tuple(problems)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or the list of what is known where nothing is near."""
    names = sorted(known)
    near = near_name(name, names)
    if near is not None:
        return f"; did you mean {near!r}?"
    return f"; known are {', '.join(names)}" if names else ""
