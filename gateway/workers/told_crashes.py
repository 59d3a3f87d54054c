"""What a worker says in a failure that is more than a failure. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from flowspan.errors import Reason
from flowspan.jsonrpc import WireError

SKIP_CODE: Final = 0
"""Of a failure that is none: the component skips its step, and the message says why."""
CRASH_CODE: Final = -32002
CRASH_REASONS: Final = frozenset({Reason.PLUGIN_CRASHED.value, Reason.PLUGIN_PROTOCOL.value})


class _Told(msgspec.Struct):
    reason: str | None = None


def tells_crash(error: WireError) -> bool:
    """Whether the process that executed it behind the worker has ended with it: it is repeated with care, like all that the
    same message tells so. A bridge says this; the worker itself is well."""
    if error.code != CRASH_CODE or error.data is None:
        return False
    try:
        return msgspec.json.decode(error.data, type=_Told).reason in CRASH_REASONS
    except msgspec.MsgspecError:
        return False
