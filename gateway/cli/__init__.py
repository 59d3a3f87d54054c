"""The command `flowspan`: runs flows, serves them, talks to servers."""

from __future__ import annotations

import signal


def main() -> int:
    """Entry point of the command. Returns the exit code (docs/cli).

    Until a loop listens to signals there is nothing to clean up, so SIGINT simply ends the process: Python's own handler loses
    one that comes in a callback of an import. `run_loop` brings it back.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from gateway.cli.entry import run_command

    return run_command()
