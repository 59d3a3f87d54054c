"""Built-in components, the mock plugin and FlowResults: a row each. More of them stands in tests/built_ins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowspan.view.status import ItemResult
from tests.built_ins.gateways import configured, item
from tests.language.house import Ran, failed, flow, language, of, run, step
from tests.language.rows import row

MIB = 1 << 20
INNER = flow(step("i", {"$input": "$"}, skip={"$if": {"$input": "$.skip"}, "then": True}), output=of("i"), name="inner")


async def call(component: str, given: Any, **answers: Any) -> Ran:
    """A built-in with a literal input."""
    document = flow({"id": "b", "component": f"/builtin/{component}", "input": {"$literal": given}}, output=of("b"))
    return await run(document, answers=answers)


@row("builtin.eval", "flowresult.forms")
async def test_eval_runs_a_flow_and_answers_with_its_result_and_the_sub_run_s_own_id() -> None:
    async with language(i=failed("gone", data=b'{"k":1}')) as one:
        flow_id = await one.store(INNER)
        error = {"code": "COMPONENT_FAILED", "message": "gone", "data": {"k": 1}}
        for chosen in ({"flow": INNER}, {"flow_id": flow_id}):
            for given, result in (({"x": 1}, {"outcome": "failed", "error": error}), ({"skip": True}, {"outcome": "skipped"})):
                step_ = {"id": "e", "component": "/builtin/eval", "input": {"$literal": {**chosen, "input": given}}}
                value = (await one.run(flow(step_, output=of("e")), None)).value
                assert value.keys() == {"result", "run_id"}
                assert {key: member for key, member in value["result"].items() if key != "reason"} == result
                child = await one.runtime.get_run(value["run_id"], max_bytes=MIB)
                assert (child.description.flow_id, child.items.total) == (flow_id, 1)


@row("builtin.map", "flowresult.forms")
async def test_map_runs_a_flow_over_items() -> None:
    async with language(i=3) as one:
        inner = INNER | {"steps": [{**INNER["steps"][0], "input": {"$input": "$.a"}}]}
        given = {"workflow": inner, "items": [{"a": 1}, {"skip": True}, {}], "max_concurrency": 1}
        document = flow({"id": "m", "component": "/builtin/map", "input": {"$literal": given}}, output=of("m"))
        value = (await one.run(document, None)).value
        assert [result["outcome"] for result in value["results"]] == ["success", "skipped", "failed"]
        assert value["results"][0] == {"outcome": "success", "value": 3}
        assert value["results"][2]["error"]["message"] == "Input path $.a not found"
        assert (value["successful"], value["failed"]) == (2, 1)
        assert value.keys() == {"results", "successful", "failed"}
        assert one.core.server.most_open == 1


COUNT = flow(
    output={"$if": {"$input": "$.last"}, "then": {"result": {"$input": "$.n"}}, "else": {"next": {"last": True, "n": "done"}}}
)
FOREVER = flow(output={"next": {"again": {"$input": "$"}}})


@row("builtin.iterate")
async def test_iterate_goes_on_from_next_until_there_is_a_result() -> None:
    given = {"flow": COUNT, "initial_input": {"last": False, "n": 0}}
    assert (await call("iterate", given)).value == {"result": "done", "iterations": 2, "terminated": True}


@row("builtin.iterate", "tie.iterate-limit")
async def test_iterate_ends_at_its_limit_with_the_last_next() -> None:
    given = {"flow": FOREVER, "initial_input": 0, "max_iterations": 3}
    nested = {"again": {"again": {"again": 0}}}
    assert (await call("iterate", given)).value == {"result": nested, "iterations": 3, "terminated": False}


@row("builtin.put_blob", "builtin.get_blob")
async def test_a_blob_is_put_and_got() -> None:
    async with language() as one:
        put = {"id": "p", "component": "/builtin/put_blob", "input": {"data": {"$input": "$"}}}
        get = {"id": "g", "component": "/builtin/get_blob", "input": of("p")}
        ran = await one.run(flow(put, get, output=[of("p"), of("g")]), b'{"n":9007199254740993,"f":1.0}')
        blob_id = ran.value[0]["blob_id"]
        assert ran.raw[0].endswith(b'{"data":{"n":9007199254740993,"f":1.0}}]}')
        assert (await one.runtime.get_blob(blob_id)).blob_type == "data"
        as_flow = {"id": "p", "component": "/builtin/put_blob", "input": {"$literal": {"data": INNER, "blob_type": "flow"}}}
        flow_id = (await one.run(flow(as_flow, output=of("p")), None)).value["blob_id"]
        assert (await one.runtime.get_blob(flow_id)).blob_type == "flow"


@row("builtin.create_messages")
async def test_create_messages_makes_messages() -> None:
    user = {"role": "user", "content": "hi"}
    assert (await call("create_messages", {"user_prompt": "hi"})).value == {"messages": [user]}
    both = await call("create_messages", {"system_instructions": "be kind", "user_prompt": "hi"})
    assert both.value == {"messages": [{"role": "system", "content": "be kind"}, user]}


@row("builtin.noop-sleep")
async def test_noop_gives_its_input_and_sleep_its_passthrough() -> None:
    for value in (None, 0, "x", [1.0], {"a": None}):
        assert (await call("noop", value)).value == value
        assert (await call("sleep", {"duration_ms": 1, "passthrough": value})).value == value
    assert (await call("sleep", {"duration_ms": 0})).value is None


CONFIG = """
builtins:
  load_file: { directories: [files] }
