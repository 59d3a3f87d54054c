"""`flowspan infer`: what it adds to a flow, and what it leaves as it is."""

from __future__ import annotations

import json
import stat
import sys

import pytest

from .conftest import Shell

PLUGIN = """
import msgspec
from flowspan.components import ComponentServer

class Taken(msgspec.Struct):
    x: int

class Given(msgspec.Struct):
    y: str

server = ComponentServer()

@server.component
def double(given: Taken) -> Given:
    return Given(str(given.x * 2))

server.run()
"""

FLOW = """\
# What this is for.
name: f   # short
description: "d"

# The work.
steps:
  - id: one
    component: /py/double
    input: {x: {$input: $.n}}   # why
  - id: two
    component: /builtin/noop
    input:
      big: 0x1F
      exact: 1.10e3
      y: {$step: one, path: "$.y"}

output: {$step: two}
"""

ADDED = """\
schemas:
  type: object
  properties:
    input:
      type: object
      properties:
        n:
          type: integer
      required:
      - n
    output:
      type: object
      properties:
        big:
          type: integer
        exact:
          type: number
        y:
          type: string
      required:
      - big
      - exact
      - y
    steps:
      type: object
      properties:
        one:
          title: Given
          type: object
          properties:
            y:
              type: string
          required:
          - y
        two:
          type: object
          properties:
            big:
              type: integer
            exact:
              type: number
            y:
              type: string
          required:
          - big
          - exact
          - y
"""


@pytest.fixture
def plugged(shell: Shell) -> Shell:
    shell.write("plugin.py", PLUGIN)
    shell.write("flowspan.yml", f"plugins:\n  py: {{type: stdio, command: {sys.executable}, args: [plugin.py]}}\n")
    shell.write("f.yaml", FLOW)
    return shell


def test_the_flow_is_printed_with_what_was_found_and_all_else_as_it_was(plugged: Shell) -> None:
    done = plugged.run("infer", "f.yaml")
    assert done.code == 0
    assert done.out == FLOW.replace("# The work.\n", f"{ADDED}# The work.\n")
    assert done.err == "flowspan: schemas found for the input, the output, 2 steps\n"
    assert (plugged.directory / "f.yaml").read_text() == FLOW


def test_written_back_it_is_complete_and_a_second_time_changes_nothing(plugged: Shell) -> None:
    path = plugged.directory / "f.yaml"
    path.chmod(0o640)
    assert plugged.run("infer", "f.yaml", "--write").out == ""
    written = path.read_bytes()
    assert written.decode() == FLOW.replace("# The work.\n", f"{ADDED}# The work.\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert plugged.run("infer", "f.yaml", "--write").err == "flowspan: nothing to add\n"
    assert path.read_bytes() == written
    assert plugged.run("validate", "f.yaml", "--strict").code == 0
    assert sorted(one.name for one in plugged.directory.glob("*f.yaml*")) == ["f.yaml"]


def test_json_stays_json_with_its_indentation_and_its_numbers(plugged: Shell) -> None:
    text = (
        '{\n   "name": "f", "x-n": 1.50,\n   "steps": [{"id": "a", "component": "/py/double", "input": {"x": 1}}],\n'
        '   "output": 3000\n}\n'
    )
    plugged.write("f.json", text)
    done = plugged.run("infer", "f.json", "-o", "g.json")
    assert (done.code, done.out) == (0, "")
    after = (plugged.directory / "g.json").read_text()
    start, end = after.index('   "schemas"'), after.rindex('   "steps"')
    assert after[:start] + after[end:] == text
    assert json.loads(after)["schemas"]["properties"]["output"] == {"type": "integer"}


def test_alone_the_schemas_are_one_object_of_what_is_declared_and_found(plugged: Shell) -> None:
    plugged.write(
        "g.yaml", "inputSchema: {type: array}\nsteps: [{id: a, component: /builtin/noop, input: 1}]\noutput: {$step: a}\n"
    )
    [schemas] = plugged.run("infer", "g.yaml", "--json").lines
    assert schemas == {
        "type": "object",
        "properties": {
            "input": {"type": "array"},
            "output": {"type": "integer"},
            "steps": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    }
    after = plugged.run("infer", "g.yaml").out
    assert after.startswith("inputSchema: {type: array}\nschemas:\n")
    assert "input:" not in after.partition("steps: [")[0].removeprefix("inputSchema: {type: array}")


def test_a_flow_on_stdin_is_completed_offline(shell: Shell) -> None:
    done = shell.run("infer", "-", "--offline", stdin='{"output": {"a": true}}')
    assert json.loads(done.out)["schemas"]["properties"]["output"]["properties"] == {"a": {"type": "boolean"}}


def test_what_is_wrong_is_said_and_what_is_fatal_ends_it(plugged: Shell) -> None:
    plugged.write("wrong.yaml", FLOW.replace("{$input: $.n}", "'no'"))
    done = plugged.run("infer", "wrong.yaml")
    assert done.code == 0
    assert "flowspan: wrong.yaml:9:16: error: the input of step 'one' does not fit component /py/double" in done.err
    plugged.write("fatal.yaml", "output: {$step: x}\n")
    done = plugged.run("infer", "fatal.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "flowspan: fatal.yaml: the document is not a flow:",
        "  1:17: /output/$step: there is no step 'x' (undefinedStepReference)",
    ]
    plugged.write("broken.yaml", "a: [\n")
    assert plugged.run("infer", "broken.yaml").code == 2
    assert plugged.run("infer", "nowhere.yaml").code == 2


def test_a_layout_that_cannot_be_completed_is_left_as_it_is(shell: Shell) -> None:
    text = "x-s: &s {properties: {}}\nschemas: *s\noutput: 1\n"
    shell.write("f.yaml", text)
    done = shell.run("infer", "f.yaml", "--write")
    assert done.code == 2
    assert "write the schemas there by hand" in done.err
    assert (shell.directory / "f.yaml").read_text() == text
    assert shell.run("infer", "f.yaml", "--json").lines[0]["properties"]["output"] == {"type": "integer"}


@pytest.mark.parametrize("options", [("-", "--write"), ("noop.json", "--write", "-o", "x"), ("noop.json", "--write", "--json")])
def test_options_that_exclude_each_other_are_refused(shell: Shell, options: tuple[str, ...]) -> None:
    done = shell.run("infer", *options, stdin="{}")
    assert done.code == 2
    assert "--write" in done.err


def test_where_a_variable_comes_from_is_no_part_of_the_output(shell: Shell) -> None:
    schema = {"type": "object", "properties": {"rate": {"type": "number", "default": 0.9, "env_var": "RATE", "is_secret": True}}}
    shell.write("f.json", {"variablesSchema": schema, "output": {"r": {"$variable": "rate"}}})
    [found] = shell.run("infer", "f.json", "--json").lines
    assert found["properties"]["output"]["properties"]["r"] == {"type": "number"}
    assert found["properties"]["variables"] == schema
