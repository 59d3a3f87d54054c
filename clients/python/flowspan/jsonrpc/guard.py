"""Checks of JSON bytes that a parser would not make, at the speed of the parser.

Payloads are carried as bytes and never turned into objects here, so a number comes back exactly as it was written. What is
refused is what would hurt somebody later: invalid UTF-8, lone surrogates, numbers that no double can hold, number literals
and member names without bound, and nesting or width that would exhaust a reader.

The parser (`msgspec.Raw`) already refuses bad syntax, bad escapes, lone surrogates, control characters, NUL, byte order
marks, NaN and Infinity while it skips a value. The rest is decided in two stages: a cheap test on the whole text (C speed,
may be wrong only towards suspicion), and the exact one on texts that looked suspicious. Of a text that consists of a few
long strings only the outline is judged: a pass over 1 MB takes 0.3 to 1 ms, finding the ends of its strings 0.03 ms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isinf
from typing import Final

import msgspec

from flowspan.errors import FlowspanError, LimitExceededError, Reason
from flowspan.jsonrpc.limits import DEFAULT_LIMITS, FrameLimits

_RAW_DECODER: Final = msgspec.json.Decoder(msgspec.Raw)

# Possessive quantifiers: no backtracking, so that a long string costs one pass and no stack.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# Matches every string, names and values alike: a search for names alone would take the end of one string for the start
# of another.
_MAYBE_NAME: Final = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"(?:[ \t\r\n]*+(:))?', re.DOTALL)
_NUMBER_RUN: Final = re.compile(rb"[-+.0-9eE]+")
# Starts at the first digit of a number only, else long numbers would cost their square. The sign does not matter.
_BIG_EXPONENT: Final = re.compile(rb"(?<![0-9.])[0-9][0-9.]*+[eE]\+?[0-9]{3,}")

_NUMBER_CLASSES: Final = bytes.maketrans(b"123456789+-.E", b"000000000000e")
"""Every character of a number becomes `0`, the exponent mark becomes `e`."""
_NUMBER_RUNS: Final = bytes.maketrans(b"123456789+-.eE", b"00000000000000")
_OVERFLOW_HINT: Final = b"0e000"
"""A literal of at most 64 characters overflows a double only with an exponent of three or more characters."""
_ONE_BRACKET: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_NOT_SKELETON: Final = bytes(set(_NOT_BRACKETS) - set(b'"'))
_WHITESPACE: Final = b" \t\r\n"
_OUTLINED_BYTES: Final = 8192
"""Shorter texts are judged as they are."""
_BYTES_PER_QUOTE: Final = 1024
"""Texts with more quotes than one in so many bytes are judged as they are: each quote takes a turn of a loop."""
_LONG_STRING: Final = 64
"""Shorter strings stay in the outline."""
_MAYBE_AFTER_NAME: Final = (b":", b"")
"""What follows a string that is a name, or may be one behind more white space. A value at the end of a text is kept, too."""
_MAX_BACKSLASHES: Final = 64
"""Before one quote; texts with more of them are judged as they are."""
_BYTE_ORDER_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def check_payload(data: bytes, limits: FrameLimits = DEFAULT_LIMITS) -> None:
    """Accept `data` as one JSON document that Flowspan can carry to any peer.

    Raises:
        FlowspanError: PARSE_ERROR; `details["cause"]` is `utf8`, `byte_order_mark`, `syntax` or `number`.
        LimitExceededError: LIMIT_EXCEEDED; details `limit` (`depth`, `nodes`, `number`, `key`), `max`, `actual`.
    """
    check_utf8(data)
    check_syntax(data, limits)
    outlined = outline(data)
    if len(data) > limits.unchecked_bytes:
        _check_outlined(data, outlined, limits, 0)
    if _numbers_look_bad(outlined, limits):
        check_numbers(data, limits)


def check_payloads(payloads: Sequence[bytes], limits: FrameLimits = DEFAULT_LIMITS) -> None:
    """`check_payload` for many documents at a fraction of the cost. The error's details name the `index` of the first bad one."""
    # Large ones are looked at one by one: joining them would cost more than it saves.
    suspicious = sum(map(len, payloads)) > _OUTLINED_BYTES * len(payloads)
    whole = b"" if suspicious else b"\n".join(payloads)
    # Bytes of one document cannot complete a character of the next: outside strings the parser takes no byte above 127.
    suspicious = suspicious or numbers_look_bad(whole, limits)
    if not suspicious and not whole.isascii():
        try:
            whole.decode("utf-8")
        except UnicodeDecodeError:
            suspicious = True
    decode = _RAW_DECODER.decode
    unchecked_bytes = limits.unchecked_bytes
    if not suspicious:
        try:
            for data in payloads:
                decode(data)
                if len(data) > unchecked_bytes:
                    check_structure(data, limits)
            return
        except (msgspec.DecodeError, RecursionError, FlowspanError):
            pass  # The loop below finds the guilty one again and names it.
    for index, data in enumerate(payloads):
        try:
            check_payload(data, limits)
        except FlowspanError as error:
            error.details["index"] = index
            raise


