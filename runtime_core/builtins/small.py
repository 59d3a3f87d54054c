"""Built-ins that need nothing but their input: `noop`, `create_messages`, `sleep`. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime_core.builtins.inputs import InputReader, whole

MAX_SLEEP_MS: Final = 24 * 3_600_000
"""A step lasts at most a day."""


def noop(data: bytes) -> bytes:
    """The input, unread."""
    return data


class _Messages(msgspec.Struct, forbid_unknown_fields=True):
    user_prompt: str
    system_instructions: str | None = None


class _Sleep(msgspec.Struct, forbid_unknown_fields=True):
    duration_ms: int | float
    passthrough: msgspec.Raw = msgspec.Raw(b"null")


_messages: Final = InputReader(_Messages)
_sleep: Final = InputReader(_Sleep)


def create_messages(data: bytes) -> bytes:
    """Chat messages of a system text and a user text."""
    given = _messages.read(data)
    messages: list[dict[str, str]] = []
    if given.system_instructions is not None:
        messages.append({"role": "system", "content": given.system_instructions})
    messages.append({"role": "user", "content": given.user_prompt})
    return msgspec.json.encode({"messages": messages})


def sleep(data: bytes) -> tuple[float, bytes]:
    """Seconds, and what is answered then."""
    given = _sleep.read(data)
    return whole("duration_ms", given.duration_ms, 0, MAX_SLEEP_MS) / 1000, bytes(given.passthrough)
