"""The built-ins as a component server."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from runtime_core.api import RuntimeApi
from runtime_core.builtins.catalog import BUILTINS
from runtime_core.builtins.host import Host
from runtime_core.builtins.in_process import InProcessServer
from runtime_core.builtins.work import Delayed, Instant, Waiting, Work
from runtime_core.calls import CallAnswer, CallNaming, ComponentCall
from runtime_core.ports import EngineSink, SegmentCodec

OutsideWork = Callable[[ComponentCall], Coroutine[Any, Any, CallAnswer]]
"""The work of a built-in that needs files or the network; it may raise a `FlowspanError`."""

NAME = "builtin"


class BuiltinServer(InProcessServer):
    """All built-ins. It takes calls once it is connected.

    Args:
        outside: what the gateway brings, by names of `BUILTINS`; without it those components are not there.
    """

    def __init__(self, outside: Mapping[str, OutsideWork] | None = None) -> None:
        works: dict[str, Work] = {name: Waiting(work) for name, work in (outside or {}).items()}
        for name, builtin in BUILTINS.items():
            if isinstance(builtin.work, (Instant, Delayed)):
                works[name] = builtin.work
        super().__init__(NAME, f"/{NAME}", works)

    def connect(self, *, sink: EngineSink, api: RuntimeApi, naming: CallNaming, codec: SegmentCodec, result_bytes: int) -> None:
        """Give it the engine that it works for. `naming`: what tasks of executions are called there."""
        self.sink = sink
        host = Host(api, naming, codec, result_bytes)
        for name, builtin in BUILTINS.items():
            if builtin.work is not None and not isinstance(builtin.work, (Instant, Delayed)):
                self._works[name] = Waiting(partial(builtin.work, host))

    def journals(self, component: str) -> bool:
        builtin = BUILTINS.get(component)
        return builtin is not None and builtin.journaled
