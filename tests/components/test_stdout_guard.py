"""Whatever component code prints, nothing but messages is on the wire."""

from __future__ import annotations

import json

from tests.components.conftest import Spawn

NOISE = """
import ctypes, subprocess
print("printed before run")
@server.component
def noisy(input):
    print("printed")
    sys.stdout.write("written")
    os.write(1, b"raw bytes\\n")
    subprocess.run(["echo", "from a child"], check=True)
    libc = ctypes.CDLL(None)
    libc.puts(b"from C")
    libc.fflush(None)
    return {"stdin": os.read(0, 10).decode(), "child": subprocess.run(["cat"], capture_output=True).stdout.decode()}
"""


def test_no_print_reaches_the_wire_and_all_of_it_reaches_the_log(spawn: Spawn, loop: str) -> None:
    gateway = spawn(NOISE, loop=loop).initialize()
    assert gateway.output("/noisy", None) == {"stdin": "", "child": ""}
    gateway.close_stdin()
    assert gateway.wait_for_exit() == 0
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in gateway.lines)
    log = gateway.stderr_text()
    for text in ("printed before run", "printed", "written", "raw bytes", "from a child", "from C"):
        assert text in log


def test_the_log_of_a_context_names_run_and_step(spawn: Spawn) -> None:
    source = """
@server.component
def talk(input, ctx):
    ctx.log.info("hello %s", input)
"""
    gateway = spawn(source).initialize()
    gateway.output("/talk", "you", itemIndex=3)
    gateway.close_stdin()
    gateway.wait_for_exit()
    assert (
        "INFO flowspan.component.talk hello you run=0190f5fe-7c00-7000-8000-000000000001 step=only item=3"
        in gateway.stderr_text()
    )
