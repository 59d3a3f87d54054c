"""One item's way through a flow: which calls are ready, and how the item ends.

Pure and synchronous: outcomes in, ready calls out; no clock, no task, no lock. The caller has spent the retries before it
reports a failure; `onError` is applied here. Nothing is kept but what later expressions may read.

A node is a step, or the flow's output (the last node). It waits for the outcomes that its expression cannot do without; a
branch that turns out to be taken may make it wait again, and what becomes needed late is scheduled then.

Where one of these outcomes is a failure, the node is looked at early: its own failure may be known by then, and so may the
item's. If it is not, the node waits from then on for just those outcomes that can still decide it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from flowspan.errors import ERROR_TABLE, FlowErrorCode, Reason
from flowspan.view.events import Outcome
from runtime_core.flow.document import OnErrorAction
from runtime_core.flow.expressions import (
    FAILED,
    IDLE,
    IN_FLIGHT,
    SKIPPED,
    SUCCESS,
    WAITING,
    BoundVariable,
    Expression,
    Failure,
    Pending,
    Skip,
    expression_failure,
    is_truthy,
)
from runtime_core.flow.plan import FlowPlan, PlannedStep
from runtime_core.flow.schemas import SchemaCheck
from runtime_core.model.json_value import JsonValue

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
_OUTCOME_OF: Final = {SUCCESS: Outcome.SUCCESS, SKIPPED: Outcome.SKIPPED, FAILED: Outcome.FAILED}
_NO_CALLS: Final = ()
MAX_BUILT_BYTES: Final = 8 << 20
"""JSON that an expression may put together: as large as a flow. References repeat values, and each step may double them."""


class ReadyCall(msgspec.Struct, frozen=True, gc=False):
    """A component call whose data is there. `input`: JSON bytes."""

    step: PlannedStep
    input: bytes


class ItemEnd(msgspec.Struct, frozen=True, gc=False):
    """How an item ended. `payload`: as in `flowspan.view.events.ItemCompleted`."""

    outcome: Outcome
    payload: bytes


class ItemExecution:
    """The state of one item; make it, `start()` it, `complete()` every call.

    Attributes:
        result: None until the item has ended; set once.
        states, payloads, missing, input, variables: read by expressions (`ItemValues`).
    """

    __slots__ = (
        "_attempt_bases",
        "_early",
        "_input_value",
        "_largest",
        "_late",
        "_open_roots",
        "_output_values",
        "_plan",
        "_recalled",
        "_waiting",
        "input",
        "missing",
        "payloads",
        "result",
        "states",
        "variables",
    )

    def __init__(self, plan: FlowPlan, item_input: bytes, variables: Sequence[BoundVariable] | None = None) -> None:
        """`variables`: `RunVariables.bound`; None: nothing was given, the declared defaults hold."""
        self._plan = plan
        self.input = item_input
        self.result: ItemEnd | None = None
        self.states = bytearray(plan.initial_states)
        self.payloads: list[bytes] = [b""] * len(plan.initial_states)
        self.missing: list[int] = []
        self.variables = plan.bind({}).bound if variables is None else variables
        self._waiting = list(plan.initial_waiting)
        self._largest = len(item_input)
        self._open_roots = 1 + len(plan.must_execute)
        self._late: dict[int, list[int]] | None = None
        self._early: dict[int, dict[int, None]] | None = None
        self._attempt_bases: dict[int, int] | None = None
        self._recalled: dict[int, tuple[Outcome, bytes]] | None = None
        self._input_value: JsonValue | Failure | Pending = _UNREAD
        self._output_values: dict[int, JsonValue | Failure] | None = None

    def start(self) -> list[ReadyCall]:
        """The calls that are ready from the beginning; call it once. An input that does not fit its schema ends the item."""
        if self._plan.input_check is not None and not self._fits(self._plan.input_check):
            return []
        return self._advance(list(self._plan.initial_ready))

    def complete(self, step_index: int, outcome: Outcome, payload: bytes) -> list[ReadyCall]:
        """A call ended for good; its retries are spent.

        Args:
            step_index: `ReadyCall.step.index`.
            outcome: CANCELLED ends the item as cancelled at once.
            payload: as in `flowspan.view.events.StepCompleted`.

        Returns:
            Calls that became ready. Nothing for a call whose item has ended without it.

        Raises:
            ValueError: no such call is in flight.
        """
        if self.result is not None:
            return []
        if self.states[step_index] != IN_FLIGHT:
            raise ValueError(f"step {step_index} is not in flight")
        if step_index == self._plan.passed_on and outcome is Outcome.SUCCESS:
            states, payloads, output = self.states, self.payloads, len(self._plan.steps)
            states[step_index] = states[output] = SUCCESS
            payloads[step_index] = payloads[output] = payload
            self.result = ItemEnd(Outcome.SUCCESS, payload)
            return []
        queue: list[int] = []
        self._take_outcome(step_index, outcome, payload, queue)
        return self._advance(queue) if queue else []

    def recall(self, step_index: int, outcome: Outcome, payload: bytes) -> list[ReadyCall]:
        """The log says that a step ended. As `complete`, but the step need not be in flight yet: where what it depends on
        was not logged and runs again, its outcome is kept until it would be called, and it is not called again."""
        if self.result is not None:
            return []
        if self.states[step_index] == IN_FLIGHT:
            return self.complete(step_index, outcome, payload)
        recalled = self._recalled = {} if self._recalled is None else self._recalled
        recalled[step_index] = (outcome, payload)
        return []

    def interrupted(self) -> None:
        """The gateway died here: every call that was ready is made again, as a later attempt."""
        if self.result is not None:
            return
        bases = self._attempt_bases = self._attempt_bases or {}
        for index in self.in_flight():
            bases[index] = bases.get(index, 0) + 1

    def attempt_base(self, step_index: int) -> int:
        """How many attempts of a step were lost with a gateway, >= 0."""
        return 0 if self._attempt_bases is None else self._attempt_bases.get(step_index, 0)

    def in_flight(self) -> list[int]:
        """Steps whose call was handed out and has not completed."""
        return [index for index, state in enumerate(self.states) if state == IN_FLIGHT]

    def abandoned(self) -> list[int]:
        """Once the item has ended: steps in flight that nothing needs; their calls may be cancelled."""
        return [] if self.result is None else self.in_flight()

    def input_value(self) -> JsonValue | Failure:
        """The item's input, decoded at most once."""
        if self._input_value is _UNREAD:
            self._input_value = _decoded(self.input, "the input of the item")
        return self._input_value  # type: ignore[return-value]

    def output_value(self, step_index: int) -> JsonValue | Failure:
        """A successful step's output, decoded at most once."""
        values = self._output_values
        if values is None:
            values = self._output_values = {}
        if step_index not in values:
            values[step_index] = _decoded(self.payloads[step_index], f"the output of step {self._plan.steps[step_index].id}")
        return values[step_index]

    def _fits(self, check: SchemaCheck) -> bool:
        """Whether the input fits its schema; if not, the item has failed."""
        value = self.input_value()
        if type(value) is Failure:
            self.result = ItemEnd(Outcome.FAILED, value.payload)
            return False
        violation = check.violation(value)  # type: ignore[arg-type]
        if violation is None:
            return True
        place = f"at {violation.pointer}" if violation.pointer else "as a whole"
        error = {
            "code": FlowErrorCode.INVALID_INPUT.value,
            "message": f"the input does not fit the flow's input schema: {violation.message}, {place}",
            "data": {"reason": Reason.INPUT_SCHEMA.value, "pointer": violation.pointer},
        }
        self.result = ItemEnd(Outcome.FAILED, _encode(error))
        return False

    def _advance(self, queue: list[int]) -> list[ReadyCall]:
        """Evaluate the nodes in `queue`, which grows on the way: a skipped or failed step settles others at once."""
        ready: list[ReadyCall] = []
        steps, states = self._plan.steps, self.states
        count = len(steps)
        for node in queue:
            if self.result is not None:
                break
            if states[node] != WAITING:
                continue  # it was looked at early
            if node == count:
                expression = self._plan.output
            elif node > count:
                self._look_out(node, queue)
                continue
            else:
                step = steps[node]
                if step.skip is not None and not self._passes_condition(step, queue):
                    continue
                expression = step.input
            value = expression.evaluate(self)
            kind = type(value)
            if kind is bytes:
                payload = value
            elif kind is Failure:
                self._settle(node, FAILED, value.payload, queue)  # type: ignore[union-attr]
                continue
            elif kind is Skip:
                self._settle(node, SKIPPED, value.payload, queue)  # type: ignore[union-attr]
                continue
            elif kind is Pending:
                self._wait(node, queue)
                self._set_lookouts(node, queue)
                continue
            elif self._may_build(expression, value):
                payload = _encode(value)
            else:
                what = "the output" if node == count else f"the input of step {steps[node].id}"
                self._settle(node, FAILED, _too_large(what), queue)
                continue
            if node == count:
                self._settle(node, SUCCESS, payload, queue)  # type: ignore[arg-type]
            elif self._recalled is not None and node in self._recalled:
                self._take_outcome(node, *self._recalled.pop(node), queue)
            else:
                states[node] = IN_FLIGHT
                ready.append(ReadyCall(steps[node], payload))  # type: ignore[arg-type]
        if ready and self.result is not None:
            for call in ready:  # the item ended in the same breath: these are never handed out
                states[call.step.index] = WAITING
            ready.clear()
        return ready

    def _look_out(self, node: int, queue: list[int]) -> None:
        """A lookout: if its branch is known to be taken, what it needs begins, whatever else its owner waits for. An owner that
        was looked at early knows better what still counts."""
        lookout = self._plan.lookouts[node - len(self._plan.steps) - 1]
        owner = lookout.owner
        is_open = self.states[owner] == WAITING and not (self._early is not None and owner in self._early)
        if is_open and type(lookout.expression.evaluate(self)) is Pending:
            self._wait(node, queue)
        else:
            self.missing.clear()
            self.states[node] = SUCCESS

    def _may_build(self, expression: Expression, value: object) -> bool:
        """Whether a value that was put together may be encoded; measured only where it could be too large at all."""
        largest = self._largest
        for one in self.variables:
            if type(one) is bytes and len(one) > largest:
                largest = len(one)
        return expression.weight * largest <= MAX_BUILT_BYTES or _size_of(value, MAX_BUILT_BYTES) <= MAX_BUILT_BYTES

    def _take_outcome(self, step_index: int, outcome: Outcome, payload: bytes, queue: list[int]) -> None:
        """Settle a step by the outcome of its call, `onError` applied."""
        if outcome is Outcome.SUCCESS:
            self._settle(step_index, SUCCESS, payload, queue)
        elif outcome is Outcome.FAILED:
            self._settle(step_index, *self._after_failure(self._plan.steps[step_index], payload), queue)
        elif outcome is Outcome.SKIPPED:
            self._settle(step_index, SKIPPED, payload, queue)
        else:
            self.states[step_index] = FAILED
            self.result = ItemEnd(Outcome.CANCELLED, payload)

    def _passes_condition(self, step: PlannedStep, queue: list[int]) -> bool:
        """Whether the step is to run; otherwise it is settled, or waits."""
        assert step.skip is not None
        value = step.skip.evaluate(self)
        kind = type(value)
        if kind is Pending:
            self._wait(step.index, queue)
        elif kind is Failure:
            self._settle(step.index, FAILED, value.payload, queue)  # type: ignore[union-attr]
        elif kind is Skip:
            self._settle(step.index, SKIPPED, value.payload, queue)  # type: ignore[union-attr]
        elif is_truthy(value):  # type: ignore[arg-type]
            self._settle(step.index, SKIPPED, step.skipped_payload, queue)
        else:
            return True
        return False

    def _settle(self, node: int, state: int, payload: bytes, queue: list[int]) -> None:
        """A node's outcome is known; nodes that waited for nothing else, or that it may have decided, join the queue."""
        plan = self._plan
        self.payloads[node] = payload
        if len(payload) > self._largest:
            self._largest = len(payload)
        states = self.states
        states[node] = state
        if node == len(plan.steps) or plan.steps[node].must_execute:
            self._open_roots -= 1
            if not self._open_roots:
                self._end()
                return
        waiting, early = self._waiting, self._early
        others: Sequence[int] = plan.dependents[node] if node < len(plan.steps) else _NO_CALLS
        if self._late is not None and node in self._late:
            others = (*others, *self._late.pop(node))
        for other in others:
            if states[other] != WAITING:
                continue
            if early is not None and other in early:
                self._narrow(other, node, queue)
                continue
            waiting[other] -= 1
            if not waiting[other]:
                queue.append(other)
            elif state == FAILED:
                self._look_early(other, queue)

    def _look_early(self, node: int, queue: list[int]) -> None:
        """Something that `node` waits for has failed: perhaps nothing else counts."""
        early = self._early = {} if self._early is None else self._early
        early[node] = {}
        queue.append(node)

    def _narrow(self, node: int, settled: int, queue: list[int]) -> None:
        """A step is settled; `node` was looked at early and waits for several. What stands behind a failure does not count any
        more. Each step is taken from the end once, so that a wide value costs no more than its width."""
        assert self._early is not None
        missing, states = self._early[node], self.states
        if not missing:
            return  # it is in the queue
        if states[settled] == FAILED and settled in missing:
            while missing.popitem()[0] != settled:
                pass
        while missing:
            if states[next(reversed(missing))] <= IN_FLIGHT:
                return
            missing.popitem()
        queue.append(node)

    def _wait(self, node: int, queue: list[int]) -> None:
        """Steps became needed late: `node` waits for them, and they begin."""
        late = self._late = {} if self._late is None else self._late
        missing = dict.fromkeys(self.missing)  # in document order
        self.missing.clear()
        if self._early is not None and node in self._early:
            self._early[node] = missing
        else:
            self._waiting[node] = len(missing)
        for step in missing:
            late.setdefault(step, []).append(node)
        steps, strict, states = self._plan.steps, self._plan.strict, self.states
        needed = list(missing)
        while needed:
            step = needed.pop()
            if states[step] != IDLE:
                continue
            states[step] = WAITING
            if steps[step].skip is None:
                self._set_lookouts(step, queue)
            open_steps = [other for other in strict[step] if states[other] <= IN_FLIGHT]
            self._waiting[step] = len(open_steps)
            if not open_steps:
                queue.append(step)
            elif any(states[other] == FAILED for other in strict[step]):
                self._look_early(step, queue)
            else:
                needed += open_steps

    def _set_lookouts(self, node: int, queue: list[int]) -> None:
        """A node is waited for, and nothing skips it: its branches are watched from now on."""
        plan, states = self._plan, self.states
        for lookout in plan.lookouts_of[node]:
            if states[lookout] == IDLE:
                states[lookout] = WAITING
                self._waiting[lookout] = sum(states[other] <= IN_FLIGHT for other in plan.strict[lookout])
                if not self._waiting[lookout]:
                    queue.append(lookout)

    def _after_failure(self, step: PlannedStep, payload: bytes) -> tuple[int, bytes]:
        """`onError`, once the retries are spent."""
        if step.default_payload is not None:
            return SUCCESS, step.default_payload
        if step.on_error.action is OnErrorAction.SKIP:
            error = _decoded(payload, "the error")
            message = error.get("message") if type(error) is dict else None
            return SKIPPED, _encode({"reason": f"step {step.id} failed: {message}"})
        return FAILED, payload

    def _end(self) -> None:
        """The output comes before the `mustExecute` steps, and these in the order of the document."""
        states, payloads, output = self.states, self.payloads, len(self._plan.steps)
        for node in (output, *self._plan.must_execute):
            if states[node] == FAILED:
                code_is_cancelled = _error_code(payloads[node]) == FlowErrorCode.CANCELLED
                self.result = ItemEnd(Outcome.CANCELLED if code_is_cancelled else Outcome.FAILED, payloads[node])
                return
        self.result = ItemEnd(_OUTCOME_OF[states[output]], payloads[output])


