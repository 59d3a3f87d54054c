"""From the JSON of an expression to its compiled form, with diagnostics.

An object with a reserved key is an expression; any other object or array is resolved member by member. Of several reserved
keys the first of `RESERVED_KEYS` counts. Every reference is checked here: steps stand earlier, paths are well formed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from flowspan.flows.paths import WHOLE, Path, PathSyntaxError, parse_path
from runtime_core.flow.diagnostics import DiagnosticLog
from runtime_core.flow.expressions import (
    ArrayOf,
    Coalesce,
    Conditional,
    Constant,
    Expression,
    InputPath,
    ObjectOf,
    StepOutput,
    Variable,
    WholeInput,
    expression_failure,
)
from runtime_core.flow.variables import VariableReference
from runtime_core.model.json_scan import escape_pointer_token
from runtime_core.model.json_value import JsonObject, JsonValue, encode_json

RESERVED_KEYS: Final = ("$literal", "$if", "$coalesce", "$step", "$input", "$variable")
"""In order of precedence."""
COMPANIONS: Final[dict[str, tuple[str, ...]]] = {
    "$literal": (),
    "$if": ("then", "else"),
    "$coalesce": (),
    "$step": ("path", "onSkip"),
    "$input": (),
    "$variable": ("default",),
}
OLD_KEY: Final = "$from"
ON_SKIP_FIELDS: Final = ("action", "defaultValue")
ALWAYS_ALLOWED: Final = frozenset(("schema", "$schema"))
"""Fields that are free in every object of a flow, like those that begin with `x-`."""
_NULL: Final = Constant(b"null")


class ExpressionCompiler:
    """Compiles the expressions of one flow.

    Attributes:
        references: steps that the expressions compiled since the last `begin` mention, taken branch or not.
        variables: references to variables, all in all; `Variable.slot` counts them.
    """

    def __init__(
        self,
        step_indexes: Mapping[str, int],
        log: DiagnosticLog,
        declared_variables: frozenset[str] | None = None,
    ) -> None:
        """
        Args:
            step_indexes: position of every step by its id.
            log: where findings go.
            declared_variables: names in the flow's variable schema, or None if it has none.
        """
        self.references: set[int] = set()
        self.variables: list[VariableReference] = []
        self.undeclared_variables_used = False
        self._step_indexes = step_indexes
        self._log = log
        self._declared = declared_variables
        self._here = 0

    def begin(self, here: int) -> None:
        """What follows stands in step `here` (the number of steps for the flow's output)."""
        self._here = here
        self.references = set()

    def compile(self, value: JsonValue, pointer: str) -> Expression:
        """The expression at `pointer`; where it is wrong, findings are logged and a null constant stands in."""
        if type(value) is dict:
            return self._compile_object(value, pointer)
        if type(value) is list:
            nodes = tuple(self.compile(member, f"{pointer}/{index}") for index, member in enumerate(value))
            if all(type(node) is Constant for node in nodes):
                return Constant(encode_json([msgspec.Raw(node.encoded) for node in nodes]))  # type: ignore[attr-defined,misc]
            return ArrayOf(nodes)
        return Constant(encode_json(value))

    def _compile_object(self, value: JsonObject, pointer: str) -> Expression:
        if OLD_KEY in value:
            self._log.report(3004, _old_form_message(value), pointer)
            return _NULL
        for reserved in RESERVED_KEYS:
            if reserved in value:
                self._warn_of_ignored_keys(value, reserved, pointer)
                return self._compile_reserved(reserved, value, pointer)
        nodes = tuple((key, self.compile(member, f"{pointer}/{escape_pointer_token(key)}")) for key, member in value.items())
        if all(type(node) is Constant for _, node in nodes):
            return Constant(encode_json({key: msgspec.Raw(node.encoded) for key, node in nodes}))  # type: ignore[attr-defined,misc]
        return ObjectOf(nodes)

    def _compile_reserved(self, reserved: str, value: JsonObject, pointer: str) -> Expression:
        if reserved == "$literal":
            return Constant(encode_json(value["$literal"]))
        if reserved == "$if":
            return self._compile_if(value, pointer)
        if reserved == "$coalesce":
            return self._compile_coalesce(value["$coalesce"], pointer)
        if reserved == "$step":
            return self._compile_step(value, pointer)
        if reserved == "$input":
            path = self._path(value["$input"], f"{pointer}/$input")
            return WholeInput() if path == WHOLE else InputPath(path, pointer)
        return self._compile_variable(value, pointer)

    def _compile_if(self, value: JsonObject, pointer: str) -> Expression:
        if "then" not in value:
            self._log.report(3004, "$if needs a member 'then'", pointer)
        condition = self.compile(value["$if"], f"{pointer}/$if")
        then = self.compile(value.get("then"), f"{pointer}/then")
        otherwise = self.compile(value.get("else"), f"{pointer}/else")
        return Conditional(condition, then, otherwise)

    def _compile_coalesce(self, elements: JsonValue, pointer: str) -> Expression:
        if type(elements) is not list:
            self._log.report(3004, "$coalesce needs an array of expressions", f"{pointer}/$coalesce")
            return _NULL
        return Coalesce(tuple(self.compile(element, f"{pointer}/$coalesce/{index}") for index, element in enumerate(elements)))

    def _compile_step(self, value: JsonObject, pointer: str) -> Expression:
        index = self._step(value["$step"], f"{pointer}/$step")
        path = self._path(value.get("path"), f"{pointer}/path")
        on_skip = self._on_skip(value.get("onSkip"), f"{pointer}/onSkip")
        return _NULL if index is None else StepOutput(index, path, on_skip, pointer)

    def _step(self, name: JsonValue, pointer: str) -> int | None:
        if type(name) is not str:
            self._log.report(3004, "$step needs the id of a step, a string", pointer)
            return None
        index = self._step_indexes.get(name)
        if index is None:
            self._log.report(3003, f"there is no step {name!r}{self._log.nearest(name, self._step_indexes)}", pointer)
        elif index == self._here:
            self._log.report(3002, f"step {name!r} refers to itself", pointer)
            index = None
        elif index > self._here:
            self._log.report(3003, f"step {name!r} stands later; a step may refer only to earlier ones", pointer)
            index = None
        else:
            self.references.add(index)
        return index

    def _on_skip(self, value: JsonValue, pointer: str) -> Expression | None:
        if value is None:
            return None
        action = value.get("action") if type(value) is dict else None
        if type(value) is not dict or (action != "skip" and action != "useDefault"):
            self._log.report(3004, "onSkip needs an action, 'skip' or 'useDefault'", pointer)
            return None
        for key in value:
            if key not in ON_SKIP_FIELDS and key not in ALWAYS_ALLOWED and not key.startswith("x-"):
                hint = self._log.nearest(key, ON_SKIP_FIELDS)
                self._log.report(1005, f"unknown field {key!r}{hint}", f"{pointer}/{escape_pointer_token(key)}")
        if action == "useDefault":
            return self.compile(value.get("defaultValue"), f"{pointer}/defaultValue")
        if value.get("defaultValue") is not None:
            self._log.report(1006, "'defaultValue' is ignored beside the action 'skip'", f"{pointer}/defaultValue")
        return None

    def _compile_variable(self, value: JsonObject, pointer: str) -> Expression:
        path = self._path(value["$variable"], f"{pointer}/$variable")
        default = self.compile(value["default"], f"{pointer}/default") if "default" in value else None
        if not path or type(path[0]) is not str:
            self._log.report(3004, "$variable needs a path that begins with the variable's name", f"{pointer}/$variable")
            return _NULL
        name = path[0]
        if self._declared is None:
            self.undeclared_variables_used = True
        elif name not in self._declared:
            self._log.report(
                2004, f"variable {name!r} is not declared{self._log.nearest(name, self._declared)}", f"{pointer}/$variable"
            )
        undefined = expression_failure(f"Undefined variable: {name}", pointer)
        self.variables.append(VariableReference(name, path, pointer))
        return Variable(len(self.variables) - 1, default, undefined)

    def _path(self, text: JsonValue, pointer: str) -> Path:
        if text is None:
            return WHOLE
        if type(text) is not str:
            self._log.report(3004, "a path is a string such as '$.name' or 'name'", pointer)
            return WHOLE
        try:
            return parse_path(text)
        except PathSyntaxError as error:
            self._log.report(3004, str(error), pointer)
            return WHOLE

    def _warn_of_ignored_keys(self, value: JsonObject, reserved: str, pointer: str) -> None:
        if len(value) == 1:
            return
        known = COMPANIONS[reserved]
        for key in value:
            if key != reserved and key not in known:
                hint = self._log.nearest(key, known)
                self._log.report(
                    1006, f"key {key!r} beside {reserved} is ignored{hint}", f"{pointer}/{escape_pointer_token(key)}"
                )


def _old_form_message(value: JsonObject) -> str:
    """The same reference in today's syntax, as far as it can be read."""
    source, path = value[OLD_KEY], value.get("path")
    new: JsonObject
    if type(source) is dict and type(source.get("step")) is str:
        new = {"$step": source["step"]} | ({} if path is None else {"path": path})
    elif type(source) is dict and "workflow" in source:
        new = {"$input": "$" if path is None else path}
    elif type(source) is dict and "variable" in source:
        new = {"$variable": source["variable"]}
    else:
        return '"$from" is the old syntax; write {"$step": "<id>", "path": "$.field"} or {"$input": "$.field"}'
    return f'"$from" is the old syntax; write {encode_json(new).decode()}'
