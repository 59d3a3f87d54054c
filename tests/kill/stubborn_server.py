"""A component server that does not want to go: ignores SIGTERM, SIGINT, SIGHUP and the end of its stdin.

Arguments choose what it leaves behind: `fork` (a child), `setsid` (a grandchild in a session of its own). They ignore
the same signals.
"""

import json
import os
import signal
import sys
import time

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)


def stay() -> None:
    while True:
        time.sleep(60)


if "fork" in sys.argv and os.fork() == 0:
    stay()
if "setsid" in sys.argv and os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        stay()
    os._exit(0)

for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "initialize":
        result = {"serverProtocolVersion": 1, "server_protocol_version": 1, "capabilities": {}}
    elif message.get("method") == "components/list":
        result = {"components": [{"component": "/stay"}]}
    else:
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
stay()
