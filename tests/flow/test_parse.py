"""Sections 1, 2 and 10: documents, their fields, and what is said about them."""

from __future__ import annotations

from typing import Any

import pytest

from flowspan.errors import FlowInvalidError, FlowspanError, InvalidArgumentError, LimitExceededError, Reason
from runtime_core.flow.document import BackoffKind, OnError, OnErrorAction, RetrySettings, Step
from runtime_core.flow.parse import check_flow
from runtime_core.flow.source import MAX_FLOW_BYTES, check_document, parse_flow, read_document, to_stored_json
from runtime_core.model.json_value import blob_id_of_json, decode_json, encode_json

from .items import calls_made, step


def codes(flow: Any) -> list[int]:
    return [found.code for found in check_flow(flow).diagnostics]


def named(**fields: Any) -> dict[str, Any]:
    """A flow without the two warnings about its name and description."""
    return {"name": "n", "description": "d", **fields}


def only(flow: Any) -> Any:
    [found] = check_flow(flow).diagnostics
    return found


# The flow


def test_an_empty_object_is_a_flow_without_a_name_and_a_description() -> None:
    checked = check_flow({})
    assert checked.flow is not None
    assert checked.flow.steps == ()
    assert [(found.code, found.kind, found.level.value) for found in checked.diagnostics] == [
        (1001, "missingFlowName", "warning"),
        (1002, "missingFlowDescription", "warning"),
    ]


@pytest.mark.parametrize("document", [None, 1, "x", [], True])
def test_what_is_no_object_is_no_flow(document: Any) -> None:
    assert check_flow(document).flow is None
    with pytest.raises(FlowInvalidError) as caught:
        parse_flow(encode_json(document), is_yaml=False)
    assert caught.value.details["diagnostics"][0]["level"] == "fatal"


def test_all_fields_are_read() -> None:
    flow = check_flow(
        {
            "name": "n",
            "description": "d",
            "version": "1",
            "schemas": {
                "type": "object",
                "properties": {
                    "input": {"type": "object"},
                    "output": True,
                    "variables": {"properties": {"k": {"default": None}, "z": {}}},
                    "steps": {"properties": {"a": {"type": "string"}}},
                },
            },
            "steps": [step("a")],
            "output": {"$step": "a"},
            "test": {"cases": []},
            "examples": [{"name": "e", "input": 1}],
            "metadata": {"m": [1]},
        }
    ).flow
    assert flow is not None
    assert (flow.name, flow.description, flow.version, flow.output) == ("n", "d", "1", {"$step": "a"})
    assert (flow.schemas.input, flow.schemas.output, flow.schemas.steps) == ({"type": "object"}, True, {"a": {"type": "string"}})
    assert flow.schemas.declared.names == frozenset({"k", "z"})
    assert flow.schemas.declared.defaults == {"k": None}
    assert (flow.test, flow.examples, flow.metadata) == ({"cases": []}, ({"name": "e", "input": 1},), {"m": [1]})


@pytest.mark.parametrize("spelling", ["{}Schema", "{}_schema"])
def test_the_short_forms_of_schemas_are_read(spelling: str) -> None:
    short = {spelling.format(part): {"properties": {part: {"default": 1}}} for part in ("input", "output", "variables")}
    checked = check_flow(named(**short))
    assert checked.flow is not None
    assert checked.diagnostics == ()
    assert checked.flow.schemas.input == {"properties": {"input": {"default": 1}}}
    assert checked.flow.schemas.declared.defaults == {"variables": 1}


def test_explicit_null_means_absent() -> None:
    fields = ("version", "schemas", "steps", "output", "test", "examples", "metadata", "inputSchema")
    assert codes(named(**dict.fromkeys(fields))) == []
    nulls = dict.fromkeys(("skip", "skipIf", "onError", "on_error", "mustExecute", "timeout", "retry", "metadata"))
    checked = check_flow(named(steps=[step("a", **nulls)], output={"$step": "a"}))
    assert checked.flow is not None
    assert checked.flow.steps == (Step("a", "/test/a"),)
    assert check_flow({"name": None}).diagnostics[0].code == 1001


