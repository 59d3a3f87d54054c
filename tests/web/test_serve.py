"""`flowspan serve --web`: its address, its token, its cost when it is off."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

WAIT_S = 20.0


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("w"))


def get(url: str, token: str | None = None) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(url, headers={} if token is None else {"Authorization": f"Bearer {token}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=WAIT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_ready_line_names_the_address_and_the_server_file_holds_the_token(shell: Shell) -> None:
    with shell.server("--web", "127.0.0.1:0") as (process, ready):
        assert ready["web"].startswith("http://127.0.0.1:")
        token = json.loads(Path(ready["serverFile"]).read_text())["token"]
        assert get(f"{ready['web']}/v1/runs", token) == (200, {"runs": []})
        status, told = get(f"{ready['web']}/v1/runs")
        assert status == 401 and told["error"]["data"]["reason"] == "UNAUTHENTICATED"  # type: ignore[index]
    assert process.returncode == 0


def test_the_configuration_says_the_same_and_the_option_stands_over_it(shell: Shell) -> None:
    shell.write("flowspan.yml", "web: {listen: 'localhost:1', origins: ['https://flows.example.org']}\nauth: {type: none}\n")
    with shell.server("--web", "127.0.0.1:0") as (_, ready):
        assert get(f"{ready['web']}/v1/runs")[0] == 200


@pytest.mark.parametrize("arguments", [("0.0.0.0:0",), ("0.0.0.0:0", "--no-auth"), ("nowhere",), ("unix:/tmp/x",)])
def test_an_address_that_lets_in_strangers_is_refused_with_78(shell: Shell, arguments: tuple[str, ...]) -> None:
    done = shell.run("serve", "--web", *arguments)
    assert (done.code, done.out) == (78, "")


def test_an_address_that_is_taken_is_told_by_its_name(shell: Shell) -> None:
    with shell.server("--web", "127.0.0.1:0") as (_, ready):
        address = ready["web"].removeprefix("http://")
        done = shell.run("serve", "--web", address, "--state", str(shell.directory / "other"))
        assert done.code != 0 and f"web.listen: {address}" in done.err


def test_a_gateway_without_the_web_face_loads_nothing_of_it(shell: Shell) -> None:
    program = shell.write(
        "probe.py",
        """
import asyncio, sys
from gateway.app import open_gateway
from gateway.assembly import assemble
from gateway.config import Config

async def main():
    gateway = await open_gateway(assemble(Config(), store=None, listen=(f"unix:{sys.argv[1]}",)))
    await gateway.stop()
    of_the_extra = ("uvicorn.", "h11.", "gateway.web.")
    print(sorted(name for name in sys.modules if f"{name}.".startswith(of_the_extra)))

asyncio.run(main())
""",
    )
    done = subprocess.run(
        [sys.executable, str(program), str(shell.directory / "s")], capture_output=True, text=True, timeout=WAIT_S, check=True
    )
    assert done.stdout.splitlines()[-1] == "['gateway.web', 'gateway.web.settings']"


def test_without_the_extra_the_remedy_is_told(shell: Shell) -> None:
    shell.write("flowspan.yml", "web: {listen: '127.0.0.1:0'}\n")
    hidden = shell.directory / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "uvicorn" else found(name, package)
"""
    )
    done = shell.run("serve", PYTHONPATH=str(hidden))
    assert done.code == 78 and "flowspan-gateway[web]" in done.err
