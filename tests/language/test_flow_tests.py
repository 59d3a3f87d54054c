"""Tests in a flow, as the command runs them. More of it stands in tests/cli/test_flow_tests.py."""

from __future__ import annotations

from tests.cli.conftest import Shell
from tests.language.rows import row

FLOW = """\
name: shapes
steps:
  - { id: mocked, component: /mock/answer, input: { $input: $ } }
output:
  known: { $step: mocked }
  number: 3
  list: [1, { a: 1, b: 2 }]
  deep: { x: { y: 1, z: 2 } }
test:
  config:
    plugins:
      m:
        type: mock
        components:
          /answer:
            behaviors:
              '1': { outcome: success, value: one }
              '2': { outcome: failed, error: { code: INVALID_INPUT, message: two is too much, data: { hint: 3 } } }
    routes: { /mock: m }
  cases:
    - name: contained
      description: objects by containment, numbers by value
      input: 1
      output: { outcome: success, value: { number: 3.0, deep: { x: { z: 2 } }, list: [1.0, { b: 2 }] } }
    - { name: whole, input: 1, output: { outcome: success, value: { known: one } } }
    - { name: error, input: 2, output: { outcome: failed, error: { code: INVALID_INPUT, message: two is too much } } }
    - { name: free, input: 1 }
"""


@row("tests.shape", "tests.partial", "tests.one-run")
def test_expected_outputs_match_partially_and_all_cases_are_items_of_one_run(shell: Shell) -> None:
    shell.write("shapes.yaml", FLOW)
    done = shell.run("test", "shapes.yaml", "--json")
    assert done.code == 0, done.out + done.err
    (file,) = done.lines[0]["files"]
    assert [(one["name"], one["index"], one["verdict"]) for one in file["cases"]] == [
        ("contained", 0, "passed"), ("whole", 1, "passed"), ("error", 2, "passed"), ("free", 3, "noExpectation"),
    ]  # fmt: skip
    assert file["runId"]


@row("tests.partial")
def test_lengths_values_codes_and_messages_must_be_met(shell: Shell) -> None:
    wrong = {
        "short": ("list: [1.0, { b: 2 }]", "list: [1.0]"),
        "value": ("number: 3.0", "number: 3.5"),
        "member": ("z: 2 } }, list", "z: 2, w: 1 } }, list"),
        "code": ("{ code: INVALID_INPUT, message: two is too much } }", "{ code: TIMEOUT, message: two is too much } }"),
        "message": ("message: two is too much } }", "message: two is too } }"),
    }
    for name, (right, bad) in wrong.items():
        assert right in FLOW.split("cases:")[1]
        head, cases = FLOW.split("cases:")
        shell.write(f"{name}.yaml", head + "cases:" + cases.replace(right, bad))
    done = shell.run("test", ".", "--json")
    assert done.code == 1
    found = {
        file["file"]: [
            (one["name"], [miss["path"] for miss in one["mismatches"]]) for one in file["cases"] if one["verdict"] == "failed"
        ]
        for file in done.lines[0]["files"]
    }
    assert found == {
        "short.yaml": [("contained", ["/value/list"])],
        "value.yaml": [("contained", ["/value/number"])],
        "member.yaml": [("contained", ["/value/deep/x/w"])],
        "code.yaml": [("error", ["/error/code"])],
        "message.yaml": [("error", ["/error/message"])],
    }


@row("tests.update-diff")
def test_the_command_shows_a_diff_and_rewrites_expectations(shell: Shell) -> None:
    wrong = FLOW.replace("value: { known: one }", "value: { known: two }")
    path = shell.write("shapes.yaml", wrong)
    shown = shell.run("test", "shapes.yaml", "--diff")
    assert shown.code == 1
    assert any(line.lstrip().startswith("-") and "two" in line for line in shown.out.splitlines())
    assert any(line.lstrip().startswith("+") and "one" in line for line in shown.out.splitlines())
    assert path.read_text() == wrong
    shell.run("test", "shapes.yaml", "--update")
    assert "known: two" not in path.read_text()
    assert shell.run("test", "shapes.yaml").code == 0
