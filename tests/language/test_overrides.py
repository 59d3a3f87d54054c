"""Overrides: patches of steps for one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowspan.errors import InvalidArgumentError, Reason
from flowspan.view.events import RunStatusCode
from runtime_core.stores.sqlite import SqliteStore
from tests.language.house import OPEN, failed, flow, language, of, run, step
from tests.language.rows import row

DOCUMENT = flow(step("a", {"x": 1, "y": {"z": [1, 2]}}), output=of("a"))
FORMS = [
    {"steps": {"a": {"value": {"input": {"x": 2}}}}},
    {"a": {"value": {"input": {"x": 2}}}},
    {"steps": {"a": {"$type": "merge_patch", "value": {"input": {"x": 2}}}}},
    {"a": {"$type": "json_patch", "value": [{"op": "replace", "path": "/input/x", "value": 2}]}},
]


@pytest.mark.parametrize("overrides", FORMS)
@row("overrides.forms")
async def test_all_forms_of_an_override_mean_the_same(overrides: Any) -> None:
    assert (await run(DOCUMENT, overrides=overrides)).value == {"x": 2, "y": {"z": [1, 2]}}


@pytest.mark.parametrize(
    ("patch", "value"),
    [
        ({"input": {"y": None}}, {"x": 1}),
        ({"input": {"y": {"z": [3], "new": {"k": 1, "n": None}}}}, {"x": 1, "y": {"z": [3], "new": {"k": 1}}}),
        ({"input": [None]}, [None]),
        ({"input": None}, None),
    ],
)
@row("overrides.rfcs")
async def test_a_merge_patch_is_that_of_rfc_7396(patch: Any, value: Any) -> None:
    assert (await run(DOCUMENT, overrides={"a": {"value": patch}})).value == value


@pytest.mark.parametrize(
    ("patch", "value"),
    [
        ([{"op": "add", "path": "/input/y/z/-", "value": 3}], {"x": 1, "y": {"z": [1, 2, 3]}}),
        ([{"op": "add", "path": "/input/y/z/0", "value": 0}], {"x": 1, "y": {"z": [0, 1, 2]}}),
        ([{"op": "remove", "path": "/input/y"}], {"x": 1}),
        ([{"op": "move", "from": "/input/x", "path": "/input/w"}], {"w": 1, "y": {"z": [1, 2]}}),
        ([{"op": "copy", "from": "/input/y/z/1", "path": "/input/x"}], {"x": 2, "y": {"z": [1, 2]}}),
        ([{"op": "test", "path": "/input/x", "value": 1}, {"op": "replace", "path": "/input", "value": None}], None),
        ([{"op": "add", "path": "/input/a~1b~0c", "value": 1}, {"op": "remove", "path": "/input/y"}], {"x": 1, "a/b~c": 1}),
    ],
)
@row("overrides.rfcs")
async def test_a_json_patch_is_that_of_rfc_6902(patch: Any, value: Any) -> None:
    assert (await run(DOCUMENT, overrides={"a": {"$type": "json_patch", "value": patch}})).value == value


FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"component": "/builtin/noop"}, {"outcome": "success", "value": 1}),
    ({"input": {"$input": "$"}, "component": "/builtin/noop"}, {"outcome": "success", "value": "in"}),
    ({"onError": {"action": "useDefault", "defaultValue": 5}}, {"outcome": "success", "value": 5}),
    ({"on_error": {"action": "useDefault", "defaultValue": 6}}, {"outcome": "success", "value": 6}),
]


@pytest.mark.parametrize(("patch", "result"), FIELDS)
@row("overrides.any-field")
async def test_any_field_but_the_id_can_be_patched(patch: Any, result: Any) -> None:
    document = flow(step("a", 1, onError={"action": "fail"}), output=of("a"))
    assert (await run(document, "in", overrides={"a": {"value": patch}}, answers={"a": failed()})).result == result


@row("overrides.any-field")
async def test_skip_must_execute_timeout_and_retry_can_be_patched() -> None:
    document = flow(step("a", 1), output=2)
    assert (await run(document, overrides={"a": {"value": {"mustExecute": True}}})).steps == ["a"]
    patch = {"mustExecute": True, "timeout": 0.02, "retry": {"maxRetries": 0}}
    timed = await run(document, overrides={"a": {"value": patch}}, answers={"a": OPEN})
    assert (timed.error["code"], timed.steps) == ("TIMEOUT", ["a"])
    skipped = await run(flow(step("a", 1), output=of("a")), overrides={"a": {"value": {"skip": True}}})
    assert skipped.result["outcome"] == "skipped"


@row("overrides.copy")
async def test_overrides_are_applied_to_a_copy_for_that_run_alone() -> None:
    async with language() as one:
        patched = await one.run(DOCUMENT, None, overrides={"a": {"value": {"input": 7}}})
        plain = await one.run(DOCUMENT, None)
        assert (patched.value, plain.value) == (7, {"x": 1, "y": {"z": [1, 2]}})
        assert patched.status.description.flow_id == plain.status.description.flow_id
        stored = await one.runtime.get_flow(plain.status.description.flow_id)
        assert json.loads(stored.document) == DOCUMENT


@row("overrides.recovery")
async def test_overrides_are_kept_with_the_run_and_applied_again_on_recovery(tmp_path: Path) -> None:
    document = flow(step("a", 1), step("b", of("a")), output=of("b"))
    async with language(store=SqliteStore(tmp_path), b=OPEN) as one:
        status = await one.submit(document, None, overrides={"steps": {"a": {"value": {"input": "patched"}}}})
        await one.core.wait_until(lambda: any(called.step == "b" for called in one.calls))
    async with language(store=SqliteStore(tmp_path)) as after:
        ran = await after.ended(status)
        assert ran.value == "patched"
        assert ran.status.status is RunStatusCode.SUCCESS


BAD: list[Any] = [
    {"steps": {"nowhere": {"value": {"input": 1}}}},
    {"nowhere": {"value": {"input": 1}}},
    {"a": {"value": {"id": "b"}}},
    {"a": {"value": {"id": "a"}}},
    {"a": {"$type": "json_patch", "value": [{"op": "replace", "path": "/id", "value": "b"}]}},
    {"a": {"$type": "json_patch", "value": [{"op": "test", "path": "/input/x", "value": 2}]}},
    {"a": {"$type": "json_patch", "value": [{"op": "remove", "path": "/nothing/there"}]}},
    {"a": {"$type": "json_patch", "value": {"input": 1}}},
    {"a": {"$type": "xml_patch", "value": {}}},
    {"a": {"input": 1}},
    {"a": {"value": {"input": {"$step": "a"}}}},
    {"a": {"value": {"input": {"$input": "$.*"}}}},
    {"a": {"value": {"component": None}}},
    {"a": {"value": {"timeout": "soon"}}},
    {"a": {"value": {"__proto__": {}}}},
    {"a": None},
    {"steps": [1]},
    [1],
]


@pytest.mark.parametrize("overrides", BAD, ids=json.dumps)
@row("overrides.refused", "overrides.refused.no-run")
async def test_an_unknown_step_or_a_bad_patch_is_refused_and_leaves_no_run(overrides: Any) -> None:
    async with language() as one:
        error = await one.refusal(DOCUMENT, None, overrides=overrides)
        assert isinstance(error, InvalidArgumentError)
        assert error.reason is Reason.INVALID_ARGUMENT
        assert one.calls == []
