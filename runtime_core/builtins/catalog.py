"""The built-in components: what each does, and the schema of its input. Pure; the server around them is `server`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flowspan.errors import FlowErrorCode
from runtime_core.calls import CallFailure

InstantComponent = Callable[[bytes], bytes | CallFailure]
"""From the input's JSON to the output's; no clock, no IO."""


def bad_input(message: str) -> CallFailure:
    """What a built-in answers to an input that it cannot use; never retried."""
    return CallFailure(FlowErrorCode.INVALID_INPUT, message)


def noop(data: bytes) -> bytes:
    """The input, unread."""
    return data


class _MessagesInput(msgspec.Struct):
    user_prompt: str
    system_instructions: str | None = None


_messages_input: Final = msgspec.json.Decoder(_MessagesInput)


def create_messages(data: bytes) -> bytes | CallFailure:
    """Chat messages of a system text and a user text."""
    try:
        given = _messages_input.decode(data)
    except msgspec.DecodeError as error:
        return bad_input(f"/builtin/create_messages: {error}")
    messages: list[dict[str, str]] = []
    if given.system_instructions is not None:
        messages.append({"role": "system", "content": given.system_instructions})
    messages.append({"role": "user", "content": given.user_prompt})
    return msgspec.json.encode({"messages": messages})


@dataclass(frozen=True, slots=True)
class Builtin:
    """A built-in component. `instant` is None for those that wait or touch the store (`server` runs them)."""

    name: str
    description: str
    input_schema: dict[str, Any]
    instant: InstantComponent | None = None


_ANY: Final[dict[str, Any]] = {}

BUILTINS: Final[dict[str, Builtin]] = {
    one.name: one
    for one in (
        Builtin("/noop", "Answers with its input.", _ANY, noop),
        Builtin(
            "/create_messages",
            "Makes chat messages of a system text and a user text.",
            {
                "type": "object",
                "properties": {"system_instructions": {"type": "string"}, "user_prompt": {"type": "string"}},
                "required": ["user_prompt"],
            },
            create_messages,
        ),
        Builtin(
            "/sleep",
            "Waits, then answers with `passthrough`.",
            {
                "type": "object",
                "properties": {"duration_ms": {"type": "integer", "minimum": 0}, "passthrough": {}},
                "required": ["duration_ms"],
            },
        ),
        Builtin(
            "/put_blob",
            "Stores a value as a blob.",
            {
                "type": "object",
                "properties": {"data": {}, "blob_type": {"enum": ["data", "flow"]}},
                "required": ["data"],
            },
        ),
        Builtin(
            "/get_blob",
            "Reads a JSON blob.",
            {"type": "object", "properties": {"blob_id": {"type": "string"}}, "required": ["blob_id"]},
        ),
    )
}
"""By name, without the route's prefix."""
