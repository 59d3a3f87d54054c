"""`iterate`: run a flow over its own answers until it says that it is done. Each iteration is a run of its own.

The flow answers `{result}` to stop or `{next}` to go on with that input. Where it answers with both members, one of them is
null and counts as absent.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flowspan.errors import FlowErrorCode, InvalidArgumentError
from flowspan.view.events import Outcome
from flowspan.view.flow_result import flow_result_to_wire
from flowspan.view.status import FlowError
from runtime_core.builtins.chosen_flow import choose_flow
from runtime_core.builtins.host import Host
from runtime_core.builtins.inputs import ABSENT, InputReader, is_given, whole
from runtime_core.builtins.sub_runs import EndedSubRun
from runtime_core.builtins.work import shown
from runtime_core.calls import CallFailure, ComponentCall

DEFAULT_ITERATIONS: Final = 1_000
MAX_ITERATIONS: Final = 100_000
"""Each is a run of its own, and a tree has at most ten times as many."""


class _Iterate(msgspec.Struct, forbid_unknown_fields=True):
    initial_input: msgspec.Raw
    flow: msgspec.Raw = ABSENT
    flow_id: msgspec.Raw = ABSENT
    max_iterations: int | float | None = None


class _Answer(msgspec.Struct):
    result: msgspec.Raw = ABSENT
    next: msgspec.Raw = ABSENT


_iterate: Final = InputReader(_Iterate)
_answer: Final = msgspec.json.Decoder(_Answer)
_error: Final = msgspec.json.Decoder(FlowError)


async def iterate_flow(host: Host, call: ComponentCall) -> bytes | CallFailure:
    """`{result, iterations, terminated}`; at `max_iterations`, `terminated` is false and `result` the last `next`.

    An iteration that fails fails the whole with its error; `data` names the iteration (from 1) and its run.
    """
    given = _iterate.read(call.input)
    flow = choose_flow(flow=given.flow, flow_id=given.flow_id)
    asked = DEFAULT_ITERATIONS if given.max_iterations is None else given.max_iterations
    most = whole("max_iterations", asked, 1, MAX_ITERATIONS)
    value = bytes(given.initial_input)
    for iteration in range(1, most + 1):
        ended = await host.sub_runs.run(call, flow, [value])
        outcome, _ = ended.results[0]
        if outcome in (Outcome.FAILED, Outcome.CANCELLED):
            return _failed(ended, iteration)
        result, value = _read(ended, iteration)
        if result is not None:
            return _encoded(result, iteration, b"true")
    return _encoded(value, most, b"false")


def _read(ended: EndedSubRun, iteration: int) -> tuple[bytes | None, bytes]:
    """The result, or None and the next input."""
    outcome, payload = ended.results[0]
    problem = "it was skipped" if outcome is Outcome.SKIPPED else f"it answered {shown(payload)}"
    if outcome is Outcome.SUCCESS:
        try:
            answer = _answer.decode(payload)
        except msgspec.ValidationError:
            answer = _Answer()
        result, following = bytes(answer.result), bytes(answer.next)
        if result and following and is_given(answer.result) != is_given(answer.next):
            result, following = (result, b"") if is_given(answer.result) else (b"", following)
        if result and not following:
            return result, b""
        if following and not result:
            return None, following
    raise InvalidArgumentError(
        f"flow: iteration {iteration} must answer {{result}} to stop or {{next}} to go on; {problem}",
        field="flow",
        iteration=iteration,
        runId=ended.run_id,
    )


def _failed(ended: EndedSubRun, iteration: int) -> CallFailure:
    """The inner error, final: the flow's own steps have spent their transport retries, and the same runs would be found."""
    outcome, payload = ended.results[0]
    wire = msgspec.json.decode(flow_result_to_wire(outcome, payload), type=dict[str, msgspec.Raw])
    error = _error.decode(wire["error"])
    data: dict[str, Any] = {"iteration": iteration, "runId": ended.run_id}
    if error.data is not None:
        data["data"] = error.data
    try:
        code = FlowErrorCode(error.code)
    except ValueError:
        code = FlowErrorCode.COMPONENT_FAILED
    is_final = code in (FlowErrorCode.TIMEOUT, FlowErrorCode.UNREACHABLE)
    return CallFailure(code, error.message, msgspec.json.encode(data), is_final=is_final)


def _encoded(result: bytes, iterations: int, terminated: bytes) -> bytes:
    return b'{"result":%b,"iterations":%d,"terminated":%b}' % (result, iterations, terminated)
