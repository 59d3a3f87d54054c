"""Overrides: patches to the steps of a flow, applied to a copy when a run is submitted, and again when it is recovered.

Form: `{"steps": {"<id>": {"$type"?: "merge_patch" | "json_patch", "value": ...}}}`, or the same without the `steps` wrapper.
A merge patch is RFC 7396, a JSON patch RFC 6902, both against the step. Any field but `id` can be patched.
"""

from __future__ import annotations

from typing import Final

from flowspan.errors import InvalidArgumentError
from runtime_core.flow.json_patch import JsonPatchError, apply_json_patch
from runtime_core.model.json_value import MAX_JSON_DEPTH, JsonObject, JsonValue, depth_of

_PATCH_KEYS: Final = frozenset(("$type", "value"))
_FORBIDDEN_KEY: Final = "__proto__"
_ALIASES: Final = (("skip", "skipIf"), ("onError", "on_error"))


def apply_overrides(flow: JsonObject, overrides: JsonValue) -> JsonObject:
    """The flow with its steps patched; `flow` itself is not changed, and is returned if there is nothing to patch.

    Raises:
        InvalidArgumentError: an unknown step, a patch of the wrong form, a patched `id`, a `__proto__`.
    """
    if type(overrides) is not dict:
        raise _refusal("overrides are an object of the form {steps: {<step id>: {value: <patch>}}}")
    if depth_of(overrides) > MAX_JSON_DEPTH:
        raise _refusal(f"overrides nest deeper than {MAX_JSON_DEPTH}")
    steps = flow.get("steps")
    listed: list[JsonValue] = steps if type(steps) is list else []
    positions: dict[str, int] = {}
    for index, step in enumerate(listed):
        if type(step) is dict and type(step_id := step.get("id")) is str:
            positions[step_id] = index
    patches = _without_wrapper(overrides, positions)
    if not patches:
        return flow
    patched = list(listed)
    for name, patch in patches.items():
        if name not in positions:
            raise _refusal(f"overrides name step {name!r}, which the flow does not have", name)
        index = positions[name]
        patched[index] = _patched_step(name, patched[index], patch)
    result: JsonObject = flow | {"steps": patched}
    if depth_of(result) > MAX_JSON_DEPTH:
        raise _refusal(f"the flow with its overrides nests deeper than {MAX_JSON_DEPTH}")
    return result


def merge_patch(target: JsonValue, patch: JsonValue) -> JsonValue:
    """RFC 7396: objects are merged, null removes, anything else replaces. Neither argument is changed."""
    if type(patch) is not dict:
        return patch
    merged: JsonObject = dict(target) if type(target) is dict else {}
    for key, member in patch.items():
        if member is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), member)
    return merged


def _without_wrapper(overrides: JsonObject, positions: dict[str, int]) -> JsonObject:
    """The patches by step id. A step that is itself called `steps` is meant where its entry looks like a patch, unless the
    whole may be the documented form: then `value` is a step."""
    wrapped = overrides.get("steps")
    if "steps" not in overrides:
        return overrides
    if "steps" in positions and type(wrapped) is dict and wrapped.keys() <= _PATCH_KEYS and "value" in wrapped:
        is_documented_form = len(overrides) == 1 and wrapped.keys() <= positions.keys()
        return wrapped if is_documented_form else overrides
    if type(wrapped) is not dict:
        raise _refusal("overrides.steps is an object of patches by step id")
    others = [key for key in overrides if key != "steps"]
    if others:
        raise _refusal(f"overrides have {others[0]!r} beside 'steps'; patches by step id belong inside 'steps'")
    return wrapped


def _patched_step(step_id: str, step: JsonValue, patch: JsonValue) -> JsonValue:
    if type(patch) is not dict or not patch.keys() <= _PATCH_KEYS or "value" not in patch:
        raise _refusal(
            f'the override of step {step_id!r} is not of the form {{"$type"?: "merge_patch", "value": {{...}}}}', step_id
        )
    if _holds_forbidden_key(patch):
        raise _refusal(f"the override of step {step_id!r} holds the key {_FORBIDDEN_KEY!r}", step_id)
    kind, value = patch.get("$type"), patch["value"]
    if type(step) is not dict:
        raise _refusal(f"step {step_id!r} is not an object", step_id)
    result: JsonValue
    if kind is None or kind == "merge_patch":
        if type(value) is not dict:
            raise _refusal(f"the merge patch of step {step_id!r} is not an object", step_id)
        result = merge_patch(_respelled(step, value), value)
    elif kind == "json_patch":
        try:
            result = apply_json_patch(step, value)
        except JsonPatchError as error:
            raise _refusal(f"the JSON patch of step {step_id!r} does not apply: {error}", step_id) from error
    else:
        raise _refusal(
            f"the override of step {step_id!r} has the unknown $type {kind!r}; known: merge_patch, json_patch", step_id
        )
    if type(result) is not dict or result.get("id") != step_id or (type(value) is dict and "id" in value):
        raise _refusal(f"the override of step {step_id!r} changes its id", step_id)
    return result


def _respelled(step: JsonObject, patch: JsonObject) -> JsonObject:
    """The step with its aliased fields in the patch's spelling, so that a patch of `skip` meets a step that says `skipIf`."""
    renames = {}
    for pair in _ALIASES:
        for here, there in (pair, pair[::-1]):
            if here in step and there in patch and there not in step:
                renames[here] = there
    return {renames.get(key, key): member for key, member in step.items()} if renames else step


def _holds_forbidden_key(value: JsonValue) -> bool:
    stack = [value]
    while stack:
        member = stack.pop()
        if type(member) is dict:
            if _FORBIDDEN_KEY in member:
                return True
            stack.extend(member.values())
        elif type(member) is list:
            stack.extend(member)
        elif type(member) is str and _FORBIDDEN_KEY in member.split("/"):
            return True
    return False


def _refusal(message: str, step_id: str | None = None) -> InvalidArgumentError:
    if step_id is None:
        return InvalidArgumentError(message, field="overrides")
    return InvalidArgumentError(message, field="overrides", stepId=step_id)
