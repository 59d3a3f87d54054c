"""Component servers for tests: small programs without Flowspan, so that the bridge is tested against the protocol only.

Each is run as `python -S -c`, with this module's text as its beginning: `answer`, `fail`, `tell`, `ask` write one line.
"""

from __future__ import annotations

import sys
from typing import Final

from gateway.stdio_bridge.launch import LaunchSpec

_HEAD: Final = """
import json, os, signal, sys, time
ME = os.urandom(8).hex()  # process ids are alike in every namespace
def send(message): os.write(1, json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode() + b"\\n")
def answer(request, result): send({"id": request["id"], "result": result})
def fail(request, code, message, data=None):
    send({"id": request["id"], "error": {"code": code, "message": message, "data": data}})
def tell(method, params): send({"method": method, "params": params})
def ask(id, method, params): send({"id": id, "method": method, "params": params})
CAPABILITIES, COMPONENTS, VERSION, SNAKE = {}, ["/echo", "/double", "/crash", "/sleep"], 1, False
def initialize(request):
    if SNAKE: answer(request, {"server_protocol_version": VERSION})
    else: answer(request, {"serverProtocolVersion": VERSION, "server_protocol_version": VERSION, "capabilities": CAPABILITIES})
def listing(request): answer(request, {"components": [{"component": name} for name in COMPONENTS]})
def execute(request, params): answer(request, {"output": params["input"]})
def notified(method, params): pass
def replied(message): pass
def other(request): fail(request, -32601, "no such method")
def main():
    for line in sys.stdin.buffer:
        message = json.loads(line)
        method = message.get("method")
        if method is None: replied(message)
        elif "id" not in message: notified(method, message.get("params"))
        elif method == "initialize": initialize(message)
        elif method == "components/list": listing(message)
        elif method == "components/execute": execute(message, message["params"])
        else: other(message)
"""


def server(body: str = "", *, name: str = "py", **spec: object) -> LaunchSpec:
    """A server whose behaviour `body` changes by redefining names of the head."""
    return LaunchSpec(name=name, command=sys.executable, args=("-S", "-c", f"{_HEAD}\n{body}\nmain()"), **spec)  # type: ignore[arg-type]
