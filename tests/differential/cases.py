"""One case of the check: a flow, what is submitted with it, and how its components behave; and what the reference makes of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field

from tests.differential.exact_json import Json, exact
from tests.differential.patches import RefusedError, overridden, patches_of
from tests.differential.reference import (
    Execution,
    Failed,
    Item,
    Ok,
    Outcome,
    Skipped,
    input_schema,
    variable_schema,
)
from tests.differential.schema_check import violations

PLUGIN = "/p/"
BUILTINS = "/builtin/"
"""Prefixes of the played component server and of the built-ins; any other path leads nowhere."""
NOOP = BUILTINS + "noop"
DECIDED_LATER = (
    "$if", "$coalesce", "late need", "onSkip", "skip:", "$step: path not found", "$input: path not found",
    "$variable: path not found", "$variable: undefined",
)  # fmt: skip
"""Situations in which a value may wait for more of its members than the page asks for: the engine looks early at what waits
for a failed step, and only at that."""
BEYOND_THE_HASTY = ("several failures in one value",)
"""Situations that are over for who stops at the first failure."""


@dataclass(frozen=True)
class Behaviour:
    """What a component does, decided by its path, input and attempt alone.

    Attributes:
        failures: codes of the first attempts, one each.
        then: echo, constant, wrap, skip or hang; or a code, with which all further attempts fail.
        value: of `constant`.
        picky: null input is answered with INVALID_INPUT.
        data: of its errors; None: they have none.
        retry_after_s: the hint in its errors.
        loosely: its JSON has white space.
    """

    failures: tuple[str, ...] = ()
    then: str = "echo"
    value: Json = None
    picky: bool = False
    data: Json = None
    retry_after_s: float | None = None
    loosely: bool = False

    def answer(self, given: Json, attempt: int) -> Outcome:
        if self.picky and given is None:
            return Failed("INVALID_INPUT", "null is not for me", self.data)
        if attempt <= len(self.failures):
            return Failed(self.failures[attempt - 1], f"attempt {attempt} failed", self.data)
        if self.then == "echo":
            return Ok(given)
        if self.then == "constant":
            return Ok(self.value)
        if self.then == "wrap":
            return Ok({"got": given, "a.b": [given, 1.0, 2**53 + 1]})
        if self.then == "skip":
            return Skipped()
        if self.then == "hang":
            return Failed("TIMEOUT")
        return Failed(self.then, "it always fails", self.data)


@dataclass(frozen=True)
class Case:
    """Everything that decides a run.

    Attributes:
        behaviours: by component path without the prefix.
        given: variables, or None.
        delays: seed of the order in which components answer; 0: all at once.
        kill_after: the gateway dies when so many calls have begun, and another one goes on; None: it lives.
    """

    flow: Json
    inputs: list[Json]
    behaviours: dict[str, Behaviour]
    overrides: Json = None
    given: Json = None
    delays: int = 0
    kill_after: int | None = None

    def to_json(self) -> str:
        """The case as text that `from_json` reads, and that `python -m tests.differential FILE` runs again."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @staticmethod
    def from_json(text: str) -> Case:
        members = json.loads(text)
        for behaviour in members["behaviours"].values():
            behaviour["failures"] = tuple(behaviour["failures"])
        behaviours = {name: Behaviour(**behaviour) for name, behaviour in members.pop("behaviours").items()}
        return Case(behaviours=behaviours, **members)


@dataclass(frozen=True)
class ExpectedItem:
    """What must become of an item.

    Attributes:
        must, may: executions that have to be, and all that are allowed.
        ends_promptly: decision 32: its result is known when the last of those that have to be has ended, whatever else runs.
    """

    outcome: Outcome
    must: dict[str, Execution]
    may: dict[str, Execution]
    violations: tuple[str, ...] = ()
    ends_promptly: bool = False


@dataclass(frozen=True)
class Expected:
    """What must become of a case; `refused`: no run comes into being."""

    refused: str | None
    items: tuple[ExpectedItem, ...] = ()
    situations: Counter[str] = field(default_factory=Counter)


def expected_of(case: Case) -> Expected:
    """The reference's word."""
    situations: Counter[str] = Counter()
    try:
        flow = overridden(case.flow, case.overrides)
        check_variables(flow, case.given)
    except RefusedError as refusal:
        situations["refused overrides" if case.overrides is not None else "refused variables"] += 1
        return Expected(str(refusal), (), situations)
    if case.overrides:
        kinds = {str(patch.get("$type")) for patch in patches_of(case.flow, case.overrides).values()}
        situations.update(f"overrides of type {kind}" for kind in kinds)
    items = tuple(expected_item(case, flow, given, situations) for given in case.inputs)
    return Expected(None, items, situations)


def expected_item(case: Case, flow: Json, item_input: Json, situations: Counter[str]) -> ExpectedItem:
    schema = input_schema(flow)
    if schema is not None:
        # "An item that violates it fails with `INVALID_INPUT` naming the JSON pointer, without running anything"
        wrong = tuple(violations(schema, item_input))
        situations["input violates its schema" if wrong else "input fits its schema"] += 1
        if wrong:
            return ExpectedItem(Failed("INVALID_INPUT"), {}, {}, wrong)

    def component(path: str, given: Json, attempt: int) -> Outcome:
        if path == NOOP:
            return Ok(given)
        if not path.startswith(PLUGIN):
            return Failed("COMPONENT_NOT_FOUND")
        return case.behaviours[path.removeprefix(PLUGIN)].answer(given, attempt)

    hasty, thorough = (Item(flow, case.given, item_input, component, hasty=is_hasty) for is_hasty in (True, False))
    outcome, same = hasty.result(), thorough.result()
    assert repr(outcome) == repr(same), "the reference disagrees with itself"
    assert hasty.ran.keys() <= thorough.ran.keys()
    situations.update(hasty.situations | {one for one in thorough.situations if one in BEYOND_THE_HASTY})
    situations["exact set of steps" if hasty.ran.keys() == thorough.ran.keys() else "bounded set of steps"] += 1
    observed = {step["id"] for step in flow.get("steps") or [] if step["component"].startswith(PLUGIN)}
    must, may = ({one: ran for one, ran in item.ran.items() if one in observed} for item in (hasty, thorough))
    if any(number in exact([ran.input for ran in may.values()]) for number in (str(2**53 + 1), str(10**40))):
        situations["a big integer reaches a component"] += 1
    hangs = {step["id"] for step in flow.get("steps") or [] if behaviour_hangs(case, step["component"])}
    noted = hasty.situations | thorough.situations
    ends_promptly = not hangs & must.keys() and not any(one.startswith(DECIDED_LATER) for one in noted)
    if ends_promptly and hangs & may.keys():
        situations["an item ends while a step hangs"] += 1
    return ExpectedItem(outcome, must, may, ends_promptly=ends_promptly)


def behaviour_hangs(case: Case, component: str) -> bool:
    return component.startswith(PLUGIN) and case.behaviours[component.removeprefix(PLUGIN)].then == "hang"


def check_variables(flow: Json, given: Json) -> None:
    """ "Given variables are checked against their schema at submit"; "a missing required variable that has no value anywhere:
    likewise" refused."""
    schema = variable_schema(flow)
    defaults = {name: one["default"] for name, one in (schema.get("properties") or {}).items() if "default" in one}
    if violations(schema, defaults | (given or {})):
        raise RefusedError("the variables do not fit their schema")
