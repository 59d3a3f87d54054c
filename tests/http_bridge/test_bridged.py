"""`flowspan bridge --http`: a server that listens beside a gateway that is elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from flowspan.client import Client
from tests.e2e.house import one_step
from tests.http_bridge.test_http_servers import running

FLOWSPAN = str(Path(sys.executable).with_name("flowspan"))
WAIT_S = 30.0
CONFIGURATION = "plugins: {http: {type: worker, queue: q}}\nstore: {type: memory}\n"


def test_a_server_over_http_serves_a_queue(tmp_path: Path) -> None:
    (tmp_path / "flowspan.yml").write_text(CONFIGURATION)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment, "stderr": subprocess.DEVNULL}
    serve = [FLOWSPAN, "serve", "--listen", "127.0.0.1:0", "--no-auth"]
    with running(tmp_path) as (_, port), subprocess.Popen(serve, stdout=subprocess.PIPE, **options) as gateway:
        assert gateway.stdout is not None
        target = json.loads(gateway.stdout.readline())["grpc"]
        url = f"http://127.0.0.1:{port}/"
        bridge = subprocess.Popen([FLOWSPAN, "bridge", "--gateway", target, "--queue", "q", "--http", url], **options)
        try:
            with Client(target) as client:
                status = client.run(one_step("/http/echo"), list(range(100)), deadline_s=WAIT_S)
                assert [result.value for result in status.results or ()] == list(range(100))
                flow_id = client.store_flow(one_step("/http/echo"))
                asked = [["runs/submit", {"flowId": flow_id, "inputs": [7], "wait": True}]]
                status = client.run(one_step("/http/ask"), [asked], deadline_s=WAIT_S)
                ((answer, _, _),) = (status.results or ())[0].value
                assert answer["results"][0]["result"]["value"] == 7
            bridge.send_signal(signal.SIGTERM)
            assert bridge.wait(WAIT_S) == 0
        finally:
            bridge.kill()
            bridge.wait(WAIT_S)
            gateway.kill()


def test_a_bridge_has_a_command_or_a_url() -> None:
    for arguments in ((), ("--http", "http://h/", "--", "x"), ("--http", "localhost:1")):
        done = subprocess.run([FLOWSPAN, "bridge", "--queue", "q", *arguments], capture_output=True, timeout=WAIT_S, text=True)
        assert done.returncode == 2 and "--http" in done.stderr
