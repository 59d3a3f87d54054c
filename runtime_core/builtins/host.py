"""What built-ins need of the gateway that they live in."""

from __future__ import annotations

from runtime_core.api import RuntimeApi
from runtime_core.builtins.sub_runs import SubRuns
from runtime_core.calls import CallNaming
from runtime_core.ports import SegmentCodec


class Host:
    """The run API, and sub-runs made with it. `result_bytes`: bound on one item's result, and so on what a built-in collects."""

    def __init__(self, api: RuntimeApi, naming: CallNaming, codec: SegmentCodec, result_bytes: int) -> None:
        self.api = api
        self.sub_runs = SubRuns(api, naming, codec.decode, result_bytes)
