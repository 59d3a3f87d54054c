"""What the scenarios are given and what they are."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.figures import Figure

LIMIT_S: Final = 900.0
"""No scenario takes longer; one that does is reported as failed."""


class NotPossibleError(Exception):
    """This machine lacks what the scenario needs; the message says what. Told as "not run", which is no failure."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `quick` gives first figures in a minute or two: fewer repetitions and items."""

    repetitions: int
    quick: bool

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Scenario:
    """A program of one file in `bench/scenarios`. `measure` starts and ends all that it needs, or raises NotPossibleError."""

    name: str
    what: str
    measure: Callable[[Plan], Coroutine[Any, Any, Sequence[Figure]]]
    is_peer: bool = False
