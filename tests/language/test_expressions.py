"""The forms of an expression, their precedence, and what is evaluated at all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.language.house import attempts, failed, findings, flow, kinds, language, of, run, step
from tests.language.rows import row

SKIPPED = {"skip": True}


@row("expression.members")
async def test_objects_and_arrays_without_a_reserved_key_are_resolved_member_by_member() -> None:
    document = flow(step("a", 1), output={"x": [{"$input": "$.n"}, {"y": of("a")}], "step": "a", "$other": 2, "": [[]]})
    assert (await run(document, {"n": 0})).value == {"x": [0, {"y": 1}], "step": "a", "$other": 2, "": [[]]}


FORMS: list[tuple[str, Any]] = [
    ("$literal", "literal"),
    ("$if", True),
    ("$coalesce", ["coalesced"]),
    ("$step", "a"),
    ("$input", "$.n"),
    ("$variable", "v"),
]
VALUES = ["literal", "then", "coalesced", "output of a", "input", "variable"]


@pytest.mark.parametrize("first", range(len(FORMS)))
@row("expression.precedence", "diagnostic.1006")
async def test_of_several_reserved_keys_the_first_in_precedence_counts_and_the_others_are_reported(first: int) -> None:
    keys = FORMS[first:] + ([("then", "then")] if first == 1 else [])
    document = flow(step("a", "output of a"), output=dict(reversed(keys)), variablesSchema={"properties": {"v": {}}})
    ran = await run(document, {"n": "input"}, variables={"v": "variable"})
    assert ran.value == VALUES[first]
    ignored = {f"/output/{name}" for name, _ in FORMS[first + 1 :]}
    assert {path for code, path in kinds(await findings(document)) if code == 1006} == ignored


@row("expression.ignored-keys", "diagnostic.1006")
async def test_an_unknown_key_beside_a_reserved_one_is_a_warning() -> None:
    found = await findings(flow(step("a"), output={"$step": "a", "paht": "$.x"}))
    assert [(one["code"], one["kind"], one["level"], one["path"]) for one in found] == [
        (1006, "ignoredKey", "warning", "/output/paht")
    ]
    assert "'path'" in found[0]["message"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"$from": {"step": "a"}, "path": "x"}, '{"$step":"a","path":"x"}'),
        ({"$from": {"workflow": "input"}, "path": "$.x"}, '{"$input":"$.x"}'),
        ({"$from": {"workflow": "input"}}, '{"$input":"$"}'),
        ({"$from": 1}, "$step"),
    ],
)
@row("expression.old-form", "diagnostic.3004")
async def test_the_old_form_is_fatal_and_the_message_shows_the_new_one(old: Any, new: str) -> None:
    (found,) = await findings(flow(step("a", mustExecute=True), output={"deep": [old]}))
    assert (found["level"], found["code"], found["path"]) == ("fatal", 3004, "/output/deep/0")
    assert new in found["message"]


@row("expression.step")
async def test_step_is_the_output_of_an_earlier_step() -> None:
    document = flow(step("a", {"x": [1, 2]}), step("b", of("a", "$.x[1]")), output=[of("a"), of("b"), of("a", "x")])
    assert (await run(document)).value == [{"x": [1, 2]}, 2, [1, 2]]


@pytest.mark.parametrize(
    ("document", "code", "kind"),
    [
        (flow(step("a", of("a")), output=of("a")), 3002, "selfReference"),
        (flow(step("a", of("b")), step("b"), output=of("a")), 3003, "undefinedStepReference"),
        (flow(step("a", of("nowhere")), output=of("a")), 3003, "undefinedStepReference"),
    ],
)
@row("expression.step", "diagnostic.3002", "diagnostic.3003")
async def test_a_reference_to_a_later_an_unknown_or_the_own_step_is_fatal(document: Any, code: int, kind: str) -> None:
    (found,) = await findings(document)
    assert (found["code"], found["kind"], found["level"], found["path"]) == (code, kind, "fatal", "/steps/0/input/$step")


@row("expression.step.onSkip", "skip.caught")
async def test_on_skip_gives_a_default_that_is_an_expression_or_skips() -> None:
    default = {"action": "useDefault", "defaultValue": {"was": {"$input": "$.n"}}}
    document = flow(step("a", **SKIPPED), output=of("a", onSkip=default))
    assert (await run(document, {"n": 3})).value == {"was": 3}
    assert (await run(flow(step("a", **SKIPPED), output=of("a", onSkip={"action": "useDefault"})))).value is None
    assert (await run(flow(step("a", **SKIPPED), output=of("a", onSkip={"action": "skip"})))).result["outcome"] == "skipped"


@row("expression.input")
async def test_input_is_the_item_s_input_and_dollar_the_whole() -> None:
    document = flow(output=[{"$input": "$"}, {"$input": "$.a[0]"}, {"$input": "a"}])
    assert (await run(document, {"a": [7]})).value == [{"a": [7]}, 7, [7]]


@row("expression.variable")
async def test_the_first_element_of_a_variable_s_path_is_its_name() -> None:
    schema = {"properties": {"v": {"default": {"x": [1, 2]}}, "a.b": {"default": "dotted"}}}
    output = [{"$variable": "v"}, {"$variable": "$.v.x[1]"}, {"$variable": "$['a.b']"}, {"$variable": "a.b"}]
    assert (await run(flow(output=output, variablesSchema=schema))).value == [{"x": [1, 2]}, 2, "dotted", "dotted"]


@row("expression.literal")
async def test_a_literal_is_verbatim() -> None:
    inner = {"$step": "nowhere", "deep": [{"$input": "["}, {"$from": 1}, {"$if": 1}]}
    document = flow(output={"$literal": inner})
    assert await findings(document) == []
    assert (await run(document)).value == inner


@row("expression.literal")
async def test_a_literal_is_how_a_flow_is_embedded_in_a_flow() -> None:
    inner = flow(step("i", {"$input": "$"}), output=of("i"))
    document = flow({"id": "e", "component": "/builtin/eval", "input": {"flow": {"$literal": inner}, "input": 5}}, output=of("e"))
    assert (await run(document)).value["result"] == {"outcome": "success", "value": 5}


@pytest.mark.parametrize("condition", [None, False])
@row("expression.if")
async def test_null_and_false_are_falsy(condition: Any) -> None:
    assert (await run(flow(output={"$if": {"$input": "$"}, "then": 1, "else": 2}), condition)).value == 2


@pytest.mark.parametrize("condition", [0, "", [], {}, 0.0, "false", True, "null"])
@row("expression.if")
async def test_zero_and_empty_values_are_truthy(condition: Any) -> None:
    assert (await run(flow(output={"$if": {"$input": "$"}, "then": 1, "else": 2}), condition)).value == 1
    assert (await run(flow(output={"$if": condition, "then": 1, "else": 2}))).value == 1


@row("expression.if")
async def test_a_failed_and_a_skipped_condition_are_falsy() -> None:
    for condition in (of("broken"), of("skipped"), {"$input": "$.nowhere"}, {"$variable": "none"}):
        document = flow(step("broken"), step("skipped", **SKIPPED), output={"$if": condition, "then": 1, "else": 2})
        assert (await run(document, {}, answers={"broken": failed()})).value == 2


@row("expression.if")
async def test_without_else_the_value_is_null() -> None:
    assert (await run(flow(output={"$if": False, "then": 1}))).raw == (b'{"outcome":"success","value":null}',)


@row("expression.coalesce")
async def test_coalesce_is_the_first_value_that_is_neither_null_nor_skipped() -> None:
    document = flow(step("s", **SKIPPED), step("n"), output={"$coalesce": [of("s"), of("n"), {"$input": "$.x"}, "last"]})
    ran = await run(document, {"x": None}, {"x": 0}, {"x": False})
    assert [result["value"] for result in ran.results] == ["last", 0, False]
    for elements in ([], [None, None], [None, of("s")]):
        assert (await run(flow(step("s", **SKIPPED), output={"$coalesce": elements}))).value is None


@row("expression.coalesce")
async def test_a_failed_element_fails_coalesce_at_once() -> None:
    document = flow(step("bad"), step("later"), output={"$coalesce": [None, of("bad"), of("later")]})
    ran = await run(document, answers={"bad": failed("gone")})
    assert (ran.error["message"], ran.steps) == ("gone", ["bad"])


@row("tie.coalesce-skipped")
async def test_coalesce_of_only_skipped_members_is_skipped() -> None:
    document = flow(step("s", **SKIPPED), step("t", **SKIPPED), output={"$coalesce": [of("s"), of("t")]})
    assert (await run(document)).result["outcome"] == "skipped"


@row("lazy.branches")
async def test_only_the_taken_branch_is_evaluated() -> None:
    document = flow(
        step("yes", 1), step("no", 2), output={"$if": {"$input": "$.c"}, "then": of("yes"), "else": [of("no"), {"$input": "$.c"}]}
    )
    ran = await run(document, {"c": True}, {"c": False})
    assert [result["value"] for result in ran.results] == [1, [2, False]]
    assert sorted((called.item, called.step) for called in ran.calls) == [(0, "yes"), (1, "no")]
    assert (await run(flow(output={"$if": True, "then": 1, "else": {"$input": "$.nowhere"}}), {})).value == 1


@row("lazy.branches")
async def test_of_coalesce_only_as_many_elements_are_evaluated_as_it_takes() -> None:
    document = flow(step("a", 1), step("b"), output={"$coalesce": [of("a"), of("b"), {"$input": "$.nowhere"}]})
    ran = await run(document, {})
    assert (ran.value, ran.steps) == (1, ["a"])


@row("lazy.late")
async def test_a_step_that_becomes_needed_late_runs_then_with_all_it_needs() -> None:
    late = {"$if": of("c"), "then": of("b2")}
    document = flow(step("a", 1), step("b1", of("a")), step("b2", [of("b1")]), step("c", True), step("d", late), output=of("d"))
    ran = await run(document)
    assert (ran.value, ran.steps) == ([1], ["c", "a", "b1", "b2", "d"])


@row("lazy.late")
async def test_a_late_step_that_fails_fails_only_who_needs_it() -> None:
    document = flow(
        step("a"),
        step("d", {"$if": {"$input": "$.c"}, "then": of("a")}, onError={"action": "useDefault", "defaultValue": "d"}),
        step("e", "e"),
        output={"d": {"$if": of("d"), "then": 1, "else": 2}, "e": of("e")},
    )
    assert (await run(document, {"c": True}, answers={"a": failed()})).value == {"d": 2, "e": "e"}
    async with language(a=attempts(failed(), "never")) as one:
        ran = await one.run(document, {"c": False})
        assert (ran.value, ran.steps) == ({"d": 2, "e": "e"}, ["d", "e"])
