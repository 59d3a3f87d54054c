"""What component servers ask, over real pipes: re-entrancy, the window, cancels, nonsense."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from flowspan.errors import FlowErrorCode, FlowspanError, Reason
from gateway.methods.context import RequestContext, RequestOrigin
from gateway.methods.table import MethodTable
from gateway.methods.wire import FromExecution, read_params
from gateway.stdio_bridge.settings import REQUEST_WINDOW, StdioPlugin
from runtime_core.calls import CallFailure
from tests.methods.fake_api import FLOW_ID, FakeApi
from tests.stdio_bridge.children import RunOnLoop
from tests.stdio_bridge.fakes import NAMING, Bridge, calls, template
from tests.stdio_bridge.servers import server

ASKING = """
open_calls = {}
def execute(request, params):
    open_calls[request["id"]] = request
    ask(request["id"], params["input"]["method"], {**params["input"]["params"], "taskToken": params["taskToken"]})
def replied(message):
    request = open_calls.pop(message["id"])
    answer(request, {"output": message.get("result", message.get("error"))})
"""
"""Passes its input on as a request, whose id collides with the gateway's own, and answers with what came back."""


NESTED = """
asked = execute
def execute(request, params):
    if params["component"] == "/asks": asked(request, params)
    else: answer(request, {"output": "nested"})
COMPONENTS = ["/asks", "/echo"]
"""


def decoded(result: bytes | CallFailure) -> object:
    assert isinstance(result, bytes), result
    return msgspec.json.decode(result)


def test_a_component_submits_a_run_waits_for_it_and_the_same_process_executes_meanwhile(on_loop: RunOnLoop) -> None:
    async def main() -> None:
        api = FakeApi()
        body = ASKING + NESTED
        async with Bridge(StdioPlugin(server(body)), MethodTable(lambda: api).handle) as bridge:  # type: ignore[arg-type,return-value]
            await bridge.up()
            asks = b'{"method":"runs/submit","params":{"flowId":"%b","inputs":[1],"wait":true}}' % FLOW_ID.encode()
            (outer,) = calls(1, template("/asks"), asks)
            bridge.server.start([outer])
            async with asyncio.timeout(5):
                await api.new_run.wait()
            assert api.submitted[0].task_token == NAMING.task_token(outer.number)
            (inner,) = await bridge.execute(calls(1))
            next(iter(api.runs.values())).finish(bytes(inner) if isinstance(inner, bytes) else b"")
            await bridge.sink.until(lambda: outer.number in bridge.sink.results)
            status = decoded(bridge.sink.results[outer.number])
            assert isinstance(status, dict)
            assert status["status"] == "success"
            assert status["results"][0]["result"] == {"outcome": "success", "value": "nested"}

    on_loop(main)


async def reply_with_params(context: RequestContext, method: str, params: bytes) -> bytes:
    """Answers every method with what it understood."""
    if method == "fails":
        raise FlowspanError("refused", reason=Reason.RUN_NOT_FOUND, runId="r")
    if method == "breaks":
        raise ZeroDivisionError("secret text")
    if method == "long":
        return b'"%s"' % (b"x" * 2_000_000)
    link = context.link(read_params(FromExecution, params).origin)
    return msgspec.json.encode({"token": link.task_token, "namespace": link.namespace, "depth": link.unlinked_depth})


@pytest.mark.parametrize(("method", "code"), [("fails", -32012), ("breaks", -32603), ("long", -32013)])
async def test_errors_are_answered_with_their_code_and_bugs_without_their_text(method: str, code: int) -> None:
    async with Bridge(StdioPlugin(server(ASKING), max_line_bytes=1_000_000), reply_with_params) as bridge:
        await bridge.up()
        (result,) = await bridge.execute(calls(1, data=b'{"method":"%b","params":{}}' % method.encode()))
        error = decoded(result)
        assert isinstance(error, dict)
        assert error["code"] == code
        assert "secret" not in str(error)


async def test_a_request_before_the_handshake_is_refused() -> None:
    body = """
refused = []
def initialize(request):
    ask("early", "runs/submit", {})
    open_calls["early"] = request
open_calls = {}
def replied(message):
    refused.append(message["error"]["code"])
    answer(open_calls["early"], {"serverProtocolVersion": 1})
def execute(request, params): answer(request, {"output": refused})
"""
    async with Bridge(StdioPlugin(server(body)), reply_with_params) as bridge:
        await bridge.up()
        assert await bridge.execute(calls(1)) == [b"[-32002]"]


