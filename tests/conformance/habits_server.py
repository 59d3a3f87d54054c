"""A small component server with the habits that its arguments name; without any it conforms."""

import json
import os
import sys
import time

HABITS = set(sys.argv[1:])


def say(**members):
    print(json.dumps({"jsonrpc": "2.0", **members}), flush=True)


def answer(request):
    method, params = request["method"], request.get("params") or {}
    if method == "initialize":
        version = 2 if "other-version" in HABITS else 1
        capacity = "many" if "capacity-in-words" in HABITS else 4
        return {
            "result": {"serverProtocolVersion": version, "capabilities": {"capacity": capacity, "ping": True, "shutdown": True}}
        }
    if method == "components/list":
        names = ["/echo", "/echo"] if "twice" in HABITS else ["/echo"]
        return {"result": {"components": [{"component": name} for name in names]}}
    if method == "components/execute" and params.get("component") == "/echo":
        return {"result": {"output": params["input"]}}
    if method == "components/execute":
        return {"error": {"code": -32001, "message": "no such component"}}
    if method in ("ping", "shutdown"):
        return {"result": {}}
    return {"error": {"code": -32601, "message": "no such method"}}


if "asks-early" in HABITS:
    say(id="x", method="blobs/get", params={})
for line in sys.stdin:
    if "dies-of-long-lines" in HABITS and len(line) > 1_000_000:
        os._exit(7)
    try:
        message = json.loads(line)
    except ValueError:
        continue
    if not isinstance(message, dict) or "method" not in message:
        continue
    if "prints" in HABITS:
        print("got", message["method"], flush=True)
    if "id" not in message:
        if "answers-notifications" in HABITS and message["method"].startswith("$/"):
            say(id=None, error={"code": -32601, "message": "what?"})
        continue
    if "no-errors" in HABITS and "error" in answer(message):
        continue
    say(id=message["id"], **answer(message))
    if "twice-answered" in HABITS:
        say(id=message["id"], **answer(message))
if "stays" in HABITS:
    time.sleep(60)
