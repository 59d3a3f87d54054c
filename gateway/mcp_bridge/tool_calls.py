"""Inputs as arguments of tools, and what tools answer as outputs. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flowspan.errors import FlowErrorCode, FlowspanError
from flowspan.jsonrpc import FrameLimits, WireError, check_payload
from flowspan.jsonrpc.error_codes import COMPONENT_FAILED_CODE, MAX_DATA_BYTES
from gateway.call_failures import call_failure, too_long
from runtime_core.calls import CallAnswer, CallFailure

MAX_MESSAGE_CHARS: Final = 4_096
"""Of what a failed tool says."""
_WHITESPACE: Final = b" \t\r\n"

JSONRPC_CODES: Final = (-32700, -32600, -32601, -32602, -32603)
"""Codes with a meaning in MCP; what else a server answers is its own word for a failure."""


def arguments_of(tool: str, input_json: bytes) -> bytes | CallFailure:
    """The `arguments` for a tool: the input if it is an object, none if it is null.

    Anything else is refused rather than wrapped: a name for it would be a guess, and a wrong one fails in the server, further
    away from the flow.
    """
    head = input_json.lstrip(_WHITESPACE)[:1]
    if head == b"{":
        return input_json
    if head == b"n":
        return b"{}"
    kind = {b"[": "an array", b'"': "a string", b"t": "a boolean", b"f": "a boolean"}.get(head, "a number")
    message = f"tools take an object with their arguments by name, the input of {tool!r} is {kind}; write e.g. {{name: value}}"
    return CallFailure(FlowErrorCode.INVALID_INPUT, message)


def error_failure(error: WireError) -> CallFailure:
    """What an error answer to `tools/call`, or one inferred on this side, makes of its call."""
    if error.from_peer and error.code not in JSONRPC_CODES:
        error = WireError(COMPONENT_FAILED_CODE, error.message, error.data)
    return call_failure(error, "flowspan")


class _ToolResult(msgspec.Struct, gc=False):
    content: msgspec.Raw = msgspec.Raw()
    structuredContent: msgspec.Raw = msgspec.Raw()
    isError: bool | None = None


class _Block(msgspec.Struct, gc=False):
    type: str
    text: Any = None


_decode_result: Final = msgspec.json.Decoder(_ToolResult).decode
_decode_blocks: Final = msgspec.json.Decoder(list[_Block]).decode


def read_result(tool: str, result: bytes, *, parse_text: bool, max_bytes: int, limits: FrameLimits) -> CallAnswer:
    """The output that the answer to `tools/call` stands for.

    `structuredContent` where there is one; else the content: one block of text is its text, or the object or array that the text
    spells (`parse_text`); no block is null; everything else is the list of blocks as it came. An `isError` is a failure
    with the texts as its message.

    Raises:
        ValueError: it is no result of a tool.
    """
    try:
        answer = _decode_result(result)
        content, structured = bytes(answer.content), bytes(answer.structuredContent)
        blocks = _decode_blocks(content) if content and content != b"null" else []
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    has_structured = structured not in (b"", b"null")
    if answer.isError:
        return _failed(tool, blocks, structured if has_structured else None)
    if has_structured:
        output = structured
    elif not blocks:
        if not content:
            raise ValueError("it has neither content nor structuredContent")
        output = b"null"
    elif len(blocks) == 1 and blocks[0].type == "text" and isinstance(blocks[0].text, str):
        output = _text_output(blocks[0].text, parse_text, limits)
    else:
        output = content
    return output if len(output) <= max_bytes else too_long("output", max_bytes, len(output))


def _text_output(text: str, parse_text: bool, limits: FrameLimits) -> bytes:
    if parse_text and text.lstrip()[:1] in ("{", "["):
        spelled = text.encode().strip(_WHITESPACE)
        try:
            check_payload(spelled, limits)
        except FlowspanError:
            pass  # a text that only begins like JSON
        else:
            return spelled
    return msgspec.json.encode(text)


def _failed(tool: str, blocks: list[_Block], structured: bytes | None) -> CallFailure:
    texts = [block.text for block in blocks if block.type == "text" and isinstance(block.text, str)]
    message = "\n".join(texts).strip() or f"tool {tool!r} failed and does not say why"
    if len(message) > MAX_MESSAGE_CHARS:
        message = message[: MAX_MESSAGE_CHARS - 1] + "…"
    data: dict[str, Any] = {"tool": tool}
    if structured is not None and len(structured) <= MAX_DATA_BYTES // 2:
        data["structuredContent"] = msgspec.Raw(structured)
    return CallFailure(FlowErrorCode.COMPONENT_FAILED, message, msgspec.json.encode(data))
