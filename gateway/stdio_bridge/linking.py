"""Whose request is it? A server that executes for many runs sends a request: which of its executions does it come from?

In this order: the task token; the span id; run and step, if only one execution fits; the only open execution. Otherwise the
sub-run stays unlinked, one level below the deepest open one, so that recursion is bounded all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from flowspan.errors import FlowspanError, Reason
from gateway.methods.context import RequestLink, RequestOrigin
from runtime_core.calls import CallNaming, ComponentCall


def link_request(
    origin: RequestOrigin, open_calls: Mapping[int, ComponentCall], naming: CallNaming, namespaces: Collection[str]
) -> RequestLink:
    """Find the execution.

    Args:
        origin: what the request says.
        open_calls: executions of the process that sent it, by number.
        naming: tells numbers from tokens and spans.
        namespaces: all that this process ever executed for.

    Raises:
        FlowspanError: PERMISSION_DENIED if the process executes for several namespaces and it cannot be told for which.
    """
    call = _find(origin, open_calls, naming)
    if call is not None:
        return RequestLink(call.template.namespace, naming.task_token(call.number))
    if len(namespaces) > 1:
        raise FlowspanError(
            "this server executes for several namespaces: send the taskToken of the execution", reason=Reason.PERMISSION_DENIED
        )
    depth = max((open_call.template.depth for open_call in open_calls.values()), default=0)
    return RequestLink(next(iter(namespaces), "default"), None, depth)


def _find(origin: RequestOrigin, open_calls: Mapping[int, ComponentCall], naming: CallNaming) -> ComponentCall | None:
    if origin.task_token is not None:
        number = naming.number_of_token(origin.task_token)
        call = None if number is None else open_calls.get(number)
        if call is None:
            raise FlowspanError(
                "the taskToken belongs to no open execution of this server: it ended, timed out or was cancelled",
                reason=Reason.PERMISSION_DENIED,
            )
        return call
    if origin.span_id is not None:
        number = naming.number_of_span(origin.span_id)
        if number is not None and number in open_calls:
            return open_calls[number]
    if origin.run_id is not None and origin.step_id is not None:
        wanted = (origin.run_id, origin.step_id)
        fitting = [call for call in open_calls.values() if (call.template.run_id, call.template.step_id) == wanted]
        if len(fitting) == 1:
            return fitting[0]
    if len(open_calls) == 1:
        return next(iter(open_calls.values()))
    return None
