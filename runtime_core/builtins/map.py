"""`map`: run a flow over many inputs, as the items of one run. How each ended is data."""

from __future__ import annotations

from typing import Final

import msgspec

from flowspan.view.events import Outcome
from flowspan.view.flow_result import flow_result_to_wire
from runtime_core.builtins.chosen_flow import choose_flow
from runtime_core.builtins.host import Host
from runtime_core.builtins.inputs import ABSENT, InputReader, whole
from runtime_core.calls import ComponentCall

MAX_CONCURRENCY: Final = 2**31 - 1
"""What runs take; the gateway's own limit clamps it."""


class _Map(msgspec.Struct, forbid_unknown_fields=True):
    items: list[msgspec.Raw]
    workflow: msgspec.Raw = ABSENT
    flow: msgspec.Raw = ABSENT
    flow_id: msgspec.Raw = ABSENT
    max_concurrency: int | float | None = None


_map: Final = InputReader(_Map)


async def map_flow(host: Host, call: ComponentCall) -> bytes:
    """`{results: FlowResult[], successful, failed}`, results in the order of the items; skipped ones count as successful."""
    given = _map.read(call.input)
    flow = choose_flow(workflow=given.workflow, flow=given.flow, flow_id=given.flow_id)
    concurrency = given.max_concurrency
    if concurrency is not None:
        concurrency = whole("max_concurrency", concurrency, 1, MAX_CONCURRENCY)
    ended = await host.sub_runs.run(call, flow, [bytes(item) for item in given.items], max_concurrency=concurrency)
    failed = sum(outcome in (Outcome.FAILED, Outcome.CANCELLED) for outcome, _ in ended.results)
    results = b",".join([flow_result_to_wire(outcome, payload) for outcome, payload in ended.results])
    return b'{"results":[%b],"successful":%d,"failed":%d}' % (results, len(ended.results) - failed, failed)
