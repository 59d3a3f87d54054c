"""Commands that need no gateway, and the parts of the command line that need no process."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from flowspan.errors import ConflictError, FlowspanError, InvalidArgumentError, Reason, StorageError, UnavailableError
from flowspan.view.status import ItemCounts
from gateway.cli.exits import exit_code_of
from gateway.cli.progress import Bar, Lines, Silence, choose_display
from gateway.config import ConfigError, Problem

from .conftest import Shell

DOCS = Path(__file__).parents[2] / "docs"


def test_config_check_prints_what_holds(shell: Shell) -> None:
    path = shell.write("flowspan.yml", "routes: {/x: builtin}\n")
    done = shell.run("config", "check")
    assert done.code == 0
    assert done.out.splitlines()[0] == f"{path}: ok"
    assert "  route /x -> builtin" in done.out.splitlines()
    assert shell.run("config", "check", "--json").lines[0]["config"]["routes"]["/x"] == [{"plugin": "builtin", "conditions": []}]


@pytest.mark.parametrize("text", ["plugins: [", "routes: {/x: [{plugin: builtin, conditions: [{path: '$.a[', value: 1}]}]}"])
def test_config_check_ends_with_78_if_it_is_wrong_or_cannot_be_run(shell: Shell, text: str) -> None:
    shell.write("f.yml", text)
    assert shell.run("config", "check", "f.yml").code == 78


@pytest.mark.parametrize(("content", "what"), [(None, "No such file"), ("no certificate", "is not PEM")])
def test_a_tls_file_that_cannot_be_used_is_shown_with_its_place(shell: Shell, content: str | None, what: str) -> None:
    shell.write("flowspan.yml", "listen: 127.0.0.1:0\ntls:\n  certificate: a.pem\n  key: b.pem\n")
    if content is not None:
        shell.write("a.pem", content)
    for command in (("config", "check"), ("serve",)):
        done = shell.run(*command)
        assert (done.code, done.out) == (78, "")
        assert "flowspan.yml:3: /tls/certificate: " in done.err
        assert "a.pem" in done.err and what in done.err


@pytest.mark.parametrize(("what", "page"), [("flow", "flow.schema.json"), ("config", "flowspan.schema.json")])
def test_schemas_are_printed_as_they_are_published(shell: Shell, what: str, page: str) -> None:
    done = shell.run("schema", what)
    assert (done.code, done.err) == (0, "")
    jsonschema.Draft202012Validator.check_schema(json.loads(done.out))
    assert done.out == (DOCS / page).read_text(encoding="utf-8")


def test_config_schema_is_still_a_command(shell: Shell) -> None:
    assert shell.run("config", "schema").out == shell.run("schema", "config").out


def test_version_names_both_distributions(shell: Shell) -> None:
    assert {"flowspan", "flowspan-gateway", "python"} <= shell.run("version", "--json").lines[0].keys()


def test_help_lists_every_command(shell: Shell) -> None:
    done = shell.run("--help")
    assert done.code == 0
    for name in [
        "run",
        "serve",
        "submit",
        "watch",
        "get",
        "list",
        "cancel",
        "retry",
        "components",
        "blob",
        "config",
        "dev",
        "version",
    ]:
        assert f" {name} " in done.out


NEVER_AT_START = {"rich.console", "httpx", "httpcore", "cryptography", "opentelemetry"}
NEVER_AT_START |= {"ruamel", "flowspan.flows.builder", "flowspan.components"}
NO_GATEWAY = NEVER_AT_START | {"grpc", "google.protobuf", "apsw", "gateway.app", "gateway.grpc_server.server", "flowspan.client"}


@pytest.mark.parametrize(
    ("arguments", "not_loaded"),
    [
        (["--help"], NO_GATEWAY | {"pydantic", "asyncio", "msgspec", "structlog", "yaml", "gateway.config"}),
        (["schema", "config"], NO_GATEWAY),
        (["validate", "noop.json"], NO_GATEWAY),
        (
            ["run", "noop.json", "--input-json", "1"],
            NEVER_AT_START | {"runtime_core.stores.memory", "flowspan.client.sync_client"},
        ),
    ],
)
def test_a_command_loads_nothing_that_it_has_no_use_for(shell: Shell, arguments: list[str], not_loaded: set[str]) -> None:
    loaded = _imports(shell.run(*arguments, PYTHONPROFILEIMPORTTIME="1").err)
    assert "gateway.cli.entry" in loaded
    assert not_loaded & set(loaded) == set()


def test_a_server_loads_no_client_and_grpc_only_after_what_starts_plugins(shell: Shell) -> None:
    shell.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    process = shell.start("serve")
    assert process.stdout is not None
    try:
        assert "grpc" in json.loads(process.stdout.readline())
    finally:
        process.terminate()
        _, err = process.communicate(timeout=30)
    loaded = _imports(err.decode())
    assert (NEVER_AT_START | {"flowspan.client", "runtime_core.stores.memory", "gateway.authoring"}) & set(loaded) == set()
    # The store and all that starts a plugin are there before it.
    assert loaded.index("gateway.app") < loaded.index("apsw") < loaded.index("grpc") < loaded.index("gateway.grpc_server.server")


def _imports(err: str) -> list[str]:
    """Modules in the order in which they were complete, from what `python -X importtime` writes."""
    return [line.rpartition("|")[2].strip() for line in err.splitlines() if line.startswith("import time:")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidArgumentError("x"), 2),
        (ConflictError("x"), 2),
        (UnavailableError("x"), 69),
        (FlowspanError("x", reason=Reason.UNAUTHENTICATED), 69),
        (StorageError("x"), 74),
        (ConfigError("f", [Problem("", "x")]), 78),
        (FlowspanError("x"), 1),
    ],
)
def test_every_error_has_its_exit_code(error: FlowspanError, code: int) -> None:
    assert exit_code_of(error) == code


def test_plain_progress_is_sparse_and_counts_only_its_own_time(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    display = Lines(clock=lambda: now)
    for second in range(31):
        now = float(second)
        done = 1_000 + second * 10
        display.show(ItemCounts(total=2_000, pending=2_000 - done, running=0, success=done - 5, failed=5, cancelled=0))
    assert capsys.readouterr().err.splitlines() == [
        "flowspan: 1020/2000 items, 5 failed, 10/s, 1 min left",
        "flowspan: 1120/2000 items, 5 failed, 10/s, 1 min left",
        "flowspan: 1220/2000 items, 5 failed, 10/s, 1 min left",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_does_not_share_its_line_with_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert type(choose_display("f", quiet=False, as_json=False, beside_results=True)) is Bar
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert type(choose_display("f", quiet=False, as_json=False, beside_results=True)) is Lines
    assert type(choose_display("f", quiet=False, as_json=False)) is Bar
    assert type(choose_display("f", quiet=True, as_json=False)) is Silence
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert type(choose_display("f", quiet=False, as_json=False)) is Lines


def test_what_a_run_waits_for_is_said_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    lines = Lines(clock=lambda: now)
    lines.wait(["plugin x restarts in 9 s"])
    now = 102.5
    lines.wait([])
    lines.wait(["plugin x restarts in 3 s", "plugin y starts"])
    now = 104.5
    lines.wait(["plugin x restarts in 1 s"])
    assert capsys.readouterr().err == "flowspan: waiting: plugin x restarts in 3 s, plugin y starts\n"


def test_commands_that_ask_a_gateway_load_none_of_what_makes_one() -> None:
    program = "import sys, gateway.cli.query_commands; print([m for m in ('pydantic', 'structlog', 'rich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"[]\n"


def test_serve_loads_no_renderers_for_terminals_and_can_load_them_later() -> None:
    program = (
        "import sys, gateway.cli.serve_commands, gateway.assembly\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('rich', 'pygments')])\n"
        "import rich.progress"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"[]\n"


def test_usage_errors_and_help_are_plain_text_in_our_words_without_a_terminal(shell: Shell) -> None:
    done = shell.run("graph", "--format", "png")
    assert done.code == 2
    assert done.err.splitlines()[-1] == "Error: Invalid value for '--format': 'png' is not one of 'svg', 'dot', 'mermaid'."
    assert shell.run("list", "--limit", "x").err.endswith("Invalid value for '--limit' / '-n': should be a valid integer\n")
    for text in (done.err, shell.run("run", "--help").out, shell.run("blob", "--help").out):
        assert text.startswith("Usage: ")
        assert not set(text) & set("│─╭╮╰╯\x1b")
        assert all(line == line.rstrip() for line in text.splitlines())


def test_config_check_names_directories_that_are_not_there(shell: Shell) -> None:
    (shell.directory / "here").mkdir()
    path = shell.write("flowspan.yml", "builtins: {load_file: {directories: [here, gone, noop.json]}}\n")
    done = shell.run("config", "check")
    assert done.code == 0
    gone, file = (f"builtins.load_file.directories: {path.parent / name}" for name in ("gone", "noop.json"))
    assert done.err == f"flowspan: {path}: {gone} does not exist\nflowspan: {path}: {file} is no directory\n"
    assert shell.run("config", "check", "--json").lines[0]["notes"] == [f"{gone} does not exist", f"{file} is no directory"]
