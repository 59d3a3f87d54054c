"""Variables: what a flow declares of them, what a run is given, and what its expressions then read.

A variable's value is the one given with the run, else the one in effect in the parent run, else the declared default. It is
looked up once per run: the plan knows which variables and paths the expressions mention, and `RunVariables` holds their values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flowspan.errors import InvalidArgumentError
from flowspan.flows.paths import Path, format_path
from runtime_core.flow.diagnostics import MAX_SHOWN, Diagnostic, Level
from runtime_core.flow.expressions import BoundVariable, expression_failure
from runtime_core.flow.paths import NOT_FOUND, walk
from runtime_core.flow.schemas import SchemaCheck, compile_schema
from runtime_core.model.json_scan import escape_pointer_token
from runtime_core.model.json_value import JsonObject, JsonValue, encode_json
from runtime_core.model.redaction import MASK, Redactor, redactor_of, secret_texts

_NESTED: Final = ("properties", "items", "prefixItems", "additionalProperties", "patternProperties", "$defs", "definitions")


@dataclass(frozen=True, slots=True)
class VariableReference:
    """A `$variable` in a flow. `pointer`: where it stands."""

    name: str
    path: Path
    pointer: str


class DeclaredVariables:
    """What a flow's variable schema says.

    Args:
        schema: the schema, an object, or None for a flow that declares no variables.

    Attributes:
        names: declared variables, or None without a schema.
        defaults: declared default values.
        secret_names: variables that are secret, wholly or somewhere inside.

    Raises:
        SchemaError: the schema cannot be used.
    """

    __slots__ = ("_check", "_required", "_schema", "_schemas", "defaults", "names", "secret_names")

    def __init__(self, schema: JsonObject | None) -> None:
        properties = {} if schema is None else schema.get("properties")
        self._schemas: JsonObject = properties if type(properties) is dict else {}
        required = None if schema is None else schema.get("required")
        # In their order, each once.
        self._required = dict.fromkeys(name for name in required if type(name) is str) if type(required) is list else {}
        self._schema = schema
        self.names = None if schema is None else frozenset(self._schemas)
        self.secret_names = frozenset(name for name, one in self._schemas.items() if _mentions_secret(one))
        self.defaults: JsonObject = {
            name: one["default"] for name, one in self._schemas.items() if type(one) is dict and "default" in one
        }
        self._check: SchemaCheck | None = None
        if schema is not None:
            self._check = compile_schema(schema, mask=MASK if self.secret_names else None)

    def effective(self, given: Mapping[str, JsonValue], inherited: Mapping[str, JsonValue]) -> JsonObject:
        """The values of a run, unchecked."""
        return {**self.defaults, **inherited, **given}

    def check(
        self, given: Mapping[str, JsonValue], inherited: Mapping[str, JsonValue], *, inherits_secrets: bool = False
    ) -> None:
        """Check what a run is given. Inherited variables that the flow does not declare are none of its business.

        Args:
            inherits_secrets: some of the inherited ones are secret, whatever this flow says of them.

        Raises:
            InvalidArgumentError: a required variable has no value; a value does not fit its schema.
        """
        if self._check is None:
            return
        values = {
            name: value
            for name, value in self.effective(given, inherited).items()
            if name in given or name in self._schemas or name in self._required
        }
        missing = [name for name in self._required if name not in values]
        if missing:
            findings = [
                Diagnostic(2005, f"the required variable {name!r} has no value", f"/{escape_pointer_token(name)}", Level.ERROR)
                for name in missing
            ]
            raise InvalidArgumentError(
                f"the required variable {missing[0]!r} has no value"
                + (f", nor have {len(missing) - 1} others" if len(missing) > 1 else "")
                + "; give it with the run (variables), or a default in the flow",
                field="variables",
                diagnostics=[finding.to_json() for finding in findings[:MAX_SHOWN]],
            )
        violation = self._check.violation(values)
        if violation is not None and inherits_secrets and not self.secret_names:
            violation = compile_schema(self._schema, mask=MASK).violation(values)
        if violation is not None:
            place = f"at {violation.pointer}" if violation.pointer else "as a whole"
            raise InvalidArgumentError(
                f"the variables do not fit their schema: {violation.message}, {place}",
                field="variables",
                pointer=violation.pointer,
            )

    def secrets_of(self, name: str, value: JsonValue) -> set[str]:
        """Texts of a secret variable's value that must not be shown."""
        schema = self._schemas.get(name)
        inner = _declared_secrets(schema, value) if type(schema) is dict and schema.get("is_secret") is not True else None
        return secret_texts(value) if inner is None else inner


