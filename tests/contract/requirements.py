"""What the contract page demands: requirement id to where it stands, what it says in a sentence of ours, and how we read it.

Every id is claimed by at least one test (`@requirement("...")`), and every claim names an id: tests/contract/test_manifest.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

_Test = TypeVar("_Test", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Requirement:
    """`section` of the page, or `ours` for what decisions add; `reading`: where the page leaves room, how it is understood."""

    section: str
    behaviour: str
    reading: str = ""


_R = Requirement
_EXECUTING: Final = "Both are served while an execution of the same server is open; outside of one they work as well, unlinked."
_WAIT_READING: Final = "A wait ends with the run or after the caller's timeoutSecs; there is no hidden bound."

REQUIREMENTS: Final[dict[str, Requirement]] = {
    # overview
    "overview.during-execution": _R("Runs", "A component server submits and reads runs while it executes.", _EXECUTING),
    "overview.submit": _R("Overview", "runs/submit starts a run."),
    "overview.get": _R("Overview", "runs/get tells a run's status and results."),
    # runs/submit, sequence
    "submit.sequence.execution-in-progress": _R("Run Submission Sequence", "The asking execution stays open and ends normally."),
    "submit.sequence.request": _R(
        "Run Submission Sequence", "The server sends runs/submit with wait.", "The diagram's snake_case names are accepted."
    ),
    "submit.sequence.flow-from-blob-store": _R("Run Submission Sequence", "The flow is read from the blob store by its id."),
    "submit.sequence.executes-inputs": _R(
        "Run Submission Sequence", "Every input becomes an item.", "The same process executes them while its request is open."
    ),
    "submit.sequence.answers-with-results": _R("Run Submission Sequence", "The answer to a waiting submit has results."),
    "submit.sequence.results-in-component": _R("Run Submission Sequence", "The component's output may use the results."),
    # submit and poll, sequence
    "poll.sequence.execution-in-progress": _R("Async Run Submission and Polling", "The execution stays open between requests."),
    "poll.sequence.submit": _R("Async Run Submission and Polling", "runs/submit without wait is answered while items run."),
    "poll.sequence.starts": _R("Async Run Submission and Polling", "Items start at once."),
    "poll.sequence.answers-running": _R(
        "Async Run Submission and Polling",
        "The answer says running.",
        "Or a terminal status if the run has ended by then; pending only while limits keep all its items waiting.",
    ),
    "poll.sequence.other-work": _R("Async Run Submission and Polling", "The component goes on while the run runs."),
    "poll.sequence.get": _R("Async Run Submission and Polling", "The server sends runs/get with wait."),
    "poll.sequence.waits-for-completion": _R("Async Run Submission and Polling", "The answer comes at the run's end."),
    "poll.sequence.answers-with-results": _R(
        "Async Run Submission and Polling",
        "It has the final status and results.",
        "wait without includeResults yields results (the diagram); an explicit false does not (the table).",
    ),
    # runs/submit
    "submit.name": _R("runs/submit Method", "The method is called runs/submit.", "Names are exact: case and separators count."),
    "submit.direction": _R("runs/submit Method", "The component server asks, the runtime answers."),
    "submit.response": _R("runs/submit Method", "Each request gets exactly one response, with its id."),
    "submit.flow-must-be-stored": _R(
        "runs/submit Method",
        "A flow that is not in the blob store is refused.",
        "-32012 for an unknown id; -32602 for a blob that is no flow, with diagnostics. The blob's type is a hint only.",
    ),
    "submit.param.flowId": _R(
        "runs/submit Parameters", "flowId names the flow; a string; required.", "Bare hex digits are accepted."
    ),
    "submit.param.inputs": _R(
        "runs/submit Parameters", "inputs is an array with one value per item; required.", "No inputs: success at once."
    ),
    "submit.param.wait": _R("runs/submit Parameters", "wait decides when the answer comes; default false.", _WAIT_READING),
    "submit.param.maxConcurrency": _R(
        "runs/submit Parameters",
        "maxConcurrency bounds the items that run at once.",
        "Default 10; a whole number from 1; larger than the cap: clamped, and told as effectiveMaxConcurrency.",
    ),
    "submit.param.overrides": _R("runs/submit Parameters", "overrides change the flow for this run."),
    "submit.param.observability": _R(
        "runs/submit Parameters",
        "The trace goes on in the sub-run.",
        "traceparent, or trace_id with span_id. Malformed: ignored.",
    ),
    "submit.example.request": _R("runs/submit Request Example", "The example is accepted as printed."),
    "submit.example.response": _R("runs/submit Response Example", "Its answer has the example's members, types and values."),
    # runs/get
    "get.name": _R("runs/get Method", "The method is called runs/get."),
    "get.direction": _R("runs/get Method", "The component server asks, the runtime answers."),
    "get.response": _R("runs/get Method", "Each request gets exactly one response, with its id."),
    "get.purpose": _R("runs/get Method", "It tells the status, and results on request."),
    "get.param.runId": _R("runs/get Parameters", "runId is the run's UUID; required.", "Unknown: -32012; not a UUID: -32602."),
    "get.param.wait": _R("runs/get Parameters", "wait decides when the answer comes; default false.", _WAIT_READING),
    "get.param.includeResults": _R("runs/get Parameters", "includeResults adds results; default false."),
    "get.param.resultOrder": _R(
        "runs/get Parameters", "byIndex (default) or byCompletion.", "by_index and by_completion are accepted."
    ),
    "get.param.observability": _R("runs/get Parameters", "Trace context is accepted.", "It also tells which execution asks."),
    "get.example.request": _R("runs/get Request Example", "The example is accepted as printed."),
    "get.example.response": _R("runs/get Response Example", "Its answer has the example's members, types and values."),
    # RunStatus
    "status.runId": _R("Run Status Fields", "runId identifies the run.", "A UUID, version 7."),
    "status.flowId": _R("Run Status Fields", "flowId is the flow's blob id.", "sha256: and 64 hex digits."),
    "status.flowName": _R("Run Status Fields", "flowName is there if the flow has a name."),
    "status.flowLabel": _R("Run Status Fields", "flowLabel is there if one was given."),
    "status.status": _R(
        "Run Status Fields",
        "status is one of five words.",
        "failed if any item failed; cancelled whatever the items did; terminal is final.",
    ),
    "status.items": _R("Run Status Fields", "items counts the items by state.", "total is the sum of the others, always."),
    "status.createdAt": _R(
        "Run Status Fields", "createdAt is when the run was created.", "RFC 3339, UTC, milliseconds or more, Z."
    ),
    "status.completedAt": _R("Run Status Fields", "completedAt is there once the run has ended."),
    "status.results": _R(
        "Run Status Fields", "results is there if asked for.", "Those of items that have ended; while the run runs: so far."
    ),
    # use cases
    "use-case.orchestration": _R("Sub-workflow Orchestration", "The first Python example works as written."),
    "use-case.batch": _R("Batch Processing", "The second Python example works as written."),
    "use-case.polling": _R("Async Execution with Polling", "The third Python example works as written."),
    # what our decisions add to these methods
    "status.absent-not-null": _R("ours", "Members without a value are left out, never null."),
    "status.extra-members": _R("ours", "Members beyond the contract are from a written list."),
    "params.spelling": _R("ours", "camelCase and snake_case are both read."),
    "params.null-is-absent": _R("ours", "Explicit null is as if the member were not there."),
    "params.unknown-members": _R("ours", "Unknown members are ignored."),
    "submit.ours.requestId": _R("ours", "A repeated requestId gives the first run; with another request: conflict."),
    "submit.ours.timeoutSecs": _R("ours", "A wait that is over is answered with the status as it stands and the results so far."),
    "submit.ours.flowLabel": _R("ours", "flowLabel comes back."),
    "submit.ours.more": _R("ours", "metadata, itemLabels and variables take effect."),
    "submit.ours.parent": _R("ours", "The sub-run is linked to the execution that asks, by token, span, or as the only one."),
    "get.ours.timeoutSecs": _R("ours", "A wait that is over is answered with the status as it stands."),
    "get.ours.pages": _R("ours", "afterItemIndex and limit page through results by index."),
}


def requirement(*ids: str) -> Callable[[_Test], _Test]:
    """Marks a test as one that would fail if one of these requirements were not met."""
    unknown = [one for one in ids if one not in REQUIREMENTS]
    if unknown or not ids:
        raise KeyError(f"no such requirement: {', '.join(unknown) or '(none given)'}")
    return lambda test: test
