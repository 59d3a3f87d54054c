"""The check can fail: faults that are planted in the engine are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from runtime_core.engine import open_run
from runtime_core.flow import execution, expressions, overrides, paths, plan, retry
from tests.differential.cases import Behaviour, Case
from tests.differential.check import BothSides, DisagreementError, check

Plant = Callable[[pytest.MonkeyPatch], None]
ENOUGH = 1_000


def zero_is_falsy(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_truthy(value: Any) -> bool:
        return value not in (b"0", 0) and expressions_truthy(value)

    expressions_truthy = expressions.is_truthy
    monkeypatch.setattr(expressions, "is_truthy", is_truthy)
    monkeypatch.setattr(execution, "is_truthy", is_truthy)


def every_step_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "reachable_steps", lambda references, roots: set(range(len(references))))


def one_retry_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def generous(policy: Any, code: Any, component_failures: int, transport_failures: int, *more: Any) -> float | None:
        return retry.decide(policy, code, component_failures - 1, transport_failures - 1, *more)

    monkeypatch.setattr(open_run, "decide", generous)


def nulls_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrides, "merge_patch", lambda target, patch: {**target, **patch})


def whole_floats_become_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = expressions.encode_value

    def rounded(value: Any) -> bytes:
        return encode(int(value) if type(value) is float and value.is_integer() else value)

    monkeypatch.setattr(execution, "_encode", rounded)


def large_integers_become_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = msgspec.json.Decoder()

    def through_doubles(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: through_doubles(member) for key, member in value.items()}
        if isinstance(value, list):
            return [through_doubles(member) for member in value]
        return int(float(value)) if type(value) is int else value

    monkeypatch.setattr(execution, "_decode", lambda data: through_doubles(decoder.decode(data)))


def null_hides_what_is_below(monkeypatch: pytest.MonkeyPatch) -> None:
    def lenient(value: Any, path: Any) -> Any:
        for length in range(len(path)):
            if paths.walk(value, path[:length]) is None:
                return None
        return paths.walk(value, path)

    monkeypatch.setattr(expressions, "walk", lenient)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "plant",
    [
        zero_is_falsy,
        every_step_is_needed,
        one_retry_more,
        nulls_are_merged,
        whole_floats_become_integers,
        large_integers_become_floats,
        null_hides_what_is_below,
    ],
)
def test_a_planted_fault_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(DisagreementError) as found:
        check(1, ENOUGH, shrinks=False)
    case = Case.from_json(str(found.value).split("\n", 1)[1])
    assert case.flow["name"] == "generated"


def hanging(output: list[str]) -> Case:
    """Plain steps, one of which fails and one of which never answers."""
    steps = [{"id": step_id, "component": f"/p/{step_id}", "input": 1} for step_id in ("bad", "slow")]
    flow = {"name": "generated", "steps": steps, "output": [{"$step": step_id} for step_id in output]}
    return Case(flow, [1, 2], {"bad": Behaviour(then="COMPONENT_FAILED"), "slow": Behaviour(then="hang")})


def nothing_is_looked_at_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution.ItemExecution, "_look_early", lambda self, node, queue: None)


def test_an_item_that_waits_for_a_hanging_step_behind_a_failure_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for case in (hanging(["bad", "slow"]), hanging(["slow", "bad"])):
        both = BothSides()
        both.compare(case)
        both.close()
    nothing_is_looked_at_early(monkeypatch)
    with pytest.raises(DisagreementError, match="s after the last call that it needs began"):
        BothSides().compare(hanging(["bad", "slow"]))
