"""Page tokens: the last key of a page, opaque to callers."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from flowspan.errors import InvalidArgumentError

_PREFIX: Final = b"k1:"
"""Names the layout, so that a later one can tell old tokens."""
_MAX_KEY: Final = (1 << 63) - 1


def encode_page_token(last_key: int) -> str:
    return base64.urlsafe_b64encode(_PREFIX + str(last_key).encode()).decode().rstrip("=")


def decode_page_token(token: str) -> int:
    """The key behind which the next page begins.

    Raises:
        InvalidArgumentError: not a token that `encode_page_token` made.
    """
    try:
        raw = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    digits = raw[len(_PREFIX) :]
    if not raw.startswith(_PREFIX) or not digits.isdigit() or len(digits) > 19 or int(digits) > _MAX_KEY:
        raise InvalidArgumentError("the page token is not one that this gateway gave; start again without it", field="pageToken")
    return int(digits)
