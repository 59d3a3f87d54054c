"""Page tokens of item lists: opaque for callers, one position within."""

from __future__ import annotations

import base64
import binascii

from flowspan.errors import InvalidArgumentError


def encode_token(kind: str, position: int) -> str:
    """`kind`: one letter that tells which order the token belongs to."""
    return base64.urlsafe_b64encode(f"{kind}{position}".encode()).decode().rstrip("=")


def decode_token(token: str, kind: str) -> int:
    """The position.

    Raises:
        InvalidArgumentError: not a token of this order.
    """
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode("ascii")
        if text[:1] == kind and len(text) < 24:
            return int(text[1:])
    except (binascii.Error, ValueError):
        pass
    raise InvalidArgumentError("the page token is not one of this list; begin without one", field="pageToken")