_UNREAD: Final = Pending()


def _size_of(value: object, enough: int) -> int:
    """A lower bound of the bytes of a value's JSON, for a value that expressions made; the walk ends at more than `enough`."""
    size, stack = 0, [value]
    while stack:
        one = stack.pop()
        kind = type(one)
        if kind is msgspec.Raw or kind is str:
            size += len(one)  # type: ignore[arg-type]
        elif kind is dict:
            size += sum(map(len, one), 5 * len(one))  # type: ignore[call-overload,arg-type]
        elif kind is list:
            size += 2 * len(one)  # type: ignore[arg-type]
        if size > enough:
            break
        if kind is dict:
            stack.extend(one.values())  # type: ignore[attr-defined]
        elif kind is list:
            stack.extend(one)  # type: ignore[arg-type]
    return size


def _too_large(what: str) -> bytes:
    """The error of a value that would be too large to build."""
    error = ERROR_TABLE[Reason.LIMIT_EXCEEDED]
    message = f"{what} would have more than {MAX_BUILT_BYTES} bytes: put large values into blobs"
    data = {"reason": Reason.LIMIT_EXCEEDED.value, "limit": "builtBytes", "max": MAX_BUILT_BYTES}
    return _encode({"code": error.flow.value, "message": message, "data": data})


def _decoded(data: bytes, what: str) -> JsonValue | Failure:
    try:
        value: JsonValue = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return expression_failure(f"{what} is not JSON: {error}")
    return value


def _error_code(payload: bytes) -> object:
    error = _decoded(payload, "the error")
    return error.get("code") if type(error) is dict else None
