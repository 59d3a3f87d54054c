"""JSON values whose numbers keep their meaning, their canonical form, and the blob ids that follow from it.

Numbers: text with `.`, `e` or `E` is a float, any other an integer of exact value; 1 and 1.0 differ, -0.0 is kept, -0 is 0.
Bytes that nobody needs to look into are never read here: they are passed on as they came.

Canonical form (docs/adr, canonical JSON): keys sorted by code point, UTF-8 with the fewest escapes, no white space, integers
exact, floats as ECMAScript prints them with `.0` appended where that shows neither `.` nor an exponent. Two documents have the
same blob id exactly if their canonical forms are equal.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

import msgspec

from flowspan.errors import FlowspanError, InvalidArgumentError, LimitExceededError, Reason
from runtime_core.model.ids import BlobId, blob_id_of_digest
from runtime_core.model.json_scan import position_at, position_of_depth, scan_json

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
JsonObject = dict[str, JsonValue]

MAX_JSON_DEPTH: Final = 64
"""Objects and arrays inside each other; recursive readers elsewhere give up from about 1,000 on, and no one writes 65."""
MAX_NUMBER_DIGITS: Final = 64
"""Digits of one number literal: reading an integer takes quadratic time."""

_DIGITS_TO_ZERO: Final = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
# Translating and then searching for fixed bytes is ten times as fast as a regular expression over the text.
_DIGITS_AND_E: Final = bytes(0x30 if 0x30 <= byte <= 0x39 else byte if byte == 0x65 else 0x20 for byte in range(256))
_TOO_MANY_DIGITS: Final = b"0" * (MAX_NUMBER_DIGITS + 1)
_STRING_OR_LONG_NUMBER: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[0-9]{%d,}' % (MAX_NUMBER_DIGITS + 1))
_ESCAPED_COLON: Final = re.compile(rb"\\u003[aA]")
_BYTE_OFFSET: Final = re.compile(r"\(byte (\d+)\)")
# ECMAScript writes decimals for 1e-7 < |x| < 1e21 and an exponent outside (Number::toString).
_ES_MIN_POINT: Final = -6
_ES_MAX_POINT: Final = 21

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode


def decode_json(data: bytes, *, what: str = "the value") -> JsonValue:
    """Read JSON exactly and refuse what JSON readers disagree about.

    Args:
        data: UTF-8.
        what: how messages name the document.

    Returns:
        The value; equal values of different kind (1, 1.0) stay apart and print back as what they were.

    Raises:
        FlowspanError: PARSE_ERROR with `line` and `column`: not JSON, lone surrogates, floats out of range.
        InvalidArgumentError: a key stands twice in an object; the details hold the pointer and both positions.
        LimitExceededError: deeper than 64, or a number of more than 64 digits.
    """
    value, _ = _decode_checked(data, what)
    return value


def encode_json(value: JsonValue) -> bytes:
    """Compact JSON, key order kept. `value` holds no NaN and no infinity (none can be read)."""
    return _encode(value)


def canonical_json(data: bytes, *, what: str = "the value") -> bytes:
    """The canonical form of a JSON text. Raises as `decode_json` does."""
    value, ordered = _decode_checked(data, what)
    return _with_ecmascript_floats(value, ordered)


def canonical_of_value(value: JsonValue) -> bytes:
    """The canonical form of a value that `decode_json` or the YAML loader made."""
    return _with_ecmascript_floats(value, _encode_sorted(value))


def blob_id_of_json(data: bytes) -> BlobId:
    """The id of a blob of type `data` or `flow`. Raises as `decode_json` does."""
    return blob_id_of_digest(sha256(canonical_json(data)).hexdigest())


def blob_id_of_binary(data: bytes) -> BlobId:
    """The id of a blob of type `binary`: the hash of its bytes."""
    return blob_id_of_digest(sha256(data).hexdigest())


def canonical_float(number: float) -> str:
    """`number` as ECMAScript prints it, with `.0` where that shows neither `.` nor an exponent; -0.0 is `-0.0`."""
    mantissa, _, exponent = repr(number).partition("e")
    sign = "-" if mantissa[0] == "-" else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return sign + "0.0"
    point = len(whole) + int(exponent or "0") - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= _ES_MAX_POINT:
        return f"{sign}{digits}{'0' * (point - count)}.0"
    if 0 < point <= _ES_MAX_POINT:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if _ES_MIN_POINT < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"


def depth_of(value: JsonValue) -> int:
    """How many objects and arrays stand inside each other: 0 for a scalar. Iterative, so that no input can exhaust the stack."""
    depth = 0
    level: list[JsonValue] = [value] if type(value) is dict or type(value) is list else []
    while level:
        depth += 1
        deeper: list[JsonValue] = []
        for container in level:
            members = container.values() if type(container) is dict else container
            deeper += [member for member in members if type(member) is dict or type(member) is list]  # type: ignore[union-attr]
        level = deeper
    return depth


def node_count(value: JsonValue) -> int:
    """Scalars, arrays and objects in a value, itself included; keys are not counted."""
    count, stack = 0, [value]
    while stack:
        count += 1
        member = stack.pop()
        if type(member) is dict:
            stack.extend(member.values())
        elif type(member) is list:
            stack.extend(member)
    return count


def _decode_checked(data: bytes, what: str) -> tuple[JsonValue, bytes]:
    """The value and its sorted encoding, which the duplicate check needs and the canonical form starts from."""
    if _TOO_MANY_DIGITS in data.translate(_DIGITS_TO_ZERO):
        _refuse_long_numbers(data, what)
    try:
        value: JsonValue = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _parse_error(data, error, what) from error
    except RecursionError:
        raise _too_deep(data, f"{what} nests deeper than {MAX_JSON_DEPTH}", MAX_JSON_DEPTH + 1) from None
    if data.count(b"[") + data.count(b"{") > MAX_JSON_DEPTH and (depth := depth_of(value)) > MAX_JSON_DEPTH:
        raise _too_deep(data, f"{what} nests {depth} deep; at most {MAX_JSON_DEPTH} is allowed", depth)
    ordered = _encode_sorted(value)
    # The reader keeps the last of two equal keys, so a lost member is a lost colon. Colons inside strings are on both
    # sides, unless one was written as an escape.
    if data.count(b":") != ordered.count(b":") or (b"\\u003" in data and _ESCAPED_COLON.search(data) is not None):
        _refuse_duplicate_keys(data, what)
    return value, ordered


def _with_ecmascript_floats(value: JsonValue, ordered: bytes) -> bytes:
    """The encoder differs from the canonical form only where it writes an exponent."""
    if b"0e" not in ordered.translate(_DIGITS_AND_E):
        return ordered
    return _encode_sorted(_float_texts(value))


def _float_texts(value: JsonValue) -> object:
    if type(value) is float:
        return msgspec.Raw(canonical_float(value).encode())
    if type(value) is dict:
        return {key: _float_texts(member) for key, member in value.items()}
    if type(value) is list:
        return [_float_texts(member) for member in value]
    return value


def _refuse_long_numbers(data: bytes, what: str) -> None:
    for match in _STRING_OR_LONG_NUMBER.finditer(data):
        if match.group()[:1] != b'"':
            raise LimitExceededError(
                f"{what} holds a number of more than {MAX_NUMBER_DIGITS} digits, at byte {match.start()}",
                limit="numberDigits",
                max=MAX_NUMBER_DIGITS,
                actual=len(match.group()),
            )


def _too_deep(data: bytes, message: str, actual: int) -> LimitExceededError:
    place = position_of_depth(data.decode("utf-8", "replace"), MAX_JSON_DEPTH)
    if place is None:
        return LimitExceededError(message, limit="jsonDepth", max=MAX_JSON_DEPTH, actual=actual)
    return LimitExceededError(
        f"{message}, at {place}",
        limit="jsonDepth",
        max=MAX_JSON_DEPTH,
        actual=actual,
        line=place.line,
        column=place.column,
    )


def _refuse_duplicate_keys(data: bytes, what: str) -> None:
    duplicate, _ = scan_json(data.decode())
    if duplicate is not None:
        raise InvalidArgumentError(
            f"{what} has the key {duplicate.key!r} twice in one object: {duplicate.first} and {duplicate.second}",
            pointer=duplicate.pointer,
            line=duplicate.second.line,
            column=duplicate.second.column,
            firstLine=duplicate.first.line,
            firstColumn=duplicate.first.column,
        )


def _parse_error(data: bytes, error: Exception, what: str) -> FlowspanError:
    try:
        data.decode()
    except UnicodeDecodeError as bad:
        offset, problem = bad.start, "not UTF-8"
    else:
        match = _BYTE_OFFSET.search(str(error))
        offset = int(match.group(1)) if match is not None else len(data)
        problem = _BYTE_OFFSET.sub("", str(error)).removeprefix("JSON is malformed: ").strip()
    before = data[:offset].decode("utf-8", "replace")
    position = position_at(before, len(before))
    return FlowspanError(
        f"{what} is not JSON: {problem}, at {position}", reason=Reason.PARSE_ERROR, line=position.line, column=position.column
    )
