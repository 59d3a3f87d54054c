"""What a component raises, as the gateway sees it."""

from __future__ import annotations

from typing import Any

from flowspan.components import ComponentContext, ComponentError, ComponentServer
from flowspan.jsonrpc import encode_payload
from tests.components.memory_pair import MemoryPair

server = ComponentServer()


@server.component
async def divide(input: int) -> float:
    return 1 / input


@server.component
def refuse(input: dict[str, Any]) -> None:
    raise ComponentError("not now", **input)


@server.component(inline=True)
def surrogate(input: Any) -> None:
    raise ValueError("bad \udc80 " + "x" * 100_000)


@server.component
async def cancel_itself(input: Any) -> None:
    import asyncio

    raise asyncio.CancelledError


@server.component
async def pass_on(input: str, ctx: ComponentContext) -> Any:
    return await ctx.get_blob(input)


async def test_an_exception_is_told_with_type_message_and_the_authors_frames() -> None:
    pair = MemoryPair(server)
    error = await pair.error("/divide", 0)
    assert error["code"] == -32004
    assert error["message"] == "ZeroDivisionError: division by zero"
    assert error["data"]["type"] == "ZeroDivisionError"
    assert error["data"]["reason"] == "COMPONENT_FAILED"
    assert "return 1 / input" in error["data"]["traceback"]
    assert "connection.py" not in error["data"]["traceback"]
    pair.close()


async def test_a_component_error_carries_the_authors_code_data_and_hint() -> None:
    pair = MemoryPair(server)
    error = await pair.error("/refuse", {"code": "BUSY", "data": {"queue": [1, 2]}, "retry_after_s": 1.5})
    assert (error["code"], error["message"]) == (-32004, "not now")
    assert {name: error["data"][name] for name in ("code", "data", "retryAfterMs")} == {
        "code": "BUSY",
        "data": {"queue": [1, 2]},
        "retryAfterMs": 1500,
    }
    assert (await pair.error("/refuse", {"code": "INVALID_INPUT"}))["code"] == -32003
    assert (await pair.error("/refuse", {"code": "RESOURCE_UNAVAILABLE"}))["code"] == -32005
    pair.close()


async def test_an_error_is_bounded_whatever_was_raised() -> None:
    pair = MemoryPair(server)
    for error in (await pair.error("/surrogate", None), await pair.error("/refuse", {"data": "x" * 1_000_000})):
        assert len(error["message"].encode()) <= 4096
        assert len(encode_payload(error["data"])) <= 64 * 1024
    pair.close()


async def test_a_component_that_cancels_itself_fails() -> None:
    pair = MemoryPair(server)
    assert (await pair.error("/cancel_itself", None))["code"] == -32004
    pair.close()


async def test_an_error_of_the_gateway_that_a_component_lets_pass_is_the_components_failure() -> None:
    pair = MemoryPair(server)
    request_id = pair.execute("/pass_on", "sha256:0")
    pair.refuse(await pair.next("blobs/get"), -32008, "no blob", reason="BLOB_NOT_FOUND")
    error = (await pair.answer_to(request_id))["error"]
    assert (error["code"], error["data"]["cause"]) == (-32004, "BLOB_NOT_FOUND")
    pair.close()
