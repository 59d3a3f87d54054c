"""Reference pages that are made from the code are what the code says now, and the examples fit them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from flowspan.errors import ERROR_TABLE, HTTP_STATUS, Reason
from gateway.methods.table import METHODS
from tests.contract.raw import examples
from tests.contract.shapes import EXTRA_ITEM_KEYS, EXTRA_RUN_STATUS_KEYS, OPTIONAL_RUN_STATUS_KEYS, RUN_STATUS_KEYS

DOCS = Path(__file__).parents[2] / "docs"


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _openrpc() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DOCS / "protocol" / "openrpc.json").read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("name", sorted(_generator().PAGES))
def test_a_page_is_what_its_source_says(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == _generator().PAGES[name](), "run make docs and commit what it changes"


def test_the_error_page_has_every_reason_with_its_codes() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    for reason in Reason:
        row = ERROR_TABLE[reason]
        assert f"| `{reason.value}` | {row.jsonrpc} | `{row.grpc.value}` | {HTTP_STATUS[row.grpc]} | `{row.flow.value}` |" in page


def test_the_document_describes_every_method_that_is_served() -> None:
    document = _openrpc()
    assert [method["name"] for method in document["methods"]] == list(METHODS)
    for method in document["methods"]:
        required = [param["required"] for param in method["params"]]
        assert required == sorted(required, reverse=True)
        assert method["result"]["schema"]["$ref"].rpartition("/")[2] in document["components"]["schemas"]


@pytest.mark.parametrize("name", ["submit", "get"])
def test_the_examples_of_the_contract_fit_the_document(name: str) -> None:
    document = _openrpc()
    (method,) = (one for one in document["methods"] if one["name"] == f"runs/{name}")
    params = {
        "type": "object",
        "properties": {param["name"]: param["schema"] for param in method["params"]},
        "required": [param["name"] for param in method["params"] if param["required"]],
        "additionalProperties": False,
        "components": document["components"],
    }
    printed = examples()
    jsonschema.validate(json.loads(printed[f"{name}-request"])["params"], params)
    result = {**method["result"]["schema"], "components": document["components"]}
    jsonschema.validate(json.loads(printed[f"{name}-response"])["result"], result)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({}, params)


def test_the_document_and_the_written_list_name_the_same_further_members() -> None:
    schemas = _openrpc()["components"]["schemas"]
    described = set(schemas["RunStatus"]["properties"])
    # `unconfirmed` comes with the answer to runs/cancel only.
    assert described - {"unconfirmed"} == {*RUN_STATUS_KEYS, *OPTIONAL_RUN_STATUS_KEYS, *EXTRA_RUN_STATUS_KEYS}
    assert set(schemas["ItemResult"]["properties"]) == {"itemIndex", "result", "completedAt", *EXTRA_ITEM_KEYS}
