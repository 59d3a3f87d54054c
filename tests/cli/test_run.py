"""`flowspan run`: an embedded gateway, results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import NEEDS_NAME, NOOP, SLEEP, WAIT_S, Shell


def test_a_single_input_prints_its_flow_result(shell: Shell) -> None:
    done = shell.run("run", "noop.json", "--input-json", '{"a":9007199254740993}')
    assert (done.code, done.out) == (0, '{"outcome":"success","value":{"a":9007199254740993}}\n')
    assert "1 succeeded of 1" in done.err


def test_without_options_the_input_comes_from_stdin(shell: Shell) -> None:
    done = shell.run("run", "noop.json", "-q", stdin=" 1.0 \n")
    assert (done.code, done.out, done.err) == (0, '{"outcome":"success","value":1.0}\n', "")


def test_an_input_file_may_be_yaml(shell: Shell) -> None:
    shell.write("in.yaml", "a: [1, b]\n")
    assert shell.run("run", "noop.json", "--input", "in.yaml").lines[0]["value"] == {"a": [1, "b"]}


def test_many_inputs_print_one_line_each(shell: Shell) -> None:
    shell.write("in.jsonl", '1\n\n{"b":2}\n"c"\n')
    done = shell.run("run", "noop.json", "--inputs", "in.jsonl", "--order", "by-index")
    assert done.code == 0
    assert [list(line) for line in done.lines] == [["itemIndex", "result", "completedAt"]] * 3
    assert [line["itemIndex"] for line in done.lines] == [0, 1, 2]
    assert [line["result"]["value"] for line in done.lines] == [1, {"b": 2}, "c"]


def test_more_lines_than_one_message_takes_are_streamed(shell: Shell) -> None:
    count = 12_000
    done = shell.run(
        "run", "noop.json", "--inputs", "-", "--max-concurrency", "500", stdin="".join(f"{n}\n" for n in range(count))
    )
    assert done.code == 0
    assert sorted(line["itemIndex"] for line in done.lines) == list(range(count))
    assert all(line["result"]["value"] == line["itemIndex"] for line in done.lines)


def test_results_go_to_a_file_if_one_is_named(shell: Shell) -> None:
    done = shell.run("run", "noop.json", "--input-json", "1", "--output", "out.json")
    assert (done.code, done.out) == (0, "")
    assert (shell.directory / "out.json").read_text() == '{"outcome":"success","value":1}\n'


def test_a_failed_run_ends_with_1_and_prints_the_failure(shell: Shell) -> None:
    shell.write("needs.json", NEEDS_NAME)
    done = shell.run("run", "needs.json", "--input-json", "{}")
    assert done.code == 1
    assert done.lines[0]["outcome"] == "failed"
    assert done.lines[0]["error"]["code"] == "EXPRESSION_FAILURE"


def test_with_json_the_summary_is_the_run_status(shell: Shell) -> None:
    done = shell.run("run", "noop.json", "--input-json", "1", "--json", "--label", "mine", "--metadata", "a=b")
    run = json.loads(done.err.splitlines()[-1])["run"]
    assert (run["status"], run["flowLabel"], run["metadata"], run["items"]["success"]) == ("success", "mine", {"a": "b"}, 1)


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["none.yaml", "--input-json", "1"], "", "none.yaml"),
        (["noop.json", "--input-json", "{"], "", "--input-json: not JSON"),
        (["noop.json"], "\n", "nothing to run on: give --input FILE"),
        (["noop.json", "--inputs", "-"], "1\n\n{bad\n", "stdin:3:"),
        (["noop.json", "--input-json", "1", "--inputs", "x"], "", "exclude each other"),
        (["noop.json", "--input-json", "1", "--overrides", "[1]"], "", "--overrides"),
        (["noop.json", "--input-json", "1", "--variables", "x"], "", "--variables: neither a JSON object nor a file: x: No such"),
        (["noop.json", "--input-json", "1", "--metadata", "x"], "", "NAME=VALUE"),
        (["torn.yaml", "--input-json", "1"], "", "torn.yaml: the flow is not YAML"),
        (["torn.yaml", "--input-json", "1", "--env-variables"], "", "torn.yaml: the flow is not YAML"),
        (["broken.json", "--input-json", "1"], "", "flowspan: broken.json: the document is not a flow"),
        (["noop.json", "--input-json", "1", "--max-concurrency", "0"], "", "--max-concurrency"),
        (["noop.json", "--input-json", "1", "--no-such-option"], "", "--no-such-option"),
    ],
)
def test_a_command_that_makes_no_sense_ends_with_2_and_says_why(
    shell: Shell, arguments: list[str], stdin: str, message: str
) -> None:
    shell.write("broken.json", {"steps": [{"id": "a", "component": "/builtin/noop"}, {"id": "a", "component": "/builtin/noop"}]})
    shell.write("torn.yaml", "steps: [\n")
    done = shell.run("run", *arguments, stdin=stdin)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_a_wrong_configuration_ends_with_78(shell: Shell) -> None:
    shell.write("flowspan.yml", "plugin: {}\n")
    done = shell.run("run", "noop.json", "--input-json", "1")
    assert (done.code, done.out) == (78, "")
    assert "flowspan.yml:1: /plugin: unknown key 'plugin'; did you mean 'plugins'?" in done.err


def test_a_plugin_that_does_not_start_ends_the_command_with_69(shell: Shell) -> None:
    shell.write("flowspan.yml", "plugins: {p: {type: stdio, command: python, args: [-c, 'raise SystemExit(\"no luck\")']}}\n")
    done = shell.run("run", "noop.json", "--input-json", "1")
    assert (done.code, done.out) == (69, "")
    last = done.err.splitlines()[-1]
    assert last.startswith("flowspan: plugin p does not start: ended with exit code 1 after ")
    assert last.endswith("its last words: no luck")


def test_what_a_flow_probably_does_not_mean_is_said_on_stderr(shell: Shell) -> None:
    shell.write(
        "flow.yaml", "steps:\n  - id: a\n    component: /builtin/noop\n    input: 1\n    onEror: fail\noutput: {$step: a}\n"
    )
    said = shell.run("run", "flow.yaml", "--input-json", "1")
    assert (said.code, said.lines) == (0, [{"outcome": "success", "value": 1}])
    (finding, _) = said.err.splitlines()
    assert finding.startswith("flowspan: flow.yaml:5:")
    assert "warning 1005 (unknownField): /steps/0/onEror: " in finding and "'onError'" in finding

    as_json = shell.run("run", "flow.yaml", "--input-json", "1", "--json")
    assert as_json.lines == said.lines
    diagnostic = json.loads(as_json.err.splitlines()[0])["diagnostic"]
    assert (diagnostic["level"], diagnostic["code"], diagnostic["line"]) == ("warning", 1005, 5)
    assert shell.run("run", "flow.yaml", "--input-json", "1", "-q").err == ""


def test_overrides_and_variables_reach_the_run(shell: Shell) -> None:
    flow = {
        "variablesSchema": {"type": "object", "properties": {"who": {"type": "string", "env_var": "WHO"}}},
        "steps": [{"id": "a", "component": "/builtin/noop", "input": {"who": {"$variable": "who"}}}],
        "output": {"$step": "a"},
    }
    shell.write("flow.json", flow)
    given = shell.run("run", "flow.json", "--input-json", "1", "--variables", '{"who":"me"}')
    from_environment = shell.run("run", "flow.json", "--input-json", "1", "--env-variables", WHO="you")
    shell.write("patch.yaml", "steps: {a: {value: {input: patched}}}\n")
    patched = shell.run("run", "flow.json", "--input-json", "1", "--variables", '{"who":"me"}', "--overrides", "patch.yaml")
    assert [done.lines[0].get("value") for done in (given, from_environment, patched)] == [
        {"who": "me"},
        {"who": "you"},
        "patched",
    ]


def test_a_run_that_was_interrupted_goes_on_with_the_same_state(shell: Shell) -> None:
    """Its results are printed again, each once; a third time nothing runs at all."""
    shell.write("sleep.json", SLEEP)
    shell.write("in.jsonl", "".join(f"{n}\n" for n in range(12)))
    command = ("run", "sleep.json", "--inputs", "in.jsonl", "--max-concurrency", "2", "--state", "state", "-q")
    process = shell.start(*command)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert b"the same command again" in said

    again = shell.run(*command)
    assert again.code == 0
    assert sorted(line["itemIndex"] for line in again.lines) == list(range(12))
    assert first in again.lines
    assert shell.run(*command).lines == again.lines


def test_a_run_without_state_that_was_interrupted_says_how_one_is_kept(shell: Shell) -> None:
    shell.write("sleep.json", SLEEP)
    shell.write("in.jsonl", "".join(f"{n}\n" for n in range(40)))
    process = shell.start("run", "sleep.json", "--inputs", "in.jsonl", "--max-concurrency", "1")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_S)
    assert (process.returncode, said) == (130, b"flowspan: interrupted; with --state DIR the same command would resume\n")


def test_nothing_stays_behind(shell: Shell) -> None:
    before = {path.name for path in shell.directory.iterdir()}
    assert shell.run("run", "noop.json", "--input-json", "1").code == 0
    assert {path.name for path in shell.directory.iterdir()} == before


def test_a_reader_that_goes_away_ends_the_command_without_a_traceback(shell: Shell) -> None:
    shell.write("sleep.json", SLEEP)
    shell.write("in.jsonl", "".join(f"{n}\n" for n in range(40)))
    process = shell.start("run", "sleep.json", "--inputs", "in.jsonl", "--max-concurrency", "2")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(WAIT_S) == 1
    assert b"Traceback" not in said


def test_a_component_server_runs_on_the_interpreter_of_the_command(shell: Shell, tmp_path: Path) -> None:
    shell.write(
        "server.py",
        "from flowspan import ComponentServer\n"
        "server = ComponentServer()\n"
        "@server.component\n"
        "def double(input: dict) -> dict:\n"
        '    print("noise on stdout")\n'
        '    return {"twice": input["n"] * 2}\n'
        "server.run()\n",
    )
    shell.write("flowspan.yml", "plugins: {py: {type: stdio, command: '${PYTHON:-python}', args: [server.py]}}\n")
    flow = {"steps": [{"id": "a", "component": "/py/double", "input": {"$input": "$"}}], "output": {"$step": "a"}}
    shell.write("flow.json", flow)
    done = shell.run("run", "flow.json", "--input-json", '{"n": 21}')
    assert (done.code, done.lines) == (0, [{"outcome": "success", "value": {"twice": 42}}])


def test_what_overrides_bring_in_is_said_before_the_run(shell: Shell) -> None:
    shell.write("old.json", {**NOOP, "colour": "red"})
    overrides = {"a": {"value": {"compnent": "/x", "component": "/no/where"}}}
    done = shell.run("run", "old.json", "--input-json", "1", "--overrides", json.dumps(overrides))
    assert done.code == 1
    said = done.err.splitlines()
    assert said[0].startswith("flowspan: --overrides: error 2200 (invalidRouteReference): /steps/0/component: no route leads to")
    assert said[1] == (
        "flowspan: --overrides: warning 1005 (unknownField): /steps/0/compnent: "
        "unknown field 'compnent'; did you mean 'component'?"
    )
    assert said[2].startswith("flowspan: old.json:1:") and "unknown field 'colour'" in said[2]
    done = shell.run("run", "old.json", "--input-json", "1", "--overrides", '{"a":{"value":{"nots":1}}}', "--json")
    assert [json.loads(line)["diagnostic"]["path"] for line in done.err.splitlines()[:2]] == ["/steps/0/nots", "/colour"]


def test_a_component_that_no_route_leads_to_is_said_before_the_run_which_goes_on(shell: Shell) -> None:
    steps = [{"id": "a", "component": "/builtin/nop", "onError": {"action": "useDefault", "defaultValue": 5}}]
    shell.write("f.json", {"name": "f", "steps": steps, "output": {"$step": "a"}})
    done = shell.run("run", "f.json", "--input-json", "1")
    assert "offers no component '/builtin/nop'; did you mean '/builtin/noop'?" in done.err.splitlines()[0]
    assert (done.code, done.lines) == (0, [{"outcome": "success", "value": 5}])
    assert shell.run("run", "f.json", "--input-json", "1", "-q").err == ""


def test_a_variable_that_the_flow_does_not_declare_is_passed_on_with_a_warning(shell: Shell) -> None:
    declared = {"type": "object", "properties": {"limit": {"type": "integer", "default": 3}}}
    shell.write("f.json", {"name": "f", "variablesSchema": declared, "output": {"$variable": "limit"}})
    done = shell.run("run", "f.json", "--input-json", "1", "--variables", '{"limt": 4, "zebra": 1}')
    assert (done.code, done.lines[0]["value"]) == (0, 3)
    assert done.err.splitlines()[:2] == [
        "flowspan: --variables: the flow declares no variable 'limt'; did you mean 'limit'?",
        "flowspan: --variables: the flow declares no variable 'zebra'; it declares 'limit'",
    ]
    done = shell.run("run", "noop.json", "--input-json", "1", "--variables", '{"anything": 4}')
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("properties", "options", "remedy"),
    [
        ({}, [], """variable 'a~/b' has no value; give --variables '{"a~/b": …}'"""),
        (
            {"a~/b": {"env_var": "A_B"}},
            [],
            """variable 'a~/b' has no value; set A_B and give --env-variables, or give --variables '{"a~/b": …}'""",
        ),
        (
            {"a~/b": {"env_var": "A_B", "is_secret": True}},
            [],
            "variable 'a~/b' has no value; set A_B and give --env-variables",
        ),
        (
            {"a~/b": {"env_var": "A_B", "is_secret": True}},
            ["--env-variables"],
            "variable 'a~/b' has no value; A_B is not set: set it",
        ),
        (
            {"a~/b": {"env_var": "A_B"}, "c": {}},
            ["--env-variables"],
            """variables 'a~/b' and 'c' have no value; give --variables '{"c": …}'; A_B is not set: set it""",
        ),
    ],
)  # fmt: skip
def test_a_missing_variable_is_one_line_that_says_how_to_give_it(
    shell: Shell, properties: dict[str, object], options: list[str], remedy: str
) -> None:
    schema = {"type": "object", "required": list(properties) or ["a~/b"], "properties": properties}
    shell.write("f.json", {"name": "f", "variablesSchema": schema, "output": 1})
    done = shell.run("run", "f.json", "--input-json", "1", *options)
    assert (done.code, done.err) == (2, f"flowspan: the required {remedy}\n")
    done = shell.run("run", "f.json", "--input-json", "1", *options, "--json")
    error = json.loads(done.err)["error"]
    assert error["message"] == f"the required {remedy}"
    assert error["details"]["diagnostics"][0]["code"] == 2005


def test_the_one_thing_that_is_wrong_with_a_flow_is_said_once_with_its_place(shell: Shell) -> None:
    shell.write("one.yaml", "output: {$step: x}\n")
    done = shell.run("run", "one.yaml", "--input-json", "1")
    assert done.code == 2
    assert done.err == (
        "flowspan: one.yaml: the document is not a flow that can run:\n"
        "  1:17: /output/$step: there is no step 'x' (undefinedStepReference)\n"
    )
    shell.write("two.yaml", "output: [{$step: x}, {$step: y}]\n")
    done = shell.run("run", "two.yaml", "--input-json", "1")
    assert done.err.splitlines() == [
        "flowspan: two.yaml: the document is not a flow that can run:",
        "  1:18: /output/0/$step: there is no step 'x' (undefinedStepReference)",
        "  1:30: /output/1/$step: there is no step 'y' (undefinedStepReference)",
    ]


def test_a_key_for_secrets_that_is_none_ends_with_78_and_says_how_to_make_one(shell: Shell) -> None:
    schema = {"type": "object", "properties": {"key": {"is_secret": True}}}
    shell.write("f.json", {"name": "f", "variablesSchema": schema, "output": 1})
    command = ("run", "f.json", "--input-json", "1", "--variables", '{"key": "k"}')
    done = shell.run(*command, FLOWSPAN_SECRET_KEY="bad")
    assert done.code == 78
    said, _, remedy = done.err.strip().partition("; to make one: ")
    assert said == "flowspan: FLOWSPAN_SECRET_KEY holds no key: 32 bytes in URL-safe base64 are needed"
    made = subprocess.run(remedy, shell=True, capture_output=True, text=True, check=True).stdout.strip()
    assert shell.run(*command, FLOWSPAN_SECRET_KEY=made).code == 0
    error = json.loads(shell.run(*command, "--json", FLOWSPAN_SECRET_KEY="bad").err)["error"]
    assert error["reason"] == "FAILED_PRECONDITION"


def test_a_value_that_does_not_fit_as_a_whole_has_no_pointer(shell: Shell) -> None:
    shell.write("f.json", {"name": "f", "inputSchema": {"type": "object"}, "output": 1})
    (result,) = shell.run("run", "f.json", "--input-json", "5").lines
    assert result["error"]["message"].endswith('5 is not of type "object", as a whole')
    assert result["error"]["data"]["pointer"] == ""
    schema = {"type": "object", "properties": {"a": {}}, "maxProperties": 1}
    shell.write("g.json", {"name": "g", "variablesSchema": schema, "output": 1})
    done = shell.run("run", "g.json", "--input-json", "5", "-q", "--variables", '{"a": 1, "b": 2}')
    assert done.err.endswith(", as a whole\n")
