"""The same call over each wire, and what it comes to: an answer, or the reason of its refusal."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import grpc
import httpx
import msgspec
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from flowspan.errors import FlowspanError, Reason
from flowspan.protobuf.status import STATUS_TRAILER, error_from_status
from gateway.methods.context import RequestLink, RequestOrigin
from gateway.methods.table import MethodTable
from tests.methods.fake_api import FakeContext
from tests.web.house import WAIT_S, WebHouse

Wire = str
WIRES = ("grpc", "connect", "connect-json", "grpc-web")
"""Those that carry messages of `flowspan.v1`."""


class Refused(Exception):
    """`reason` as the wire tells it; `status`: of HTTP, where there is one."""

    def __init__(self, reason: str, message: str, status: int | None = None) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.status = status


async def call(house: WebHouse, wire: Wire, method: str, request: Message, answer: type[Message]) -> Message:
    """A unary call such as `RunService/GetRun`."""
    path = f"/flowspan.v1.{method}"
    match wire:
        case "grpc":
            return await _over_grpc(house, path, request, answer)
        case "connect":
            reply = await _post(house, path, "application/proto", request.SerializeToString())
            _check_connect(reply)
            return answer.FromString(reply.content)
        case "connect-json":
            reply = await _post(house, path, "application/json", json_format.MessageToJson(request).encode())
            _check_connect(reply)
            return json_format.Parse(reply.content, answer())
        case _:
            data = request.SerializeToString()
            envelope = b"\0" + len(data).to_bytes(4, "big") + data
            return answer.FromString(grpc_web_messages(await _post(house, path, "application/grpc-web+proto", envelope))[0])


async def _post(house: WebHouse, path: str, content_type: str, data: bytes) -> httpx.Response:
    return await house.ask("POST", path, content=data, headers={"content-type": content_type})


async def _over_grpc(house: WebHouse, path: str, request: Message, answer: type[Message]) -> Message:
    try:
        data = await house.channel.unary_unary(path)(request.SerializeToString(), timeout=WAIT_S)
    except grpc.aio.AioRpcError as error:
        trailer = dict(error.trailing_metadata() or ()).get(STATUS_TRAILER)
        assert isinstance(trailer, bytes)
        told = error_from_status(error.code().name, error.details() or "", trailer)
        raise Refused(told.reason.value, told.message) from None
    return answer.FromString(data)


def _check_connect(reply: httpx.Response) -> None:
    if reply.status_code == 200:
        return
    error = reply.json()
    raise Refused(reason_of(error), error["message"], reply.status_code)


def reason_of(connect_error: dict[str, Any]) -> str:
    for detail in connect_error["details"]:
        if detail["type"] == "google.rpc.ErrorInfo":
            value = detail["value"]
            info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(value + "=" * (-len(value) % 4)))
            return str(info.reason)
    raise AssertionError("no ErrorInfo")


def envelopes(data: bytes) -> list[tuple[int, bytes]]:
    """Flags and contents, in order."""
    found = []
    while data:
        size = int.from_bytes(data[1:5], "big")
        assert len(data) >= 5 + size
        found.append((data[0], data[5 : 5 + size]))
        data = data[5 + size :]
    return found


def grpc_web_messages(reply: httpx.Response) -> list[bytes]:
    assert reply.status_code == 200 and reply.headers["content-type"].startswith("application/grpc-web")
    *messages, (flags, trailers) = envelopes(reply.content)
    assert flags == 0x80
    lines = dict(line.split(": ", 1) for line in trailers.decode().split("\r\n") if line)
    if lines["grpc-status"] != "0":
        packed = lines[STATUS_TRAILER]
        data = base64.b64decode(packed + "=" * (-len(packed) % 4))
        status = status_pb2.Status.FromString(data)
        assert str(status.code) == lines["grpc-status"]
        told = error_from_status("UNKNOWN", status.message, data)
        raise Refused(told.reason.value, told.message)
    return [data for _, data in messages]


async def over_json(house: WebHouse, method: str, path: str, content: bytes | None = None) -> Any:
    """A call of the JSON face."""
    reply = await house.ask(method, path, content=content)
    if reply.status_code < 300:
        return reply.json() if reply.content else None
    error = reply.json()["error"]
    assert error["data"]["domain"] == "flowspan"
    told = FlowspanError("", reason=Reason(error["data"]["reason"]))
    assert (error["code"], reply.status_code) == (told.row.jsonrpc, told.http_status)
    raise Refused(error["data"]["reason"], error["message"], reply.status_code)


class _Server(FakeContext):
    """A component server that names no execution, in the namespace of the callers."""

    def link(self, origin: RequestOrigin) -> RequestLink:
        return RequestLink("default", origin.task_token)


async def over_stdio(house: WebHouse, method: str, params: bytes) -> Any:
    """What a component server would be answered."""
    try:
        async with asyncio.timeout(WAIT_S):
            return msgspec.json.decode(await MethodTable(lambda: house.api).handle(_Server(), method, params))
    except FlowspanError as error:
        raise Refused(error.reason.value, error.message) from None
