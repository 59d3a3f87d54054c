"""Many cases, one after another, each by both sides; the first disagreement is shrunk to a small one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.differential.agreement import disagreement
from tests.differential.cases import Case, expected_of
from tests.differential.engine_side import EngineSide
from tests.differential.generators import cases

CASES_PER_GATEWAY = 500
"""Everything that a gateway has run stays in its store in memory."""

SITUATIONS = (
    "$coalesce: failed", "$coalesce: first value", "$coalesce: later value", "$coalesce: null", "$coalesce: null and skipped",
    "$coalesce: only skipped", '$if: ""', "$if: 0", "$if: []", "$if: a value", "$if: failed", "$if: false", "$if: no else",
    "$if: null", "$if: skipped", "$if: {}", "$input: null", "$input: path found", "$input: path not found", "$input: whole",
    "$step: failed", "$step: path found", "$step: path found by a bare name", "$step: path into null", "$step: path not found",
    "$step: skipped", "$variable: declared default", "$variable: given", "$variable: given, undeclared",
    "$variable: own default", "$variable: path not found", "$variable: undefined", "a big integer reaches a component",
    "a component skips its step", "a gateway dies", "bounded set of steps", "exact set of steps",
    "input failed under onError fail", "input failed under onError retry", "input failed under onError skip",
    "input failed under onError useDefault", "input fits its schema", "input skipped", "input violates its schema",
    "item: a mustExecute step failed", "item: a mustExecute step is skipped", "item: ok", "item: output failed",
    "item: skipped", "item: some step did not run", "late need by element", "late need by else", "late need by onSkip",
    "late need by then", "late need in input", "late need in output", "late need in skip",
    "onError fail after a component failure", "onError fail after a other failure", "onError fail after a transport failure",
    "onError retry after a component failure", "onError retry after a other failure", "onError retry after a transport failure",
    "onError retry with a default after a component failure", "onError retry with a default after a other failure",
    "onError retry with a default after a transport failure", "onError skip after a component failure",
    "onError skip after a other failure", "onError skip after a transport failure",
    "onError useDefault after a component failure", "onError useDefault after a other failure",
    "onError useDefault after a transport failure", "onSkip: skip", "onSkip: useDefault", "overrides of type None",
    "overrides of type json_patch", "overrides of type merge_patch", "precedence: $coalesce", "precedence: $if",
    "precedence: $input", "precedence: $literal", "precedence: $step", "refused overrides", "refused variables",
    "retry: both budgets, then success", "retry: component failures, then success", "retry: transport failures, then success",
    "several failures in one value", "skip: failed", "skip: falsy", "skip: skipped", "skip: truthy",
    "skip: truthy with mustExecute", "skipped and failed members in one value",
)  # fmt: skip
"""Each must occur in every two thousand cases, or the check has silently become another one."""


class DisagreementError(AssertionError):
    """The two sides differ. The text holds the case, which `python -m tests.differential FILE` runs again."""


@dataclass
class Tally:
    """What was checked. `situations`: in how many cases each occurred."""

    cases: int = 0
    items: int = 0
    calls: int = 0
    situations: Counter[str] = field(default_factory=Counter)

    def missing(self) -> list[str]:
        return [situation for situation in SITUATIONS if not self.situations[situation]]


def check(number: int, count: int, *, shrinks: bool = True) -> Tally:
    """Check `count` cases that `number` decides. Raises DisagreementError with a case; a small one if it `shrinks`."""
    tally = Tally()
    both = BothSides(tally)

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def run(case: Case) -> None:
        both.compare(case)

    try:
        run()
    finally:
        both.close()
    return tally


class BothSides:
    """The reference and an engine that is replaced now and then; to be closed."""

    def __init__(self, tally: Tally | None = None) -> None:
        self.tally = tally or Tally()
        self._engine: EngineSide | None = None
        self._served = 0

    def compare(self, case: Case) -> None:
        """Raises DisagreementError."""
        expected = expected_of(case)
        if self._engine is None or self._served == CASES_PER_GATEWAY:
            self.close()
            self._engine, self._served = EngineSide(), 0
        self._served += 1
        try:
            actual = self._engine.run(case)
            difference = disagreement(case, expected, actual)
        except Exception as error:
            difference = f"{type(error).__name__}: {error}"
        if difference is not None:
            self.close()  # whatever the engine is left with must not reach the next case
            raise DisagreementError(f"{difference}\n{case.to_json()}")
        self._count(case, expected.situations, actual.was_killed, sum(len(item.calls) for item in actual.items))

    def _count(self, case: Case, situations: Counter[str], was_killed: bool, calls: int) -> None:
        tally = self.tally
        tally.cases += 1
        tally.items += len(case.inputs)
        tally.calls += calls
        tally.situations.update(situations.keys())
        if was_killed:
            tally.situations["a gateway dies"] += 1

    def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
