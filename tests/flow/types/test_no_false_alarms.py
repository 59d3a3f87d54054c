"""What the check calls an error is one: whatever a schema takes, no type that was read from it may exclude."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime_core.flow.diagnostics import DiagnosticLog, Level
from runtime_core.flow.parse import check_flow
from runtime_core.flow.paths import NOT_FOUND, walk
from runtime_core.flow.schemas import compile_schema
from runtime_core.flow.types.access import access
from runtime_core.flow.types.check import check_types
from runtime_core.flow.types.fitting import Fitting
from runtime_core.flow.types.schema_reader import read_schema
from runtime_core.flow.types.schema_writer import write_schema
from runtime_core.flow.types.shapes import Type, type_of_value, union, without_kinds
from tests.flow.items import run_item

from .flow_cases import flows
from .house import ECHO, Components, schemas
from .schema_cases import EXAMPLES, PATHS, VALUES, values_with_schemas

pytestmark = pytest.mark.timeout(600)
MANY = settings(max_examples=EXAMPLES, deadline=None)


def fits(one: Any, schema: Any) -> bool:
    return compile_schema(schema).violation(one) is None


@MANY
@given(values_with_schemas())
def test_the_cases_are_what_they_are_meant_to_be(case: tuple[Any, list[Any]]) -> None:
    value, [schema] = case
    assert fits(value, schema)


@MANY
@given(values_with_schemas())
def test_a_value_is_of_every_type_whose_schema_takes_it(case: tuple[Any, list[Any]]) -> None:
    value, [schema] = case
    assert Fitting().misfit(type_of_value(value), read_schema(schema)) is None


@MANY
@given(values_with_schemas(2))
def test_types_that_have_a_value_in_common_fit_each_other(case: tuple[Any, list[Any]]) -> None:
    _, [one, other] = case
    assert Fitting().misfit(read_schema(one), read_schema(other)) is None


@MANY
@given(values_with_schemas(), PATHS)
def test_a_path_that_is_called_impossible_is_found_in_no_value(case: tuple[Any, list[Any]], path: list[str | int]) -> None:
    value, [schema] = case
    for root in (read_schema(schema), type_of_value(value)):
        found = access(root, tuple(path))
        there = walk(value, tuple(path))
        if there is not NOT_FOUND:
            assert found.type.shapes
            assert Fitting().misfit(type_of_value(there), found.type) is None  # type: ignore[arg-type]


@MANY
@given(VALUES, values_with_schemas())
def test_a_literal_that_is_called_a_misfit_violates_the_schema(value: Any, case: tuple[Any, list[Any]]) -> None:
    _, [schema] = case
    if Fitting().misfit(type_of_value(value), read_schema(schema)) is not None:
        assert not fits(value, schema)


@MANY
@given(values_with_schemas(2))
def test_what_is_written_takes_what_was_read(case: tuple[Any, list[Any]]) -> None:
    value, [one, other] = case
    anonymous = Type(read_schema(one).shapes)
    assert fits(value, write_schema(anonymous))
    assert fits(value, write_schema(union([anonymous, read_schema(other)])))
    assert fits(value, write_schema(type_of_value(value)))
    if value is not None:
        assert fits(value, write_schema(without_kinds(read_schema(one), 1)))


@MANY
@given(flows())
def test_an_items_result_is_of_the_inferred_type_of_the_output(case: tuple[dict[str, Any], Any]) -> None:
    flow, value = case
    checked = check_flow(flow).flow
    assert checked is not None
    types = check_types(checked, DiagnosticLog(), Components({"echo": ECHO}))
    ran = run_item(flow, value)
    if ran.outcome == "success":
        assert Fitting().misfit(type_of_value(ran.payload), types.output) is None
        assert fits(ran.payload, write_schema(types.output))
    for step, given_input in ran.calls.items():
        found = types.steps[int(step[1:])].answer
        assert Fitting().misfit(type_of_value(given_input), found) is None


@MANY
@given(values_with_schemas(), st.lists(st.sampled_from(["$.a", "$.b", "$[0]", "$.a.b", "$.a[0]", "$.c"]), min_size=1, max_size=3))
def test_an_item_fails_if_a_path_that_it_needs_is_called_an_error(case: tuple[Any, list[Any]], paths: list[str]) -> None:
    value, [schema] = case
    flow = {"schemas": schemas(input=schema), "output": {f"x{index}": {"$input": path} for index, path in enumerate(paths)}}
    checked = check_flow(flow).flow
    assert checked is not None
    log = DiagnosticLog()
    check_types(checked, log)
    failed = run_item(flow, value).outcome == "failed"
    if any(finding.level is Level.ERROR for finding in log.findings):
        assert failed