async def test_the_window_is_refused_at_once_and_waits_do_not_count() -> None:
    release = asyncio.Event()

    async def hold(context: RequestContext, method: str, params: bytes) -> bytes:
        link = context.link(RequestOrigin())
        if method == "wait":
            with context.waiting(link):
                await release.wait()
        else:
            await release.wait()
        return b"1"

    body = f"""
done = []
def execute(request, params):
    global asked
    asked = request
    for n in range({REQUEST_WINDOW} + 50): ask("w%d" % n, "wait", {{}})
    for n in range({REQUEST_WINDOW} + 3): ask("h%d" % n, "hold", {{}})
def replied(message):
    done.append(message)
    if len(done) < 3: return
    codes = [one["error"]["code"] for one in done]
    answer(asked, {{"output": codes + [one["error"]["data"]["reason"] for one in done]}})
"""
    async with Bridge(StdioPlugin(server(body)), hold) as bridge:
        await bridge.up()
        (result,) = await bridge.execute(calls(1))
        assert decoded(result) == [-32014] * 3 + ["OVERLOADED"] * 3
        release.set()


async def test_a_request_that_its_server_cancels_is_answered_as_cancelled_and_ends() -> None:
    ended = asyncio.Event()

    async def never(context: RequestContext, method: str, params: bytes) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    body = """
def execute(request, params):
    global asked
    asked = request
    ask("a", "wait", {})
    ask("b", "wait", {})
    tell("$/cancelRequest", {"id": "unknown"})
    tell("$/cancelRequest", {"id": "a"})
def replied(message): answer(asked, {"output": [message["id"], message["error"]["code"]]})
"""
    async with Bridge(StdioPlugin(server(body)), never) as bridge:
        await bridge.up()
        (result,) = await bridge.execute(calls(1))
        assert decoded(result) == ["a", -32800]
    assert ended.is_set()


async def test_progress_reaches_the_engine_and_unknown_notifications_harm_nobody() -> None:
    body = """
def execute(request, params):
    for _ in range(20): tell("some/thing", {})
    tell("$/progress", {"id": request["id"], "taskToken": params["taskToken"], "fraction": 0.5, "message": "half\\n"})
    answer(request, {"output": 1})
"""
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        (call,) = calls(1)
        assert await bridge.execute([call]) == [b"1"]
        assert bridge.sink.progress == [(call.number, 0.5, "half\\n")]


ORIGINS = """
held = []
def execute(request, params):
    if params["input"] is None: return
    held.append(request)
    ask(request["id"], "who", params["input"] if params["input"] != "self" else {"observability": params["observability"]})
def replied(message): answer(held[-1], {"output": message.get("result") or message["error"]["code"]})
"""


async def ask_as(bridge: Bridge, says: object, *, namespace: str = "default", run_id: str = "run-1") -> tuple[int, object]:
    (call,) = calls(1, template(run_id=run_id, namespace=namespace, depth=3), msgspec.json.encode(says))
    (result,) = await bridge.execute([call])
    return call.number, decoded(result)


async def test_a_request_without_a_token_belongs_to_its_span_or_its_step_or_the_only_execution() -> None:
    async with Bridge(StdioPlugin(server(ORIGINS)), reply_with_params) as bridge:
        await bridge.up()
        number, who = await ask_as(bridge, {})
        assert who == {"token": NAMING.task_token(number), "namespace": "default", "depth": 0}
        bridge.server.start(calls(1, template(run_id="other", depth=5), b"null"))
        number, who = await ask_as(bridge, "self")
        assert who == {"token": NAMING.task_token(number), "namespace": "default", "depth": 0}
        number, who = await ask_as(bridge, {"observability": {"run_id": "run-1", "step_id": "step"}})
        assert who == {"token": NAMING.task_token(number), "namespace": "default", "depth": 0}
        _, who = await ask_as(bridge, {})
        assert who == {"token": None, "namespace": "default", "depth": 5}
        _, who = await ask_as(bridge, {"taskToken": "5ec2e75ec2e75ec2-ffffff"})
        assert who == -32007