def check_utf8(data: bytes) -> None:
    """Raise PARSE_ERROR with cause `utf8` unless `data` is strict UTF-8 (no overlong forms, no encoded surrogates)."""
    if data.isascii():
        return
    if data.startswith(_BYTE_ORDER_MARKS):
        raise FlowspanError(
            "JSON starts with a byte order mark; send UTF-8 without one", reason=Reason.PARSE_ERROR, cause="byte_order_mark"
        )
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FlowspanError(
            f"JSON is not valid UTF-8 at byte {error.start}: {error.reason}", reason=Reason.PARSE_ERROR, cause="utf8"
        ) from None


def check_syntax(data: bytes, limits: FrameLimits = DEFAULT_LIMITS) -> None:
    """Raise PARSE_ERROR with cause `syntax` unless `data` is one JSON document; LIMIT_EXCEEDED if it nests too deep to parse."""
    try:
        _RAW_DECODER.decode(data)
    except RecursionError:
        raise too_deep(limits.max_depth) from None
    except msgspec.DecodeError as error:
        raise FlowspanError(f"not JSON: {error}", reason=Reason.PARSE_ERROR, cause="syntax") from None


def too_deep(max_depth: int) -> LimitExceededError:
    """LIMIT_EXCEEDED for `depth`. `actual` is where counting stopped, so a floor for the true depth."""
    return LimitExceededError(
        f"JSON nests deeper than {max_depth} levels; store the value as text or flatten it",
        limit="depth",
        max=max_depth,
        actual=max_depth + 1,
    )


def outline(data: bytes) -> bytes:
    """Syntactically valid documents without the contents of long string values: names, nesting and numbers are the same.

    Gives back `data` itself where little would be left out.
    """
    if len(data) < _OUTLINED_BYTES:
        return data
    quotes_left = len(data) // _BYTES_PER_QUOTE
    find = data.find
    pieces: list[bytes] = []
    kept_from = 0
    start = find(b'"')
    while start >= 0:
        end = find(b'"', start + 1)
        while end > 0 and data[end - 1] == 0x5C:
            backslashes = 1
            while data[end - 1 - backslashes] == 0x5C:
                backslashes += 1
                if backslashes > _MAX_BACKSLASHES:
                    return data
            if backslashes % 2 == 0:
                break
            quotes_left -= 1
            end = find(b'"', end + 1) if quotes_left >= 0 else -1
        quotes_left -= 2
        if end < 0 or quotes_left < 0:
            return data
        if end - start > _LONG_STRING and data[end + 1 : end + 64].lstrip(_WHITESPACE)[:1] not in _MAYBE_AFTER_NAME:
            pieces.append(data[kept_from : start + 1])
            kept_from = end
        start = find(b'"', end + 1)
    pieces.append(data[kept_from:])
    return b"".join(pieces)


def numbers_look_bad(data: bytes, limits: FrameLimits = DEFAULT_LIMITS) -> bool:
    """Whether `data` (any number of documents) may hold a number that is too long or too big. False is certain, true is not."""
    return _numbers_look_bad(outline(data), limits)


