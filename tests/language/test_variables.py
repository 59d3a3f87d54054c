"""Variables and secrets."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from flowspan.errors import InvalidArgumentError, Reason
from runtime_core.stores.sqlite import SqliteStore
from tests.language.house import OPEN, failed, findings, flow, kinds, language, of, run, step
from tests.language.rows import row

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "default": "eu"},
        "count": {"type": "integer"},
        "nested": {"type": "object", "properties": {"list": {"type": "array", "items": {"type": "integer"}}}},
    },
}


def reads(name: str, **fields: Any) -> dict[str, Any]:
    return {"$variable": name, **fields}


@row("variables.declared", "variables.lookup")
async def test_a_variable_is_looked_up_in_the_run_then_its_declaration_then_its_reference() -> None:
    output = {
        "declared": reads("region"),
        "own": reads("count", default={"from": {"$input": "$"}}),
        "both": reads("region", default=1),
    }
    document = flow(output=output, variablesSchema=SCHEMA)
    assert (await run(document, 5)).value == {"declared": "eu", "own": {"from": 5}, "both": "eu"}
    given = await run(document, 5, variables={"region": "us", "count": 2})
    assert given.value == {"declared": "us", "own": 2, "both": "us"}
    nothing = await run(flow(output=reads("count"), variablesSchema=SCHEMA))
    assert nothing.error == {"code": "EXPRESSION_FAILURE", "message": "Undefined variable: count"}


@pytest.mark.parametrize("variables", [{"count": "2"}, {"count": 1.5}, {"region": None}, {"nested": {"list": [1, "x"]}}])
@row("variables.checked")
async def test_given_variables_are_checked_against_their_schema_at_submit(variables: Any) -> None:
    async with language() as one:
        error = await one.refusal(flow(output=reads("region"), variablesSchema=SCHEMA), None, variables=variables)
        assert isinstance(error, InvalidArgumentError)
        assert error.reason is Reason.INVALID_ARGUMENT
        (name,) = variables
        assert name in str(error)
        assert one.calls == []


@row("variables.checked")
async def test_variables_that_fit_are_taken_exactly() -> None:
    document = flow(step("a", {"list": reads("$.nested.list"), "n": reads("count")}), output=of("a"), variablesSchema=SCHEMA)
    ran = await run(document, variables={"count": 9007199254740993, "nested": {"list": [1, 2]}})
    assert ran.calls[0].raw == b'{"list":[1,2],"n":9007199254740993}'


@pytest.mark.parametrize("place", ["schemas", "variablesSchema"])
@row("variables.declared", "variables.required", "diagnostic.2005")
async def test_a_required_variable_without_a_value_anywhere_is_refused_at_submit(place: str) -> None:
    schema = {**SCHEMA, "required": ["count", "region"]}
    declared = {"schemas": {"properties": {"variables": schema}}} if place == "schemas" else {"variablesSchema": schema}
    document = flow(step("a", reads("count", default=3)), output=of("a"), **declared)
    async with language() as one:
        error = await one.refusal(document, None)
        assert error.reason is Reason.INVALID_ARGUMENT
        assert "'count'" in str(error)
        (found,) = error.details["diagnostics"]
        assert (found["code"], found["kind"]) == (2005, "undefinedRequiredVariable")
        assert (await one.run(document, None, variables={"count": 1})).value == 1


@row("variables.pass-on")
async def test_variables_pass_on_to_sub_runs() -> None:
    inner = flow(output={"given": reads("region"), "default": reads("own", default="inner")})
    middle = flow(
        {"id": "e", "component": "/builtin/eval", "input": {"flow": {"$literal": inner}, "input": None}},
        output=of("e", "$.result.value"),
    )
    outer = flow(
        {"id": "e", "component": "/builtin/eval", "input": {"flow": {"$literal": middle}, "input": None}},
        output=of("e", "$.result.value"),
        variablesSchema={"properties": {"region": {"default": "eu"}}},
    )
    assert (await run(outer, variables={"region": "us"})).value == {"given": "us", "default": "inner"}
    assert (await run(outer)).value == {"given": "eu", "default": "inner"}


@row("diagnostic.1004")
async def test_variables_without_a_schema_are_a_warning() -> None:
    (found,) = await findings(flow(output=reads("v", default=1)))
    assert (found["code"], found["kind"], found["level"]) == (1004, "missingVariableSchema", "warning")


@row("diagnostic.2004")
async def test_a_variable_that_is_not_declared_is_an_error_with_the_nearest_name() -> None:
    (found,) = await findings(flow(output=[reads("regoin", default=1)], variablesSchema=SCHEMA))
    assert (found["code"], found["kind"], found["level"], found["path"]) == (
        2004,
        "undefinedVariable",
        "error",
        "/output/0/$variable",
    )
    assert "'region'" in found["message"]


SECRETS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "key": {"type": "string", "is_secret": True},
        "keys": {"type": "array", "is_secret": True},
        "deep": {"type": "object", "properties": {"inner": {"type": "array", "items": {"type": "string", "is_secret": True}}}},
        "open": {"type": "string"},
    },
}
GIVEN = {
    "key": "hunter2-key",
    "keys": [["hunter2-first"], {"k": "hunter2-second"}],
    "deep": {"inner": ["hunter2-third"]},
    "open": "shown",
}
HIDDEN = ["hunter2-key", "hunter2-first", "hunter2-second", "hunter2-third"]


@row("secrets.redacted")
async def test_secret_values_are_redacted_in_errors_at_any_depth_and_reach_the_component() -> None:
    names = {name: reads(name) for name in GIVEN}
    said = "refused " + " ".join([*HIDDEN, "shown"])
    answer = failed(said, data=json.dumps({"list": [HIDDEN], "map": {"x": [said]}}).encode())
    ran = await run(flow(step("a", names), output=of("a"), variablesSchema=SECRETS), answers={"a": answer}, variables=GIVEN)
    assert ran.calls[0].input == GIVEN
    (raw,) = ran.raw
    assert not [one for one in HIDDEN if one in raw.decode()]
    assert "shown" in ran.error["message"]


@row("secrets.redacted")
async def test_values_of_successful_results_are_not_altered() -> None:
    ran = await run(flow(output={"k": reads("key")}, variablesSchema=SECRETS), variables={"key": "hunter2-key"})
    assert ran.value == {"k": "hunter2-key"}


@row("secrets.redacted")
async def test_secret_values_are_redacted_where_variables_are_refused() -> None:
    wrong = {**GIVEN, "keys": "hunter2-first", "open": 5}
    async with language() as one:
        error = await one.refusal(flow(variablesSchema=SECRETS), None, variables=wrong)
        assert "hunter2" not in f"{error} {error.details}"


@row("secrets.redacted")
async def test_secret_values_are_redacted_in_sub_runs_too() -> None:
    inner = flow(step("i", reads("keys")), output=of("i"))
    outer = flow(
        {"id": "e", "component": "/builtin/eval", "input": {"flow": {"$literal": inner}, "input": None}},
        output=of("e"),
        variablesSchema=SECRETS,
    )
    ran = await run(outer, answers={"i": failed("no: hunter2-first")}, variables=GIVEN)
    assert ran.value["result"]["outcome"] == "failed"
    assert "hunter2" not in ran.raw[0].decode()


@row("secrets.redacted")
async def test_secret_values_stand_in_no_log_and_in_no_file_of_the_store(
    tmp_path: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    document = flow(step("a", [1]), step("b", of("a")), output=of("b"), variablesSchema=SECRETS)
    async with language(store=SqliteStore(tmp_path), b=OPEN) as one:
        await one.submit(document, None, variables=GIVEN)
        await one.core.wait_until(lambda: any(called.step == "b" for called in one.calls))
    printed = capsys.readouterr()
    assert "hunter2" not in caplog.text + printed.out + printed.err
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()] == []


@row("variables.declared")
async def test_a_default_on_a_secret_is_told() -> None:
    schema = {"properties": {"key": {"is_secret": True, "default": "hunter2"}}}
    found = await findings(flow(output=reads("key"), variablesSchema=schema))
    assert [path for _, path in kinds(found)] == ["/variablesSchema/properties/key/default"]
    assert "hunter2" not in json.dumps(found)
