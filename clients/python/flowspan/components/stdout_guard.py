"""Keeping the wire clean: stdin and stdout are moved to private descriptors before any component code runs.

Afterwards descriptor 1 is the log (stderr) and descriptor 0 is empty, for this process and for every child that it starts:
`print`, C code and commands that write to stdout end up in the log, and nobody can swallow a request by reading stdin.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Final

_STDIN: Final = 0
_STDOUT: Final = 1
_STDERR: Final = 2


@dataclass(frozen=True, slots=True)
class WirePipes:
    """Descriptors that carry the protocol and nothing else; not inherited by children."""

    read_fd: int
    write_fd: int


def take_over_stdio() -> WirePipes:
    """Move the wire away from descriptors 0 and 1. To be called once per process, before component code runs."""
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        # A closed stderr must not become the place where a later open() lands.
        if not _is_open(_STDERR):
            os.dup2(null_fd, _STDERR)
        pipes = WirePipes(os.dup(_STDIN), os.dup(_STDOUT))
        os.dup2(null_fd, _STDIN)
        os.dup2(_STDERR, _STDOUT)
    finally:
        os.close(null_fd)
    # What was printed before and still stands in Python's buffer goes to the log now, not onto the wire.
    former = sys.stdout
    if former is not None:
        former.flush()
    sys.stdout = sys.stderr
    return pipes


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
