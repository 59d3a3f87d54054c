"""The static check of a flow: the type of every step and of the output, and all that cannot be right.

Pure, and linear in the size of the flow: every expression is looked at once, every schema once, every pair of types once. It
belongs to authors (validate, StoreFlow), never to a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flowspan.flows.paths import format_path
from runtime_core.flow.diagnostics import DiagnosticLog
from runtime_core.flow.document import Flow, OnErrorAction, Step
from runtime_core.flow.expression_syntax import RESERVED_KEYS
from runtime_core.flow.types.access import access
from runtime_core.flow.types.components import ComponentTypes, KnownComponents, NoComponent, NoRoute, Unknown
from runtime_core.flow.types.fitting import Fitting, Misfit
from runtime_core.flow.types.inference import ExpressionTypes, Inferred, StepType
from runtime_core.flow.types.schema_reader import SchemaReader, read_schema
from runtime_core.flow.types.shapes import NULL_TYPE, UNKNOWN, Type, type_in_both, type_of_value, union
from runtime_core.model.json_scan import escape_pointer_token
from runtime_core.model.json_value import JsonObject, JsonValue

STEP_SCHEMAS: Final = "/schemas/properties/steps/properties"


@dataclass(frozen=True, slots=True)
class FlowTypes:
    """What a check concluded.

    Attributes:
        steps: per step, what references to it get.
        wanted: per step, what its component takes; None: nobody says.
        output: of the flow.
    """

    steps: tuple[StepType, ...]
    wanted: tuple[Type | None, ...]
    output: Type


@dataclass(frozen=True, slots=True)
class _Component:
    """A component, read once for all steps that use it."""

    path: str
    known: ComponentTypes | None
    input: Type | None
    output: Type | None
    trouble: tuple[int, str] | None = None


def check_types(
    flow: Flow, log: DiagnosticLog, components: KnownComponents | None = None, *, input_type: Type | None = None
) -> FlowTypes:
    """Infer and check.

    Args:
        flow: that compiles.
        log: where findings go, with pointers into the flow's document.
        components: None: only what the document itself says is checked.
        input_type: what items are, where the flow does not declare it.
    """
    return _Check(flow, log, components, input_type).run()


class _Check:
    def __init__(self, flow: Flow, log: DiagnosticLog, components: KnownComponents | None, input_type: Type | None) -> None:
        self._flow = flow
        self._log = log
        self._components = components
        self._fitting = Fitting()
        self._read: dict[str, _Component] = {}
        schemas = flow.schemas
        if schemas.input is not None:
            input_type = read_schema(schemas.input)
        has_others = schemas.output is not None or schemas.variables is not None or bool(schemas.steps)
        self._expressions = ExpressionTypes(
            input_type or UNKNOWN, _variable_types(schemas.variables), log, has_schemas=has_others
        )

    def run(self) -> FlowTypes:
        steps: list[StepType] = []
        wanted: list[Type | None] = []
        for index, step in enumerate(self._flow.steps):
            component = self._component(step.component)
            pointer = f"/steps/{index}"
            if component.trouble is not None:
                self._log.report(*component.trouble, f"{pointer}/component")
            found = self._step(step, component, pointer)
            self._expressions.add_step(step.id, found)
            steps.append(found)
            wanted.append(component.input)
        output = self._expressions.infer(self._flow.output, "/output").type
        declared = self._flow.schemas.output
        if declared is not None:
            misfit = self._fitting.misfit(output, read_schema(declared))
            if misfit is not None:
                place = "/output" if "output" in self._flow.value else ""
                self._tell_misfit(misfit, self._flow.output, place, "the output does not fit the flow's output schema")
        return FlowTypes(tuple(steps), tuple(wanted), output)

    def _step(self, step: Step, component: _Component, pointer: str) -> StepType:
        if step.skip is not None:
            self._expressions.infer(step.skip, f"{pointer}/{step.skip_field}")
        given = self._expressions.infer(step.input, f"{pointer}/input")
        if component.input is not None:
            misfit = self._fitting.misfit(given.type, component.input)
            if misfit is not None:
                has_input = step.input is not None
                what = f"the input of step {step.id!r} does not fit component {component.path}"
                self._tell_misfit(misfit, step.input, f"{pointer}/input" if has_input else pointer, what)
        answer, untyped = self._answer(step, component, given)
        on_error, output = step.on_error, answer
        if on_error.has_default:
            output = union((answer, type_of_value(on_error.default_value)))
        by_component = component.known is None or not component.known.never_skips
        may_skip = by_component or step.skip is not None or given.may_skip or on_error.action is OnErrorAction.SKIP
        return StepType(output, answer, may_skip, untyped)

    def _answer(self, step: Step, component: _Component, given: Inferred) -> tuple[Type, str | None]:
        """What the component answers with: by the flow's own word, else by the component's."""
        answered = component.output
        known = component.known
        if known is not None and known.echoes is not None:
            echoed = access(given.type, known.echoes)
            answered = echoed.type if echoed.obstacle is None else NULL_TYPE
        declared = self._flow.schemas.steps.get(step.id)
        if declared is None:
            is_untyped = known is not None and answered is None
            return (UNKNOWN if answered is None else answered), (component.path if is_untyped else None)
        promised = read_schema(declared)
        if answered is None or not answered.is_known:
            return promised, None
        misfit = self._fitting.misfit(answered, promised)
        if misfit is None:
            return type_in_both(answered, promised), None
        what = f"component {component.path} of step {step.id!r} does not answer with what is declared here"
        place = f"{STEP_SCHEMAS}/{escape_pointer_token(step.id)}"
        self._log.report(2100, f"{what}: {_where(misfit)}{misfit.message}", place)
        return promised, None

    def _component(self, path: str) -> _Component:
        held = self._read.get(path)
        if held is None:
            held = self._read[path] = self._look_up(path)
        return held

    def _look_up(self, path: str) -> _Component:
        found = None if self._components is None or not path else self._components.look_up(path)
        if isinstance(found, NoRoute):
            return _Component(path, None, None, None, (2200, found.message))
        if isinstance(found, NoComponent):
            nearest = self._log.nearest(path, found.known)
            return _Component(path, None, None, None, (2500, f"plugin {found.plugin!r} offers no component {path!r}{nearest}"))
        if found is None or isinstance(found, Unknown):
            return _Component(path, None, None, None)
        trouble = (1500, f"component {path} is a mock: it answers by rote") if found.is_mock else None
        return _Component(path, found, _declared(found.input_schema), _declared(found.output_schema), trouble)

    def _tell_misfit(self, misfit: Misfit, expression: JsonValue, pointer: str, what: str) -> None:
        hint = self._log.nearest(misfit.name, misfit.known) if misfit.name else ""
        self._log.report(2100, f"{what}: {_where(misfit)}{misfit.message}{hint}", pointer + _written(expression, misfit.place))


def _declared(schema: JsonValue) -> Type | None:
    """The type of a component's schema; None where it says nothing, as `{}` does."""
    return None if schema is None or schema is True or schema == {} else read_schema(schema)


def _variable_types(schema: JsonObject | None) -> dict[str, Type] | None:
    """Values that do not fit are refused at submit, so the declared types hold."""
    properties = (schema or {}).get("properties")
    if type(properties) is not dict:
        return None
    reader = SchemaReader(schema)
    return {name: reader.type_of(one) for name, one in properties.items()}


def _where(misfit: Misfit) -> str:
    return f"{format_path(misfit.place)}: " if misfit.place else ""


def _written(expression: JsonValue, place: tuple[str | int, ...]) -> str:
    """How far the place of a value can be followed in the expression that makes it: a pointer below the expression's."""
    pointer = ""
    is_literal = False
    for segment in (None, *place):
        if segment is not None:
            if type(expression) is dict and segment in expression:
                expression = expression[str(segment)]
            elif type(expression) is list and type(segment) is int and segment < len(expression):
                expression = expression[segment]
            else:
                break
            pointer += f"/{escape_pointer_token(str(segment))}"
        if is_literal or type(expression) is not dict or all(key not in expression for key in RESERVED_KEYS):
            continue
        if "$literal" not in expression:
            break
        expression, is_literal = expression["$literal"], True
        pointer += "/$literal"
    return pointer
