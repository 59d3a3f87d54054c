"""Handles stand for values, and say so where they are taken for values."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowspan.errors import InvalidArgumentError
from flowspan.flows import Expression, FlowBuilder, StepHandle, coalesce, if_, literal
from flowspan.flows.paths import format_path, parse_path


@pytest.fixture
def flow() -> FlowBuilder:
    return FlowBuilder("orders")


@pytest.fixture
def step(flow: FlowBuilder) -> StepHandle:
    return flow.add("greet", "/python/greet", flow.input)


def said(flow: FlowBuilder, value: object) -> Any:
    """The JSON that a value becomes."""
    flow.output(value)
    return flow.build()["output"]


def test_a_path_leads_on_from_a_handle(flow: FlowBuilder, step: StepHandle) -> None:
    places = [
        step,
        step["a"],
        step.path("a")["b"],
        step.path("$.a[0].b"),
        flow.input,
        flow.input["a"][2],
        flow.input.path("$.a[2]"),
    ]
    assert said(flow, places) == [
        {"$step": "greet"},
        {"$step": "greet", "path": "$.a"},
        {"$step": "greet", "path": "$.a.b"},
        {"$step": "greet", "path": "$.a[0].b"},
        {"$input": "$"},
        {"$input": "$.a[2]"},
        {"$input": "$.a[2]"},
    ]


def test_a_name_with_a_dot_stays_one_field_in_a_round_trip(flow: FlowBuilder, step: StepHandle) -> None:
    places = [step["a.b"], step.path("a.b"), step.path("$['a.b']"), step.path('$["a.b"]')]
    written = said(flow, places)
    assert written == [{"$step": "greet", "path": "$['a.b']"}] * 4
    assert parse_path(written[0]["path"]) == ("a.b",)
    assert format_path(parse_path("$['a.b']")) == "$['a.b']"


def test_brackets_name_one_field_whatever_is_in_the_name(flow: FlowBuilder, step: StepHandle) -> None:
    for name in ("$", "$.a", "[0]", "", "it's", "x]", "0", "ä"):
        assert parse_path(step[name]._part.document["path"]) == (name,)  # type: ignore[index,call-overload,arg-type]


def test_the_whole_value_is_the_handle_itself(flow: FlowBuilder, step: StepHandle) -> None:
    assert said(flow, [step.path("$"), step.path(""), flow.input.path("$")]) == [{"$step": "greet"}] * 2 + [{"$input": "$"}]


def test_a_skipped_step_can_have_a_default_that_is_an_expression(flow: FlowBuilder, step: StepHandle) -> None:
    assert said(flow, step["text"].or_if_skipped({"said": flow.input["text"]})) == {
        "$step": "greet",
        "path": "$.text",
        "onSkip": {"action": "useDefault", "defaultValue": {"said": {"$input": "$.text"}}},
    }


def test_a_variable_can_have_a_default_and_a_path(flow: FlowBuilder) -> None:
    values = [flow.variable("a.b"), flow.variable("m")["x"].or_default(flow.input), flow.variable("n", default=None)]
    assert said(flow, values) == [
        {"$variable": "$['a.b']"},
        {"$variable": "$.m.x", "default": {"$input": "$"}},
        {"$variable": "$.n", "default": None},
    ]


def test_branches_and_alternatives_hold_values_and_handles(flow: FlowBuilder, step: StepHandle) -> None:
    assert said(flow, if_(step["ok"], {"v": step}, coalesce(flow.input["a"], 3, None))) == {
        "$if": {"$step": "greet", "path": "$.ok"},
        "then": {"v": {"$step": "greet"}},
        "else": {"$coalesce": [{"$input": "$.a"}, 3, None]},
    }
    other = FlowBuilder()
    assert said(other, if_(other.input, 1)) == {"$if": {"$input": "$"}, "then": 1}


def test_a_literal_is_left_as_it_stands(flow: FlowBuilder) -> None:
    data = {"$step": "nobody", "$if": [{"$from": 1}]}
    assert said(flow, literal(data)) == {"$literal": data}


def test_a_flow_among_the_values_is_data(flow: FlowBuilder) -> None:
    inner = FlowBuilder("inner")
    inner.output(inner.input["n"])
    document = {"name": "inner", "steps": [], "output": {"$input": "$.n"}}
    assert said(flow, {"flow": inner, "same": literal(inner), "list": literal([inner])}) == {
        "flow": {"$literal": document},
        "same": {"$literal": document},
        "list": {"$literal": [document]},
    }


MISUSES: dict[str, tuple[Callable[[Any], object], str]] = {
    "if": (lambda step: 1 if step else 2, "use if_"),
    "not": (lambda step: not step, "use if_"),
    "or": (lambda step: step or 3, "coalesce"),
    "==": (lambda step: step["status"] == "ok", "compare"),
    "!=": (lambda step: step["status"] != "ok", "compare"),
    "in a list": (lambda step: 1 in [step], "compare"),
    "for": (lambda step: dict.fromkeys(step, 1), "/builtin/map"),
    "unpacking": (lambda step: [*step["names"]], "/builtin/map"),
    "in": (lambda step: "a" in step, "search"),
    "len": (lambda step: len(step), "count"),
    "an f-string": (lambda step: f"Hello {step}", "put the text together"),
    "str": (lambda step: "Hello " + str(step), "put the text together"),
    "%s": (lambda step: "Hello %s" % step, "put the text together"),  # noqa: UP031
    "str.format": (lambda step: "Hello {}".format(step), "put the text together"),  # noqa: UP032
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_a_handle_is_no_value_yet_and_says_what_to_write_instead(step: StepHandle, misuse: str) -> None:
    use, remedy = MISUSES[misuse]
    with pytest.raises(TypeError, match="has no value before the flow runs") as caught:
        use(step)
    assert "step 'greet'" in str(caught.value) and remedy in str(caught.value)


@pytest.mark.parametrize("use", [lambda s: s + 1, lambda s: "a" + s, lambda s: s < 1, lambda s: int(s), lambda s: {**s}])
def test_other_uses_of_a_handle_as_a_value_are_errors_too(step: StepHandle, use: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError):
        use(step)


def test_an_attribute_of_a_handle_is_an_error_that_shows_the_brackets(step: Any) -> None:
    with pytest.raises(AttributeError, match=r"handle\['result'\]"):
        _ = step.result
    assert step.id == "greet"
    assert not hasattr(step, "__wrapped__")


def test_a_handle_shows_what_it_is(flow: FlowBuilder, step: StepHandle) -> None:
    assert repr(step["a"][0]) == "<step 'greet' at $.a[0]>"
    assert repr(flow.input) == "<input>"
    assert repr(flow) == "<FlowBuilder 'orders', 1 steps>"


def test_copying_values_keeps_their_handles(flow: FlowBuilder, step: StepHandle) -> None:
    template = {"a": [step, flow.input["b"]]}
    assert said(flow, copy.deepcopy(template)) == {"a": [{"$step": "greet"}, {"$input": "$.b"}]}
    assert copy.copy(step) is step
    assert {step: 1}[step] == 1


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_builder_is_not_copied_for_its_handles_would_not_go_along(flow: FlowBuilder, copied: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"FlowBuilder 'orders'.* cannot be copied"):
        copied(flow)


@pytest.mark.parametrize(
    "make",
    [
        lambda other: other.add("x", "/x"),
        lambda other: other.input["a"],
        lambda other: other.variable("v")["a"],
        lambda other: if_(True, [other.input]),
        lambda other: coalesce(1, {"a": other.input}),
        lambda other: other.variable("v", default=other.input),
        lambda other: other.add("x", "/x").or_if_skipped(1),
    ],
)
def test_a_handle_of_another_flow_is_refused(flow: FlowBuilder, make: Callable[[FlowBuilder], Expression]) -> None:
    handle = make(FlowBuilder("other"))
    with pytest.raises(InvalidArgumentError, match="handle of another flow, <FlowBuilder 'other'") as caught:
        flow.add("mine", "/x", {"deep": [handle]})
    assert caught.value.details == {"field": "input", "step": "mine"}
    assert flow.build()["steps"] == []


CHECKED = """
from dataclasses import dataclass
from datetime import timedelta
from flowspan import FlowBuilder, coalesce, if_, literal, on_error, retry
from flowspan.flows import Expression, StepHandle

