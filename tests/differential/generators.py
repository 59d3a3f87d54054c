"""Cases made by Hypothesis: valid flows with what a user could get wrong, leaning towards references that exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

from tests.differential.cases import NOOP, PLUGIN, Behaviour, Case
from tests.differential.exact_json import Json
from tests.differential.paths import Segment
from tests.differential.reference import Item, Ok, Outcome

T = TypeVar("T")

DIE = st.integers(0, 119)
KEYS = ("a", "b", "x.y", "p]q", "it's", 'say "hi"', "ü", "名前", "0", "$x", "a-b", "")
SCALARS = (
    None, None, True, False, 0, 1, 1.0, -0.0, 2**53 + 1, 10**40, -(10**40), 1e300, 0.1, 5e-324, -7, "", "text", "ünï名", "$.a",
    "null", 'q"\\\n',
)  # fmt: skip
STEP_IDS = ("s1", "s2", "s.3", "steps", "ü 5", "$input", "s7", "value")
VARIABLES = ("v", "w", "n.m", "u")
TYPES: dict[type, Json] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
CODES = ("COMPONENT_FAILED", "RESOURCE_UNAVAILABLE", "TIMEOUT", "UNREACHABLE", "INVALID_INPUT", "INVALID_INPUT")
SCRIPTS: tuple[tuple[str, ...], ...] = (
    ("COMPONENT_FAILED",),
    ("RESOURCE_UNAVAILABLE", "COMPONENT_FAILED"),
    ("TIMEOUT",),
    ("UNREACHABLE", "UNREACHABLE"),
    ("TIMEOUT", "COMPONENT_FAILED"),
    ("COMPONENT_FAILED", "TIMEOUT"),
    ("COMPONENT_FAILED", "UNREACHABLE", "COMPONENT_FAILED", "TIMEOUT"),
    ("UNREACHABLE", "UNREACHABLE", "TIMEOUT", "TIMEOUT"),
    ("COMPONENT_FAILED",) * 4,
    ("RESOURCE_UNAVAILABLE", "INVALID_INPUT"),
)
THEN = ("echo",) * 8 + ("constant",) * 7 + ("wrap",) * 3 + ("skip",) + CODES + ("hang",)
FORMS = (
    ("$step",) * 8 + ("$input",) * 5 + ("scalar",) * 3 + ("$if",) * 4 + ("$coalesce",) * 4 + ("object",) * 3
    + ("array",) * 2 + ("$variable",) * 2 + ("$literal",) + ("mixed",) * 2 + ("late",) * 3
)  # fmt: skip
LEAVES = ("$step",) * 5 + ("$input",) * 3 + ("scalar",) * 2 + ("$variable",) + ("$literal",)


class Maker:
    """Draws one case."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.ids: list[str] = []
        self.flow: Json = {}
        self.given: Json = None
        self.inputs: list[Json] = []
        self.behaviours: dict[str, Behaviour] = {}
        self.kill_after: int | None = None
        self.examples: Item

    # --- small choices

    def number(self, least: int, most: int) -> int:
        """Between both. All draws are of one strategy, so that what Hypothesis makes of one it can use for another."""
        return least + self.draw(DIE) * (most - least + 1) // 120

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.number(0, len(choices) - 1)]

    def chance(self, percent: int) -> bool:
        """False is the simple case, towards which failures shrink."""
        return self.number(0, 99) >= 100 - percent

    # --- values and paths

    def value(self, depth: int = 2) -> Json:
        if depth == 0 or self.chance(100 - 25 * depth):
            return self.one_of(SCALARS)
        if self.chance(70):
            return {self.one_of(KEYS): self.value(depth - 1) for _ in range(self.number(0, 3))}
        return [self.value(depth - 1) for _ in range(self.number(0, 3))]

    def path(self, value: Json) -> list[Segment]:
        """Mostly a place that `value` has."""
        path: list[Segment] = []
        for _ in range(self.number(0, 3)):
            if self.chance(6):
                path.append(self.one_of(KEYS) if self.chance(70) else self.number(0, 2))
                value = None
            elif isinstance(value, (dict, list)) and value:
                places: Sequence[Segment] = list(value) if isinstance(value, dict) else range(len(value))
                path.append(self.one_of(places))
                value = value[path[-1]]  # type: ignore[index]
        return path

    def spelled(self, path: list[Segment]) -> str:
        """One of the texts of a path."""
        if not path:
            return self.one_of(("$", "$", ""))
        first = path[0]
        if len(path) == 1 and isinstance(first, str) and first and first[0] != "$" and self.chance(50):
            return first
        text = "$"
        for segment in path:
            if isinstance(segment, int):
                text += f"[{segment}]"
            elif segment.replace("-", "").isalnum() and self.chance(60):
                text += f".{segment}"
            elif '"' in segment or ("'" not in segment and self.chance(50)):
                text += f"['{segment}']"
            else:
                text += f'["{segment}"]'
        return text

    def example(self, step_id: str) -> Json:
        """What the step gives for the first input, if anything."""
        outcome = self.examples.step_outcome(step_id)
        return outcome.value if isinstance(outcome, Ok) else None

    # --- expressions

    def expression(self, earlier: Sequence[str], depth: int) -> Json:
        form = self.one_of(FORMS if depth else LEAVES)
        return self.of_form(form, earlier, max(depth - 1, 0))

    def of_form(self, form: str, earlier: Sequence[str], depth: int) -> Json:
        if form == "$step" and earlier:
            return self.step_reference(earlier, depth)
        if form == "object":
            return {self.one_of(KEYS): self.expression(earlier, depth) for _ in range(self.number(0, 3))}
        if form == "array":
            return [self.expression(earlier, depth) for _ in range(self.number(0, 3))]
        if form == "$literal":
            return {"$literal": self.one_of(({"$input": "$"}, {"$step": "nope"}, [{"$if": 1}], None, {"$literal": 2.0}))}
        if form == "$if":
            taken = {"$if": self.condition(earlier, depth), "then": self.branch(earlier, depth)}
            return taken | ({"else": self.branch(earlier, depth)} if self.chance(70) else {})
        if form == "$coalesce":
            return {"$coalesce": [self.branch(earlier, depth) for _ in range(self.number(0, 3))]}
        if form == "$variable":
            name = self.one_of(VARIABLES)
            reference = {"$variable": self.spelled([name, *self.path(self.variable_example(name))])}
            return reference | ({"default": self.expression(earlier, depth)} if self.chance(50) else {})
        if form == "late" and earlier:
            return self.late(earlier, depth)
        if form == "mixed":
            return self.mixed(earlier, depth)
        if form == "scalar":
            return self.one_of(SCALARS)
        return {"$input": self.spelled(self.path(self.inputs[0]))}

    def step_reference(self, earlier: Sequence[str], depth: int) -> Json:
        # Rather a late one: long chains, and fewer steps that nothing needs.
        step_id = earlier[max(self.number(0, len(earlier) - 1), self.number(0, len(earlier) - 1))]
        reference: Json = {"$step": step_id}
        if self.chance(50):
            reference["path"] = self.spelled(self.path(self.example(step_id)))
        if self.chance(35):
            reference["onSkip"] = {"action": "skip"}
            if self.chance(60):
                reference["onSkip"] = {"action": "useDefault", "defaultValue": self.branch(earlier, depth)}
        return reference

    def condition(self, earlier: Sequence[str], depth: int) -> Json:
        """Often one whose truth is seen at once."""
        if len(earlier) > 1 and self.chance(25):
            return self.late(earlier, depth)
        if self.chance(70):
            return self.branch(earlier, depth)
        return self.one_of((True, False, None, 0, "", [], {}, {"$input": "$"}))

    def branch(self, earlier: Sequence[str], depth: int) -> Json:
        """What may or may not be needed: rather a step than not."""
        return self.step_reference(earlier, depth) if earlier and self.chance(50) else self.expression(earlier, depth)

    def late(self, earlier: Sequence[str], depth: int) -> Json:
        """What needs a step only when another one has been there."""
        first, second, third = (self.step_reference(earlier, depth) for _ in range(3))
        if self.chance(30):
            return {"$coalesce": [first, second, third]}
        return {"$if": first, "then": second, "else": third}

    def mixed(self, earlier: Sequence[str], depth: int) -> Json:
        """Several reserved keys in one object: the first by precedence counts, and the others may say what they like."""
        forms = ("$literal", "$if", "$coalesce", "$step", "$input", "$variable")
        rank = self.number(0, 4)
        counts = self.of_form(forms[rank], earlier, depth)
        ignored = {form: self.one_of(("$.nope", "nope", "$", 7)) for form in forms[rank + 1 :] if self.chance(50)}
        return {key: member for key, member in ignored.items() if key not in counts} | counts

    # --- a flow

    def variable_example(self, name: str) -> Json:
        if name in (self.given or {}):
            return self.given[name]
        return self.variables.get(name, {}).get("default")

    def declare_variables(self) -> None:
        self.variables: dict[str, Json] = {}
        required = []
        for name in VARIABLES[:3]:
            if self.chance(50):
                value = self.value(2)
                self.variables[name] = {"default": value} if self.chance(40) else {}
                if self.chance(40):
                    self.variables[name]["type"] = [TYPES[type(value)]]
        values = {}
        for name in VARIABLES:
            declared = self.variables.get(name, {})
            if self.chance(55):
                kinds = declared.get("type")
                values[name] = self.value(2) if kinds is None or self.chance(4) else self.of_type(kinds[0])
                if name in self.variables and self.chance(50):
                    required.append(name)
            elif name in self.variables and self.chance(10 if "default" in declared else 3):
                required.append(name)
        self.given = values if values or self.chance(50) else None
        schema: Json = {"type": "object", "properties": self.variables} | ({"required": required} if required else {})
        if self.chance(5):
            schema["additionalProperties"] = False
        if self.variables:
            self.add_schema("variables", schema)

    def add_schema(self, name: str, schema: Json) -> None:
        """In one of the places of section 1."""
        match self.number(0, 2):
            case 0:
                self.flow.setdefault("schemas", {"type": "object", "properties": {}})["properties"][name] = schema
            case 1:
                self.flow[f"{name}Schema"] = schema
            case _:
                self.flow[f"{name}_schema"] = schema

    def of_type(self, kind: str) -> Json:
        choices: dict[str, Sequence[Json]] = {
            "null": (None,),
            "boolean": (False, True),
            "integer": (0, 2**53 + 1, 3.0),
            "number": (0.5, 1, -0.0),
            "string": ("", "text"),
            "array": ([], [1, None]),
            "object": ({}, {"a": 1}),
        }
        return self.one_of(choices[kind])

    def input_schema(self) -> Json:
        """Fits the first input, or nearly."""
        first = self.inputs[0]
        kind = TYPES[type(first)]
        choices: list[Json] = [{"type": kind}, {"type": sorted({kind, "null"})}, {"enum": [first, 1.0, "other"]}, {"minimum": 1}]
        if isinstance(first, dict):
            known = {name: {"type": TYPES[type(member)]} for name, member in first.items()}
            choices += [
                {"type": "object", "required": list(known), "properties": known},
                {"properties": known, "additionalProperties": False},
                {"required": [self.one_of(KEYS)]},
                {"properties": {name: {"const": member} for name, member in first.items()}},
            ]
        if isinstance(first, list):
            choices.append({"items": {"type": ["integer", "null", "object"]}})
        return self.one_of(choices)

    def behaviour(self) -> Behaviour:
        return Behaviour(
            # An attempt that dies with its gateway would change which failures are left, so a script needs one that lives.
            failures=self.one_of(SCRIPTS) if self.kill_after is None and self.chance(50) else (),
            then=self.one_of(THEN),
            value=None if self.chance(20) else self.value(3),
            picky=self.chance(10),
            data=self.one_of((None, None, {"n": 10**40, "f": 1.0})),
            retry_after_s=self.one_of((None, None, 2.5)),
            loosely=self.chance(30),
        )

    def on_error(self) -> Json:
        action = self.one_of(("fail", "useDefault", "retry", "retry", "retry", "skip"))
        on_error: Json = {"action": action}
        if self.chance(55 if action == "retry" else 75 if action == "useDefault" else 5):
            on_error["defaultValue"] = self.one_of((*SCALARS[2:], {"$input": "$"}, [{"a": 1.0}]))
        if action == "retry" and self.chance(60):
            on_error["maxRetries"] = self.number(0, 4)
        return on_error

    def step(self, step_id: str, earlier: list[str]) -> Json:
        where = self.number(0, 99)
        component = NOOP if where >= 95 else "/nowhere/x" if where >= 90 else PLUGIN + self.one_of(list(self.behaviours))
        step: Json = {"id": step_id, "component": component}
        if self.chance(90):
            step["input"] = self.expression(earlier, 2)
        if self.chance(30):
            step[self.one_of(("skip", "skip", "skipIf"))] = self.condition(earlier, 2)
        if self.chance(55):
            step[self.one_of(("onError", "onError", "on_error"))] = self.on_error()
        if self.chance(15):
            step["mustExecute"] = True
        if self.chance(15):
            step["retry"] = {"maxRetries": self.number(0, 3), "backoff": self.one_of(("constant", "fibonacci", "exponential"))}
        if self.chance(15):
            step["timeout"] = self.one_of((1, 0.5, "2s", "1m1s"))
        return step

    def output(self) -> Json:
        """Often one that needs many steps."""
        if self.chance(40):
            return self.expression(self.ids, 3)
        if self.ids and self.chance(30):
            return self.late(self.ids, 2)
        members = [self.expression(self.ids, 2) for _ in range(self.number(1, 4))]
        return members if self.chance(50) else dict(zip(KEYS, members, strict=False))

    # --- overrides

    def overrides(self) -> Json:
        patches: Json = {}
        for _ in range(self.number(1, 2)):
            number = self.number(0, len(self.ids) - 1)
            patches[self.ids[number]] = self.patch(self.flow["steps"][number], self.ids[:number])
        if self.chance(4):
            patches["nobody"] = {"value": {"input": 1}}
        return {"steps": patches} if self.chance(60) else patches

    def patch(self, step: Json, earlier: list[str]) -> Json:
        if self.chance(45):
            return {"$type": "json_patch", "value": [self.operation(step, earlier) for _ in range(self.number(0, 3))]}
        fields: Json = {}
        for _ in range(self.number(1, 3)):
            match self.number(0, 9):
                case 0 | 1 | 2:
                    fields["input"] = self.expression(earlier, 1)
                case 3:
                    fields["input"] = {self.one_of(KEYS): self.one_of((None, 1, {"$input": "$"}))}
                case 4:
                    fields["skip"] = self.one_of((True, False, None))
                case 5:
                    fields["skipIf"] = self.condition(earlier, 1)
                case 6:
                    fields["onError"] = self.one_of((None, {"action": "skip"}, {"action": "retry", "maxRetries": 1}, {"x": 1}))
                case 7:
                    fields["component"] = PLUGIN + self.one_of(list(self.behaviours))
                case 8:
                    fields["mustExecute"] = self.one_of((True, False, None))
                case _:
                    choices = (
                        {"id": "other"},
                        {"component": None},
                        {"input": {"$step": step["id"]}},
                        {"retry": {"maxRetries": 0}},
                    )
                    fields |= self.one_of(choices)
        return {"value": fields} | ({"$type": "merge_patch"} if self.chance(50) else {})

    def operation(self, step: Json, earlier: list[str]) -> Json:
        places = ["/input", "/input", "/metadata", *[f"/{name}" for name in step if name not in ("id", "timeout")]]
        if isinstance(step.get("input"), dict):
            places += ["/input/" + key.replace("~", "~0").replace("/", "~1") for key in step["input"]] + [
                "/input/b",
                "/input/x.y",
            ]
        if isinstance(step.get("input"), list):
            places += ["/input/-", "/input/0", "/input/1"]
        place = self.one_of(places)
        match self.number(0, 9):
            case 0 | 1 | 2 | 3:
                return {"op": "add", "path": "/input", "value": self.expression(earlier, 1)}
            case 4:
                return {"op": "replace", "path": place, "value": self.expression(earlier, 1)}
            case 5:
                return {"op": "test", "path": "/input", "value": step.get("input")}
            case 6:
                return {"op": "copy", "from": place, "path": "/input"}
            case 7:
                return {"op": "remove", "path": place}
            case 8:
                return {"op": "move", "from": place, "path": "/input"}
            case _:
                return {"op": "add", "path": place, "value": self.value(1)}

    # --- a case

    def case(self) -> Case:
        self.inputs = [None if self.chance(5) else self.value(3) for _ in range(self.number(1, 2))]
        self.kill_after = self.number(1, 5) if self.chance(15) else None
        self.behaviours = {name: self.behaviour() for name in ("c0", "c1/x", "ü")[: self.number(2, 3)]}
        self.flow = {"name": "generated", "steps": []}
        self.declare_variables()
        if self.chance(20):
            self.add_schema("input", self.input_schema())
        self.examples = Item(self.flow, self.given, self.inputs[0], self.behave, hasty=True)
        for step_id in STEP_IDS[: self.one_of((0, 1, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8))]:
            self.flow["steps"].append(self.step(step_id, self.ids))
            self.ids.append(step_id)
        self.flow["output"] = self.output()
        return Case(
            flow=self.flow,
            inputs=self.inputs,
            behaviours=self.behaviours,
            overrides=self.overrides() if self.ids and self.chance(25) else None,
            given=self.given,
            delays=self.number(0, 3),
            kill_after=self.kill_after,
        )

    def behave(self, path: str, given: Json, attempt: int) -> Outcome:
        behaviour = self.behaviours.get(path.removeprefix(PLUGIN))
        return Ok(given) if behaviour is None else behaviour.answer(given, attempt)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any case."""
    return Maker(draw).case()
