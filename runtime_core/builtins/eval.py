"""`eval`: run a flow over one input, as a run of its own. How it ended is data: a failed sub-run does not fail the step."""

from __future__ import annotations

from typing import Final

import msgspec

from flowspan.view.flow_result import flow_result_to_wire
from runtime_core.builtins.chosen_flow import choose_flow
from runtime_core.builtins.host import Host
from runtime_core.builtins.inputs import ABSENT, InputReader
from runtime_core.calls import ComponentCall


class _Eval(msgspec.Struct, forbid_unknown_fields=True):
    input: msgspec.Raw
    flow: msgspec.Raw = ABSENT
    flow_id: msgspec.Raw = ABSENT


_eval: Final = InputReader(_Eval)


async def eval_flow(host: Host, call: ComponentCall) -> bytes:
    """`{result: FlowResult, run_id}`; the id is the sub-run's own."""
    given = _eval.read(call.input)
    flow = choose_flow(flow=given.flow, flow_id=given.flow_id)
    ended = await host.sub_runs.run(call, flow, [bytes(given.input)])
    [(outcome, payload)] = ended.results
    return b'{"result":%b,"run_id":"%b"}' % (flow_result_to_wire(outcome, payload), ended.run_id.encode())
