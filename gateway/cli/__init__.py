"""The command `flowspan`: runs flows, serves them, talks to servers."""

from __future__ import annotations


def main() -> int:
    """Entry point of the command. Returns the exit code (docs/cli)."""
    try:
        from gateway.cli.entry import run_command

        return run_command()
    except KeyboardInterrupt:  # while modules were still being loaded
        return 130
