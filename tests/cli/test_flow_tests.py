"""`flowspan test`: the tests that flows carry, in a gateway of the command's own."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
from typing import Any
from xml.etree import ElementTree

import pytest

from .conftest import NOOP, WAIT_S, Shell

GREETING = """\
name: greeting
steps:
  - id: name
    component: /builtin/noop
    input: { $input: $.name }
output: { hello: { $step: name }, big: 9007199254740993 }
test:
  cases:
    - name: Ann        # the first
      input: { name: Ann }
      output: { outcome: success, value: { hello: Ann } }
    - name: nobody
      input: {}
      output:
        outcome: failed
        error: { code: EXPRESSION_FAILURE, message: Input path $.name not found }
"""
WRONG = GREETING.replace("value: { hello: Ann }", "value: { hello: Bob }")


def flow(*cases: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**NOOP, "test": {"cases": list(cases)}, **fields}


def case(name: str, value: Any, expected: Any = None) -> dict[str, Any]:
    return {"name": name, "input": value} | ({} if expected is None else {"output": {"outcome": "success", "value": expected}})


def test_cases_that_hold_end_with_0_and_stand_on_stdout(shell: Shell) -> None:
    shell.write("flow.yaml", GREETING)
    done = shell.run("test", "flow.yaml")
    head, *cases = done.out.splitlines()
    assert head.startswith("flow.yaml: 2 cases in ")
    assert cases == ["  ok       Ann", "  ok       nobody"]
    assert (done.code, done.err.startswith("flowspan: 2 passed in 1 file, ")) == (0, True)


def test_a_case_that_fails_ends_with_1_and_names_the_place(shell: Shell) -> None:
    shell.write("flow.yaml", WRONG)
    done = shell.run("test", "flow.yaml", "-q")
    assert (done.code, done.err) == (1, "")
    assert done.out.splitlines()[1:] == [
        "  FAILED   Ann",
        '      /value/hello: expected "Bob", got "Ann"',
        "  ok       nobody",
    ]


def test_all_cases_of_a_file_are_one_run(shell: Shell) -> None:
    shell.write("a.json", flow(*(case(f"c{n}", n, n) for n in range(50))))
    shell.write("b.json", flow(case("x", 1, 1)))
    done = shell.run("test", "a.json", "b.json", "--json", "-q")
    (report,) = done.lines
    first, second = report["files"]
    assert (done.code, report["passed"], first["file"], second["file"]) == (0, 51, "a.json", "b.json")
    assert first["runId"] != second["runId"]
    assert [found["result"]["value"] for found in first["cases"]] == list(range(50))
    assert not (shell.directory / "data").joinpath("flowspan").exists()


def test_what_a_flow_probably_does_not_mean_is_said_on_stderr(shell: Shell) -> None:
    shell.write("flow.yaml", GREETING.replace("    component:", "    onEror: fail\n    component:"))
    done = shell.run("test", "flow.yaml")
    assert done.code == 0
    assert done.err.startswith("flowspan: flow.yaml:4:13: warning 1005 (unknownField): /steps/0/onEror: ")
    assert shell.run("test", "flow.yaml", "-q").err == ""


def test_a_diff_shows_what_an_update_would_write(shell: Shell) -> None:
    shell.write("flow.yaml", WRONG)
    out = shell.run("test", "flow.yaml", "--diff").out
    assert '      -    "hello": "Bob"\n      +    "hello": "Ann"\n' in out
    assert "big" not in out


def test_an_update_rewrites_what_does_not_hold_and_nothing_else(shell: Shell) -> None:
    text = WRONG + "    - name: new  # no output yet\n      input: { name: X }\n# the end\n"
    path = shell.write("flow.yaml", text)
    path.chmod(0o640)
    done = shell.run("test", "flow.yaml", "--update")
    assert (done.code, done.out.splitlines()[1:]) == (0, ["  updated  Ann", "  ok       nobody", "  updated  new"])
    written = path.read_text()
    assert written == GREETING + (
        "    - name: new  # no output yet\n      input: { name: X }\n"
        "      output:\n        outcome: success\n        value:\n          hello: X\n          big: 9007199254740993\n"
        "# the end\n"
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    before = path.stat()
    again = shell.run("test", "flow.yaml", "--update")
    assert (again.code, "3 passed" in again.err) == (0, True)
    assert (path.read_text(), path.stat().st_mtime_ns, path.stat().st_ino) == (written, before.st_mtime_ns, before.st_ino)
    assert sorted(found.name for found in shell.directory.iterdir() if found.name.startswith(".")) == []


def test_an_update_goes_through_links_and_keeps_the_layout_of_json(shell: Shell) -> None:
    (shell.directory / "real").mkdir()
    text = json.dumps(flow(case("a", 1, 2), case("b", [1.5])), indent=4)
    real = shell.write("real/flow.json", text)
    (shell.directory / "flow.json").symlink_to(real)
    assert shell.run("test", "flow.json", "--update").code == 0
    assert (shell.directory / "flow.json").is_symlink()
    assert json.loads(real.read_text()) == flow(case("a", 1, 1), case("b", [1.5], [1.5]))
    assert real.read_text().startswith(text[: text.index('"value": 2')] + '"value": 1')


def test_an_update_leaves_a_file_that_is_read_only_alone(shell: Shell) -> None:
    path = shell.write("flow.yaml", WRONG)
    path.chmod(0o444)
    done = shell.run("test", "flow.yaml", "--update")
    assert (done.code, path.read_text()) == (2, WRONG)
    assert "flow.yaml: cannot be written: it is read-only" in done.out
    assert [found.name for found in shell.directory.iterdir() if "flow.yaml" in found.name] == ["flow.yaml"]


def test_a_search_passes_over_what_is_no_file(shell: Shell) -> None:
    (shell.directory / "flows").mkdir()
    shell.write("flows/flow.yaml", GREETING)
    (shell.directory / "flows/.#flow.yaml").symlink_to("somebody@somewhere.1")
    os.mkfifo(shell.directory / "flows/pipe.yaml")
    done = shell.run("test", "flows", "--json", "-q")
    assert (done.code, [found["file"] for found in done.lines[0]["files"]]) == (0, ["flows/flow.yaml"])


def test_a_component_may_say_itself_that_it_was_cancelled(shell: Shell) -> None:
    behaviors = {"1": {"outcome": "failed", "error": {"code": "CANCELLED", "message": "not now"}}}
    config = {"plugins": {"m": {"type": "mock", "components": {"/a": {"behaviors": behaviors}}}}, "routes": {"/m": "m"}}
    expected = {"outcome": "failed", "error": {"code": "CANCELLED"}}
    document = {
        "name": "f",
        "steps": [{"id": "a", "component": "/m/a", "input": {"$input": "$"}}],
        "output": {"$step": "a"},
        "test": {"config": config, "cases": [{"name": "x", "input": 1, "output": expected}]},
    }
    shell.write("flow.json", document)
    assert shell.run("test", "flow.json").code == 0


def test_only_chosen_cases_run(shell: Shell) -> None:
    shell.write("a.json", flow(case("red fox", 1, 1), case("red hen", 2, 2), case("blue", 3, 4)))
    shell.write("b.json", flow(case("other", 1, 2)))
    done = shell.run("test", ".", "--case", "red*", "--json", "-q")
    assert [[found["name"] for found in file["cases"]] for file in done.lines[0]["files"]] == [["red fox", "red hen"]]
    none = shell.run("test", ".", "--case", "blu")
    assert (none.code, none.out) == (2, "")
    assert none.err == "flowspan: --case 'blu': no case has this name; did you mean 'blue'?\n"


def test_directories_are_searched_for_flows_with_tests(shell: Shell) -> None:
    for directory in ("flows/deep", "flows/.hidden", "flows/node_modules"):
        (shell.directory / directory).mkdir(parents=True)
    for name in ("flows/b.yml", "flows/a.yaml", "flows/deep/c.yaml", "flows/.hidden/d.yaml", "flows/node_modules/e.yaml"):
        shell.write(name, GREETING)
    shell.write("flows/plain.json", NOOP)
    shell.write("flows/ci.yml", "test:\n  script: [make test]\n  cases: 1\n")
    shell.write("flows/broken.yml", "test: [cases\n")
    shell.write("flows/notes.txt", GREETING)
    done = shell.run("test", "flows", "flows/a.yaml", "--json", "-q")
    assert [file["file"] for file in done.lines[0]["files"]] == ["flows/a.yaml", "flows/b.yml", "flows/deep/c.yaml"]
    assert (done.code, done.lines[0]["passed"]) == (0, 6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.yaml", None, "none.yaml: No such file or directory"),
        ("noop.json", NOOP, "noop.json: the flow has no tests; add `test: {cases: ["),
        ("f.yaml", "name: [\n", "f.yaml: the flow is not YAML"),
        ("f.yaml", GREETING.replace("id: name", "id: ''"), "f.yaml: the document is not a flow"),
        ("f.yaml", GREETING.replace("output:\n", "ouput:\n"), "f.yaml:15:9: /test/cases/1/ouput: unknown field"),
        ("f.yaml", GREETING.replace("nobody", "Ann"), "f.yaml:12:13: /test/cases/1/name: the name 'Ann' is taken by"),
        ("f.json", flow({"name": "a", "input": 1, "output": {"value": 1}}), "f.json:1:"),
        ("empty", None, "empty: there is no flow with tests in or below this directory"),
    ],
)
def test_what_cannot_be_run_ends_with_2_and_names_file_and_place(shell: Shell, name: str, content: Any, message: str) -> None:
    (shell.directory / "empty").mkdir()
    shell.write("good.yaml", GREETING)
    if content is not None:
        shell.write(name, content)
    done = shell.run("test", "good.yaml", name)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"flowspan: {message}")


def test_an_inline_configuration_is_used_and_its_mistakes_are_told_in_the_flow(shell: Shell) -> None:
    config = "  config:\n    plugins:\n      mine: {type: builtin}\n      builtin: {type: builtin}\n    routs: {}\n  cases:"
    shell.write("flow.yaml", GREETING.replace("  cases:", config))
    done = shell.run("test", "flow.yaml")
    assert (done.code, done.out) == (78, "")
    assert done.err == "flowspan: flow.yaml:12: /test/config/routs: unknown key 'routs'; did you mean 'routes'?\n"
    shell.write("flow.yaml", GREETING.replace("  cases:", config.replace("    routs: {}\n", "")))
    late = shell.run("test", "flow.yaml")
    assert (late.code, late.out) == (78, "")
    assert late.err.startswith("flowspan: flow.yaml:10: /test/config/plugins/mine: ") and "'builtin'" in late.err


SERVER = """\
import sys
from flowspan.components import ComponentServer

