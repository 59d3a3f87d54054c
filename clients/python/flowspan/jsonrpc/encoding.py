"""Python values to JSON bytes and back, refusing what JSON cannot say instead of changing it."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, Final

import msgspec

from flowspan.errors import FlowspanError, Reason
from flowspan.jsonrpc.guard import outline


def encode_payload(value: object, enc_hook: Callable[[Any], Any] | None = None) -> bytes:
    """JSON bytes of plain values, dataclasses and msgspec Structs; integers of any size, floats shortest round trip.

    Raises:
        FlowspanError: INVALID_VALUE for NaN, an infinity, a lone surrogate or a type that has no JSON form.
    """
    try:
        data = msgspec.json.encode(value, enc_hook=enc_hook)
        # The encoder writes NaN and infinities as null without a word; only a text with a null in it can hide one.
        if b"null" in outline(data):
            _refuse_non_finite(msgspec.to_builtins(value, enc_hook=enc_hook), "$")
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise FlowspanError(f"the value cannot be written as JSON: {error}", reason=Reason.INVALID_VALUE) from None
    return data


_DECODER: Final = msgspec.json.Decoder()


def decode_payload(data: bytes) -> Any:
    """Plain Python values of a JSON document; integers exact, `1.0` a float. Raises FlowspanError(PARSE_ERROR)."""
    try:
        return _DECODER.decode(data)
    except (ValueError, RecursionError) as error:
        raise FlowspanError(f"not JSON: {error}", reason=Reason.PARSE_ERROR, cause="syntax") from None


def _refuse_non_finite(value: object, path: str) -> None:
    if isinstance(value, float):
        if not isfinite(value):
            raise FlowspanError(
                f"{value} at {path} has no JSON form; use null or a string", reason=Reason.INVALID_VALUE, path=path
            )
    elif isinstance(value, dict):
        for key, member in value.items():
            _refuse_non_finite(member, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, element in enumerate(value):
            _refuse_non_finite(element, f"{path}[{index}]")