@dataclass(frozen=True, slots=True, eq=False)
class RunVariables:
    """The variables of one run, bound to the references of its flow.

    Attributes:
        values: all that are in effect; sub-runs inherit them.
        secret_names: names of `values` that are secret, here or in a run above.
        bound: per reference of the plan, its JSON, its failure, or None where only the reference's own default is left.
        secrets: texts that must not be shown. `redactor`: takes them out; None if there are none.
    """

    values: Mapping[str, JsonValue]
    secret_names: frozenset[str]
    bound: tuple[BoundVariable, ...]
    secrets: frozenset[str] = frozenset()
    redactor: Redactor | None = None


NO_VARIABLES: Final = RunVariables({}, frozenset(), ())
"""Of a run whose flow mentions none and that was given none."""


def bind_variables(
    declared: DeclaredVariables,
    references: tuple[VariableReference, ...],
    given: Mapping[str, JsonValue],
    inherited: Mapping[str, JsonValue],
    inherited_secrets: frozenset[str] = frozenset(),
) -> RunVariables:
    """Look every reference up. Nothing is checked here: see `DeclaredVariables.check`."""
    values = declared.effective(given, inherited)
    if not values and not references:
        return NO_VARIABLES
    # References to one place share its bytes: a flow may refer to a large variable ten thousand times.
    encoded: dict[tuple[str, Path], bytes] = {}
    bound = tuple(_bound(reference, values, encoded) for reference in references)
    secret_names = frozenset(name for name in values if name in declared.secret_names or name in inherited_secrets)
    if not secret_names:
        return RunVariables(values, secret_names, bound)
    texts: set[str] = set()
    for name in secret_names:
        # What a run above calls secret is secret as a whole.
        texts |= secret_texts(values[name]) if name in inherited_secrets else declared.secrets_of(name, values[name])
    return RunVariables(values, secret_names, bound, frozenset(texts), redactor_of(texts) if texts else None)


def _bound(
    reference: VariableReference, values: Mapping[str, JsonValue], encoded: dict[tuple[str, Path], bytes]
) -> BoundVariable:
    if reference.name not in values:
        return None
    place = (reference.name, reference.path[1:])
    if place not in encoded:
        found = walk(values[reference.name], reference.path[1:])
        if found is NOT_FOUND:
            return expression_failure(f"Variable path {format_path(reference.path)} not found", reference.pointer)
        encoded[place] = encode_json(found)  # type: ignore[arg-type]
    return encoded[place]


def _mentions_secret(schema: JsonValue) -> bool:
    stack: list[JsonValue] = [schema]
    while stack:
        one = stack.pop()
        if type(one) is dict:
            if one.get("is_secret") is True:
                return True
            stack += one.values()
        elif type(one) is list:
            stack += one
    return False


def _declared_secrets(schema: JsonObject, value: JsonValue) -> set[str] | None:
    """Texts of the parts that the schema names as secret; None where it says so in a way that is not followed (through
    references and alternatives), so that the whole is taken for secret."""
    if schema.get("is_secret") is True:
        return secret_texts(value)
    if any(_mentions_secret(part) for keyword, part in schema.items() if keyword not in _NESTED[:4] and keyword != "default"):
        return None
    found: set[str] = set()
    for part_schema, part in _parts(schema, value):
        if type(part_schema) is dict:
            texts = _declared_secrets(part_schema, part)
            if texts is None:
                return None
            found |= texts
    return found


def _parts(schema: JsonObject, value: JsonValue) -> list[tuple[JsonValue, JsonValue]]:
    if type(value) is dict:
        properties = schema.get("properties")
        properties = properties if type(properties) is dict else {}
        other = schema.get("additionalProperties")
        return [(properties.get(name, other), member) for name, member in value.items()]
    if type(value) is list:
        prefix = schema.get("prefixItems")
        prefix = prefix if type(prefix) is list else []
        rest = schema.get("items")
        return [(prefix[index] if index < len(prefix) else rest, member) for index, member in enumerate(value)]
    return []