server = ComponentServer()

@server.component("/upper")
def upper(input):
    return sys.argv[1] + input["text"].upper()

server.run()
"""


def plugin(prefix: str) -> dict[str, Any]:
    return {"plugins": {"py": {"type": "stdio", "command": "python", "args": ["server.py", prefix], "env": {}}}}


def upper(**test: Any) -> dict[str, Any]:
    return {
        "name": "upper",
        "steps": [{"id": "a", "component": "/py/upper", "input": {"text": {"$input": "$"}}}],
        "output": {"$step": "a"},
        "test": {**test, "cases": [{"name": "x", "input": "x"}]},
    }


def test_a_configuration_comes_from_the_test_or_its_file_or_the_place_and_paths_hold_from_there(shell: Shell) -> None:
    for directory in ("here", "there"):
        (shell.directory / directory).mkdir()
        shell.write(f"{directory}/server.py", SERVER)
    shell.write("there/other.yml", plugin("file "))
    shell.write("here/flowspan.yml", plugin("found "))
    shell.write("here/a.json", upper(config=plugin("inline ")))
    shell.write("here/b.json", upper(configFile="../there/other.yml"))
    shell.write("here/c.json", upper())
    done = shell.run("test", "here", "--json", "-q")
    assert done.code == 0, done.err + done.out
    values = [file["cases"][0]["result"]["value"] for file in done.lines[0]["files"]]
    assert values == ["inline X", "file X", "found X"]
    given = shell.run("test", "here", "--config", "there/other.yml", "--json", "-q")
    assert [file["cases"][0]["result"]["value"] for file in given.lines[0]["files"]] == ["file X"] * 3


def test_a_configuration_file_that_is_not_there_is_told_with_its_place(shell: Shell) -> None:
    shell.write("flow.json", upper(configFile="gone.yml"))
    done = shell.run("test", "flow.json")
    assert (done.code, done.out) == (78, "")
    assert done.err == "flowspan: flow.json:1: /test/configFile: there is no file gone.yml\n"


def test_a_plugin_that_does_not_start_fails_its_files_alone(shell: Shell) -> None:
    shell.write("a.json", upper(config=plugin("")))
    shell.write("b.json", flow(case("x", 1, 1)))
    shell.write("server.py", "raise SystemExit('no luck')")
    done = shell.run("test", "a.json", "b.json", "--junit", "out.xml")
    assert done.code == 69
    assert "  ERROR    plugin py does not start" in done.out and "no luck" in done.out
    assert "  ok       x" in done.out
    root = ElementTree.parse(shell.directory / "out.xml").getroot()
    assert (root.attrib["tests"], root.attrib["errors"], root.attrib["failures"]) == ("2", "1", "0")


def test_variables_of_a_test_hold_for_its_run(shell: Shell) -> None:
    document = {
        "name": "v",
        "schemas": {"properties": {"variables": {"properties": {"limit": {"type": "integer"}}, "required": ["limit"]}}},
        "output": {"$variable": "limit"},
        "test": {"variables": {"limit": 9007199254740993}, "cases": [case("x", None, 9007199254740993)]},
    }
    shell.write("flow.json", document)
    assert shell.run("test", "flow.json").code == 0
    del document["test"]["variables"]  # type: ignore[attr-defined]
    shell.write("flow.json", document)
    missing = shell.run("test", "flow.json")
    assert missing.code == 2
    assert "  ERROR    " in missing.out and "limit" in missing.out


def test_cases_that_a_deadline_ends_have_failed(shell: Shell) -> None:
    steps = [{"id": "a", "component": "/builtin/sleep", "input": {"duration_ms": 60_000}}]
    cases = [case(f"c{n}", n) for n in range(12)]
    path = shell.write("slow.json", {"name": "slow", "steps": steps, "output": {"$step": "a"}, "test": {"cases": cases}})
    text = path.read_text()
    done = shell.run("test", "slow.json", "--deadline", "0.5", "--update", "--json", "-q")
    (report,) = done.lines
    # Ten were cut off, two never began. Nothing of it is worth writing down.
    assert (done.code, report["notRun"], path.read_text()) == (1, 12, text)


def test_a_report_for_other_programs_is_written_where_it_is_asked_for(shell: Shell) -> None:
    shell.write("flow.yaml", WRONG)
    assert shell.run("test", "flow.yaml", "--junit", "out.xml", "-q").code == 1
    (suite,) = ElementTree.parse(shell.directory / "out.xml").getroot()
    assert [(found.attrib["name"], found.find("failure") is not None) for found in suite] == [("Ann", True), ("nobody", False)]
    nowhere = shell.run("test", "flow.yaml", "--junit", "no/such/out.xml", "-q")
    assert (nowhere.code, "--junit no/such/out.xml: " in nowhere.err) == (2, True)


def test_a_flow_that_cannot_run_moves_no_cursor(shell: Shell) -> None:
    steps = [{"id": "a\x1b[2J\x9b", "component": "/builtin/noop", "input": {"$step": "b\x1b[31m"}}]
    shell.write("flow.json", {"name": "x", "steps": steps})
    for words in (("run", "flow.json", "--input-json", "1"), ("graph", "flow.json"), ("infer", "flow.json")):
        done = shell.run(*words)
        assert done.code == 2
        assert "\\x1b[31m" in done.err
        assert not {"\x1b", "\x9b"} & set(done.out + done.err)


def test_results_that_find_no_room_are_missed_aloud(shell: Shell) -> None:
    shell.write("flow.yaml", GREETING)
    for words in (
        ("test", "flow.yaml"),
        ("test", "flow.yaml", "--json"),
        ("run", "flow.yaml", "--input-json", '{"name": "Ann"}'),
    ):
        with open("/dev/full", "wb") as full:  # writing to it says that the disk is full
            done = subprocess.run(
                shell.command(*words),
                stdout=full,
                stderr=subprocess.PIPE,
                cwd=shell.directory,
                env=shell.environment,
                timeout=WAIT_S,
            )
        assert done.returncode != 0
        assert b"flowspan: standard output: No space left on device" in done.stderr
        assert b"Traceback" not in done.stderr


def test_a_reader_that_has_gone_is_nothing_to_talk_about(shell: Shell) -> None:
    shell.write("flow.yaml", GREETING)
    for words in (("test", "flow.yaml", "-q"), ("test", "flow.yaml", "--json", "-q"), ("schema", "flow")):
        process = shell.start(*words)
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        with process.stderr as errors:
            assert errors.read() == b""
        assert process.wait(WAIT_S) == 1


EDITOR = """\
from pathlib import Path
from flowspan.components import ComponentServer

