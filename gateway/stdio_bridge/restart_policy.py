"""When a component server that ended may be started again. Pure: time and chance are passed in.

Three answers: after a back-off, after the circuit's pause (then one probe), or never by itself (the program cannot be
started, or speaks another protocol version). Crashes while a poisonous item is searched for are not the server's fault and do
not count.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Circuit(StrEnum):
    """Whether a server may be used."""

    CLOSED = "closed"
    OPEN = "open"
    """Too many crashes; nothing is started before the pause is over."""
    HALF_OPEN = "half_open"
    """One probe was started or may start; it closes the circuit by staying healthy."""
    BLOCKED = "blocked"
    """Only `reset` (a changed configuration, an operator) helps."""


@dataclass(frozen=True, slots=True)
class RestartLimits:
    """Figures of the policy, in seconds and counts; the defaults are those of the documentation."""

    first_backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    max_crashes: int = 5
    crash_window_s: float = 180.0
    open_s: float = 60.0
    healthy_reset_s: float = 60.0


@dataclass(frozen=True, slots=True)
class RestartDecision:
    """What follows from an end of the process.

    Attributes:
        restart_at: on the clock of `now`; None means not by itself.
        circuit: the state after the event.
        crashes: attributable crashes in the window.
        backoff_ceiling_s: upper end of the range that the delay was drawn from; 0 for a pause of the circuit.
    """

    restart_at: float | None
    circuit: Circuit
    crashes: int
    backoff_ceiling_s: float


_DEFAULT_LIMITS: Final = RestartLimits()


class RestartPolicy:
    """Memory of one server's ends. Every method takes `now` in monotonic seconds, never decreasing."""

    def __init__(self, limits: RestartLimits = _DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._crashed_at: deque[float] = deque()
        self._in_a_row = 0
        self._healthy_since: float | None = None
        self._open_until: float | None = None
        self._is_probing = False
        self._is_blocked = False

    def circuit(self, now: float) -> Circuit:
        """State at `now`; an open circuit becomes half-open by the passing of time."""
        if self._is_blocked:
            return Circuit.BLOCKED
        if self._open_until is not None:
            return Circuit.OPEN if now < self._open_until else Circuit.HALF_OPEN
        if self._is_probing and not self._was_healthy_long(now):
            return Circuit.HALF_OPEN
        return Circuit.CLOSED

    def may_start(self, now: float) -> bool:
        """Whether a process may be started now, as far as the circuit goes (back-off is in `RestartDecision.restart_at`)."""
        return self.circuit(now) not in (Circuit.OPEN, Circuit.BLOCKED)

    def on_started(self, now: float) -> None:
        """A process was started. After an open circuit it is the probe."""
        self._healthy_since = None
        if self._open_until is not None and now >= self._open_until:
            self._open_until = None
            self._is_probing = True

    def on_healthy(self, now: float) -> None:
        """The handshake is done. Health counts from here."""
        if self._healthy_since is None:
            self._healthy_since = now

    def on_crash(self, now: float, chance: float, *, attributable: bool = True) -> RestartDecision:
        """The process ended without being asked to, or was killed for breaking the protocol.

        Args:
            now: when.
            chance: uniform in [0, 1); the whole delay is drawn by it, so that many servers do not restart in step.
            attributable: False while items are being bisected for a poisonous one: nothing is counted.
        """
        if self._was_healthy_long(now):
            self._forget()
        self._healthy_since = None
        if self._is_blocked:
            return self._decide(None, now, 0.0)
        if not attributable:
            # As after a first crash, or as the back-off stands already: never raised.
            ceiling = self._backoff_ceiling_s(max(self._in_a_row, 1))
            return self._decide(max(now + chance * ceiling, self._open_until or now), now, ceiling)
        self._in_a_row += 1
        self._crashed_at.append(now)
        while now - self._crashed_at[0] > self._limits.crash_window_s:
            self._crashed_at.popleft()
        if self._is_probing or len(self._crashed_at) >= self._limits.max_crashes:
            self._is_probing = False
            self._open_until = now + self._limits.open_s
            return self._decide(self._open_until, now, 0.0)
        ceiling = self._backoff_ceiling_s(self._in_a_row)
        return self._decide(now + chance * ceiling, now, ceiling)

    def on_start_error(self, now: float) -> RestartDecision:
        """The program cannot be started at all, or is incompatible: no restart by itself."""
        self._is_blocked = True
        self._healthy_since = None
        return self._decide(None, now, 0.0)

    def reset(self) -> None:
        """Forget everything: the configuration changed or an operator asks for a new start."""
        self._is_blocked = False
        self._healthy_since = None
        self._forget()

    def _was_healthy_long(self, now: float) -> bool:
        return self._healthy_since is not None and now - self._healthy_since >= self._limits.healthy_reset_s

    def _forget(self) -> None:
        self._crashed_at.clear()
        self._in_a_row = 0
        self._open_until = None
        self._is_probing = False

    def _backoff_ceiling_s(self, crashes_in_a_row: int) -> float:
        # The exponent is bounded so that a long crash loop cannot overflow a float.
        return min(self._limits.max_backoff_s, self._limits.first_backoff_s * 2.0 ** min(crashes_in_a_row - 1, 32))

    def _decide(self, restart_at: float | None, now: float, ceiling_s: float) -> RestartDecision:
        return RestartDecision(restart_at, self.circuit(now), len(self._crashed_at), ceiling_s)
