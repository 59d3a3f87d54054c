"""`flowspan validate`: what it says of files, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import WAIT_S, Shell

PLUGIN = """
import sys
from typing import Any
import msgspec
from flowspan.components import ComponentServer

class Taken(msgspec.Struct):
    x: int

class Given(msgspec.Struct, forbid_unknown_fields=True):
    y: str

server = ComponentServer()

@server.component
def double(given: Taken) -> Given:
    return Given(str(given.x * 2))

@server.component
def plain(given: Any) -> Any:
    return given

with open("started", "a") as file:
    file.write("x")
server.run()
"""

FINE = "name: f\ndescription: d\noutput: 1\n"


def one_step(component: str, given: Any = None, path: str | None = None) -> str:
    """A flow of one step on lines that are known: the component stands in 5:16, the input in 6:12, the path in 7:26."""
    reference = "{$step: a}" if path is None else f"{{$step: a, path: {path}}}"
    return (
        f"name: f\ndescription: d\nsteps:\n  - id: a\n    component: {component}\n"
        f"    input: {json.dumps(given)}\noutput: {reference}\n"
    )


@pytest.fixture
def plugged(shell: Shell) -> Shell:
    """A directory with a plugin `py`, and `broken`, which does not start."""
    shell.write("plugin.py", PLUGIN)
    shell.write(
        "flowspan.yml",
        f"plugins:\n  py: {{type: stdio, command: {sys.executable}, args: [plugin.py]}}\n"
        '  broken: {type: stdio, command: "false"}\n'
        "  rote: {type: mock, components: {/answer: {output_schema: {type: string}, behaviors: {}}}}\n",
    )
    return shell


def test_a_flow_that_is_fine_ends_with_0_and_says_so(shell: Shell) -> None:
    shell.write("f.yaml", FINE)
    done = shell.run("validate", "f.yaml")
    assert (done.code, done.out, done.err) == (0, "", "flowspan: 1 flow checked: nothing found\n")


def test_a_finding_stands_on_a_line_with_its_place_level_and_code(shell: Shell) -> None:
    shell.write("f.yaml", one_step("/builtin/sleep", {"duration_ms": "1"}))
    done = shell.run("validate", "f.yaml")
    assert done.code == 1
    assert done.out == (
        "f.yaml:6:28: error: the input of step 'a' does not fit component /builtin/sleep: "
        '$.duration_ms: an integer is expected, not "1" (typeMismatch 2100)\n'
    )
    assert done.err == "flowspan: 1 flow checked: 1 error\n"


def test_findings_come_in_the_order_of_the_text(shell: Shell) -> None:
    shell.write("f.yaml", "output: {$input: $.x, y: 1}\nsteps: [{id: a, component: /no/where}]\nschemas: 5\n")
    places = [line.split(": ")[0] for line in shell.run("validate", "f.yaml").out.splitlines()]
    assert places == ["f.yaml:1:1", "f.yaml:1:1", "f.yaml:1:26", "f.yaml:3:10"]


def test_warnings_fail_only_where_they_are_meant_to(shell: Shell) -> None:
    shell.write("f.yaml", "output: 1\n")
    assert shell.run("validate", "f.yaml").code == 0
    done = shell.run("validate", "f.yaml", "--strict")
    assert done.code == 1
    assert "missingFlowName 1001" in done.out
    shell.write("g.yaml", FINE)
    assert shell.run("validate", "g.yaml", "--strict").code == 0


def test_files_that_cannot_be_read_are_told_with_their_place_and_the_others_are_checked(shell: Shell) -> None:
    shell.write("list.yaml", "a: [\n")
    shell.write("twice.json", '{"a": 1,\n "a": 2}')
    shell.write("bomb.yaml", "a: &a [1,2,3,4,5,6,7,8,9]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)))  # fmt: skip
    shell.write("deep.json", '{"output": ' + "[" * 100_000 + "]" * 100_000 + "}")
    shell.write("bad.yaml", "output: {$step: x}\n")
    shell.write("f.yaml", FINE)
    names = ["list.yaml", "twice.json", "bomb.yaml", "deep.json", "bad.yaml", "f.yaml"]
    done = shell.run("validate", *names)
    assert done.code == 1
    starts = ("list.yaml:2:1: fatal: ", "twice.json:2:2: fatal: ", "bomb.yaml:7:", "deep.json:1:", "bad.yaml:1:17: fatal: ")
    for start in starts:
        assert any(line.startswith(start) for line in done.out.splitlines()), (start, done.out)
    assert "6 flows checked: 5 fatal findings" in done.err
    files = json.loads(shell.run("validate", "--json", *names).out)["files"]
    assert [(one["file"], one["ok"]) for one in files] == [(name, name == "f.yaml") for name in names]
    assert files[0]["error"]["details"]["line"] == 2
    assert files[4]["diagnostics"][-1]["kind"] == "undefinedStepReference"


def test_a_file_that_is_not_there_is_a_mistake_of_the_command_line(shell: Shell) -> None:
    shell.write("bad.yaml", "output: {$step: x}\n")
    done = shell.run("validate", "nowhere.yaml", "bad.yaml")
    assert done.code == 2
    assert done.out.startswith("nowhere.yaml: fatal: No such file or directory (INVALID_ARGUMENT)\nbad.yaml:1:1: ")
    assert done.err.splitlines()[-1] == "flowspan: 1 flow checked: 1 fatal finding, 2 warnings; 1 file could not be read"
    done = shell.run("validate", "nowhere.yaml")
    assert (done.code, done.err) == (2, "flowspan: 1 file could not be read\n")
    assert shell.run("validate").code == 2


def test_a_directory_is_searched_for_flows(shell: Shell) -> None:
    for name in ("flows", "flows/.hidden", "empty"):
        (shell.directory / name).mkdir()
    shell.write("flows/.hidden/a.yaml", "output: {$step: x}\n")
    shell.write("flows/a.yaml", FINE)
    shell.write("flows/b.json", {"steps": []})
    shell.write("flows/broken.yml", "steps: [\n")
    shell.write("flows/data.json", {"output": 1, "rows": []})
    shell.write("flows/flowspan.yml", "routes: {/x: builtin}\n")
    shell.write("flows/prose.txt", "steps: 1")
    done = shell.run("validate", "flows")
    assert done.code == 1
    assert {line.split(":")[0] for line in done.out.splitlines()} == {"flows/b.json", "flows/broken.yml"}
    assert done.err == "flowspan: 3 flows checked: 1 fatal finding, 2 warnings; 5 files looked at\n"
    [shown] = shell.run("validate", "flows/a.yaml", "flows", "--json").lines
    assert [one["file"] for one in shown["files"]] == ["flows/a.yaml", "flows/b.json", "flows/broken.yml"]
    assert shown["filesLookedAt"] == 5
    done = shell.run("validate", "empty")
    assert (done.code, done.err) == (2, "flowspan: no flow to check; 0 files looked at\n")
    assert "there is no flow in or below this directory" in done.out


@pytest.mark.parametrize("command", [("validate",), ("graph",), ("run", "--input-json", "1")])
def test_who_names_a_configuration_is_told_how_to_check_it(shell: Shell, command: tuple[str, ...]) -> None:
    shell.write("flowspan.yml", "routes: {/x: builtin}\n")
    said = "looks like a configuration, not like a flow; to check it: flowspan config check flowspan.yml"
    assert said in shell.run(*command, "flowspan.yml").err
    assert "looks like" not in shell.run(*command, "noop.json").err


def test_tests_that_could_not_run_are_errors(shell: Shell) -> None:
    case = "    - {name: a, inptu: 1}\n"
    shell.write("f.yaml", FINE + f"test:\n  confg: {{}}\n  cases:\n{case}    - {{name: b, input: 1, output: 1}}\n")
    done = shell.run("validate", "f.yaml")
    assert done.code == 1
    places = [line.split(": ", 1)[0] for line in done.out.splitlines()]
    assert places == ["f.yaml:5:10", "f.yaml:7:7", "f.yaml:7:24", "f.yaml:8:35"]
    assert "error: unknown field 'confg'; did you mean 'config'? (schemaViolation 2002)" in done.out
    shell.write("f.yaml", FINE + "test:\n  cases:\n    - {name: b, input: 1, output: {outcome: success, value: 1}}\n")
    assert shell.run("validate", "f.yaml").code == 0
    shell.write("f.yaml", FINE + "test: 5\n")
    assert len(shell.run("validate", "f.yaml").out.splitlines()) == 1


def test_json_is_one_document_with_the_flows_id(shell: Shell) -> None:
    shell.write("f.yaml", FINE)
    [line] = shell.run("validate", "f.yaml", "--json").lines
    [one] = line["files"]
    assert one == {"file": "f.yaml", "ok": True, "flowId": one["flowId"], "diagnostics": []}
    assert one["flowId"].startswith("sha256:")
    shell.write("same.json", '{"description": "d", "output": 1, "name": "f"}')
    assert shell.run("validate", "same.json", "--json").lines[0]["files"][0]["flowId"] == one["flowId"]


def test_a_flow_on_stdin_is_checked(shell: Shell) -> None:
    done = shell.run("validate", "-", stdin='{"output": {"$step": "x"}}')
    assert done.code == 1
    assert "stdin:1:22: fatal: there is no step 'x' (undefinedStepReference 3003)" in done.out


def test_a_configuration_that_is_wrong_ends_with_78(shell: Shell) -> None:
    shell.write("f.yaml", FINE)
    shell.write("flowspan.yml", "plugins: [\n")
    assert shell.run("validate", "f.yaml").code == 78
    shell.write("other.yml", "routes: {/x: builtin}\n")
    assert shell.run("validate", "f.yaml", "--config", "other.yml").code == 0


def test_plugins_are_asked_what_they_offer_once_for_all_files(plugged: Shell) -> None:
    plugged.write("a.yaml", one_step("/py/double", {"x": "no"}))
    plugged.write("b.yaml", one_step("/py/dubble"))
    plugged.write("c.yaml", one_step("/py/double", {"x": 1}, "$.z"))
    plugged.write("d.yaml", one_step("/py/double", {"x": 1}, "$.y"))
    plugged.write("e.yaml", one_step("/py/plain", {"x": 1}, "$.y"))
    done = plugged.run("validate", "a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml")
    assert done.code == 1
    assert [line.split(": ")[0] + " " + line.rpartition(" (")[2] for line in done.out.splitlines()] == [
        "a.yaml:6:18 typeMismatch 2100)",
        "b.yaml:5:16 invalidComponent 2500)",
        "c.yaml:7:26 unknownPropertyInPath 2101)",
        "e.yaml:7:26 untypedComponentOutput 1100)",
    ]
    assert (plugged.directory / "started").read_text() == "x"
    assert done.err.splitlines()[-1] == "flowspan: 5 flows checked: 3 errors, 1 warning"


def test_only_plugins_that_steps_are_routed_to_are_started(plugged: Shell) -> None:
    plugged.write("a.yaml", one_step("/rote/answer", None, "$.x"))
    done = plugged.run("validate", "a.yaml")
    assert not (plugged.directory / "started").exists()
    assert [line.rpartition(" (")[2] for line in done.out.splitlines()] == ["mockComponent 1500)", "invalidFieldAccess 2000)"]
    plugged.write("b.yaml", one_step("/builtin/eval", {"input": 1, "flow": {"$literal": {"steps": [
        {"id": "x", "component": "/py/dubble"}], "output": {"$step": "x"}}}}))  # fmt: skip
    done = plugged.run("validate", "b.yaml")
    assert "plugin 'py' offers no component '/py/dubble'" in done.out


def test_offline_nothing_is_started_and_nothing_is_said_of_its_components(plugged: Shell) -> None:
    plugged.write("a.yaml", one_step("/py/dubble", {"x": "no"}, "$.z"))
    plugged.write("b.yaml", one_step("/pi/double"))
    done = plugged.run("validate", "a.yaml", "b.yaml", "--offline")
    assert not (plugged.directory / "started").exists()
    assert [line.rpartition(" (")[2] for line in done.out.splitlines()] == ["invalidRouteReference 2200)"]


def test_a_plugin_that_does_not_start_is_one_note_and_its_components_are_untyped(plugged: Shell) -> None:
    plugged.write("a.yaml", one_step("/broken/x", {"x": "no"}, "$.z"))
    plugged.write("b.yaml", one_step("/py/dubble"))
    done = plugged.run("validate", "a.yaml", "b.yaml")
    assert done.out.count("\n") == 1
    assert "invalidComponent 2500" in done.out
    [note, summary] = done.err.splitlines()
    assert summary == ("flowspan: 2 flows checked: 1 error; not checked: what is routed to plugin broken, which did not start")
    said = "plugin broken does not start, so its components are not known: ended with exit code 1"
    assert note.startswith(f"flowspan: {said}")
    done = plugged.run("validate", "a.yaml", "--json")
    assert done.code == 0
    assert json.loads(done.err)["note"].startswith(said)
    [one] = done.lines[0]["files"]
    assert (one["ok"], one["notChecked"][0]["plugin"]) == (True, "broken")
    assert one["notChecked"][0]["reason"].startswith("ended with exit code 1")


def test_strict_fails_files_whose_plugin_could_not_be_asked_and_no_others(plugged: Shell) -> None:
    plugged.write("flowspan.yml", "plugins:\n  gone: {type: stdio, command: no-such-program}\n")
    plugged.write("a.yaml", one_step("/gone/x"))
    plugged.write("b.yaml", FINE)
    done = plugged.run("validate", "a.yaml", "b.yaml", "--strict")
    assert (done.code, done.out) == (1, "")
    [note, summary] = done.err.splitlines()  # and no line of the log
    assert note.startswith("flowspan: plugin gone does not start, so its components are not known: cannot start")
    assert summary == (
        "flowspan: 2 flows checked: nothing found; not checked: what is routed to plugin gone, which did not start"
    )
    done = plugged.run("validate", "a.yaml", "b.yaml", "--strict", "--json")
    assert [(one["ok"], "notChecked" in one) for one in done.lines[0]["files"]] == [(False, True), (True, False)]
    assert plugged.run("validate", "b.yaml", "--strict").code == 0
    assert plugged.run("validate", "a.yaml", "--strict", "--offline").code == 0


def test_the_summary_says_so_where_findings_are_no_longer_counted(shell: Shell) -> None:
    steps = [{"id": f"s{index}", "component": "/no/where"} for index in range(1_200)]
    used = [{"$step": one["id"]} for one in steps]
    shell.write("f.json", {"name": "f", "description": "d", "steps": steps, "output": used})
    done = shell.run("validate", "f.json")
    assert done.out.count("\n") == 1_000
    assert done.err.endswith("1 flow checked: 1000 or more errors\n")


def test_each_flow_is_checked_with_the_configuration_beside_it(shell: Shell) -> None:
    for name, prefix in (("one", "/x"), ("two", "/y")):
        (shell.directory / name).mkdir()
        shell.write(f"{name}/flowspan.yml", f"routes: {{{prefix}: builtin}}\n")
        shell.write(f"{name}/f.yaml", one_step("/x/noop"))
    done = shell.run("validate", "one/f.yaml", "two/f.yaml")
    assert [line.split(":")[0] for line in done.out.splitlines()] == ["two/f.yaml"]
    assert "no route leads to component '/x/noop'; the configured prefixes are: /builtin, /y" in done.out


def test_without_a_configuration_routes_are_those_of_built_ins_and_a_note_says_so(shell: Shell) -> None:
    shell.write("f.yaml", one_step("/py/x"))
    done = shell.run("validate", "f.yaml")
    assert done.code == 1
    assert "no route leads to component '/py/x'; the configured prefixes are: /builtin" in done.out
    assert done.err.startswith("flowspan: there is no configuration beside the flow or above it")
    shell.write("g.yaml", one_step("/builtin/noop"))
    assert "no configuration" not in shell.run("validate", "g.yaml").err


def test_colour_is_for_terminals(shell: Shell) -> None:
    shell.write("f.yaml", "output: 1\n")
    assert "\x1b" not in shell.run("validate", "f.yaml").out
    ours, theirs = pty.openpty()
    command = shell.command("validate", "f.yaml")
    with subprocess.Popen(
        command, stdout=theirs, stderr=subprocess.DEVNULL, cwd=shell.directory, env=shell.environment
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 4_096):
                shown += block
        except OSError:
            pass  # how Linux says that the other side is closed
        assert process.wait(WAIT_S) == 0
    os.close(ours)
    assert b"f.yaml:1:1: \x1b[33mwarning\x1b[0m: the flow has no name" in shown


def test_the_command_loads_no_gateway_unless_a_plugin_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(FINE)
    program = (
        "import sys; from pathlib import Path; from gateway.cli import validate_command; "
        f"validate_command.validate([{str(path)!r}], None, strict=False, offline=True, as_json=True); "
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=WAIT_S)
    assert not {b"grpc", b"google.protobuf"} & set(done.stderr.split())
