"""The page's request examples, as printed and as raw bytes over the pipe, are answered as its response examples show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.contract.raw import CHILD_NAME, Asking, Message, as_line, examples, open_execution
from tests.contract.requirements import requirement
from tests.contract.shapes import check_status, same_members, time_of

OUTPUTS: Final = {"process": {"processed": True}, "analyze": {"analyzed": True}}


async def _serve_example(a: Asking) -> list[Message]:
    """Execute the two items of the example as its response says."""
    executes = [await a.next_execute() for _ in range(2)]
    for execute in executes:
        await a.output(execute, OUTPUTS[execute["params"]["input"]["action"]])
    return executes


def _check_response(printed: str, answer: Message, flow_id: str) -> None:
    example: Any = json.loads(printed)
    same_members(example, answer)
    assert answer["id"] == example["id"]
    assert answer["jsonrpc"] == "2.0"
    result, expected = check_status(answer["result"]), example["result"]
    assert result["flowId"] == flow_id
    for member in ("flowName", "status", "items"):
        assert result[member] == expected[member]
    for item, like in zip(result["results"], expected["results"], strict=True):
        assert (item["itemIndex"], item["result"]) == (like["itemIndex"], like["result"])
    assert time_of(result["completedAt"]) == max(time_of(item["completedAt"]) for item in result["results"])


@requirement("submit.example.request", "submit.example.response", "overview.submit", "status.extra-members")
async def test_the_submit_example_is_answered_as_the_page_shows(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        flow_id = await a.child_flow()
        await a.peer.send(as_line(examples()["submit-request"], flow_id=flow_id))
        executes = await _serve_example(a)
        assert [one["params"]["input"]["user_id"] for one in executes] == ["user1", "user2"]
        answer = await a.answer_of("submit-run-001")
        _check_response(examples()["submit-response"], answer, flow_id)
        assert answer["result"]["flowName"] == CHILD_NAME


@requirement("get.example.request", "get.example.response", "overview.get", "get.purpose", "status.extra-members")
async def test_the_get_example_is_answered_as_the_page_shows(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        flow_id = await a.child_flow()
        submit = json.loads(examples()["submit-request"])["params"]
        run = await a.ask("runs/submit", {**submit, "flowId": flow_id, "wait": False})
        await a.peer.send(as_line(examples()["get-request"], run_id=run["runId"]))
        await _serve_example(a)
        answer = await a.answer_of("get-run-001")
        _check_response(examples()["get-response"], answer, flow_id)
        assert answer["result"]["runId"] == run["runId"]
        # Asked again once the run has ended, the same bytes get the same answer.
        await a.peer.send(as_line(examples()["get-request"], run_id=run["runId"]))
        assert await a.answer_of("get-run-001") == answer


@requirement("submit.name", "get.name", "submit.response", "get.response")
async def test_each_request_gets_one_response_and_other_names_none_of_these(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        params = {"flowId": await a.child_flow(), "inputs": []}
        for name in ("runs/Submit", "runs_submit", "runs/submit ", "submit", "runs/gets"):
            assert (await a.refused(name, params))["code"] == -32601
        ids: list[Any] = [0, 1, -7, 2**53, "", "submit-run-001", "ünï", "1"]
        for request_id in ids:
            message = {"jsonrpc": "2.0", "id": request_id, "method": "runs/submit", "params": params}
            await a.peer.send_message(message)
            answer = await a.peer.receive()
            assert answer.keys() == {"jsonrpc", "id", "result"}
            assert (answer["id"], type(answer["id"])) == (request_id, type(request_id))
            message |= {"method": "runs/get", "params": {"runId": answer["result"]["runId"]}}
            await a.peer.send_message(message)
            answer = await a.peer.receive()
            assert answer.keys() == {"jsonrpc", "id", "result"}
            assert (answer["id"], type(answer["id"])) == (request_id, type(request_id))
