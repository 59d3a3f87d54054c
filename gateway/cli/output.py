"""Results on stdout (or in a file), in the bytes of the contract; everything else goes to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from flowspan.view.flow_result import flow_result_to_wire
from flowspan.view.status import ItemResult
from flowspan.view.wire import item_result_to_wire
from gateway.cli.exits import UsageError, say


class OutputClosedError(Exception):
    """Nobody reads stdout any more, as after `| head`."""


class ResultWriter:
    """Writes results as they come: one FlowResult alone, or a line per item.

    Args:
        path: a file; None: stdout.
        is_single: the run has one input, and its FlowResult is all that is asked for.
    """

    def __init__(self, path: Path | None, *, is_single: bool) -> None:
        self._path = path
        self._is_single = is_single
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._file = self._path.open("wb")
            except OSError as error:
                raise UsageError(f"--output {self._path}: {error.strerror or error}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, results: Sequence[ItemResult]) -> None:
        """May block while nobody reads; call it in a thread. Raises OutputClosedError."""
        if self._is_single:
            lines = [flow_result_to_wire(result.outcome, result.payload, is_blob=result.is_blob) for result in results]
        else:
            lines = [item_result_to_wire(result) for result in results]
        data = b"".join(line + b"\n" for line in lines)
        if self._file is not None:
            self._file.write(data)
            self._file.flush()
        else:
            write_stdout(data)


def write_stdout(data: bytes) -> None:
    """All of it, at once. Raises OutputClosedError."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            say(f"flowspan: standard output: {error.strerror or error}")
        # What is still buffered has nowhere to go; the interpreter must not try again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputClosedError from error
