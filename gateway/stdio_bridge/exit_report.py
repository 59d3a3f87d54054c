"""How a component server's process ended: what crash reports, logs and item errors are made of."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from gateway.stdio_bridge.launch import Isolation, StartError


@dataclass(frozen=True, slots=True)
class ExitReport:
    """How a process ended.

    Attributes:
        name: the plugin.
        pid: of the reaper that held it, as the gateway saw it.
        exit_code: 0..255, or None if a signal ended it or it never started.
        signal_number: the signal that ended it, or None.
        start_error: set if the program could not be executed; nothing ran then.
        stop_was_requested: whether `stop`, `terminate` or `kill` came first.
        stderr_tail: last lines of stderr, printable, at most 4 KiB of the stream.
        half_line: what stood on stdout after the last newline, printable, at most 1 KiB; "" if nothing.
        lived_s: from start to end.
        held_in: how its descendants were held, `GROUP` where the kernel refuses namespaces; None if the reaper never got so far.
    """

    name: str
    pid: int
    exit_code: int | None
    signal_number: int | None
    start_error: StartError | None
    stop_was_requested: bool
    stderr_tail: str
    half_line: str
    lived_s: float
    held_in: Isolation | None

    def describe(self) -> str:
        """One sentence for error messages, e.g. ``plugin 'py' was ended by SIGSEGV after 2.1 s``."""
        if self.start_error is not None:
            return self.start_error.message
        if self.signal_number is not None:
            try:
                how = f"was ended by {signal.Signals(self.signal_number).name}"
            except ValueError:
                how = f"was ended by signal {self.signal_number}"
        elif self.exit_code is not None:
            how = f"ended with exit code {self.exit_code}"
        else:
            how = "ended without a known status"
        return f"plugin {self.name!r} {how} after {self.lived_s:.1f} s"
