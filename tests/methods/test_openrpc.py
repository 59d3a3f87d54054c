"""The document says what the code checks."""

from __future__ import annotations

import re

import msgspec
from jsonschema import Draft202012Validator

from gateway.methods.openrpc import openrpc_document
from gateway.methods.table import METHODS


def test_every_method_is_described_with_its_required_params() -> None:
    document = openrpc_document("1.2.3")
    described = {method["name"]: method for method in document["methods"]}
    assert set(described) == set(METHODS)
    submit = {param["name"]: param["required"] for param in described["runs/submit"]["params"]}
    assert {name for name, required in submit.items() if required} == {"flowId", "inputs"}
    assert {"wait", "maxConcurrency", "overrides", "observability"} <= set(submit)


def test_all_references_lead_somewhere_and_all_schemas_are_schemas() -> None:
    document = openrpc_document("1.2.3")
    schemas = document["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/(\w+)"', msgspec.json.encode(document).decode()):
        assert name in schemas
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
