"""From calls to request lines in the pipe: few large writes, and nothing more while the pipe is behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from flowspan.errors import FlowspanError
from flowspan.jsonrpc import Session
from gateway.call_failures import too_long
from gateway.stdio_bridge.execute_lines import ExecuteLines
from gateway.stdio_bridge.handshake import ServerKind
from gateway.stdio_bridge.peer_process import PeerProcess
from gateway.stdio_bridge.settings import BACKLOG_BYTES, FIRST_FLUSH_CALLS, FLUSH_CALLS
from runtime_core.calls import CallFailure, CallNaming, CallTemplate, ComponentCall

_BACKLOG_POLL_S: Final = 0.002
"""How often a pipe that was full is looked at while calls wait for it."""


class CallWriter:
    """Writes the calls of one process.

    Args:
        plugin: its name, for messages.
        held: the calls that the process holds, by number; one that has gone from there is not written any more.
        refuse: ends a call that cannot be sent; must not call back before it returns.

    Attributes:
        namespaces: of all calls that were written.
    """

    def __init__(
        self,
        plugin: str,
        process: PeerProcess,
        session: Session,
        naming: CallNaming,
        held: Mapping[int, ComponentCall],
        refuse: Callable[[ComponentCall, CallFailure], None],
    ) -> None:
        self._plugin: Final = plugin
        self._process = process
        self._session = session
        self._naming = naming
        self._held = held
        self._refuse = refuse
        self._loop = asyncio.get_running_loop()
        self._kind: ServerKind | None = None
        self._max_line_bytes = 0
        self._backlog: deque[ComponentCall] = deque()
        self._backlog_timer: asyncio.TimerHandle | None = None
        self._undelivered: set[int] = set()
        self.namespaces: set[str] = set()

    def open(self, kind: ServerKind, max_line_bytes: int) -> None:
        """The handshake is done: this is what lines depend on."""
        self._kind = kind
        self._max_line_bytes = max_line_bytes

    def write(self, calls: Sequence[ComponentCall]) -> None:
        """Send these now, or when the pipe has room."""
        if self._backlog or self._process.write_buffer_bytes > BACKLOG_BYTES:
            self._keep(calls)
        else:
            self._write_calls(calls)

    def withdraw(self, calls: Sequence[ComponentCall]) -> list[ComponentCall]:
        """Take back those of `calls` that are not written yet; they never will be."""
        if not self._backlog:
            return []
        unwritten = {call.number for call in self._backlog}
        withdrawn = [call for call in calls if call.number in unwritten]
        numbers = {call.number for call in withdrawn}
        self._backlog = deque(call for call in self._backlog if call.number not in numbers)
        return withdrawn

    def unseen(self) -> Collection[int]:
        """Numbers of calls that the process cannot have seen."""
        return self._undelivered.union([call.number for call in self._backlog])

    def close(self) -> None:
        """The process has ended: nothing more is written."""
        if self._backlog_timer is not None:
            self._backlog_timer.cancel()
            self._backlog_timer = None

    def _write_calls(self, calls: Sequence[ComponentCall]) -> None:
        flush_calls = FIRST_FLUSH_CALLS
        position = 0
        while position < len(calls):
            self._write_batch(calls[position : position + flush_calls])
            position += flush_calls
            flush_calls = min(2 * flush_calls, FLUSH_CALLS)
            if position < len(calls) and self._process.write_buffer_bytes > BACKLOG_BYTES:
                self._keep(calls[position:])
                return

    def _write_batch(self, calls: Sequence[ComponentCall]) -> None:
        """One write."""
        template: CallTemplate | None = None
        prepared: ExecuteLines | None = None
        lines: list[bytes] = []
        numbers: list[int] = []
        single_numbers: list[int] = []
        in_bulk: list[ComponentCall] = []
        for call in calls:
            if call.template is not template:
                if in_bulk and prepared is not None:
                    lines.append(prepared.bulk_lines(in_bulk))
                    in_bulk = []
                template = call.template
                prepared = self._prepare(call)
            if prepared is None:
                self._refuse_unnamed(call)
            elif len(call.input) <= prepared.bulk_bytes:
                in_bulk.append(call)
                numbers.append(call.number)
            else:
                line = prepared.line(call)
                if len(line) > self._max_line_bytes:
                    self._refuse(call, too_long("input", self._max_line_bytes, len(line)))
                    continue
                lines.append(line)
                single_numbers.append(call.number)
        if in_bulk and prepared is not None:
            lines.append(prepared.bulk_lines(in_bulk))
        if lines:
            # Opened first: the answer may come as soon as the bytes are out. Those in bulk are known by their owner alone.
            self._session.register(single_numbers, in_bulk=len(numbers))
            if not self._process.write(lines if len(lines) > 1 else lines[0]):
                self._undelivered.update(numbers, single_numbers)

    def _keep(self, calls: Sequence[ComponentCall]) -> None:
        self._backlog.extend(calls)
        if self._backlog and self._backlog_timer is None:
            self._backlog_timer = self._loop.call_later(_BACKLOG_POLL_S, self._write_backlog)

    def _write_backlog(self) -> None:
        self._backlog_timer = None
        if self._process.write_buffer_bytes > BACKLOG_BYTES or not self._process.stdin_is_open:
            self._keep(())
            return
        calls = [call for call in self._backlog if call.number in self._held]
        self._backlog.clear()
        self._write_calls(calls)

    def _prepare(self, call: ComponentCall) -> ExecuteLines | None:
        """How lines of this call's template are made; None where the server cannot be asked for it."""
        kind, template = self._kind, call.template
        assert kind is not None
        prepared = template.prepared
        if type(prepared) is not ExecuteLines or prepared.kind is not kind:
            name = kind.wire_name(template.component)
            if isinstance(name, FlowspanError):
                return None
            stepflow = kind.declaration.dialect == "stepflow"
            prepared = template.prepared = ExecuteLines(
                self._naming,
                template,
                kind=kind,
                component=name,
                flow_id=template.flow_id.removeprefix("sha256:") if stepflow else template.flow_id,
                repeats_origin=stepflow,
                sends_timeout=kind.declaration.timeouts,
                sends_item=not stepflow,
                sends_token=stepflow or not kind.declaration.derives_tokens,
                bulk=kind.declaration.bulk,
                max_line_bytes=self._max_line_bytes,
            )
        self.namespaces.add(template.namespace)
        return prepared

    def _refuse_unnamed(self, call: ComponentCall) -> None:
        assert self._kind is not None
        name = self._kind.wire_name(call.template.component)
        assert isinstance(name, FlowspanError)
        self._refuse(call, CallFailure(name.row.flow, f"plugin {self._plugin!r}: {name.message}"))
