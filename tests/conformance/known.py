"""What is known to fail, with the reason: `known/<sdk>.yaml`.

    - case: watch/a wait survives a cut      # GROUP/NAME, as the runner prints it
      transports: [worker]                   # default: all
      reason: why, and what is to be done

A listed case that passes fails the run: the list says what is so, not what once was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

DIRECTORY: Final = Path(__file__).parent / "known"


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """One entry. `case`: GROUP/NAME. `transports`: none: all."""

    case: str
    reason: str
    transports: tuple[str, ...] = ()


def load_known(sdk: str, directory: Path = DIRECTORY) -> tuple[KnownFailure, ...]:
    """Entries of one SDK; none if it has no file.

    Raises:
        ValueError: an entry has no case or no reason.
    """
    file = directory / f"{sdk}.yaml"
    if not file.is_file():
        return ()
    known = []
    for entry in yaml.safe_load(file.read_text()) or ():
        if entry.keys() - {"case", "reason", "transports"} or not entry.get("case") or not entry.get("reason"):
            raise ValueError(f"{file.name}: {entry}: an entry has case, reason and maybe transports")
        known.append(KnownFailure(entry["case"], entry["reason"], tuple(entry.get("transports", ()))))
    return tuple(known)


def find(known: Iterable[KnownFailure], case: str, transport: str) -> KnownFailure | None:
    return next(
        (entry for entry in known if entry.case == case and (not entry.transports or transport in entry.transports)), None
    )
