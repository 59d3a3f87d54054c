"""The types of generated flows against what the naive evaluator of the language makes of them (tests/differential)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from runtime_core.flow.diagnostics import DiagnosticLog
from runtime_core.flow.parse import check_flow
from runtime_core.flow.schemas import compile_schema
from runtime_core.flow.types.check import check_types
from runtime_core.flow.types.components import UNKNOWN_COMPONENT, ComponentTypes, Knowledge, NoRoute
from runtime_core.flow.types.conclusions import conclude
from runtime_core.flow.types.fitting import Fitting
from runtime_core.flow.types.schema_writer import write_schema
from runtime_core.flow.types.shapes import type_of_value
from tests.differential.cases import NOOP, PLUGIN, Behaviour, Case, expected_of
from tests.differential.generators import cases
from tests.differential.patches import overridden
from tests.differential.reference import Ok

from .schema_cases import EXAMPLES

WRAPPED = {
    "type": "object",
    "properties": {"got": {}, "a.b": {"type": "array", "minItems": 3, "maxItems": 3}},
    "required": ["got", "a.b"],
    "additionalProperties": False,
}


class Played:
    """What is known of the components that a case plays."""

    def __init__(self, behaviours: dict[str, Behaviour]) -> None:
        self._behaviours = behaviours

    def look_up(self, path: str) -> Knowledge:
        if path == NOOP:
            return ComponentTypes(echoes=(), never_skips=True)
        if not path.startswith(PLUGIN):
            return NoRoute("no route")
        behaviour = self._behaviours.get(path.removeprefix(PLUGIN))
        if behaviour is None:
            return UNKNOWN_COMPONENT
        if behaviour.then == "constant":
            return ComponentTypes(output_schema={"const": behaviour.value})
        return ComponentTypes(echoes=()) if behaviour.then == "echo" else ComponentTypes(output_schema=WRAPPED)


@pytest.mark.timeout(600)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_every_result_of_the_reference_is_of_the_type_that_was_inferred(case: Case) -> None:
    expected = expected_of(case)
    if expected.refused is not None:
        return
    flow = check_flow(overridden(case.flow, case.overrides)).flow
    assert flow is not None
    played = Played(case.behaviours)
    types = check_types(flow, DiagnosticLog(), played)
    concluded = conclude(flow, played)
    index_of = {step.id: index for index, step in enumerate(flow.steps)}
    for item, given_input in zip(expected.items, case.inputs, strict=True):
        for step_id, execution in item.may.items():
            index = index_of[step_id]
            if played.look_up(flow.steps[index].component) == ComponentTypes(echoes=()):
                assert_is_of(execution.input, types.steps[index].answer)
        if isinstance(item.outcome, Ok):
            assert_is_of(item.outcome.value, types.output)
            assert takes(write_schema(types.output), item.outcome.value)
            assert concluded.input is None or takes(concluded.input, given_input)


def assert_is_of(value: Any, one: Any) -> None:
    assert Fitting().misfit(type_of_value(value), one) is None


def takes(schema: Any, value: Any) -> bool:
    return compile_schema(schema).violation(value) is None
