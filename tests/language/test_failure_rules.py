"""What a reference that leads nowhere makes of an item, with the exact messages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.language.house import failed, flow, of, run, step
from tests.language.rows import row

WHAT_FAILED = {"code": "EXPRESSION_FAILURE"}


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("$.zz", "$.zz"), ("zz", "$.zz"), ("$.x.y", "$.x.y"), ("$.list[2]", "$.list[2]"), ("$.list.x", "$.list.x"),
        ("$[0]", "$[0]"),
        ("a.b", "$['a.b']"), ('$["x"]["q"]', "$.x.q"), ("$.list[9223372036854775808]", "$.list[9223372036854775808]"),
    ],
)  # fmt: skip
@row("failure.step-path", "tie.messages")
async def test_a_path_not_found_in_a_step_s_output(path: str, canonical: str) -> None:
    ran = await run(flow(step("a", {"x": 1, "list": [1, 2]}), output={"r": of("a", path)}))
    assert ran.error == WHAT_FAILED | {"message": f"Path {canonical} not found"}


@pytest.mark.parametrize(("path", "canonical"), [("$.x", "$.x"), ("x", "$.x"), ("$.y[0]", "$.y[0]"), ("$['a.b']", "$['a.b']")])
@row("failure.input-path", "tie.messages")
async def test_a_path_not_found_in_the_input(path: str, canonical: str) -> None:
    items: list[Any] = [{"y": {}}, [], "text", 5, None]
    for item in items:
        ran = await run(flow(output={"$input": path}), item)
        assert ran.error == WHAT_FAILED | {"message": f"Input path {canonical} not found"}


@row("failure.input-path", "tie.null-input")
async def test_the_whole_of_a_null_input_is_null() -> None:
    for whole in ("$", ""):
        assert (await run(flow(step("a", {"$input": whole}), output=of("a")), None)).raw == (
            b'{"outcome":"success","value":null}',
        )


@pytest.mark.parametrize("path", ["$.x", "x", "$[3].y", "$"])
@row("failure.null-output")
async def test_any_path_into_a_null_output_is_null(path: str) -> None:
    assert (await run(flow(step("a", None), output=[of("a", path)]))).value == [None]


@row("failure.unknown-variable", "tie.messages")
async def test_an_unknown_variable() -> None:
    for path in ("k", "$.k", "$.k.deep[0]"):
        assert (await run(flow(output={"x": {"$variable": path}}))).error == WHAT_FAILED | {"message": "Undefined variable: k"}


@row("failure.referenced-step")
async def test_the_dependent_of_a_failed_step_fails_with_the_same_error_and_does_not_run() -> None:
    error = {"code": "RESOURCE_UNAVAILABLE", "message": "quota", "data": {"n": 9007199254740993}}
    answer = failed("quota", "RESOURCE_UNAVAILABLE", data=b'{"n":9007199254740993}')
    document = flow(step("a"), step("b", {"x": [of("a", "$.y")]}), step("c", of("b")), output={"c": of("c")})
    ran = await run(document, answers={"a": answer})
    assert ran.result["error"] == error
    assert ran.steps == ["a"]


@row("failure.member", "tie.first-member")
async def test_of_several_failures_in_a_value_the_first_in_document_order_is_the_failure_of_the_whole() -> None:
    steps = (step("a"), step("b"))
    answers = {"a": failed("from a"), "b": failed("from b")}
    for output, message in (
        ({"x": 1, "y": of("b"), "z": of("a")}, "from b"),
        ([{"deep": [of("a")]}, of("b")], "from a"),
        ([{"$input": "$.none"}, of("a")], "Input path $.none not found"),
        ([of("a"), {"$input": "$.none"}], "from a"),
    ):
        assert (await run(flow(*steps, output=output), {}, answers=answers)).error["message"] == message


@row("tie.failed-over-skipped")
async def test_of_skipped_and_failed_members_failed_counts() -> None:
    steps = (step("s", skip=True), step("bad"))
    for output in ([of("s"), of("bad")], {"x": of("bad"), "y": [of("s")]}):
        assert (await run(flow(*steps, output=output), answers={"bad": failed("gone")})).error["message"] == "gone"


@row("tie.null-in-the-middle")
async def test_null_in_the_middle_of_a_path_is_not_found() -> None:
    document = flow(step("a", {"x": None}), output=of("a", "$.x.y"))
    assert (await run(document)).error == WHAT_FAILED | {"message": "Path $.x.y not found"}
    assert (await run(flow(output={"$input": "$.x.y"}), {"x": None})).error["message"] == "Input path $.x.y not found"
    assert (await run(flow(step("a", {"x": None}), output=of("a", "$.x")))).value is None


@pytest.mark.parametrize(
    ("output", "place"), [({"deep": [{"$input": "$.none"}]}, "/output/deep/0"), ({"d": of("a", "$.none")}, "/output/d")]
)
@row("tie.messages")
async def test_anything_more_than_the_message_stands_in_the_data(output: Any, place: str) -> None:
    ran = await run(flow(step("a", {}), output=output), {})
    assert ran.result["error"]["data"]["path"] == place
