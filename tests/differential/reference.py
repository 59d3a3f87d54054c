"""A naive evaluator of the flow language, written from flow-language.md and decision 32, sentence by sentence.

Slow and obvious: no plan, no scheduling, nothing shared with the engine. A step's outcome is worked out when an expression
asks for it. Quoted sentences are the page's.

Which steps run is fixed by the page only in part, because steps run side by side and an item may end while some still run.
So there are two ways to go through an item. Hasty: in document order, and not a step further than the result needs; what runs
then must run. Thorough: every member of a value is looked at even after one has failed; what does not run then may not run.
Both must give the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.differential.exact_json import Json, exact
from tests.differential.paths import NowhereError, look_up, read_path, write_path

PRECEDENCE = ("$literal", "$if", "$coalesce", "$step", "$input", "$variable")
TRANSPORT = ("TIMEOUT", "UNREACHABLE")
COMPONENT = ("COMPONENT_FAILED", "RESOURCE_UNAVAILABLE")
DEFAULT_RETRIES = 3


@dataclass(frozen=True)
class Ok:
    """There is a value."""

    value: Json


@dataclass(frozen=True)
class Failed:
    """There is none. `message` None: the page does not fix it. `data` is compared where a component gave it."""

    code: str
    message: str | None = None
    data: Json = None


@dataclass(frozen=True)
class Skipped:
    """The value is skipped."""


Outcome = Ok | Failed | Skipped
Component = Callable[[str, Json, int], Outcome]
"""What a component path answers to an input at an attempt (from 1)."""


@dataclass
class Execution:
    """What a step was asked: its input, and how many attempts it took."""

    input: Json
    attempts: int


@dataclass
class Item:
    """One way through one item.

    Attributes:
        given: variables that came with the run.
        hasty: see the module's text.
        ran: executions by step id.
        situations: which rules of the page decided something.
    """

    flow: Json
    given: Json
    input: Json
    component: Component
    hasty: bool
    ran: dict[str, Execution] = field(default_factory=dict)
    situations: set[str] = field(default_factory=set)
    known: dict[str, Outcome] = field(default_factory=dict)

    def note(self, situation: str) -> None:
        self.situations.add(situation)

    # --- section 4: an item

    def result(self) -> Outcome:
        """What becomes of the item."""
        # "Lazy: the needed set is what `output` and the `mustExecute` steps reach."
        output = self.evaluate(self.flow.get("output"), "output")
        musts = [self.step_outcome(step["id"]) for step in self.steps if step.get("mustExecute")]
        # "An item fails when its output or any `mustExecute` step failed"; decision 32: "output before mustExecute steps
        # (in order)".
        for outcome in (output, *musts):
            if isinstance(outcome, Failed):
                self.note("item: output failed" if outcome is output else "item: a mustExecute step failed")
                return outcome
        if any(isinstance(outcome, Skipped) for outcome in musts):
            self.note("item: a mustExecute step is skipped")
        if len(self.ran) < len(self.steps):
            self.note("item: some step did not run")
        # "Skipped in the flow's `output`: the item's outcome is `skipped`."
        self.note(f"item: {type(output).__name__.lower()}")
        return output

    @property
    def steps(self) -> list[Json]:
        return self.flow.get("steps") or []

    # --- sections 2, 5, 6: a step

    def step_outcome(self, step_id: str) -> Outcome:
        """The outcome of a step, which is worked out the first time that somebody needs it."""
        if step_id not in self.known:
            step = next(step for step in self.steps if step["id"] == step_id)
            self.known[step_id] = self.work_out(step)
        return self.known[step_id]

    def work_out(self, step: Json) -> Outcome:
        condition = step.get("skip") if step.get("skip") is not None else step.get("skipIf")
        if condition is not None:
            skip = self.evaluate(condition, "skip")
            # Decision 32: "A `skip` that fails makes the step fail."
            if isinstance(skip, Failed):
                self.note("skip: failed")
                return skip
            # "A reference to a skipped step makes the referring step skipped."
            if isinstance(skip, Skipped):
                self.note("skip: skipped")
                return skip
            # "`skip` truthy: the step is skipped."; "`mustExecute` does not override `skip`."
            if is_truthy(skip.value):
                self.note("skip: truthy with mustExecute" if step.get("mustExecute") else "skip: truthy")
                return Skipped()
            self.note("skip: falsy")
        given = self.evaluate(step.get("input"), "input")
        if isinstance(given, Failed):
            # "The dependent fails with the same error, without running"; `useDefault` does not apply "to failures of
            # resolving the step's own input".
            self.note(f"input failed under onError {action_of(step)}")
            return given
        if isinstance(given, Skipped):
            self.note("input skipped")
            return given
        return self.run(step, given.value)

    def run(self, step: Json, given: Json) -> Outcome:
        """All attempts of a step, and what its `onError` makes of a failure."""
        on_error = on_error_of(step)
        action = on_error.get("action") or "fail"
        # "`maxRetries` (default 3) more attempts on `COMPONENT_FAILED` and `RESOURCE_UNAVAILABLE`", with `retry` only.
        component_budget = default(on_error.get("maxRetries"), DEFAULT_RETRIES) if action == "retry" else 0
        # "transport retries (`TIMEOUT`, `UNREACHABLE`: always retried, default 3, configurable)", "per step in `retry`".
        transport_budget = default((step.get("retry") or {}).get("maxRetries"), DEFAULT_RETRIES)
        component_failures = transport_failures = 0
        # "one `attempt` counter, starting at 1, that only rises"
        execution = self.ran[step["id"]] = Execution(given, 0)
        while True:
            execution.attempts += 1
            answer = self.component(step["component"], given, execution.attempts)
            if isinstance(answer, Skipped):  # a FlowResult may be `skipped` (section 8)
                self.note("a component skips its step")
                return answer
            if isinstance(answer, Ok):
                if component_failures and transport_failures:
                    self.note("retry: both budgets, then success")
                elif component_failures:
                    self.note("retry: component failures, then success")
                elif transport_failures:
                    self.note("retry: transport failures, then success")
                return answer
            if answer.code in TRANSPORT:
                transport_failures += 1
                if transport_failures <= transport_budget:
                    continue
            elif answer.code in COMPONENT and action == "retry":
                component_failures += 1
                if component_failures <= component_budget:
                    continue
            break
        kind = "transport" if answer.code in TRANSPORT else "component" if answer.code in COMPONENT else "other"
        self.note(f"onError {action} after a {kind} failure")
        # "step succeeds with `defaultValue` (a literal; `null` if absent). Applies after the transport retries are spent"
        if action == "useDefault":
            return Ok(on_error.get("defaultValue"))
        # "with a `defaultValue`, that value once the retries are spent"
        if action == "retry" and "defaultValue" in on_error:
            self.note(f"onError retry with a default after a {kind} failure")
            return Ok(on_error["defaultValue"])
        # "the step counts as skipped"
        return Skipped() if action == "skip" else answer

    # --- section 3: expressions

    def evaluate(self, expression: Json, place: str) -> Outcome:
        """The value of an expression. `place` is for the situations: output, input or skip."""
        if isinstance(expression, list):
            members = self.evaluate_all(expression, place)
            return members if not isinstance(members, list) else Ok(members)
        if not isinstance(expression, dict):
            return Ok(expression)
        # "An object that holds a reserved key is an expression"; "Precedence when several reserved keys are present".
        reserved = [key for key in PRECEDENCE if key in expression]
        if not reserved:
            members = self.evaluate_all(list(expression.values()), place)
            return members if not isinstance(members, list) else Ok(dict(zip(expression, members, strict=True)))
        key = reserved[0]
        if len(reserved) > 1:
            self.note(f"precedence: {key}")
        if key == "$literal":
            # "verbatim, nothing inside is resolved"
            return Ok(expression["$literal"])
        if key == "$if":
            return self.evaluate_if(expression, place)
        if key == "$coalesce":
            return self.evaluate_coalesce(expression["$coalesce"], place)
        if key == "$step":
            return self.evaluate_step(expression, place)
        if key == "$input":
            return self.evaluate_input(expression["$input"] or "")
        return self.evaluate_variable(expression, place)

    def evaluate_all(self, members: list[Json], place: str) -> list[Json] | Failed | Skipped:
        """Decision 32: "of several failures in one value, the first member in document order; of skipped and failed members,
        failed". Section 6: skipped "through objects and arrays"."""
        outcomes: list[Outcome] = []
        for member in members:
            outcome = self.evaluate(member, place)
            outcomes.append(outcome)
            if self.hasty and isinstance(outcome, Failed):
                break
        failures = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
        skips = [outcome for outcome in outcomes if isinstance(outcome, Skipped)]
        if len({repr(failure) for failure in failures}) > 1:
            self.note("several failures in one value")
        if failures and skips:
            self.note("skipped and failed members in one value")
        if failures:
            return failures[0]
        if skips:
            return skips[0]
        return [outcome.value for outcome in outcomes if isinstance(outcome, Ok)]

    def evaluate_if(self, expression: Json, place: str) -> Outcome:
        condition = self.evaluate(expression["$if"], place)
        # "falsy are only `null`, `false`, a failed and a skipped condition; `0`, `""`, `[]`, `{}` are truthy"
        if isinstance(condition, Ok):
            shown = exact(condition.value) if condition.value in (None, False, 0, "", [], {}) else "a value"
            self.note(f"$if: {shown}")
        else:
            self.note(f"$if: {type(condition).__name__.lower()}")
        if isinstance(condition, Ok) and is_truthy(condition.value):
            return self.evaluate_late(expression["then"], place, "then")
        # "No `else`: `null`"
        if "else" not in expression:
            self.note("$if: no else")
            return Ok(None)
        return self.evaluate_late(expression["else"], place, "else")

    def evaluate_coalesce(self, elements: list[Json], place: str) -> Outcome:
        # "the first value that is neither null nor skipped; all null: `null`. A failed element fails the whole at once";
        # decision 32: "`$coalesce` of only skipped members is skipped".
        outcomes: list[Outcome] = []
        for number, element in enumerate(elements):
            outcome = self.evaluate_late(element, place, "element") if number else self.evaluate(element, place)
            if isinstance(outcome, Failed):
                self.note("$coalesce: failed")
                return outcome
            if isinstance(outcome, Ok) and outcome.value is not None:
                self.note("$coalesce: first value" if number == 0 else "$coalesce: later value")
                return outcome
            outcomes.append(outcome)
        if outcomes and all(isinstance(outcome, Skipped) for outcome in outcomes):
            self.note("$coalesce: only skipped")
            return Skipped()
        self.note("$coalesce: null and skipped" if any(isinstance(one, Skipped) for one in outcomes) else "$coalesce: null")
        return Ok(None)

    def evaluate_late(self, expression: Json, place: str, what: str) -> Outcome:
        """What is needed only now: "a step that becomes needed late is scheduled then"."""
        ran = len(self.ran)
        outcome = self.evaluate(expression, place)
        if ran and len(self.ran) > ran:
            self.note(f"late need in {place}")
            self.note(f"late need by {what}")
        return outcome

    def evaluate_step(self, expression: Json, place: str) -> Outcome:
        outcome = self.step_outcome(expression["$step"])
        path = read_path(expression.get("path") or "")
        if isinstance(outcome, Skipped):
            on_skip = expression.get("onSkip") or {}
            if on_skip.get("action") == "useDefault":
                self.note("onSkip: useDefault")
                return self.evaluate_late(on_skip.get("defaultValue"), place, "onSkip")
            self.note("onSkip: skip" if on_skip else "$step: skipped")
            return outcome
        # "referenced step failed: the dependent fails with the same error, without running"
        if isinstance(outcome, Failed):
            self.note("$step: failed")
            return outcome
        # "step output is `null`, any path: `null`"
        if outcome.value is None and path:
            self.note("$step: path into null")
            return Ok(None)
        try:
            found = look_up(outcome.value, path)
        except NowhereError:
            self.note("$step: path not found")
            return Failed("EXPRESSION_FAILURE", f"Path {write_path(path)} not found")
        if path:
            self.note("$step: path found" + (" by a bare name" if not expression["path"].startswith("$") else ""))
        return Ok(found)

    def evaluate_input(self, text: str) -> Outcome:
        path = read_path(text)
        # "the input is null and the path is not the whole: `Input path $.x not found`"; decision 32: "`$input: "$"` of a null
        # input is `null`".
        try:
            found = look_up(self.input, path)
        except NowhereError:
            self.note("$input: null" if self.input is None else "$input: path not found")
            return Failed("EXPRESSION_FAILURE", f"Input path {write_path(path)} not found")
        self.note("$input: path found" if path else "$input: whole")
        return Ok(found)

    def evaluate_variable(self, expression: Json, place: str) -> Outcome:
        # "the first path element is the variable's name"
        name, *path = read_path(expression["$variable"])
        # "Looked up: given with the run, then the declared default, then the reference's own `default`, else the failure".
        declared = declared_variables(self.flow).get(str(name))
        if name in (self.given or {}):
            value = self.given[name]
            self.note("$variable: given" if declared is not None else "$variable: given, undeclared")
        elif isinstance(declared, dict) and "default" in declared:
            value = declared["default"]
            self.note("$variable: declared default")
        elif "default" in expression:
            self.note("$variable: own default")
            return self.evaluate(expression["default"], place)
        else:
            self.note("$variable: undefined")
            return Failed("EXPRESSION_FAILURE", f"Undefined variable: {name}")
        try:
            found = look_up(value, path)
        except NowhereError:
            self.note("$variable: path not found")
            return Failed("EXPRESSION_FAILURE")
        return Ok(found)


def is_truthy(value: Json) -> bool:
    """Section 3, `$if`."""
    return value is not None and value is not False


def on_error_of(step: Json) -> Json:
    """ "`onError` (alias `on_error`)"; "Explicit `null` means absent"."""
    return step.get("onError") or step.get("on_error") or {}


def action_of(step: Json) -> str:
    return str(on_error_of(step).get("action") or "fail")


def default(value: Json, otherwise: Json) -> Json:
    """ "Explicit `null` means absent"."""
    return otherwise if value is None else value


def variable_schema(flow: Json) -> Json:
    """Section 1: under `schemas`, or by a short form."""
    nested = ((flow.get("schemas") or {}).get("properties") or {}).get("variables")
    return nested or flow.get("variablesSchema") or flow.get("variables_schema") or {}


def input_schema(flow: Json) -> Json:
    """Section 1, as above; None: there is none."""
    nested = ((flow.get("schemas") or {}).get("properties") or {}).get("input")
    return next((one for one in (nested, flow.get("inputSchema"), flow.get("input_schema")) if one is not None), None)


def declared_variables(flow: Json) -> Json:
    return variable_schema(flow).get("properties") or {}
