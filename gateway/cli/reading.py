"""Files that are named on the command line, read whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from gateway.cli.exits import UsageError

STDIN: Final = "-"


def read_whole(name: str) -> bytes:
    """A file's bytes; `-`: stdin's. Raises UsageError."""
    try:
        return sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror or error}") from error
