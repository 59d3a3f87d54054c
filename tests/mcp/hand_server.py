"""An MCP server without any SDK, with the habits that servers in the field have. Argument: a directory for marks, then a mode.

Modes: `well`; `silent` answers nothing; `listless` answers the handshake and no list; `chatty` prints between its messages;
`ends` leaves before the handshake; `old` speaks a revision of its own; `endless` has always one more page.
"""

import json
import os
import sys
import time

MARKS, MODE = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "well"
tools = [{"name": "echo", "description": "Gives back.", "inputSchema": {"type": "object"}}]
tools += [
    {"name": name, "inputSchema": {"type": "object"}} for name in ("fail", "crash_once", "hang", "grow", "refuse", "nothing")
]


def send(message):
    if MODE == "chatty":
        sys.stdout.write("by the way\n")
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def call(request_id, name, arguments):
    if name == "echo":
        send({"id": request_id, "result": {"content": [], "structuredContent": arguments}})
    elif name == "fail":
        result = {"content": [{"type": "text", "text": "no such luck"}], "isError": True, "structuredContent": {"n": 1}}
        send({"id": request_id, "result": result})
    elif name == "crash_once":
        mark = os.path.join(MARKS, "crashed")
        if not os.path.exists(mark):
            open(mark, "w").close()
            print("the last words", file=sys.stderr, flush=True)
            os._exit(3)
        send({"id": request_id, "result": {"content": [{"type": "text", "text": "second try"}]}})
    elif name == "grow":
        tools.append({"name": "grown", "inputSchema": {"type": "object"}})
        send({"method": "notifications/tools/list_changed"})
        send({"id": request_id, "result": {"content": [{"type": "text", "text": "grown"}]}})
    elif name == "grown":
        send({"id": request_id, "result": {"content": [{"type": "text", "text": "I am new"}]}})
    elif name == "refuse":
        send({"id": request_id, "error": {"code": -32602, "message": "not like that"}})
    elif name == "nothing":
        send({"id": request_id, "result": {}})
    elif name == "hang":
        time.sleep(600)


if MODE == "ends":
    print("cannot find my settings", file=sys.stderr, flush=True)
    sys.exit(2)
for line in sys.stdin:
    message = json.loads(line)
    if MODE == "silent" or "id" not in message:
        continue
    request_id, method = message["id"], message.get("method")
    if method == "initialize":
        version = "1999-01-01" if MODE == "old" else "2024-11-05"
        send(
            {
                "id": request_id,
                "result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "hand"}},
            }
        )
    elif method == "tools/list" and MODE != "listless":
        cursor = int(message["params"].get("cursor", "0"))
        page = {"tools": tools[cursor : cursor + 2]}
        if MODE == "endless":
            page = {"tools": [], "nextCursor": str(cursor + 1)}
        elif cursor + 2 < len(tools):
            page["nextCursor"] = str(cursor + 2)
        send({"id": request_id, "result": page})
    elif method == "tools/call":
        call(request_id, message["params"]["name"], message["params"]["arguments"])