async def test_a_server_of_two_namespaces_must_say_for_which_one_it_asks() -> None:
    async with Bridge(StdioPlugin(server(ORIGINS)), reply_with_params) as bridge:
        await bridge.up()
        bridge.server.start(calls(1, template(namespace="one"), b"null"))
        number, who = await ask_as(bridge, "self", namespace="two")
        assert who == {"token": NAMING.task_token(number), "namespace": "two", "depth": 0}
        _, who = await ask_as(bridge, {}, namespace="two")
        assert who == -32007


async def test_requests_of_a_process_that_ended_are_given_up() -> None:
    ended = asyncio.Event()

    async def never(context: RequestContext, method: str, params: bytes) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    body = "def execute(request, params):\n  ask('a', 'wait', {})\n  time.sleep(0.1)\n  os._exit(1)"
    async with Bridge(StdioPlugin(server(body)), never) as bridge:
        await bridge.up()
        bridge.server.start(calls(1))
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        async with asyncio.timeout(5):
            await ended.wait()
        assert bridge.sink.crashes[0][2].code is FlowErrorCode.UNREACHABLE


async def test_a_server_that_floods_requests_and_reads_nothing_is_ended() -> None:
    async def quick(context: RequestContext, method: str, params: bytes) -> bytes:
        return b"1"

    body = r"""
def execute(request, params):
  n = 0
  while True:
    n += 1
    os.write(1, b'{"jsonrpc":"2.0","id":"%d","method":"m"}\n' % n)
"""
    async with Bridge(StdioPlugin(server(body), stall_s=0.5), quick) as bridge:
        await bridge.up()
        bridge.server.start(calls(1))
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        assert bridge.sink.crashes[0][2].code is FlowErrorCode.UNREACHABLE


async def test_an_unknown_method_is_refused_and_its_name_is_cut_and_made_printable() -> None:
    api = FakeApi()
    async with Bridge(StdioPlugin(server(ASKING)), MethodTable(lambda: api).handle) as bridge:  # type: ignore[arg-type,return-value]
        await bridge.up()
        asks = msgspec.json.encode({"method": "runs/sub\u043cit\n2026 INFO " + "x" * 65_536, "params": {}})
        (result,) = await bridge.execute(calls(1, data=asks))
        error = decoded(result)
        assert isinstance(error, dict)
        assert error["code"] == -32601
        assert len(error["message"]) < 300 and "\n" not in error["message"]


async def test_nonsense_ids_params_and_batches_are_answered_and_the_next_request_is_served() -> None:
    body = """
codes = []
def execute(request, params):
    global asked
    asked = request
    for line in (
        b'{"jsonrpc":"2.0","id":1.5,"method":"m"}',
        b'{"jsonrpc":"2.0","id":{},"method":"m"}',
        b'{"jsonrpc":"1.0","id":"a","method":"m"}',
        b'{"jsonrpc":"2.0","id":"b","method":"m","params":[1]}',
        b'[{"jsonrpc":"2.0","id":"c","method":"m"}]',
        b'{"jsonrpc":"2.0","id":"d","method":"m","params":{"a":"\\\\ud800"}}',
    ): os.write(1, line + b"\\n")
    ask("good", "m", {})
def replied(message):
    if message["id"] == "good": answer(asked, {"output": sorted(codes)})
    else: codes.append(message["error"]["code"])
"""
    async with Bridge(StdioPlugin(server(body)), reply_with_params) as bridge:
        await bridge.up()
        (result,) = await bridge.execute(calls(1))
        assert decoded(result) == [-32700, -32602, -32600, -32600, -32600, -32600]
        assert not bridge.sink.crashes


async def test_an_id_that_is_still_open_cannot_be_used_again() -> None:
    release = asyncio.Event()

    async def hold(context: RequestContext, method: str, params: bytes) -> bytes:
        await release.wait()
        return b'"first"'

    body = """
def execute(request, params):
    global asked
    asked = request
    ask("same", "m", {})
    ask("same", "m", {})
told = []
def replied(message):
    told.append(message.get("result") or message["error"]["code"])
    if len(told) == 1: answer(asked, {"output": told[0]})
"""
    async with Bridge(StdioPlugin(server(body)), hold) as bridge:
        await bridge.up()
        (result,) = await bridge.execute(calls(1))
        assert decoded(result) == -32600
        release.set()
