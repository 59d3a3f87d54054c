"""Opening a file that must lie below a directory, whoever changes what is below it meanwhile.

The path is walked component by component, each opened relative to the one before and never through a symbolic link, so there
is no moment between a check and a use.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from flowspan.errors import InvalidArgumentError, LimitExceededError

MAX_PATH_CHARS: Final = 4_096
"""PATH_MAX of Linux."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe would wait for its other end.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read_confined(directories: Sequence[Path], path: str, max_bytes: int) -> tuple[Path, bytes]:
    """The file that `path` names below one of `directories`, and its bytes.

    Args:
        directories: absolute. They themselves may be reached through links.
        path: relative to one of them (tried in their order), or absolute and below one of them.

    Raises:
        InvalidArgumentError: it leads elsewhere, through a link, to nothing or to something other than a regular file.
        LimitExceededError: it has more than `max_bytes`.
    """
    if not path or "\0" in path or len(path) > MAX_PATH_CHARS:
        raise _refused("is no path")
    wanted = PurePosixPath(path)
    if ".." in wanted.parts:
        raise _refused(f"{path!r} must not contain ..")
    for directory in directories:
        if wanted.is_absolute() and not wanted.is_relative_to(directory):
            continue
        names = (wanted.relative_to(directory) if wanted.is_absolute() else wanted).parts
        found = _read(directory, names, path, max_bytes)
        if found is not None:
            return directory.joinpath(*names), found
    if wanted.is_absolute() and not any(wanted.is_relative_to(directory) for directory in directories):
        raise _refused(f"{path!r} lies outside of the directories that builtins.load_file.directories names")
    raise _refused(f"there is no file {path!r}")


def _read(directory: Path, names: Sequence[str], path: str, max_bytes: int) -> bytes | None:
    """The file's bytes; None if there is none of that name below this directory."""
    try:
        held = os.open(directory, _DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise _unreadable(path, error) from error
    try:
        for position, name in enumerate(names):
            is_last = position == len(names) - 1
            below = os.open(name, _FILE if is_last else _DIRECTORY | os.O_NOFOLLOW, dir_fd=held)
            os.close(held)
            held = below
        return _content(held, path, max_bytes)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise _unreadable(path, error) from error
    finally:
        os.close(held)


def _content(file: int, path: str, max_bytes: int) -> bytes:
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode):
        raise _refused(f"{path!r} is not a regular file")
    parts: list[bytes] = []
    size = facts.st_size
    room = max_bytes + 1
    while size <= max_bytes and room and (part := os.read(file, min(room, 1 << 20))):
        parts.append(part)
        room -= len(part)
    if not room:  # it grows while it is read
        size = max_bytes + 1
    if size > max_bytes:
        raise LimitExceededError(
            f"{path!r} has {size} bytes; at most {max_bytes} are read", limit="fileBytes", max=max_bytes, actual=size
        )
    return b"".join(parts)


def _unreadable(path: str, error: OSError) -> InvalidArgumentError:
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        # A link where a directory is expected is reported as "not a directory".
        return _refused(f"{path!r} leads through a symbolic link, or through something that is not a directory")
    return _refused(f"{path!r} cannot be read: {error.strerror or error}")


def _refused(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"path: {message}", field="path")
