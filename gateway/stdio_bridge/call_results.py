"""What an answer to `components/execute` means for its call. Pure."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from flowspan.jsonrpc.guard import outline
from runtime_core.calls import CallSkip


class ExecuteResult(msgspec.Struct, gc=False):
    """The result of a call; `output` unparsed."""

    output: msgspec.Raw


_decode_result: Final = msgspec.json.Decoder(ExecuteResult).decode
_OUTPUT_FIRST: Final = b'{"output":'


def output_of(result: bytes) -> bytes:
    """The output in the result of a call, which is known to be JSON.

    Raises:
        msgspec.DecodeError: the result is no object or has no output.
    """
    if result.startswith(_OUTPUT_FIRST):
        outlined = outline(result)
        # Where that is all of its outline, it is all of it. A large one is not parsed a second time.
        if outlined is not result and bytes(_decode_result(outlined).output) == outlined[len(_OUTPUT_FIRST) : -1]:
            return result[len(_OUTPUT_FIRST) : -1]
    return bytes(_decode_result(result).output)


class _OwnSkip(msgspec.Struct, forbid_unknown_fields=True):
    outcome: Literal["skipped"]
    reason: str | None = None


_MAX_SKIP_BYTES: Final = 4_096
_decode_skip: Final = msgspec.json.Decoder(_OwnSkip).decode


def told_skip(output: bytes) -> CallSkip | None:
    """`{"outcome": "skipped", "reason"?}` and nothing else: what SDKs of the `stepflow` dialect send for a component that skips
    its step. In our own dialect such an output is a value like any other."""
    if len(output) > _MAX_SKIP_BYTES or not output.startswith(b'{"outcome"'):
        return None
    try:
        return CallSkip(_decode_skip(output).reason)
    except (ValueError, msgspec.MsgspecError):
        return None