def test_an_unknown_field_is_reported_with_the_nearest_known_name() -> None:
    found = only(named(ouput=1))
    assert (found.code, found.kind, found.level.value, found.path) == (1005, "unknownField", "warning", "/ouput")
    assert "'output'" in found.message
    found = only(named(steps=[step("a", inptu=1)], output={"$step": "a"}))
    assert (found.code, found.path) == (1005, "/steps/0/inptu")
    found = only(named(steps=[step("a", onError={"action": "skip", "defautValue": 1})], output={"$step": "a"}))
    assert (found.code, found.path) == (1005, "/steps/0/onError/defautValue")


def test_schema_and_extension_keys_are_allowed() -> None:
    extras = {"schema": "v1", "$schema": "https://example.org", "x-team": "blue"}
    assert codes(named(steps=[step("a", **extras)], output={"$step": "a"}, **extras)) == []


# Steps


def test_all_fields_of_a_step_are_read() -> None:
    fields = {
        "skipIf": {"$input": "$.s"},
        "on_error": {"action": "retry", "maxRetries": 5, "defaultValue": None},
        "mustExecute": True,
        "timeout": "1m30s",
        "retry": {"maxRetries": 0, "backoff": "fibonacci"},
        "metadata": {"m": 1},
    }
    flow = check_flow(named(steps=[step("a", 1, **fields)])).flow
    assert flow is not None
    [read] = flow.steps
    assert read.on_error == OnError(OnErrorAction.RETRY, None, True, 5)
    assert (read.skip, read.must_execute, read.timeout_s, read.metadata) == ({"$input": "$.s"}, True, 90.0, {"m": 1})
    assert read.retry == RetrySettings(0, BackoffKind.FIBONACCI)


def test_a_duplicate_step_id_is_fatal() -> None:
    found = only(named(steps=[step("a"), step("a")]))
    assert (found.code, found.kind, found.level.value, found.path) == (3000, "duplicateStepId", "fatal", "/steps/1/id")


@pytest.mark.parametrize("value", [{"component": "/x"}, {"id": "", "component": "/x"}, {"id": None, "component": "/x"}])
def test_a_step_without_an_id_is_fatal(value: Any) -> None:
    found = only(named(steps=[value]))
    assert (found.code, found.kind, found.level.value) == (3001, "emptyStepId", "fatal")


def test_an_empty_component_is_an_error_and_an_absent_one_is_fatal() -> None:
    found = only(named(steps=[{"id": "a", "component": "", "mustExecute": True}]))
    assert (found.code, found.kind, found.level.value) == (2001, "emptyComponentName", "error")
    assert check_flow(named(steps=[{"id": "a"}])).flow is None


def test_a_step_that_nothing_needs_is_reported() -> None:
    flow = named(steps=[step("a"), step("b", {"$step": "a"}), step("c", mustExecute=True)])
    assert [(found.code, found.path) for found in check_flow(flow).diagnostics] == [(1000, "/steps/0"), (1000, "/steps/1")]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5.0),
        (0.25, 0.25),
        ("5s", 5.0),
        ("1m30s", 90.0),
        ("2h", 7200.0),
        ("1h2m3s4ms", 3723.004),
        ("250ms", 0.25),
        ("1.5m", 90.0),
    ],
)
def test_a_timeout_is_a_number_of_seconds_or_a_length_of_time(value: Any, seconds: float) -> None:
    flow = check_flow(named(steps=[step("a", timeout=value)])).flow
    assert flow is not None
    assert flow.steps[0].timeout_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", [0, -1, "", "0s", "5", "s", "1s1m", "-1s", "1 m", [5], True, 10**12, 10**400, "9999999999999h", "٣s"]
)
def test_any_other_timeout_is_fatal(value: Any) -> None:
    found = check_flow(named(steps=[step("a", timeout=value)])).diagnostics[0]
    assert (found.code, found.level.value, found.path) == (2002, "fatal", "/steps/0/timeout")