@dataclass
class Order:
    amount: int
    note: Expression

def build() -> FlowBuilder:
    flow = FlowBuilder("orders", metadata={"team": "a"})
    limit = flow.declare_variable("limit", {"type": "integer"}, default=3)
    payload = {"order": Order(1, flow.input["note"]), "limit": limit["x"].or_default(1), "n": [1, None, 2.5]}
    first: StepHandle = flow.add("a", "/a", payload, on_error=on_error.retry(max_retries=2), timeout=timedelta(seconds=3))
    second = flow.add("b", "/b", if_(first["ok"], then=first.path("a")["b"][0]), retry=retry(backoff="constant"))
    flow.output(coalesce(second.or_if_skipped(None), flow.variable("v"), literal({"$step": 1})))
    flow.test_case("one", input={}, output={"outcome": "success"})
    return flow
"""
WRONG = {
    "first.result": "attr-defined",
    "first[0.5]": "index",
    "flow.add(1, '/x')": "arg-type",
    "flow.add('x', '/x', timeout=[])": "arg-type",
    "flow.add('x', '/x', on_error={'action': 'skip'})": "arg-type",
    "retry(backoff='linear')": "arg-type",
    "flow.variable('v', 1)['a']": "index",
    "flow.nothing()": "attr-defined",
}


def test_a_users_program_is_clean_for_mypy_and_mistakes_are_not(tmp_path: Path) -> None:
    lines = [f"    {wrong}  # {code}" for wrong, code in WRONG.items()]
    wrong = CHECKED.replace("    return flow\n", "\n".join(lines) + "\n    return flow\n")
    (tmp_path / "right.py").write_text(CHECKED)
    (tmp_path / "wrong.py").write_text(wrong)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file=", "--cache-dir=cache", "right.py"]
    sdk = Path(__file__).parents[2] / "clients" / "python"

    def judged(name: str) -> list[str]:
        done = subprocess.run(
            [*command[:-1], name], cwd=tmp_path, capture_output=True, text=True, timeout=55, env={"MYPYPATH": str(sdk)}
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    assert judged("right.py") == []
    marked = {number: line.partition("  # ")[2] for number, line in enumerate(wrong.splitlines(), 1) if "  # " in line}
    errors = [line for line in judged("wrong.py") if ": error: " in line]
    assert {int(line.split(":")[1]): line.rpartition("[")[2].rstrip("]") for line in errors} == marked
