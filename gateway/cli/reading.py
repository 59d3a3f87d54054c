"""Files that are named on the command line, read whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flowspan.errors import FlowspanError, Reason
from gateway.cli.exits import UsageError

STDIN: Final = "-"
_OF_A_DOCUMENT: Final = frozenset((Reason.PARSE_ERROR, Reason.FLOW_INVALID))


def read_whole(name: str) -> bytes:
    """A file's bytes; `-`: stdin's. Raises UsageError."""
    try:
        return sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except IsADirectoryError as error:
        raise UsageError(f"{name}: Is a directory; name a file in it") from error
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror or error}") from error


@contextmanager
def naming_the_file(name: str) -> Iterator[None]:
    """What is wrong with a document is said with its file's name before it; other errors pass as they are."""
    try:
        yield
    except FlowspanError as error:
        if error.reason not in _OF_A_DOCUMENT:
            raise
        shown = "stdin" if name == STDIN else name
        raise FlowspanError(f"{shown}: {error.message}", reason=error.reason, **error.details) from error
