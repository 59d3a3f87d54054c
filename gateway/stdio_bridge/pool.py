"""A plugin with processes of its own as the engine sees it: slots over them; they are started, replaced and started again.

Each process has an instance that keeps it running: one task that starts it, waits for its end, and waits out the back-off.
What the engine calls is synchronous and never calls back before it returns.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
import structlog

from flowspan.errors import FlowErrorCode, FlowspanError, LimitExceededError, Reason, RecursionLimitError
from gateway.catalog import OfferedComponent, PluginHealth, PluginStatus
from gateway.stdio_bridge.exit_report import ExitReport
from gateway.stdio_bridge.handshake import HandshakeError, IncompatibleServerError, ServerKind
from gateway.stdio_bridge.launch import StartError
from gateway.stdio_bridge.output_sizes import OutputSizes
from gateway.stdio_bridge.peer import ComponentPeer
from gateway.stdio_bridge.process_peer import PeerMaker, ProcessPeer
from gateway.stdio_bridge.requests import RequestHandler
from gateway.stdio_bridge.restart_policy import Circuit, RestartPolicy
from gateway.stdio_bridge.settings import MAX_RETIRING, NESTED_PROCESSES, StdioPlugin
from runtime_core.calls import CallFailure, CallNaming, CallResult, ComponentCall
from runtime_core.ports import EngineSink, SinkFactory

_log = structlog.get_logger("flowspan.bridge")

_TICK_S: Final = 1.0
"""How often stalls and overdue replacements are looked for."""
_STDERR_LINES_IN_MESSAGE: Final = 3


class _Instance:
    """One process that is to run, whichever it is just now."""

    def __init__(self, plugin: StdioPlugin) -> None:
        self.policy: Final = RestartPolicy(plugin.restart)
        self.peer: ProcessPeer | None = None
        self.restart_at: float | None = None
        self.circuit = Circuit.CLOSED
        self.crash_is_attributable = True
        self.replaced: asyncio.Event = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def up(self) -> ProcessPeer | None:
        return self.peer if self.peer is not None and self.peer.is_up else None


class PluginServer:
    """`runtime_core.ports.ComponentServer` over child processes.

    Args:
        plugin: its configuration.
        sink: gives the engine; called when the first process has something to tell.
        naming: of executions, shared with the engine.
        handler: serves what the processes ask.
        make_peer: what kind of processes they are.
        chance: uniform in [0, 1), for the back-off.
    """

    def __init__(
        self,
        plugin: StdioPlugin,
        sink: SinkFactory,
        naming: CallNaming,
        handler: RequestHandler,
        *,
        make_peer: PeerMaker = ComponentPeer,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.plugin: Final = plugin
        self._sink_factory = sink
        self._naming = naming
        self._handler = handler
        self._make_peer = make_peer
        self._chance = chance
        self._output_sizes = OutputSizes()
        self._instances: list[_Instance] = []
        self._retiring: dict[ProcessPeer, float] = {}  # the loop's time at which it is ended
        self._ending: set[asyncio.Task[None]] = set()
        self._broken: CallFailure | None = None
        self._kind: ServerKind | None = None
        self._kind_known = asyncio.Event()
        self._incarnations = 0
        self._restarts = 0
        self._last_end = ""  # how the last process that ended by itself did so, until another one is up
        self._is_stopping = False
        self._idle: asyncio.Event = asyncio.Event()
        self._tick_timer: asyncio.TimerHandle | None = None
        self._unsent: list[ComponentCall] = []

    # -- life ----------------------------------------------------------------------------------------------------------------

    def start_processes(self) -> None:
        """Begin to start all processes; to be called once, in the loop, from the main thread. Does not wait for them."""
        for _ in range(self.plugin.replicas):
            self._add_instance()
        self._tick()

    async def wait_ready(self, timeout_s: float) -> bool:
        """Until the plugin told what it offers or is known to be broken; whether it takes calls."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._kind_known.wait()
        except TimeoutError:
            return False
        return self._broken is None

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Take nothing new, wait up to `drain_s` for what runs, then end all processes side by side. Harmless if repeated.

        Nothing is told to the engine about calls that this ends: they are in flight for good, and repeated after a restart.
        """
        self._is_stopping = True
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        try:
            if drain_s > 0 and any(peer.calls for peer in self._peers()):
                self._idle.clear()
                async with asyncio.timeout(drain_s):
                    await self._idle.wait()
        except TimeoutError:
            pass
        finally:
            tasks = [instance.task for instance in self._instances if instance.task is not None]
            for task in tasks:
                task.cancel()
            endings = [asyncio.ensure_future(peer.stop()) for peer in self._peers()]
            if pending := [*tasks, *endings, *self._ending]:
                await asyncio.wait(pending)

    def _add_instance(self) -> _Instance:
        instance = _Instance(self.plugin)
        self._instances.append(instance)
        instance.task = asyncio.get_running_loop().create_task(self._keep_running(instance), name=f"plugin {self.name}")
        return instance

    async def _keep_running(self, instance: _Instance) -> None:
        loop = asyncio.get_running_loop()
        while not self._is_stopping and self._broken is None:
            if instance.restart_at is not None:
                await asyncio.sleep(max(0.0, instance.restart_at - loop.time()))
                instance.restart_at = None
            self._incarnations += 1
            peer = self._make_peer(
                self.plugin,
                self,
                self._naming,
                self._handler,
                output_sizes=self._output_sizes,
                incarnation=self._incarnations,
            )
            instance.peer = peer
            instance.crash_is_attributable = True
            instance.replaced.clear()
            instance.policy.on_started(loop.time())
            instance.circuit = instance.policy.circuit(loop.time())
            try:
                if await self._run(instance, peer):
                    continue
            except (StartError, IncompatibleServerError, LimitExceededError) as error:
                self._end(peer)
                if not isinstance(error, StartError) or error.is_permanent:
                    instance.policy.on_start_error(loop.time())
                    self._break(error)
                    return
                self._last_end = error.message
                _log.warning("plugin_start_failed", plugin=self.name, error=error.message)
            except HandshakeError as error:
                self._end(peer)
                if error.reason is not Reason.PLUGIN_CRASHED:
                    self._last_end = error.message
                _log.warning("plugin_handshake_failed", plugin=self.name, error=error.message)
            self._plan_restart(instance)

    async def _run(self, instance: _Instance, peer: ProcessPeer) -> bool:
        """From the start of a process to its end (False), or to the moment at which another takes its place (True)."""
        try:
            kind = await peer.start()
        except HandshakeError:
            if peer.ended.done() and (start_error := peer.ended.result().start_error) is not None:
                raise start_error from None
            raise
        loop = asyncio.get_running_loop()
        instance.policy.on_healthy(loop.time())
        self._kind = kind
        self._kind_known.set()
        self._last_end = ""
        _log.info("plugin_up", plugin=self.name, pid=peer.pid, dialect=peer.dialect, capacity=peer.capacity)
        self._sink().on_slots(self)
        replaced = asyncio.ensure_future(instance.replaced.wait())
        try:
            await asyncio.wait((peer.ended, replaced), return_when=asyncio.FIRST_COMPLETED)
        finally:
            replaced.cancel()
        if instance.replaced.is_set():
            return True
        self._end(peer)
        start_error = peer.ended.result().start_error
        if start_error is not None:
            raise start_error
        return False

    def _end(self, peer: ProcessPeer) -> None:
        """See a process out in the background: nobody waits for it, `stop` does at the latest."""
        peer.kill()
        ending = asyncio.get_running_loop().create_task(peer.stop())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _plan_restart(self, instance: _Instance) -> None:
        now = asyncio.get_running_loop().time()
        decision = instance.policy.on_crash(now, self._chance(), attributable=instance.crash_is_attributable)
        instance.peer = None
        instance.restart_at = decision.restart_at
        instance.circuit = decision.circuit
        self._restarts += 1
        _log.warning(
            "plugin_restarts",
            plugin=self.name,
            after_s=round((decision.restart_at or now) - now, 3),
            circuit=decision.circuit.value,
        )
        self._sink().on_slots(self)

    def _break(self, error: FlowspanError) -> None:
        """No process of this plugin can be used until the configuration changes."""
        _log.error("plugin_broken", plugin=self.name, error=error.message)
        data = msgspec.json.encode({"reason": error.reason.value, "plugin": self.name, **error.details}, enc_hook=str)
        message = error.message if repr(self.name) in error.message else f"plugin {self.name!r}: {error.message}"
        self._broken = CallFailure(FlowErrorCode.RESOURCE_UNAVAILABLE, message, data)
        self._kind_known.set()
        self._sink().on_slots(self)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        for peer in self._peers():
            peer.check_health()
        now = loop.time()
        for peer, until in list(self._retiring.items()):
            if now >= until:
                _log.warning("plugin_replaced_process_killed", plugin=self.name, calls=len(peer.calls))
                peer.kill()
        self._tick_timer = loop.call_later(_TICK_S, self._tick)

    def _sink(self) -> EngineSink:
        return self._sink_factory()

    def _peers(self) -> list[ProcessPeer]:
        """Processes that may hold calls."""
        return [*(instance.peer for instance in self._instances if instance.peer is not None), *self._retiring]

    def _peer_of(self, call: ComponentCall) -> ProcessPeer | None:
        for peer in self._peers():
            if call.number in peer.calls:
                return peer
        return None

    # -- ComponentServer -----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.plugin.name

    def journals(self, component: str) -> bool:
        return True

    @property
    def keeps_timeouts(self) -> bool:
        # All processes have to: nobody knows yet which one takes the calls.
        declared = [peer.declaration for instance in self._instances if (peer := instance.up) is not None]
        return bool(declared) and all(one is not None and one.is_trusted_with_timeouts for one in declared)

    @property
    def broken(self) -> CallFailure | None:
        return self._broken

    @property
    def waiting_for(self) -> str | None:
        if self._broken is not None:
            return self._broken.message
        if any(instance.up is not None for instance in self._instances):
            return None
        planned = [instance for instance in self._instances if instance.restart_at is not None]
        if not planned or len(planned) < len(self._instances):
            return f"plugin {self.name} starts"
        soonest = min(planned, key=lambda instance: instance.restart_at or 0.0)
        wait_s = max(0.0, (soonest.restart_at or 0.0) - asyncio.get_running_loop().time())
        if soonest.circuit is Circuit.OPEN:
            return f"circuit of plugin {self.name} is open; it is tried again in {wait_s:.0f} s"
        return f"plugin {self.name} restarts in {wait_s:.1f} s"

    def free_slots(self) -> int:
        if self._is_stopping:
            return 0
        free = 0
        for instance in self._instances:
            if instance.peer is not None:
                free += instance.peer.free_slots
        return free

    def start(self, calls: Sequence[ComponentCall]) -> None:
        free = [(peer.free_slots, peer) for instance in self._instances if (peer := instance.peer) is not None]
        free = [(slots, peer) for slots, peer in free if slots]
        if len(free) == 1 and free[0][0] >= len(calls):
            free[0][1].execute(calls)
            return
        total = sum(slots for slots, _ in free)
        taken = 0
        for position, (slots, peer) in enumerate(free):
            # In proportion to what is free, so that processes fill up evenly; the last one takes what rounding left over.
            share = slots * len(calls) // total if position < len(free) - 1 else slots
            share = min(share + 1, slots, len(calls) - taken)
            if share:
                peer.execute(calls[taken : taken + share])
                taken += share
        if taken < len(calls):
            self._return_unsent(calls[taken:])

    def _return_unsent(self, calls: Sequence[ComponentCall]) -> None:
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._tell_unsent)
        self._unsent.extend(calls)

    def _tell_unsent(self) -> None:
        calls, self._unsent = self._unsent, []
        failure = CallFailure(FlowErrorCode.UNREACHABLE, f"plugin {self.name!r} has no process that takes calls")
        self._sink().on_crash(self, (), calls, failure)

    def _idle_peer(self) -> ProcessPeer | None:
        """A process for suspects: one that holds nothing, else one in which everything waits for sub-runs."""
        if self._is_stopping:
            return None
        ready = [peer for instance in self._instances if (peer := instance.up) is not None and not peer.used_slots]
        return min(ready, key=lambda peer: len(peer.calls), default=None)

    def instant(self, component: str) -> None:
        return None

    def can_start_alone(self) -> bool:
        return self._idle_peer() is not None

    def start_alone(self, calls: Sequence[ComponentCall]) -> None:
        peer = self._idle_peer()
        if peer is None:
            self._return_unsent(calls)
            return
        peer.alone.update([call.number for call in calls])
        peer.execute(calls)

    def park(self, call: ComponentCall) -> None:
        peer = self._peer_of(call)
        if peer is None:
            return
        peer.parked.add(call.number)
        if not peer.is_reentrant and not self.free_slots() and self._may_nest():
            self._add_instance()

    def try_unpark(self, call: ComponentCall) -> bool:
        peer = self._peer_of(call)
        if peer is None or call.number not in peer.parked:
            return True
        if peer.is_reentrant and peer.used_slots >= peer.capacity:
            return False
        peer.parked.discard(call.number)
        return True

    def _may_nest(self) -> bool:
        return len(self._instances) < self.plugin.replicas + NESTED_PROCESSES

    def check_nesting(self, peer: ProcessPeer, call: ComponentCall | None) -> None:
        """For a server that is not re-entrant, ahead of a wait.

        Raises:
            RecursionLimitError: its nested work would need one process more than there may be.
        """
        if not self.free_slots() and not self._may_nest() and all(one.up is not None for one in self._instances):
            raise RecursionLimitError(
                f"plugin {self.name!r} is not re-entrant and its {len(self._instances)} processes all wait: this would deadlock"
            )

    def time_out(self, calls: Sequence[ComponentCall]) -> None:
        for peer in self._peers():
            gone = [call for call in calls if call.number in peer.calls]
            if gone:
                peer.forget(gone)
                self._replace(peer)

    def _replace(self, peer: ProcessPeer) -> None:
        """Something hangs in there: a new process takes over, this one may finish its other calls."""
        for instance in self._instances:
            if instance.peer is peer and peer.kind is not None:
                loop = asyncio.get_running_loop()
                while len(self._retiring) >= MAX_RETIRING:
                    oldest = next(iter(self._retiring))
                    del self._retiring[oldest]
                    self._end(oldest)
                self._retiring[peer] = loop.time() + self.plugin.replace_grace_s
                instance.peer = None
                instance.replaced.set()
                _log.warning("plugin_replaced", plugin=self.name, calls=len(peer.calls))
        if peer in self._retiring and not peer.calls:
            peer.kill()

    def cancel(self, calls: Sequence[ComponentCall]) -> Awaitable[int]:
        loop = asyncio.get_running_loop()
        total: asyncio.Future[int] = loop.create_future()
        parts = [peer.cancel(held) for peer in self._peers() if (held := [call for call in calls if call.number in peer.calls])]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            total.set_result(0)
            return total
        left = len(parts)

        def settle(_part: asyncio.Future[int]) -> None:
            nonlocal left
            left -= 1
            if not left and not total.done():
                total.set_result(sum(part.result() for part in parts))

        for part in parts:
            part.add_done_callback(settle)
        return total

    # -- PeerOwner -----------------------------------------------------------------------------------------------------------

    def on_peer_results(self, peer: ProcessPeer, results: list[CallResult]) -> None:
        if not self._is_stopping or not peer.ended.done():
            self._sink().on_results(results)
        if self._retiring and peer in self._retiring and not peer.calls:
            peer.kill()
        if self._is_stopping and not any(other.calls for other in self._peers()):
            self._idle.set()

    def on_peer_progress(self, call: ComponentCall, fraction: float, message: str) -> None:
        self._sink().on_progress(call, fraction, message)

    def on_peer_started(self, calls: list[ComponentCall]) -> None:
        self._sink().on_started(calls)

    def on_peer_drain(self, peer: ProcessPeer, given_back: list[ComponentCall]) -> None:
        if self._is_stopping:
            if not any(other.calls for other in self._peers()):
                self._idle.set()
            return
        self._replace(peer)
        if given_back:
            failure = CallFailure(FlowErrorCode.UNREACHABLE, f"plugin {self.name!r} gave the call back")
            self._sink().on_crash(self, (), given_back, failure)

    def on_peer_slots(self, peer: ProcessPeer) -> None:
        self._sink().on_slots(self)

    def on_peer_kind(self, kind: ServerKind) -> None:
        self._kind = kind

    def same_kind(self, kind: ServerKind) -> ServerKind:
        return self._kind if self._kind is not None and self._kind == kind else kind

    def on_peer_ended(self, peer: ProcessPeer, report: ExitReport) -> None:
        was_alone = bool(peer.alone)
        sent, unsent = peer.take_unsent()
        was_retiring = self._retiring.pop(peer, None) is not None
        for instance in self._instances:
            if instance.peer is peer:
                # One suspect is a finding, many are a search, and a search is not the server's fault; broken rules are, but
                # for an answer that took others with it: that is searched for, too.
                breaks_rules = peer.gave_up is not None and not peer.lost_answers
                instance.crash_is_attributable = breaks_rules or not (was_alone or len(sent) > 1)
        if self._is_stopping:
            self._idle.set()
            return
        failure = self._crash_failure(peer, report)
        if any(instance.peer is peer for instance in self._instances):  # else it was given up, and why is noted already
            self._last_end = failure.message
        if not was_retiring or sent or unsent:
            _log.warning("plugin_ended", plugin=self.name, how=failure.message, in_flight=len(sent), unsent=len(unsent))
        if was_retiring:
            self._end(peer)
        if sent or unsent:
            self._sink().on_crash(self, sent, unsent, failure)
        self._sink().on_slots(self)

    def _crash_failure(self, peer: ProcessPeer, report: ExitReport) -> CallFailure:
        reason = Reason.PLUGIN_CRASHED if peer.gave_up is None else Reason.PLUGIN_PROTOCOL
        message = report.describe() if peer.gave_up is None else f"plugin {self.name!r} was ended: {peer.gave_up}"
        last_lines = [line for line in report.stderr_tail.splitlines() if line.strip()][-_STDERR_LINES_IN_MESSAGE:]
        if last_lines:
            message = f"{message}; its last words: {' | '.join(last_lines)}"
        data: dict[str, object] = {"reason": reason.value, "plugin": self.name}
        if report.signal_number is not None:
            data["signal"] = report.signal_number
        if report.exit_code is not None:
            data["exitCode"] = report.exit_code
        if report.stderr_tail:
            data["stderrTail"] = report.stderr_tail
        if report.half_line:
            data["halfLine"] = report.half_line
        return CallFailure(FlowErrorCode.UNREACHABLE, message[:4096], msgspec.json.encode(data))

    # -- for people ----------------------------------------------------------------------------------------------------------

    @property
    def offered(self) -> dict[str, OfferedComponent]:
        """Components by the server's own path; {} while it has not told."""
        return dict(self._kind.components or {}) if self._kind is not None else {}

    @property
    def statistics(self) -> dict[str, int]:
        """Counts of now and since the start."""
        peers = self._peers()
        return {
            "processes": len(peers),
            "in_flight": sum(len(peer.calls) for peer in peers),
            "parked": sum(len(peer.parked) for peer in peers),
            "restarts": self._restarts,
            "queued_bytes": sum(peer.queued_bytes for peer in peers),
        }

    def status(self) -> PluginStatus:
        """How the plugin is."""
        up = [peer for instance in self._instances if (peer := instance.up) is not None]
        if self._broken is not None:
            health = PluginHealth.BROKEN
        elif up:
            health = PluginHealth.UP
        elif any(instance.circuit is Circuit.OPEN for instance in self._instances):
            health = PluginHealth.CIRCUIT_OPEN
        elif any(instance.restart_at is not None for instance in self._instances):
            health = PluginHealth.BACKING_OFF
        else:
            health = PluginHealth.STARTING
        last_end = "" if up or self._broken is not None else self._last_end
        return PluginStatus(
            self.name,
            self.plugin.type,
            health,
            "; ".join(filter(None, (self.waiting_for, last_end))),
            self._restarts,
            sum(peer.capacity for peer in up),
            sum(len(peer.calls) for peer in self._peers()),
            up[0].stderr_tail().splitlines() if up else (),
            last_end,
        )