@pytest.mark.parametrize(
    ("flow", "path"),
    [
        ({"name": 1}, "/name"),
        ({"steps": {}}, "/steps"),
        ({"steps": [1]}, "/steps/0"),
        ({"schemas": []}, "/schemas"),
        ({"variablesSchema": 1}, "/variablesSchema"),
        ({"metadata": []}, "/metadata"),
        ({"steps": [{"id": 1, "component": "/x"}]}, "/steps/0/id"),
        ({"steps": [{"id": "a", "component": ["/x"]}]}, "/steps/0/component"),
        ({"steps": [step("a", mustExecute="yes")]}, "/steps/0/mustExecute"),
        ({"steps": [step("a", onError="skip")]}, "/steps/0/onError"),
        ({"steps": [step("a", onError={"action": "ignore"})]}, "/steps/0/onError/action"),
        ({"steps": [step("a", onError={"action": "retry", "maxRetries": -1})]}, "/steps/0/onError/maxRetries"),
        ({"steps": [step("a", onError={"action": "retry", "maxRetries": 1.0})]}, "/steps/0/onError/maxRetries"),
        ({"steps": [step("a", retry={"backoff": "linear"})]}, "/steps/0/retry/backoff"),
    ],
)
def test_a_field_of_the_wrong_type_is_fatal_and_named(flow: Any, path: str) -> None:
    found = [entry for entry in check_flow(flow).diagnostics if entry.level.value == "fatal"]
    assert path in [entry.path for entry in found]
    assert check_flow(flow).flow is None


# Variables


def test_variables_without_a_schema_and_outside_it_are_reported() -> None:
    assert codes(named(output=[{"$variable": "k"}, {"$variable": "j"}])) == [1004]
    found = only(named(variablesSchema={"properties": {"key": {}}}, output={"$variable": "kye"}))
    assert (found.code, found.level.value, found.path) == (2004, "error", "/output/$variable")
    assert "'key'" in found.message


# Documents


def test_key_order_white_space_and_yaml_do_not_change_the_id() -> None:
    as_json = b'{"steps": [{"id": "a", "component": "/x", "input": {"n": 3000, "f": 1.0}}], "output": {"$step": "a"}}'
    as_yaml = b"output: {$step: a}\nsteps:\n  - component: /x\n    id: a\n    input: {f: 1.0, n: 3000}\n"
    ids = {blob_id_of_json(to_stored_json(read_document(data))) for data in (as_json, as_yaml)}
    assert len(ids) == 1
    assert blob_id_of_json(as_json.replace(b"3000", b"3000.0")) not in ids


def test_yaml_is_stored_as_its_compact_json_with_the_keys_in_order() -> None:
    document = read_document(b"steps: []\noutput: {b: 9007199254740993, a: 3000, c: 1.0, d: -0.0}\n")
    assert to_stored_json(document) == b'{"steps":[],"output":{"b":9007199254740993,"a":3000,"c":1.0,"d":-0.0}}'


def test_json_is_stored_as_it_was_given() -> None:
    data = b' {"output": 1.50 }'
    assert to_stored_json(read_document(data)) is data


def test_a_document_that_begins_with_a_brace_is_json_unless_it_is_said_to_be_yaml() -> None:
    assert read_document(b' {\n\t"a": 1}').value == {"a": 1}
    assert read_document(b"{a: 1}", is_yaml=True).value == {"a": 1}
    with pytest.raises(FlowspanError) as caught:
        read_document(b"{a: 1}")
    assert caught.value.reason is Reason.PARSE_ERROR


