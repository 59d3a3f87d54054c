"""Identifiers: how they look, how they are read, how new ones are made.

Reading is strict and comes before any look-up: whatever does not match its grammar never reaches a store or a path.
Nothing here draws time or randomness; callers hand them in.
"""

from __future__ import annotations

import re
from typing import Final, NewType

from flowspan.errors import InvalidArgumentError

BlobId = NewType("BlobId", str)
"""`sha256:` and 64 lower-case hex digits: the hash of a blob's canonical form (JSON) or of its bytes (binary)."""

RunId = NewType("RunId", str)
"""A UUID in its 36-character lower-case form; version 7 where the gateway makes it. Not a secret."""

StepId = NewType("StepId", str)
"""A step's `id` in its flow: unique there, not empty."""

BLOB_ID_PREFIX: Final = "sha256:"
TOKEN_CHARS: Final = 26
"""130 bits: no two executions meet by chance, and 26 characters fit wherever a ULID does."""

_BLOB_ID: Final = re.compile(r"(?:sha256:)?[0-9a-f]{64}\Z")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z")
_MAX_UNIX_MS: Final = 1 << 48
_RANDOM_BYTES: Final = 10
_SHOWN_CHARS: Final = 80


def parse_blob_id(text: str, *, field: str = "blobId") -> BlobId:
    """Read a blob id; bare 64 hex digits are accepted.

    Args:
        text: as a caller sent it.
        field: the parameter's name, for the error.

    Raises:
        InvalidArgumentError: anything that is not `(sha256:)?` and 64 lower-case hex digits.
    """
    if not isinstance(text, str) or _BLOB_ID.match(text) is None:
        raise InvalidArgumentError(
            f"{field} is not a blob id: {_shown(text)}; expected sha256: and 64 lower-case hex digits", field=field
        )
    return BlobId(text if text.startswith(BLOB_ID_PREFIX) else BLOB_ID_PREFIX + text)


def blob_id_of_digest(hex_digest: str) -> BlobId:
    """The id for a SHA-256 that this process computed (64 lower-case hex digits)."""
    return BlobId(BLOB_ID_PREFIX + hex_digest)


def parse_run_id(text: str, *, field: str = "runId") -> RunId:
    """Read a run id: any UUID in its 36-character form, of any version; upper case is folded.

    Raises:
        InvalidArgumentError: anything else.
    """
    if not isinstance(text, str) or _UUID.match(text) is None:
        raise InvalidArgumentError(f"{field} is not a UUID: {_shown(text)}", field=field)
    return RunId(text.lower())


def new_run_id(unix_ms: int, random: bytes) -> RunId:
    """A UUID of version 7 (RFC 9562): ids made later sort later, to the millisecond.

    Args:
        unix_ms: milliseconds since 1970 (UTC), 0 <= unix_ms < 2**48.
        random: 10 random bytes, of which 74 bits are used.
    """
    if not 0 <= unix_ms < _MAX_UNIX_MS:
        raise ValueError(f"unix_ms out of range: {unix_ms}")
    if len(random) != _RANDOM_BYTES:
        raise ValueError(f"random must be {_RANDOM_BYTES} bytes, not {len(random)}")
    bits = int.from_bytes(random, "big")
    value = (unix_ms << 80) | (0x7 << 76) | ((bits >> 62 & 0xFFF) << 64) | (0b10 << 62) | (bits & 0x3FFF_FFFF_FFFF_FFFF)
    text = f"{value:032x}"
    return RunId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")


def _shown(text: object) -> str:
    shown = repr(text)
    # No part of it: it may be a secret in the wrong place, and a part of a secret is not known as one.
    return shown if len(shown) <= _SHOWN_CHARS else f"a text of {len(shown)} characters"
