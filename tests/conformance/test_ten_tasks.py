"""The programs of docs/sdks.md, run against a gateway whose components are their own: all print the same."""

from __future__ import annotations

import os
import subprocess

import pytest

from .gateways import TOKEN, GatewayProcess
from .sdks import BUILD_S, SDKS, build, command_of

TASKS_S = 60
PRINTED = """\
0 2
1 4
2 6
the last is 18
left: 0
RUN_NOT_FOUND for good
running
cancelled
1 COMPONENT_FAILED -1 is negative
again: 1
1152921504606846976
in all: 12
"""


@pytest.mark.timeout(BUILD_S + TASKS_S)
@pytest.mark.parametrize("sdk", [sdk.name for sdk in SDKS if sdk.missing is None])
def test_the_ten_tasks_print_the_same_in_every_language(sdk: str) -> None:
    build(sdk)
    command = command_of(sdk, "ten-tasks")
    assert command is not None, f"clients/{sdk} has no program for docs/sdks.md"
    gateway = GatewayProcess({"shop": {"type": "stdio", "command": command[0], "args": [*command[1:], "serve"]}})
    try:
        environment = {**os.environ, "FLOWSPAN_TARGET": gateway.target, "FLOWSPAN_TOKEN": TOKEN}
        done = subprocess.run(command, capture_output=True, text=True, timeout=TASKS_S, env=environment, stdin=subprocess.DEVNULL)
    finally:
        gateway.end()
    assert (done.returncode, done.stdout) == (0, PRINTED), done.stderr[-2000:]