def _numbers_look_bad(outlined: bytes, limits: FrameLimits) -> bool:
    classes = outlined.translate(_NUMBER_CLASSES)
    # A literal has at most one exponent mark, so one of its two sides makes up half of the excess.
    return _OVERFLOW_HINT in classes or b"0" * (limits.max_number_chars // 2) in classes


def check_numbers(data: bytes, limits: FrameLimits = DEFAULT_LIMITS) -> None:
    """Exact check of the numbers of one syntactically valid document."""
    bare = _STRING.sub(b'"', data)
    if b"0" * (limits.max_number_chars + 1) in bare.translate(_NUMBER_RUNS):
        actual = max(map(len, _NUMBER_RUN.findall(bare)))
        raise LimitExceededError(
            f"a number is written with {actual} characters, at most {limits.max_number_chars} are accepted; send it as a string",
            limit="number",
            max=limits.max_number_chars,
            actual=actual,
        )
    for literal in _BIG_EXPONENT.findall(bare):
        if isinf(float(literal)):
            raise FlowspanError(
                f"the number {literal.decode()} is beyond the range of a double; send it as a string",
                reason=Reason.PARSE_ERROR,
                cause="number",
            )


def check_structure(data: bytes, limits: FrameLimits = DEFAULT_LIMITS, envelope_depth: int = 0) -> None:
    """Check depth, nodes and key length of one syntactically valid document.

    `envelope_depth` is how many levels of `data` belong to the protocol and not to a value.
    """
    _check_outlined(data, outline(data), limits, envelope_depth)


def _check_outlined(data: bytes, outlined: bytes, limits: FrameLimits, envelope_depth: int) -> None:
    if outlined is not data:
        try:
            _check_structure(outlined, limits, envelope_depth)
        except LimitExceededError:
            pass  # What is told comes from the whole.
        else:
            return
    _check_structure(data, limits, envelope_depth)


def _check_structure(data: bytes, limits: FrameLimits, envelope_depth: int) -> None:
    max_depth = limits.max_depth + envelope_depth
    containers = data.count(b"{") + data.count(b"[")
    # Nodes first: what passes is small enough for the slower checks, whatever it is made of.
    if len(data) > 2 * limits.max_nodes and data.count(b",") + containers >= limits.max_nodes:
        _check_nodes(data, limits)
    if containers > max_depth:
        _check_depth(_brackets_of(data), max_depth)
    if len(data) > limits.max_key_bytes:
        longest = _longest_name(data, limits.max_key_bytes)
        if longest > limits.max_key_bytes:
            raise LimitExceededError(
                f"a member name has {longest} bytes, at most {limits.max_key_bytes} are accepted",
                limit="key",
                max=limits.max_key_bytes,
                actual=longest,
            )


def _brackets_of(data: bytes) -> bytes:
    """The brackets outside strings, all of one kind: with two, a round below could take two levels at once."""
    if b'\\"' not in data:
        # Quotes are then what they seem. A string without brackets leaves two quotes side by side. The first string with
        # one leaves its opening quote without a neighbour, so that a quote remains and the slow way is taken.
        skeleton = data.translate(_ONE_BRACKET, _NOT_SKELETON).replace(b'""', b"")
        if b'"' not in skeleton:
            return skeleton
    return _STRING.sub(b"", data).translate(_ONE_BRACKET, _NOT_BRACKETS)


def _check_depth(brackets: bytes, max_depth: int) -> None:
    # Each round takes exactly the innermost level off every branch.
    for _ in range(max_depth):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise too_deep(max_depth)


def _check_nodes(data: bytes, limits: FrameLimits) -> None:
    # A node has at most two strings, itself and its name, so this many quotes cannot belong to fewer nodes.
    floor = (data.count(b'"') - data.count(b'\\"')) // 4
    if floor > limits.max_nodes:
        raise _too_wide(floor, limits)
    bare = _STRING.sub(b'"', data)
    commas = bare.count(b",")
    containers = bare.count(b"[") + bare.count(b"{")
    dense = bare.translate(None, _WHITESPACE)
    # The root, and in every container that is not empty one value more than it has commas.
    nodes = 1 + commas + containers - dense.count(b"[]") - dense.count(b"{}")
    if nodes > limits.max_nodes:
        raise _too_wide(nodes, limits)


def _too_wide(nodes: int, limits: FrameLimits) -> LimitExceededError:
    return LimitExceededError(
        f"JSON holds {nodes} values or more, at most {limits.max_nodes} are accepted; store it as a binary blob",
        limit="nodes",
        max=limits.max_nodes,
        actual=nodes,
    )


def _longest_name(data: bytes, max_key_bytes: int) -> int:
    """The length of the longest member name, or 0 if none is longer than `max_key_bytes`."""
    if b'\\"' not in data and not _has_long_gap(data, max_key_bytes):
        return 0
    if b'\\"' in data:
        return max((len(text) for text, colon in _MAYBE_NAME.findall(data) if colon), default=0)
    # Without escaped quotes every second piece between quotes is a string, and a name is one that a colon follows.
    pieces = data.split(b'"')
    if max(map(len, pieces)) <= max_key_bytes:
        return 0
    longest = 0
    for index in range(1, len(pieces), 2):
        if len(pieces[index]) > max_key_bytes and pieces[index + 1].lstrip(_WHITESPACE).startswith(b":"):
            longest = max(longest, len(pieces[index]))
    return longest


def _has_long_gap(data: bytes, length: int) -> bool:
    """Whether more than `length` bytes may stand between two quotes: then a window of half that length holds none."""
    window = max(1, length // 2)
    find = data.find
    return any(find(b'"', start, start + window) < 0 for start in range(0, len(data) - window + 1, window))


def one_line(payload: bytes) -> bytes:
    """A JSON document without line breaks, to be spliced into a line. Breaks occur only between tokens, where a space will do."""
    if b"\n" in payload:
        payload = payload.replace(b"\n", b" ")
    if b"\r" in payload:
        payload = payload.replace(b"\r", b" ")
    return payload