def test_findings_are_placed_in_json_and_in_yaml() -> None:
    as_json = b'{\n "steps": [\n  {"id": "a", "component": "/x",\n   "input": {"$step": "b"}}]}'
    as_yaml = b"steps:\n  - id: a\n    component: /x\n    input:\n      $step: b\n"
    for data, place in ((as_json, (4, 23)), (as_yaml, (5, 14))):
        with pytest.raises(FlowInvalidError) as caught:
            parse_flow(data)
        first = caught.value.details["diagnostics"][0]
        assert (first["code"], first["path"], first["line"], first["column"]) == (3003, "/steps/0/input/$step", *place)
        assert "line" in caught.value.message


def test_a_dry_check_tells_everything_and_raises_nothing() -> None:
    parsed = check_document(read_document(b'{"steps": [{"id": "", "component": ""}]}'))
    assert parsed.flow is None
    assert [found.code for found in parsed.diagnostics] == [1001, 1002, 3001, 2001]
    assert parsed.diagnostics[2].to_json() == {
        "kind": "emptyStepId",
        "code": 3001,
        "level": "fatal",
        "message": "a step needs an id that is not empty",
        "path": "/steps/0/id",
        "line": 1,
        "column": 19,
    }


def test_a_document_that_is_too_large_is_refused() -> None:
    with pytest.raises(LimitExceededError) as caught:
        read_document(b" " * (MAX_FLOW_BYTES + 1))
    assert caught.value.details == {"limit": "flowBytes", "max": MAX_FLOW_BYTES, "actual": MAX_FLOW_BYTES + 1}


def test_a_document_of_more_than_a_million_nodes_is_refused() -> None:
    def document(count: int) -> bytes:
        return b'{"output":[' + b",".join([b"1"] * count) + b"]}"

    assert read_document(document(999_998)).value is not None
    with pytest.raises(InvalidArgumentError, match="1000001 nodes"):
        read_document(document(999_999))


def test_a_flow_with_a_key_twice_is_refused_with_both_positions() -> None:
    for data in (b'{"steps": [],\n "steps": []}', b"steps: []\nsteps: []\n"):
        with pytest.raises(InvalidArgumentError, match=r"line 1.*line 2"):
            parse_flow(data)


def test_a_hostile_flow_is_answered_with_at_most_twenty_findings() -> None:
    flow: Any = {"steps": [step(f"s{n}", [{"$step": f"s{n + 1}"}] * 10, **{f"key{n}": 1}) for n in range(5_000)]}
    with pytest.raises(FlowInvalidError) as caught:
        parse_flow(encode_json(flow))
    assert len(caught.value.details["diagnostics"]) == 20
    assert {found["level"] for found in caught.value.details["diagnostics"]} == {"fatal"}


def test_a_hundred_thousand_steps_are_refused_and_ten_thousand_are_read() -> None:
    many: Any = {"steps": [step(f"s{n}", {"$step": f"s{n - 1}"} if n else None) for n in range(100_000)]}
    with pytest.raises(FlowInvalidError, match="at most 10000"):
        parse_flow(encode_json(many))
    many["steps"] = many["steps"][:10_000]
    parsed = parse_flow(encode_json(many))
    assert parsed.flow is not None
    assert len(parsed.flow.steps) == 10_000


def test_checking_takes_work_linear_in_the_edges() -> None:
    def calls(count: int) -> int:
        edges = [{"$step": f"s{n}"} for n in range(20)]
        flow: Any = {"steps": [step(f"s{n}", edges[: min(n, 20)]) for n in range(count)]}
        return calls_made(lambda: check_flow(flow))

    assert calls(2_000) < 11 * calls(200)


def test_numbers_keep_their_form_from_the_document_on() -> None:
    parsed = parse_flow(b"output: [3000, 3000.0, 9007199254740993, 1e2]\n")
    assert parsed.flow is not None
    assert encode_json(parsed.flow.output) == b"[3000,3000.0,9007199254740993,100.0]"
    assert decode_json(to_stored_json(parsed.document)) == parsed.flow.value
