"""The command `flowspan`: runs flows, serves them, talks to servers."""

from __future__ import annotations

import gc
import signal
from typing import Final

GARBAGE_THRESHOLDS: Final = (100_000, 50, 100)
"""Net new objects per collection, and collections of the younger per one of the older generation. A start makes a hundred
thousand objects and hardly any garbage; with Python's own figures it is searched 160 times."""


def main() -> int:
    """Entry point of the command. Returns the exit code (docs/cli).

    Until a loop listens to signals there is nothing to clean up, so SIGINT simply ends the process: Python's own handler loses
    one that comes in a callback of an import. `run_loop` brings it back.
    """
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from gateway.cli.entry import run_command

    return run_command()
