"""Overrides, read from section 7 and the two RFCs, with nothing of the engine's."""

from __future__ import annotations

from copy import deepcopy

from tests.differential.exact_json import Json, equal_by_value
from tests.differential.validity import complaint

ALIASES = (("skip", "skipIf"), ("onError", "on_error"))


class RefusedError(Exception):
    """ "`INVALID_ARGUMENT`, and no run comes into being." """


def overridden(flow: Json, overrides: Json) -> Json:
    """The flow that a run with these overrides executes."""
    if overrides is None:
        return flow
    flow = deepcopy(flow)
    patches = patches_of(flow, overrides)
    for step_id, patch in patches.items():
        numbers = [number for number, step in enumerate(flow["steps"]) if step["id"] == step_id]
        # "An unknown step or a bad patch: `INVALID_ARGUMENT`"
        if not numbers or not isinstance(patch, dict) or "value" not in patch:
            raise RefusedError(f"no such step, or no patch: {step_id}")
        step = flow["steps"][numbers[0]]
        kind = patch.get("$type") or "merge_patch"
        if kind == "merge_patch":
            step = merge_patch(plain_spelling(step), plain_spelling(patch["value"]))
        elif kind == "json_patch":
            step = json_patch(step, patch["value"])
        else:
            raise RefusedError(f"$type {kind}")
        # "Any field but `id` can be patched."
        if not isinstance(step, dict) or step.get("id") != step_id:
            raise RefusedError("the id was patched")
        flow["steps"][numbers[0]] = step
    wrong = complaint(flow)
    if wrong is not None:
        raise RefusedError(wrong)
    return flow


def patches_of(flow: Json, overrides: Json) -> Json:
    """The patches by step id."""
    # "`{"steps": {"<id>": …}}`; the form without the `steps` wrapper is read as the same". Where a step is itself called
    # `steps`, its patch is told by its keys, unless the whole fits the documented form.
    wrapped = overrides.get("steps")
    if not isinstance(wrapped, dict):
        return overrides
    ids = {step["id"] for step in flow["steps"]}
    is_documented_form = len(overrides) == 1 and wrapped.keys() <= ids
    is_patch = "steps" in ids and "value" in wrapped and wrapped.keys() <= {"$type", "value"}
    return overrides if is_patch and not is_documented_form else wrapped


def plain_spelling(step: Json) -> Json:
    """`skipIf` is `skip`, `on_error` is `onError` (section 2): one field each, whatever the patch calls it. Where both stand,
    "explicit `null` means absent" (section 1)."""
    spelled = dict(step)
    for name, alias in ALIASES:
        if alias in spelled:
            value = spelled.pop(alias)
            if spelled.get(name) is None:
                spelled[name] = value
    return spelled


def merge_patch(target: Json, patch: Json) -> Json:
    """The pseudo-code of RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    target = dict(target)
    for name, value in patch.items():
        if value is None:
            if name in target:
                del target[name]
        else:
            target[name] = merge_patch(target.get(name), value)
    return target


def json_patch(document: Json, operations: Json) -> Json:
    """RFC 6902, section 4: the operations one after another; one that does not succeed fails the whole."""
    # A document below an array, so that the whole is a place like any other.
    holder = [deepcopy(document)]
    for operation in operations:
        path = ["0", *tokens(operation["path"])]
        name = operation["op"]
        if name == "add":
            add(holder, path, operation["value"])
        elif name == "remove":
            take(holder, path)
        elif name == "replace":
            replace(holder, path, operation["value"])
        elif name == "move":
            source = ["0", *tokens(operation["from"])]
            if path[: len(source)] == source and path != source:
                raise RefusedError("moved into itself")
            add(holder, path, take(holder, source))
        elif name == "copy":
            add(holder, path, get(holder, ["0", *tokens(operation["from"])]))
        elif name == "test":
            if not equal_by_value(get(holder, path), operation["value"]):
                raise RefusedError("the test does not hold")
        else:
            raise RefusedError(f"op {name}")
    return holder[0]


def tokens(pointer: str) -> list[str]:
    """RFC 6901, section 4."""
    if pointer and not pointer.startswith("/"):
        raise RefusedError("no pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def index(container: list[Json], token: str, *, ahead: int) -> int:
    """An array's index without leading zeros, at most `ahead` behind the last."""
    if not token.isascii() or not token.isdigit() or str(int(token)) != token or int(token) >= len(container) + ahead:
        raise RefusedError(f"no index: {token}")
    return int(token)


def get(holder: Json, path: list[str]) -> Json:
    for token in path:
        if isinstance(holder, list):
            holder = holder[index(holder, token, ahead=0)]
        elif isinstance(holder, dict) and token in holder:
            holder = holder[token]
        else:
            raise RefusedError(f"nothing at {token}")
    return holder


def add(holder: Json, path: list[str], value: Json) -> None:
    if len(path) == 1:  # "If the target location specifies the root of the target document": it is replaced.
        holder[:] = [deepcopy(value)]
        return
    parent = get(holder, path[:-1])
    if isinstance(parent, list):
        parent.insert(len(parent) if path[-1] == "-" else index(parent, path[-1], ahead=1), deepcopy(value))
    elif isinstance(parent, dict):
        parent[path[-1]] = deepcopy(value)
    else:
        raise RefusedError("nothing to add to")


def take(holder: Json, path: list[str]) -> Json:
    value = get(holder, path)
    parent = get(holder, path[:-1])
    if len(path) == 1:
        parent[0] = None
    elif isinstance(parent, list):
        parent.pop(index(parent, path[-1], ahead=0))
    else:
        del parent[path[-1]]
    return value


def replace(holder: Json, path: list[str], value: Json) -> None:
    get(holder, path)
    parent = get(holder, path[:-1])
    if isinstance(parent, list):
        parent[index(parent, path[-1], ahead=0)] = deepcopy(value)
    else:
        parent[path[-1]] = deepcopy(value)
