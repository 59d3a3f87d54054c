"""`flowspan test`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway.cli.options import Deadline, Json, Quiet, end


def run_tests(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Flows' files, and directories to search for them.")],
    case: Annotated[
        list[str] | None, typer.Option("--case", help="Only cases of this name or glob; may be repeated.", metavar="NAME")
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Rewrite expected outputs that do not hold or are missing.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show expected and actual of failing cases as a diff.")] = False,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write a report as JUnit XML.", metavar="FILE")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Use this flowspan.yml, whatever the tests name.", metavar="FILE")
    ] = None,
    deadline: Deadline = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the result of every case.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> NoReturn:
    """Run the tests that flows carry, all cases of a file as one run in memory; exit code 1 if one fails."""
    from gateway.cli import test_command
    from gateway.telemetry import setup_telemetry

    setup_telemetry(level="warning", log_format="json" if as_json else "auto")
    end(
        test_command.run_tests(
            test_command.Options(
                paths=tuple(paths),
                cases=tuple(case or ()),
                update=update,
                diff=diff,
                junit=junit,
                config=config,
                deadline_s=deadline,
                verbose=verbose,
                quiet=quiet,
                as_json=as_json,
            )
        )
    )