server = ComponentServer()

@server.component("/upper")
def upper(input):
    flow = Path("flow.json")
    flow.write_text(flow.read_text() + " ")
    return 1

server.run()
"""


def test_an_update_does_not_overwrite_what_was_edited_meanwhile(shell: Shell) -> None:
    shell.write("server.py", EDITOR)
    path = shell.write("flow.json", upper(config=plugin("")))
    text = path.read_text()
    done = shell.run("test", "flow.json", "--update")
    assert done.code == 2
    assert "  ERROR    flow.json: the file has changed while its tests ran; run them again" in done.out
    assert path.read_text() == text + " "


def test_an_interrupt_ends_with_130_and_writes_nothing(shell: Shell) -> None:
    steps = [{"id": "a", "component": "/builtin/sleep", "input": {"duration_ms": 60_000}}]
    path = shell.write("slow.json", {"name": "slow", "steps": steps, "output": {"$step": "a"}, "test": {"cases": [case("x", 1)]}})
    shell.write("fast.json", flow(case("quick", 1, 1)))
    text = path.read_text()
    process = shell.start("test", "fast.json", "slow.json", "--update")
    assert process.stdout is not None
    while b"quick" not in (line := process.stdout.readline()):
        assert line, "the first file is reported before the second one ends"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b"interrupted" in err) == (130, True)
    assert path.read_text() == text


MOCKED = """\
name: ask
steps:
  - id: ask
    component: /ai/chat/ask
    input: { question: { $input: $.q }, depth: 2 }
