"""The JSON face: the contract's words over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from tests.web.house import DOUBLE, HOLD, holding_plugin, web_house

NOBODY = "0199c4e5-3c11-7000-8000-000000000000"


async def test_a_run_goes_from_its_flow_to_its_results_with_numbers_as_they_were_written(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        flow_id = await house.store({"name": "same", "output": {"$input": "$"}})
        body = b'{"flowId":"%b","inputs":[{"n":9007199254740993},{"n":1.0},{"n":-0},{"n":1e2}],"wait":true}' % flow_id.encode()
        answer = await house.ask("POST", "/v1/runs", content=body)
        assert answer.status_code == 200
        assert [f'"value":{{"n":{number}}}' in answer.text for number in ("9007199254740993", "1.0", "-0", "1e2")] == [True] * 4
        run = answer.json()
        assert run["status"] == "success" and run["items"]["success"] == 4
        later = await house.ask("GET", f"/v1/runs/{run['runId']}?includeResults=true")
        assert later.json()["results"] == run["results"]
        bare = (await house.ask("GET", f"/v1/runs/{run['runId']}")).json()
        assert "results" not in bare and bare["status"] == "success"


async def test_a_repeated_request_id_in_the_header_gets_the_first_run_and_another_request_a_conflict(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        flow_id = await house.store()
        headers = {"idempotency-key": "nightly"}
        body = {"flowId": flow_id, "inputs": [{"n": 1}]}
        first, second = [(await house.ask("POST", "/v1/runs", json=body, headers=headers)).json() for _ in range(2)]
        assert first["runId"] == second["runId"]
        other = await house.ask("POST", "/v1/runs", json={**body, "inputs": [{"n": 2}]}, headers=headers)
        assert (other.status_code, other.json()["error"]["data"]["reason"]) == (409, "IDEMPOTENCY_CONFLICT")
        both = await house.ask("POST", "/v1/runs", json={**body, "requestId": "x"}, headers=headers)
        assert both.json()["error"]["data"]["field"] == "requestId"


async def test_a_wait_ends_with_its_time_and_says_how_the_run_stands(tmp_path: Path) -> None:
    async with web_house(tmp_path, holding_plugin(tmp_path)) as house:
        await house.gateway.wait_plugins(20)
        flow_id = await house.store(HOLD)
        run = await house.submitted(flow_id, [30], wait=True, timeoutSecs=0.1)
        assert run["status"] == "running"
        again = await house.ask("GET", f"/v1/runs/{run['runId']}?wait=true&timeoutSecs=0.1")
        assert again.json()["status"] == "running"
        ended = (await house.ask("POST", f"/v1/runs/{run['runId']}/cancel", json={"reason": "enough"})).json()
        assert ended["cancelReason"] == "enough" and "unconfirmed" in ended


async def test_a_caller_that_leaves_ends_its_wait_and_not_the_run(tmp_path: Path) -> None:
    async with web_house(tmp_path, holding_plugin(tmp_path)) as house:
        flow_id = await house.store(HOLD)
        run = await house.submitted(flow_id, [1.0])
        waiting = asyncio.create_task(house.client.get(f"/v1/runs/{run['runId']}?wait=true"))
        server = house.gateway._server
        assert server is not None
        await until(lambda: server.streams.open_streams == 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await until(lambda: server.streams.open_streams == 0)
        done = await house.ask("GET", f"/v1/runs/{run['runId']}?wait=true")
        assert done.json()["status"] == "success"


async def test_items_and_runs_come_in_pages_and_by_what_is_asked_for(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        flow_id = await house.store()
        runs = [
            await house.submitted(
                flow_id, [{"n": n} for n in range(25)], flowLabel=f"label {n}", metadata={"k": str(n)}, wait=True
            )
            for n in range(3)
        ]
        seen, token = [], ""
        while True:
            page = (await house.ask("GET", f"/v1/runs/{runs[0]['runId']}/items?pageSize=10&pageToken={token}")).json()
            seen += [item["itemIndex"] for item in page["items"]]
            if not (token := page.get("nextPageToken", "")):
                break
        assert seen == list(range(25))
        failed = await house.ask("GET", f"/v1/runs/{runs[0]['runId']}/items?outcome=failed,cancelled")
        assert failed.json() == {"items": []}
        listed = (await house.ask("GET", "/v1/runs?pageSize=2&status=success")).json()
        assert [run["runId"] for run in listed["runs"]] == [runs[2]["runId"], runs[1]["runId"]]
        rest = (await house.ask("GET", f"/v1/runs?pageSize=2&pageToken={listed['nextPageToken']}")).json()
        assert [run["runId"] for run in rest["runs"]] == [runs[0]["runId"]] and "nextPageToken" not in rest
        marked = (await house.ask("GET", "/v1/runs?metadata.k=1")).json()
        assert [run["metadata"] for run in marked["runs"]] == [{"k": "1"}]
        labelled = (await house.ask("GET", "/v1/runs", params={"flowLabel": "label 2"})).json()
        assert [run["runId"] for run in labelled["runs"]] == [runs[2]["runId"]]
        late = (await house.ask("GET", "/v1/runs", params={"createdAfter": "2999-01-01T00:00:00Z"})).json()
        assert late == {"runs": []}


async def test_what_failed_is_run_again_and_a_deleted_run_is_gone(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        flow_id = await house.store({"name": "needs a", "output": {"$input": "$.a"}})
        run = await house.submitted(flow_id, [{"a": 1}, {}], wait=True)
        assert run["status"] == "failed" and run["items"]["failed"] == 1
        again = (await house.ask("POST", f"/v1/runs/{run['runId']}/retry")).json()
        assert again["sourceRunId"] == run["runId"] and again["items"]["total"] == 1
        await house.ask("GET", f"/v1/runs/{again['runId']}?wait=true")
        gone = await house.ask("DELETE", f"/v1/runs/{again['runId']}")
        assert (gone.status_code, gone.content) == (204, b"")
        missing = await house.ask("GET", f"/v1/runs/{again['runId']}")
        assert (missing.status_code, missing.json()["error"]["data"]["reason"]) == (404, "RUN_NOT_FOUND")


async def test_flows_are_stored_from_json_and_yaml_listed_read_and_deleted(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        yaml = b"name: double\noutput: {n: {$input: $.n}}\n"
        from_yaml = await house.ask("POST", "/v1/flows", content=yaml, headers={"content-type": "application/yaml"})
        flow_id = await house.store()
        assert from_yaml.json()["flowId"] == flow_id and from_yaml.json()["flowName"] == "double"
        assert (await house.ask("GET", "/v1/flows")).json()["flows"] == [{"flowId": flow_id, "flowName": "double"}]
        read = (await house.ask("GET", f"/v1/flows/{flow_id}")).json()
        assert (read["flowId"], read["document"]["name"]) == (flow_id, DOUBLE["name"])
        assert isinstance((await house.ask("GET", f"/v1/flows/{flow_id}/variables")).json(), dict)
        bad = await house.ask("POST", "/v1/flows?dryRun=true", json={"steps": [{"id": "a"}]})
        assert bad.status_code == 200 and any(one["level"] == "fatal" for one in bad.json()["diagnostics"])
        refused = await house.ask("POST", "/v1/flows", json={"steps": [{"id": "a"}]})
        assert (refused.status_code, refused.json()["error"]["data"]["reason"]) == (400, "FLOW_INVALID")
        assert (await house.ask("DELETE", f"/v1/flows/{flow_id}")).status_code == 204
        assert (await house.ask("GET", f"/v1/flows/{flow_id}")).status_code == 404


async def test_blobs_are_values_or_bytes_of_any_size(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        put = (await house.ask("POST", "/v1/blobs", content=b'{"data":{"n":1.0,"big":9007199254740993}}')).json()
        got = await house.ask("GET", f"/v1/blobs/{put['blobId']}")
        assert got.text == '{"data":{"n":1.0,"big":9007199254740993},"blob_type":"data"}'
        octets = bytes(range(256)) * 20_000  # 5 MB: more than an answer in JSON holds
        stored = await house.ask("POST", "/v1/blobs", content=octets, headers={"content-type": "application/octet-stream"})
        blob_id = stored.json()["blobId"]
        assert blob_id == "sha256:" + hashlib.sha256(octets).hexdigest()
        read = await house.ask("GET", f"/v1/blobs/{blob_id}/content")
        assert read.content == octets and read.headers["content-type"] == "application/octet-stream"
        refused = (await house.ask("GET", f"/v1/blobs/{blob_id}")).json()
        assert refused["error"]["data"]["reason"] == "QUOTA_EXCEEDED" and "/content" in refused["error"]["message"]
        missing = await house.ask("GET", f"/v1/blobs/{'0' * 64}/content")
        assert (missing.status_code, missing.json()["error"]["data"]["reason"]) == (404, "BLOB_NOT_FOUND")


async def test_components_are_listed_and_found_by_their_paths(tmp_path: Path) -> None:
    async with web_house(tmp_path, holding_plugin(tmp_path)) as house:
        await house.gateway.wait_plugins(10)
        listed = (await house.ask("GET", "/v1/components")).json()
        assert {"/builtin/eval", "/py/hold"} <= {one["path"] for one in listed["components"]}
        assert {one["name"]: one["health"] for one in listed["plugins"]} == {"builtin": "up", "py": "up"}
        one = (await house.ask("GET", "/v1/components/py/hold")).json()
        assert one["component"]["path"] == "/py/hold" and one["component"]["inputSchema"] == {"type": "number"}
        assert one["plugin"]["name"] == "py"
        missing = await house.ask("GET", "/v1/components/py/nothing")
        assert (missing.status_code, missing.json()["error"]["data"]["reason"]) == (404, "COMPONENT_NOT_FOUND")


async def test_namespaces_keep_runs_apart(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        flow_id = await house.store()
        run = await house.submitted(flow_id, [{"n": 1}], wait=True)
        elsewhere = await house.ask("GET", f"/v1/runs/{run['runId']}", headers={"flowspan-namespace": "other"})
        assert (elsewhere.status_code, elsewhere.json()["error"]["data"]["reason"]) == (404, "RUN_NOT_FOUND")


async def test_results_that_do_not_fit_an_answer_are_told_and_paged(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        flow_id = await house.store()
        run = await house.submitted(flow_id, [{"n": "x" * 500_000} for _ in range(10)], wait=True)
        assert "results" not in run and run["resultsOmitted"]["count"] == 10
        seen, after = [], -1
        while len(seen) < 10:
            page = (await house.ask("GET", f"/v1/runs/{run['runId']}?includeResults=true&afterItemIndex={after}&limit=10")).json()
            seen += [item["itemIndex"] for item in page["results"]]
            after = seen[-1]
        assert seen == list(range(10))


async def until(is_so: object) -> None:
    """Until a condition of this process holds; it is looked at in every turn of the loop."""
    assert callable(is_so)
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0)
