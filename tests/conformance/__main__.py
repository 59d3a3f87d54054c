"""`python -m tests.conformance`: all cases, for the SDKs that can be built here."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from .cases import load_groups
from .gateways import TRANSPORTS
from .programs import ProgramError
from .runner import BAD, DIRECT, Outcome, Runner, Verdict, transports_of
from .sdks import BY_NAME, NotRunError
from .table import NOT_RUN, table


def main() -> int:
    groups = load_groups()
    arguments = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    arguments.add_argument("--sdk", nargs="+", choices=list(BY_NAME), default=list(BY_NAME), help="default: all")
    names = list(dict.fromkeys(f"{group.program}/{group.name}" for group in groups))
    arguments.add_argument("--group", nargs="+", choices=names, default=names, metavar="GROUP", help=f"of {', '.join(names)}")
    arguments.add_argument("--transport", nargs="+", choices=[DIRECT, *TRANSPORTS], default=[DIRECT, *TRANSPORTS])
    arguments.add_argument("--json", action="store_true", help="a line for each case instead of the table")
    given = arguments.parse_args()

    outcomes: list[Outcome] = []
    cells: dict[tuple[str, str, str], str] = {}
    said: set[str] = set()
    broken = False
    runner = Runner()
    try:
        for sdk in given.sdk:
            for group in groups:
                label = f"{group.program}/{group.name}"
                for transport in transports_of(group):
                    if label not in given.group or transport not in given.transport:
                        continue
                    try:
                        here = runner.run(group, sdk, transport)
                    except NotRunError as error:
                        cells[label, sdk, transport] = NOT_RUN
                        _say_once(said, f"NOT RUN: {sdk}: {error}")
                        continue
                    except ProgramError as error:
                        cells[label, sdk, transport] = "BROKEN"
                        broken = True
                        _say_once(said, f"BROKEN: {sdk} {transport}: {error}")
                        continue
                    for outcome in here:
                        _tell(outcome, label, as_json=given.json)
                    outcomes += [Outcome(**{**asdict(outcome), "group": label}) for outcome in here]
    finally:
        runner.close()
    if not given.json:
        rows = [name for name in names if name in given.group]
        columns = [(sdk, transport) for sdk in given.sdk for transport in (DIRECT, *TRANSPORTS) if transport in given.transport]
        print("\n" + table(rows, columns, outcomes, cells))
        counts = {verdict: sum(outcome.verdict is verdict for outcome in outcomes) for verdict in Verdict}
        print("\n" + ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))
    if cells:
        absent = sorted({f"{sdk} {transport}" for (_, sdk, transport), cell in cells.items() if cell == NOT_RUN})
        if absent:
            print(f"conformance: NOT RUN: {', '.join(absent)}", file=sys.stderr)
    return 1 if broken or any(outcome.verdict in BAD for outcome in outcomes) else 0


def _tell(outcome: Outcome, label: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**asdict(outcome), "group": label}, ensure_ascii=False), flush=True)
    elif outcome.verdict in BAD:
        print(
            f"{outcome.verdict.upper()} {outcome.sdk} {outcome.transport} {label}/{outcome.case} ({outcome.took_s:.1f} s)",
            flush=True,
        )
        print("    " + outcome.text.replace("\n", "\n    "), flush=True)


def _say_once(said: set[str], text: str) -> None:
    if text not in said:
        said.add(text)
        print(f"conformance: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
