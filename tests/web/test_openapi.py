"""The OpenAPI document says what is served, and answers are as it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.web.openapi import openapi_document
from gateway.web.operations import OPERATIONS
from tests.web.house import web_house

DOCUMENT = openapi_document()


def shape(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}


def test_every_operation_is_described_once() -> None:
    described = {
        (method.upper(), path): operation["operationId"]
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
    }
    assert described == {(one.method, one.path.replace("...", "")): one.name for one in OPERATIONS}


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    for place in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        found: Any = DOCUMENT
        for part in place.split("/"):
            found = found[part]


def test_parameters_in_paths_are_described_and_tokens_of_executions_are_headers() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            parameters = operation.get("parameters", [])
            assert {one["name"] for one in parameters if one["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
            assert not {"taskToken", "observability"} & {one["name"] for one in parameters}


@pytest.mark.parametrize("schema", sorted(DOCUMENT["components"]["schemas"]))
def test_every_shape_is_a_json_schema(schema: str) -> None:
    jsonschema.Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][schema])


async def test_the_document_is_served_as_it_is_committed(tmp_path: Path) -> None:
    committed = Path(__file__).parents[2] / "docs" / "protocol" / "openapi.json"
    async with web_house(tmp_path) as house:
        assert (await house.ask("GET", "/v1/openapi.json")).content == committed.read_bytes()


async def test_answers_have_the_shapes_that_the_document_gives_them(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        flow_id = await house.store()
        run = await house.submitted(flow_id, [{"n": 1}, 7], wait=True, metadata={"k": "v"}, itemLabels=["a", "b"])
        blob = await house.ask("POST", "/v1/blobs", json={"data": 1})
        paths = {
            f"/v1/runs/{run['runId']}?includeResults=true": "RunStatus",
            "/v1/runs": "RunPage",
            f"/v1/runs/{run['runId']}/items": "ItemPage",
            "/v1/flows": "FlowPage",
            f"/v1/flows/{flow_id}": "Flow",
            f"/v1/flows/{flow_id}/variables": "JsonSchema",
            f"/v1/blobs/{blob.json()['blobId']}": "Blob",
            "/v1/components": "ComponentList",
            "/v1/components/builtin/eval": "ComponentAnswer",
            "/v1/runs/x": "Failure",
        }
        for path, name in paths.items():
            answer = (await house.ask("GET", path)).json()
            jsonschema.validate(answer, shape(name), cls=jsonschema.Draft202012Validator)
        jsonschema.validate(run, shape("RunStatus"), cls=jsonschema.Draft202012Validator)
        jsonschema.validate(blob.json(), shape("BlobId"), cls=jsonschema.Draft202012Validator)
