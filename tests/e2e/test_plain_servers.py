"""Component servers written by hand against the protocol, in languages that have no SDK."""

from __future__ import annotations

import json
import shutil

import pytest

from gateway.stdio_bridge.launch import LaunchSpec
from gateway.stdio_bridge.settings import StdioPlugin
from tests.e2e.house import HERE, house, one_step

SCRIPTS = HERE.parent / "peers"
INTERPRETERS = {"sh": "plain_server.sh", "node": "plain_server.mjs"}
# Every system has a shell; Node is checked where it is installed.
SERVERS = [
    LaunchSpec(name, program, (str(SCRIPTS / script),))
    for name, script in INTERPRETERS.items()
    if (program := shutil.which(name)) is not None
]


@pytest.mark.parametrize("spec", SERVERS, ids=lambda spec: str(spec.name))
async def test_a_run_goes_through_a_server_without_any_sdk(spec: LaunchSpec) -> None:
    inputs = [{"n": n, "text": 'Ж "quoted" \\ 𝄞'} for n in range(40)]
    async with house(StdioPlugin(spec)) as gateway:
        fold = await gateway.run(one_step(f"/{spec.name}/echo"), [json.dumps(value).encode() for value in inputs])
    results = sorted(fold.results, key=lambda result: result.item_index)
    assert [json.loads(result.payload) for result in results] == inputs
