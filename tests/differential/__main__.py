"""Check many cases, or one again: `python -m tests.differential FIRST COUNT` or `python -m tests.differential FILE`.

FIRST is a number of a thousand cases, as the deep tests count them; COUNT is how many thousands to check. A disagreement is
printed as a small case, which can be saved and run again as FILE.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

from tests.differential.cases import Case
from tests.differential.check import SITUATIONS, BothSides, DisagreementError, check

THOUSAND = 1_000


def main(arguments: list[str]) -> int:
    if len(arguments) == 1:
        return one_again(Path(arguments[0]))
    first, count = map(int, arguments)
    begin_s = time.monotonic()
    situations: Counter[str] = Counter()
    done = failed = items = calls = 0
    for number in range(first, first + count):
        try:
            tally = check(number, THOUSAND)
        except DisagreementError as error:
            failed += 1
            print(f"{number}: {error}", flush=True)
            continue
        done, items, calls = done + tally.cases, items + tally.items, calls + tally.calls
        situations += tally.situations
        seconds = time.monotonic() - begin_s
        print(f"{number}: {done} cases, {items} items, {calls} steps agree, {seconds:.0f} s", flush=True)
    print(f"gateways died in {situations['a gateway dies']} cases", flush=True)
    rare = sorted(SITUATIONS, key=lambda situation: situations[situation])[:10]
    print("rarest: " + ", ".join(f"{situation} ({situations[situation]})" for situation in rare), flush=True)
    return 1 if failed else 0


def one_again(path: Path) -> int:
    both = BothSides()
    try:
        both.compare(Case.from_json(path.read_text(encoding="utf-8")))
    except DisagreementError as error:
        print(error)
        return 1
    finally:
        both.close()
    print("both sides agree")
    return 0


sys.exit(main(sys.argv[1:]))
