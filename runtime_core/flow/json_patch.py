"""JSON patch (RFC 6902) over JSON pointers (RFC 6901). The target is never changed; a failed patch leaves nothing behind."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Final

from runtime_core.model.json_value import MAX_JSON_DEPTH, JsonValue, depth_of, node_count

_INDEX: Final = re.compile(r"(?:0|[1-9][0-9]{0,9})\Z")
_BAD_ESCAPE: Final = re.compile(r"~(?![01])")
MAX_OPERATIONS: Final = 1_000
"""A patch is written by hand or by a small program; each copy can double a document."""
MAX_PATCHED_NODES: Final = 100_000
"""Nodes of a patched step, after all copies; no step that people write comes near."""


class JsonPatchError(ValueError):
    """A patch is malformed or does not fit its target. The message names the operation by its position."""


def apply_json_patch(target: JsonValue, patch: JsonValue) -> JsonValue:
    """The patched copy of `target`.

    Raises:
        JsonPatchError: not a list of operations, a place that does not exist, a `test` that does not hold.
    """
    if type(patch) is not list or len(patch) > MAX_OPERATIONS:
        raise JsonPatchError(f"a JSON patch is an array of at most {MAX_OPERATIONS} operations")
    result = deepcopy(target)
    for number, operation in enumerate(patch):
        try:
            result = _applied(result, operation)
        except JsonPatchError as error:
            raise JsonPatchError(f"operation {number}: {error}") from error
    return result


def _applied(target: JsonValue, operation: JsonValue) -> JsonValue:
    if type(operation) is not dict:
        raise JsonPatchError("not an object")
    kind = operation.get("op")
    path = _tokens(operation.get("path"), "path")
    if kind == "add":
        return _added(target, path, deepcopy(_value(operation)))
    if kind == "remove":
        return _removed(target, path)
    if kind == "replace":
        value = deepcopy(_value(operation))
        _at(target, path)
        return _added(_removed(target, path), path, value) if path else value
    if kind == "move":
        source = _tokens(operation.get("from"), "from")
        if path[: len(source)] == source and len(path) > len(source):
            raise JsonPatchError("a value cannot be moved into itself")
        value = _at(target, source)
        return _added(_removed(target, source), path, value) if path != source else target
    if kind == "copy":
        value = _at(target, _tokens(operation.get("from"), "from"))
        if node_count(value) + node_count(target) > MAX_PATCHED_NODES:
            raise JsonPatchError(f"the result has more than {MAX_PATCHED_NODES} nodes")
        return _added(target, path, deepcopy(value))
    if kind == "test":
        if not _equal(_at(target, path), _value(operation)):
            raise JsonPatchError(f"the value at {operation['path']!r} is another")
        return target
    raise JsonPatchError(f"unknown op {kind!r}")


def _added(target: JsonValue, path: list[str], value: JsonValue) -> JsonValue:
    if len(path) + depth_of(value) > MAX_JSON_DEPTH:
        raise JsonPatchError(f"the result nests deeper than {MAX_JSON_DEPTH}")
    if not path:
        return value
    parent, last = _at(target, path[:-1]), path[-1]
    if type(parent) is dict:
        parent[last] = value
    elif type(parent) is list:
        parent.insert(len(parent) if last == "-" else _index(last, len(parent) + 1), value)
    else:
        raise JsonPatchError(f"nothing can be added below {_pointer(path[:-1])}")
    return target


def _removed(target: JsonValue, path: list[str]) -> JsonValue:
    if not path:
        return None
    _at(target, path)
    parent, last = _at(target, path[:-1]), path[-1]
    if type(parent) is dict:
        del parent[last]
    elif type(parent) is list:
        del parent[_index(last, len(parent))]
    return target


def _at(target: JsonValue, path: list[str]) -> JsonValue:
    for depth, token in enumerate(path):
        if type(target) is dict and token in target:
            target = target[token]
        elif type(target) is list:
            target = target[_index(token, len(target))]
        else:
            raise JsonPatchError(f"there is nothing at {_pointer(path[: depth + 1])}")
    return target


def _index(token: str, bound: int) -> int:
    if _INDEX.match(token) is None or int(token) >= bound:
        raise JsonPatchError(f"{token!r} is no index below {bound}")
    return int(token)


def _tokens(pointer: JsonValue, name: str) -> list[str]:
    if type(pointer) is not str or (pointer and pointer[0] != "/") or _BAD_ESCAPE.search(pointer) is not None:
        raise JsonPatchError(f"{name!r} is not a JSON pointer")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _pointer(tokens: list[str]) -> str:
    return "/" + "/".join(tokens)


def _value(operation: dict[str, JsonValue]) -> JsonValue:
    if "value" not in operation:
        raise JsonPatchError("'value' is missing")
    return operation["value"]


def _equal(left: JsonValue, right: JsonValue) -> bool:
    """RFC 6902, 4.6: numbers by value, so 1 equals 1.0; true is no number."""
    if type(left) in (int, float) and type(right) in (int, float):
        return left == right
    if type(left) is list and type(right) is list:
        return len(left) == len(right) and all(_equal(one, other) for one, other in zip(left, right, strict=True))
    if type(left) is dict and type(right) is dict:
        return left.keys() == right.keys() and all(_equal(member, right[key]) for key, member in left.items())
    return type(left) is type(right) and left == right
