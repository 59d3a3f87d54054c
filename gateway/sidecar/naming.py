"""Names of executions as the remote gateway makes them."""

from __future__ import annotations

import re
from typing import Final

from flowspan.errors import FlowspanError, Reason
from runtime_core.calls import CallNaming

_UNKNOWN: Final = "0" * 16
_SPAN_PREFIX: Final = re.compile("[0-9a-f]{6}")


class SessionNaming(CallNaming):
    """Follows the gateway from one session to the next; nothing of a former session is open when it does."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(_UNKNOWN, "000000")

    def adopt(self, token_prefix: str, span_prefix: str) -> None:
        """Take the prefixes of a welcome.

        Raises:
            FlowspanError: tokens and spans are not made of them as this release knows it.
        """
        if not token_prefix.endswith("-") or not _SPAN_PREFIX.fullmatch(span_prefix):
            what = "the gateway names executions in another way; update the older one"
            raise FlowspanError(what, reason=Reason.FAILED_PRECONDITION)
        self.secret = token_prefix[:-1]
        self.span_prefix = span_prefix
