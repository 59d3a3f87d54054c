"""What the published schema says of a flow's `test` is what `flowspan test` says."""

from __future__ import annotations

import json
from typing import Any, Final

import jsonschema
import pytest

from gateway.authoring.flow_tests.cases import FlowTestsError, read_tests
from runtime_core.flow.source import read_document
from tests.docs.pages import ROOT

SCHEMA: Final = jsonschema.Draft202012Validator(json.loads((ROOT / "docs" / "flow.schema.json").read_text(encoding="utf-8")))


def case(**fields: Any) -> dict[str, Any]:
    return {"cases": [{"name": "a", "input": None, **fields}]}


TESTS: Final[list[tuple[Any, bool]]] = [
    (None, True),
    ({"cases": []}, True),
    ({}, False),
    ({"cases": None}, False),
    ({"cases": {}}, False),
    ({"cases": ["a"]}, False),
    ({"cases": [{"name": "a"}]}, False),
    ({"cases": [{"input": 1}]}, False),
    ({**case(), "config": {"plugins": {}}, "configFile": None, "variables": {"k": 1}}, True),
    ({**case(), "config": {}, "configFile": "f.yml"}, False),
    ({**case(), "config": "f.yml"}, False),
    ({**case(), "configFile": {}}, False),
    ({**case(), "variables": []}, False),
    ({**case(), "x-note": 1, "schema": 2}, True),
    ({**case(), "case": []}, False),
    ([], False),
    ({**case(), "configFile": "f.yml", "config": None, "$schema": 1}, True),
    (case(**{"x-why": 1, "schema": 2, "$schema": 3}), True),
    (case(output={"outcome": "failed", "error": {"message": 5}}), False),
    (case(output={}), False),
    (case(description="d"), True),
    (case(description=1), False),
    (case(name=""), False),
    (case(name="  "), False),
    (case(name=1), False),
    (case(outputs=1), False),
    (case(output=None), True),
    (case(output={"outcome": "success"}), True),
    (case(output={"outcome": "success", "value": {"$from": 1}}), True),
    (case(output={"outcome": "success", "result": [1]}), True),
    (case(output={"outcome": "success", "value": 1, "result": 1}), False),
    (case(output={"outcome": "success", "error": {}}), False),
    (case(output={"outcome": "failed", "error": {"code": "TIMEOUT", "message": "m", "data": [1]}}), True),
    (case(output={"outcome": "failed", "error": None}), True),
    (case(output={"outcome": "failed", "error": {"code": 5}}), False),
    (case(output={"outcome": "failed", "error": {"cod": "TIMEOUT"}}), False),
    (case(output={"outcome": "failed", "error": "TIMEOUT"}), False),
    (case(output={"outcome": "failed", "value": 1}), False),
    (case(output={"outcome": "skipped", "reason": "r"}), True),
    (case(output={"outcome": "skipped", "reason": 1}), False),
    (case(output={"outcome": "skipped", "x-note": 1}), False),
    (case(output={"outcome": "done"}), False),
    (case(output={"value": 1}), False),
    (case(output=[1]), False),
]


@pytest.mark.parametrize(("test", "is_right"), TESTS, ids=str)
def test_both_say_the_same(test: Any, is_right: bool) -> None:
    document = {"name": "n", "test": test}
    assert SCHEMA.is_valid(document) is is_right
    if is_right:
        read_tests(read_document(json.dumps(document).encode()), "flow.json")
    else:
        with pytest.raises(FlowTestsError):
            read_tests(read_document(json.dumps(document).encode()), "flow.json")