output: { $step: ask, path: $.answer }
test:
  config:
    plugins:
      rote:
        type: mock
        components:
          /ask:
            behaviors:
              ? { depth: 2, question: why }   # the order of members does not count
              : { outcome: success, value: { answer: because, score: 0.50 } }
              '{"question": "how", "depth": 2}': { outcome: skipped, reason: no idea }
              ? { question: who, depth: 2 }
              : { outcome: failed, error: { code: RESOURCE_UNAVAILABLE, message: busy } }
    routes:
      /ai/chat: rote
  cases:
    - name: why
      input: { q: why }
      output: { outcome: success, value: because }
    - name: how
      input: { q: how }
      output: { outcome: skipped }
    - name: who
      input: { q: who }
      output: { outcome: failed, error: { code: RESOURCE_UNAVAILABLE, message: busy } }
"""


def test_mocks_of_a_flow_answer_in_its_tests(shell: Shell) -> None:
    shell.write("flow.yaml", MOCKED)
    done = shell.run("test", "flow.yaml")
    assert (done.code, done.out.splitlines()[1:]) == (0, ["  ok       why", "  ok       how", "  ok       who"])


def test_an_input_that_no_mock_knows_is_named_in_the_failure(shell: Shell) -> None:
    shell.write("flow.yaml", MOCKED.replace("input: { q: why }", "input: { q: where }"))
    done = shell.run("test", "flow.yaml")
    assert done.code == 1
    assert '      /outcome: expected "success", got "failed"' in done.out
    assert re.search(r"^      COMPONENT_FAILED: mock .*\bno behavior for the input \{.*\bwhere\b", done.out, re.MULTILINE)


def test_an_update_leaves_mocks_with_mappings_as_keys_alone(shell: Shell) -> None:
    wrong = MOCKED.replace("value: because }\n    - name: how", "value: never mind }\n    - name: how")
    assert wrong != MOCKED
    path = shell.write("flow.yaml", wrong)
    assert shell.run("test", "flow.yaml", "--update").code == 0
    assert path.read_text() == MOCKED


def test_a_mistake_in_a_mock_is_told_in_the_flow(shell: Shell) -> None:
    shell.write(
        "flow.yaml", MOCKED.replace("code: RESOURCE_UNAVAILABLE, message: busy } }\n    routes", "cod: X } }\n    routes")
    )
    done = shell.run("test", "flow.yaml")
    assert (done.code, done.out) == (78, "")
    assert done.err.startswith("flowspan: flow.yaml:19: /test/config/plugins/rote/components/~1ask/behaviors/")
