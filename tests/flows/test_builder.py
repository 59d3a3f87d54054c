"""What a builder writes, and what it refuses with which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pydantic
import pytest

from flowspan.errors import InvalidArgumentError, LimitExceededError
from flowspan.flows import FlowBuilder, coalesce, if_, literal, on_error, retry
from flowspan.flows.limits import MAX_NODES
from runtime_core.flow.parse import check_flow
from runtime_core.flow.source import parse_flow


def whole() -> FlowBuilder:
    flow = FlowBuilder("orders", description="Prices orders.", version="2", metadata={"team": "shop"})
    flow.input_schema({"type": "object"})
    flow.output_schema(True)
    limit = flow.declare_variable("limit", {"type": "integer"}, default=3, env_var="LIMIT", description="At most.")
    flow.declare_variable("key", secret=True, required=True)
    price = flow.add(
        "price",
        "/python/price",
        {"order": flow.input, "limit": limit},
        skip=flow.input["free"],
        on_error=on_error.retry(max_retries=2, default=0),
        must_execute=True,
        timeout="1m30s",
        retry=retry(max_retries=5, backoff="fibonacci"),
        metadata={"owner": "me"},
        output_schema={"type": "number"},
    )
    flow.add("note", "/python/note", on_error=on_error.use_default(None), timeout=timedelta(seconds=1.5))
    flow.add("mail", "/python/mail", price, on_error=on_error.skip(), retry=retry())
    flow.output({"price": price.or_if_skipped(0)})
    flow.test_case("one", {"n": 1}, {"outcome": "success", "value": {"price": 3}}, description="The first.")
    flow.test_case("only runs")
    flow.example("small", {"n": 1})
    return flow


def test_a_flow_has_all_that_was_said_of_it() -> None:
    assert whole().build() == {
        "name": "orders",
        "description": "Prices orders.",
        "version": "2",
        "schemas": {
            "type": "object",
            "properties": {
                "input": {"type": "object"},
                "output": True,
                "variables": {
                    "type": "object",
                    "properties": {
                        "limit": {"type": "integer", "default": 3, "description": "At most.", "env_var": "LIMIT"},
                        "key": {"is_secret": True},
                    },
                    "required": ["key"],
                },
                "steps": {"type": "object", "properties": {"price": {"type": "number"}}},
            },
        },
        "steps": [
            {
                "id": "price",
                "component": "/python/price",
                "input": {"order": {"$input": "$"}, "limit": {"$variable": "$.limit"}},
                "skip": {"$input": "$.free"},
                "onError": {"action": "retry", "maxRetries": 2, "defaultValue": 0},
                "mustExecute": True,
                "timeout": "1m30s",
                "retry": {"maxRetries": 5, "backoff": "fibonacci"},
                "metadata": {"owner": "me"},
            },
            {
                "id": "note",
                "component": "/python/note",
                "onError": {"action": "useDefault", "defaultValue": None},
                "timeout": 1.5,
            },
            {"id": "mail", "component": "/python/mail", "input": {"$step": "price"}, "onError": {"action": "skip"}, "retry": {}},
        ],
        "output": {"price": {"$step": "price", "onSkip": {"action": "useDefault", "defaultValue": 0}}},
        "test": {
            "cases": [
                {
                    "name": "one",
                    "description": "The first.",
                    "input": {"n": 1},
                    "output": {"outcome": "success", "value": {"price": 3}},
                },
                {"name": "only runs", "input": None},
            ]
        },
        "examples": [{"name": "small", "input": {"n": 1}}],
        "metadata": {"team": "shop"},
    }


def test_the_gateway_reads_it_as_it_was_meant() -> None:
    checked = check_flow(whole().build())
    assert checked.flow is not None
    assert [finding.message for finding in checked.diagnostics if "never runs" not in finding.message] == []
    price, note, _ = checked.flow.steps
    assert (price.timeout_s, price.must_execute, price.on_error.max_retries, price.on_error.default_value) == (90.0, True, 2, 0)
    assert price.on_error.has_default and note.on_error.has_default
    assert checked.flow.schemas.declared.names == {"limit", "key"}


def test_an_empty_builder_is_a_flow_without_steps() -> None:
    assert FlowBuilder().build() == {"steps": []}


def test_each_build_is_a_new_document_and_the_builder_goes_on() -> None:
    flow = FlowBuilder("a")
    payload = {"list": [1]}
    step = flow.add("a", "/a", payload)
    payload["list"].append(2)
    first = flow.build()
    first["steps"][0]["input"]["list"].clear()
    flow.output(step)
    assert flow.build() == {
        "name": "a",
        "steps": [{"id": "a", "component": "/a", "input": {"list": [1]}}],
        "output": {"$step": "a"},
    }


def test_an_embedded_flow_is_the_one_it_was_then() -> None:
    inner = FlowBuilder("inner")
    outer = FlowBuilder()
    outer.output(inner)
    inner.output(1)
    assert outer.build()["output"] == {"$literal": {"name": "inner", "steps": []}}


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Spelling(str, Enum):  # noqa: UP042 - as older programs have them
    A = "a"


@dataclass
class Order:
    amount: int
    note: Any


class Customer(pydantic.BaseModel):
    name: str = pydantic.Field(alias="Name")
    since: datetime


def test_values_become_what_json_can_say_and_numbers_stay_exact() -> None:
    flow = FlowBuilder()
    flow.output(
        [2**53 + 1, 10**63, 2, 2.0, -0.0, 1e16, True, None, Colour.RED, Level.HIGH, Spelling.A, (1, 2), {Colour.RED: Level.HIGH}]
    )
    numbers = f"{2**53 + 1},{10**63},2,2.0,-0.0,1e16"
    expected = f'{{"steps":[],"output":[{numbers},true,null,"red",3,"a",[1,2],{{"red":3}}]}}'
    assert flow.to_json() == expected
    assert [type(one) for one in flow.build()["output"][:11]] == [
        int,
        int,
        int,
        float,
        float,
        float,
        bool,
        type(None),
        str,
        int,
        str,
    ]


def test_integer_literals_stay_integers() -> None:
    flow = FlowBuilder()
    flow.add(
        "s", "/builtin/sleep", {"duration_ms": 10, "max_concurrency": 3}, on_error=on_error.retry(max_retries=2), timeout=3000
    )
    text = flow.to_json()
    assert '"duration_ms":10,"max_concurrency":3' in text and '"maxRetries":2' in text and '"timeout":3000' in text


def test_dataclasses_and_pydantic_models_are_objects() -> None:
    flow = FlowBuilder()
    customer = Customer(Name="Ada", since=datetime(2024, 1, 2))
    flow.output({"order": Order(2**70, flow.input["note"]), "customer": customer})
    assert flow.build()["output"] == {
        "order": {"amount": 2**70, "note": {"$input": "$.note"}},
        "customer": {"Name": "Ada", "since": "2024-01-02T00:00:00"},
    }


class Address(pydantic.BaseModel):
    city: str


class Person(pydantic.BaseModel):
    home: Address


def test_pydantic_classes_are_schemas_also_for_variables() -> None:
    flow = FlowBuilder("a", description="b")
    flow.input_schema(Person)
    flow.declare_variable("who", Person, default={"home": {"city": "Turin"}})
    flow.declare_variable("other", Person)
    flow.add("a", "/a", flow.variable("who"), must_execute=True, output_schema=Person)
    document = flow.build()
    variables = document["schemas"]["properties"]["variables"]
    assert list(variables["$defs"]) == ["Address"] and "$defs" not in variables["properties"]["who"]
    checked = check_flow(document)
    assert checked.diagnostics == () and checked.flow is not None
    with pytest.raises(InvalidArgumentError, match="city"):
        checked.flow.schemas.declared.check({"other": {"home": {}}}, {})
    with pytest.raises(InvalidArgumentError, match="definition 'Address' differs"):
        flow.declare_variable("third", {"$defs": {"Address": {"type": "string"}}})


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


REFUSED: dict[str, tuple[Callable[[FlowBuilder], object], str]] = {
    "NaN": (lambda f: f.add("s", "/x", {"a": [1, float("nan")]}), r"step 's', input\.a\[1\]: nan has no JSON form"),
    "infinity": (lambda f: f.output(float("inf")), "output: inf has no JSON form"),
    "a set": (lambda f: f.add("s", "/x", {"a.b": {1}}), r"step 's', input\['a\.b'\]: a value of type set has no JSON form"),
    "bytes": (lambda f: f.output(b"x"), "output: a value of type bytes"),
    "a decimal": (lambda f: f.output(Decimal("1.1")), "a value of type Decimal has no JSON form"),
    "a date": (lambda f: f.output(datetime.now()), "a value of type datetime has no JSON form"),
    "a class": (lambda f: f.output(Order), "a value of type type has no JSON form"),
    "a key that is no text": (lambda f: f.output({"a": {1: 2}}), r"output\.a: the key 1 is a value of type int; keys are text"),
    "a surrogate": (lambda f: f.output("\ud800"), "half of a surrogate pair"),
    "a surrogate in a path": (lambda f: f.input["\ud800"], "half of a surrogate pair"),
    "a reserved key": (
        lambda f: f.add("s", "/x", {"a": {"$step": "b"}}),
        r"step 's', input\.a: the key '\$step' .* use a handle",
    ),
    "the old syntax": (lambda f: f.output({"$from": {"step": "a"}}), r"the key '\$from'"),
    "a handle in a literal": (lambda f: f.output(literal({"a": f.input})), r"literal\.a: input is not resolved in this place"),
    "a handle as a default": (lambda f: on_error.use_default([f.input["x"]]), r"\[0\]: input at \$\.x is not resolved"),
    "a handle in metadata": (
        lambda f: f.add("s", "/x", metadata={"a": f.input}),
        r"step 's', metadata\.a: input is not resolved",
    ),
    "on_error in the input": (lambda f: f.add("s", "/x", {"a": on_error.skip()}), "argument of a step"),
    "NaN in a branch": (lambda f: if_(True, 1, {"a": float("nan")}), r"else_ of if_\.a: nan"),
    "nothing to choose from": (lambda f: coalesce(), "at least one value"),
    "the output twice": (lambda f: (f.output(1), f.output(2)), "output: is set already"),
    "a schema twice": (lambda f: (f.input_schema(True), f.input_schema(True)), "input_schema: is set already"),
    "a variable twice": (lambda f: (f.declare_variable("v"), f.declare_variable("v")), "variable 'v': is declared already"),
    "a default twice": (lambda f: f.declare_variable("v", {"default": 1}, default=2), "'default' stands in the schema too"),
    "a nested secret": (
        lambda f: f.declare_variable("v", {"properties": {"k": {"is_secret": True}}}, default={"k": "x"}),
        "the default of a secret",
    ),
    "a test case without a name": (lambda f: f.test_case(" \n"), "name of a test case: must not be blank"),
    "an expected output that is a plain value": (lambda f: f.test_case("t", 1, {"a": 3}), "missing required field `outcome`"),
    "an expected outcome that there is not": (
        lambda f: f.test_case("t", 1, {"outcome": "sucess"}),
        "one of success, failed, skip",
    ),
    "a test case twice": (lambda f: (f.test_case("t"), f.test_case("t")), "test case 't': this name is taken"),
    "an id twice": (lambda f: (f.add("greet", "/x"), f.add("greet", "/x")), "step 'greet', id: this id is taken"),
    "a step that is not there": (lambda f: (f.add("greet", "/x"), f.step("great")), "no step 'great' yet; did you mean 'greet'"),
    "a variable that is not there": (lambda f: (f.declare_variable("limit"), f.variable("limits")), "did you mean 'limit'"),
    "an index that is true": (lambda f: f.input[True], "a field is named by a str"),
    "an unknown back-off": (lambda f: retry(backoff="linear"), "one of exponential, constant, fibonacci, not 'linear'"),  # type: ignore[arg-type]
    "many retries": (lambda f: on_error.retry(max_retries=1001), "from 0 to 1,000, not 1001"),
    "a timeout of milliseconds": (lambda f: f.add("s", "/x", timeout=10**11), "step 's', timeout: is a number of seconds"),
    "on_error as a dict": (lambda f: f.add("s", "/x", on_error={"action": "skip"}), "step 's', on_error: is made by"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_mistake_is_refused_with_step_and_field(mistake: str) -> None:
    make, words = REFUSED[mistake]
    with pytest.raises(InvalidArgumentError, match=words) as caught:
        make(FlowBuilder())
    assert caught.value.details["field"]
    if str(caught.value).startswith("step 's'"):
        assert caught.value.details["step"] == "s"


def test_what_was_refused_leaves_nothing_behind() -> None:
    flow = FlowBuilder()
    for bad in (float("nan"), {1}, {"$step": "a"}):
        with pytest.raises(InvalidArgumentError):
            flow.add("s", "/x", bad)
    flow.add("s", "/x")
    assert flow.build()["steps"] == [{"id": "s", "component": "/x"}]


def doubled(times: int) -> Any:
    """An expression that repeats its parts so often that written out it has over 2**times values."""
    expression: Any = literal(1)
    for _ in range(times):
        expression = coalesce(expression, expression)
    return expression


def repeated(times: int) -> Any:
    value: Any = 1
    for _ in range(times):
        value = [value, value]
    return value


BEYOND: dict[str, tuple[Callable[[FlowBuilder], object], str]] = {
    "depth": (lambda f: f.output(nested(64)), "jsonDepth"),
    "a value within itself": (lambda f: f.output(endless()), "jsonDepth"),
    "a dict of a step": (lambda f: f.add("s", "/x", nested(62)), "jsonDepth"),
    "digits": (lambda f: f.output(10**64), "numberDigits"),
    "a value that doubles": (lambda f: f.output(repeated(60)), "flowNodes"),
    "an expression that doubles": (lambda f: f.output(doubled(30)), "flowNodes"),
    "many large steps": (lambda f: [f.add(str(n), "/x", part) for part in [doubled(16)] for n in range(100)], "flowNodes"),
    "bytes": (lambda f: (f.output(["x" * 1024 * 1024] * 9), f.build()), "flowBytes"),
    "steps": (lambda f: [f.add(str(n), "/x") for n in range(10_001)], "steps"),
}


@pytest.mark.parametrize("limit", BEYOND)
def test_what_no_gateway_would_take_is_refused_at_once(limit: str) -> None:
    make, name = BEYOND[limit]
    with pytest.raises(LimitExceededError) as caught:
        make(FlowBuilder())
    assert caught.value.details["limit"] == name


def test_a_flow_at_its_bounds_is_taken() -> None:
    flow = FlowBuilder()
    flow.output([list(range(MAX_NODES // 2)), nested(60)])
    assert parse_flow(flow.to_json().encode()).document.value == flow.build()


def test_a_long_key_survives_in_yaml() -> None:
    flow = FlowBuilder()
    flow.output({"k" * 2000: {"a": [1]}, "é" * 1500: 2, "e": [[{}, []], [{"x": 1, "y": [[2]]}]]})
    assert parse_flow(flow.to_yaml().encode(), is_yaml=True).document.value == flow.build()


def test_yaml_reads_well() -> None:
    assert whole().to_yaml().startswith('name: orders\ndescription: Prices orders.\nversion: "2"\nschemas:\n  type: object\n')
    assert "      order:\n        $input: $\n      limit:\n        $variable: $.limit\n" in whole().to_yaml()
    assert json.loads(whole().to_json(indent=2)) == whole().build()
