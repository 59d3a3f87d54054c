"""Input and output types: what is read, what is refused with which pointer, which schemas are published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest
from jsonschema import Draft202012Validator

from flowspan.components import ComponentServer
from tests.components.memory_pair import MemoryPair


@dataclass
class Point:
    x: int
    y: float = 0.0
    tags: list[str] = field(default_factory=list)


class Options(TypedDict):
    name: str
    limit: int | None


class Order(pydantic.BaseModel):
    order_id: int = pydantic.Field(alias="orderId")
    lines: list[Point]


class Shape(msgspec.Struct, rename="camel"):
    corner_count: int


def take_point(input: Point) -> Point:
    return Point(input.x + 1, input.y, [*input.tags, type(input).__name__])


def take_options(input: Options) -> Options:
    return {**input, "name": input["name"].upper()}


async def take_order(input: Order) -> Order:
    assert isinstance(input, Order)
    return Order(orderId=input.order_id + 1, lines=input.lines)


def take_shape(input: Shape) -> Shape:
    return input


def take_orders(input: list[Order]) -> dict[str, Order]:
    return {str(order.order_id): order for order in input}


CASES: list[tuple[Callable[..., Any], object, object]] = [
    (take_point, {"x": 1}, {"x": 2, "y": 0.0, "tags": ["Point"]}),
    (take_options, {"name": "a", "limit": None}, {"name": "A", "limit": None}),
    (
        take_order,
        {"orderId": 2**70, "lines": [{"x": 1}]},
        {"orderId": 2**70 + 1, "lines": [{"x": 1, "y": 0.0, "tags": []}]},
    ),
    (take_shape, {"cornerCount": 3}, {"cornerCount": 3}),
    (take_orders, [{"orderId": 1, "lines": []}], {"1": {"orderId": 1, "lines": []}}),
]


@pytest.mark.parametrize(("function", "value", "output"), CASES)
async def test_typed_values_go_through_and_fit_the_published_schemas(
    function: Callable[..., Any], value: object, output: object
) -> None:
    server = ComponentServer()
    server.component("/it")(function)
    pair = MemoryPair(server)
    assert await pair.output("/it", value) == output
    (info,) = (await pair.answer_to(pair.request("components/list", {})))["result"]["components"]
    assert info["component"] == info["name"] == "/it"
    Draft202012Validator(info["input_schema"]).validate(value)
    Draft202012Validator(info["output_schema"]).validate(output)
    assert (await pair.answer_to(pair.request("components/info", {"component": "it"})))["result"] == {"info": info}
    pair.close()


@pytest.mark.parametrize(
    ("function", "value", "pointer"),
    [
        (take_point, {"x": "1"}, "/x"),
        (take_point, {"x": 1, "tags": ["a", 2]}, "/tags/1"),
        (take_point, {}, ""),
        (take_point, 1, ""),
        (take_options, {"name": "a"}, ""),
        (take_order, {"orderId": 1, "lines": [{"x": 1}, {"x": None}]}, "/lines/1/x"),
        (take_order, {"lines": []}, "/orderId"),
        (take_shape, {"cornerCount": 1.5}, "/cornerCount"),
    ],
)
async def test_an_input_of_the_wrong_type_is_refused_with_its_pointer(
    function: Callable[..., Any], value: object, pointer: str
) -> None:
    server = ComponentServer()
    server.component("/it")(function)
    pair = MemoryPair(server)
    error = await pair.error("/it", value)
    assert error["code"] == -32003
    assert error["data"]["pointer"] == pointer
    assert pointer in error["message"]
    pair.close()


def test_types_defined_inside_a_function_are_found() -> None:
    @dataclass
    class Local:
        n: int

    server = ComponentServer()

    @server.component
    def local(input: Local) -> int:
        return input.n

    (component,) = server.components
    assert "n" in str(component.input_schema)
    assert component.output_schema == {"type": "integer"}


def test_the_description_is_the_first_paragraph_of_the_docstring() -> None:
    server = ComponentServer()

    @server.component
    def described(input: Any) -> None:
        """Says what
        it does.

        And more.
        """

    @server.component("/deep/name", description="given")
    def other(input: Any) -> None: ...

    assert [(c.name, c.description) for c in server.components] == [
        ("/described", "Says what it does."),
        ("/deep/name", "given"),
    ]


def test_what_cannot_be_a_component_is_refused_where_it_is_defined() -> None:
    server = ComponentServer()

    async def waits(input: Any) -> None: ...

    def no_input() -> None: ...

    def too_many(input: Any, ctx: Any, more: Any) -> None: ...

    with pytest.raises(TypeError, match="inline"):
        server.component(inline=True)(waits)
    for function in (no_input, too_many):
        with pytest.raises(TypeError, match="takes"):
            server.component(function)
    server.component("/taken")(waits)
    with pytest.raises(ValueError, match="already"):
        server.component("taken")(waits)
    with pytest.raises(ValueError, match="capacity"):
        ComponentServer(capacity=0)


class Custom(pydantic.BaseModel):
    ratio: float | None
    anything: Any = None


async def test_nan_in_a_model_is_refused_and_big_numbers_are_exact() -> None:
    server = ComponentServer()

    @server.component
    def give(input: str) -> Custom:
        return Custom(ratio=float("nan")) if input == "nan" else Custom(ratio=1.0, anything=[10**30, -0.0, 1.0])

    pair = MemoryPair(server)
    assert (await pair.error("/give", "nan"))["code"] == -32011
    assert await pair.output("/give", "big") == {"ratio": 1.0, "anything": [10**30, -0.0, 1.0]}
    assert b'"anything":[1000000000000000000000000000000,-0.0,1.0]' in pair.written[-1]
    pair.close()