plugins:
  played:
    type: mock
    components:
      /answer:
        input_schema: { type: object }
        output_schema: {}
        behaviors:
          '{"n": 1}': { outcome: success, value: { old: 1 } }
          { n: 2 }: { outcome: success, result: { old: 2 } }
          { n: 3 }: { outcome: failed, error: { code: INVALID_INPUT, message: three, data: [3] } }
          { n: 4 }: { outcome: skipped, reason: four }
routes: { /played: played }
"""


async def one_call(directory: Path, component: str, given: Any) -> ItemResult:
    async with configured(directory, CONFIG) as gateway:
        return await item(
            gateway, {"steps": [{"id": "a", "component": component, "input": {"$input": "$"}}], "output": {"$step": "a"}}, given
        )


@pytest.mark.parametrize(
    ("name", "content", "format_", "data"),
    [
        ("a.json", '{"n": 9007199254740993}', None, {"n": 9007199254740993}),
        ("a.yaml", "a: [no, 1]", None, {"a": ["no", 1]}),
        ("a.txt", "text\n", None, "text\n"),
        ("data", "[1]", "json", [1]),
    ],
)
@row("builtin.load_file")
async def test_load_file_reads_what_the_configuration_lets_it(
    tmp_path: Path, name: str, content: str, format_: Any, data: Any
) -> None:
    path = tmp_path / "files" / name
    path.parent.mkdir()
    path.write_text(content)
    result = await one_call(tmp_path, "/builtin/load_file", {"path": name} | ({} if format_ is None else {"format": format_}))
    value = result.value
    assert value["data"] == data
    assert value["metadata"] == {
        "resolved_path": str(path.resolve()),
        "size_bytes": len(content),
        "format": format_ or {"json": "json", "yaml": "yaml", "txt": "text"}[path.suffix[1:]],
    }


@pytest.mark.parametrize("path", ["../secret.json", "/etc/hostname", "nowhere.json", "link.json"])
@row("builtin.load_file")
async def test_load_file_is_confined(tmp_path: Path, path: str) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "secret.json").write_text("1")
    (tmp_path / "files" / "link.json").symlink_to(tmp_path / "secret.json")
    error = (await one_call(tmp_path, "/builtin/load_file", {"path": path})).error
    assert error is not None
    assert error.code == "INVALID_INPUT"


@pytest.mark.parametrize(("n", "payload"), [(1, {"old": 1}), (2, {"old": 2})])
@row("plugin.mock", "flowresult.old-spelling")
async def test_a_mock_answers_by_input_and_reads_the_older_spelling_of_value(tmp_path: Path, n: int, payload: Any) -> None:
    assert (await one_call(tmp_path, "/played/answer", {"n": n})).value == payload


@row("plugin.mock", "flowresult.forms")
async def test_a_mock_fails_and_skips(tmp_path: Path) -> None:
    result = await one_call(tmp_path, "/played/answer", {"n": 3})
    assert result.error is not None
    assert (result.error.code, result.error.message, result.error.data_value) == ("INVALID_INPUT", "three", [3])
    skipped = await one_call(tmp_path, "/played/answer", {"n": 4})
    assert skipped.outcome.name == "SKIPPED"
    assert json.loads(skipped.payload) == {"reason": "four"}


@row("tie.mock-without-behavior")
async def test_a_mock_without_a_matching_behavior_fails_and_names_the_input(tmp_path: Path) -> None:
    error = (await one_call(tmp_path, "/played/answer", {"n": 77})).error
    assert error is not None
    assert error.code == "COMPONENT_FAILED"
    assert '{"n":77}' in error.message
