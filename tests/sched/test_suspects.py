"""Halving finds the guilty and charges nobody else."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from runtime_core.sched.suspects import Suspects


@given(st.integers(1, 256), st.data(), st.integers(1, 300))
def test_the_guilty_are_found_and_the_innocent_never_charged(size: int, data: st.DataObject, at_most: int) -> None:
    guilty = data.draw(st.sets(st.integers(0, size - 1), max_size=3))
    suspects: Suspects[int] = Suspects()
    charges = dict.fromkeys(range(size), 0)
    done: set[int] = set()
    crashes = 1
    first = suspects.crashed(list(range(size)))
    if first is not None:
        charges[first] += 1
    while group := suspects.next_group(at_most):
        assert len(group) <= at_most
        if guilty & set(group):
            crashes += 1
            alone = suspects.crashed(group)
            if alone is not None:
                charges[alone] += 1
                if charges[alone] == 3:
                    suspects.forget(alone)
                    done.add(alone)
        else:
            suspects.ended(group)
            done |= set(group)
    innocent = set(range(size)) - guilty
    assert all(charges[one] == 0 for one in innocent if size > 1)
    assert done >= innocent
    assert guilty <= done or size == 1
    assert suspects.is_idle
    if guilty and at_most >= size:
        assert crashes <= 1 + len(guilty) * (math.ceil(math.log2(size)) + 3 if size > 1 else 3)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=20, unique=True), st.data())
def test_who_is_forgotten_or_put_back_holds_nobody_back(members: list[int], data: st.DataObject) -> None:
    suspects: Suspects[int] = Suspects()
    suspects.crashed(members)
    group = suspects.next_group()
    suspects.put_back(data.draw(st.permutations(group)))
    assert not suspects.is_trying
    assert all(suspects.is_suspect(member) for member in members)
    for member in data.draw(st.permutations(members)):
        suspects.forget(member)
    assert suspects.is_idle
