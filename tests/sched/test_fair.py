"""Sharing out slots."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from runtime_core.sched.fair import FairQueue


class Wish:
    """Wants some slots."""

    def __init__(self, path: tuple[str, str, str], wants: int) -> None:
        self.fair_path = path
        self.wants = wants
        self.asked = 0

    def wanted(self) -> int:
        self.asked += 1
        return self.wants


PATHS = st.tuples(st.sampled_from("ab"), st.sampled_from("tuv"), st.integers(0, 9)).map(
    lambda p: (p[0], p[1], f"{p[1]}{p[0]}{p[2]}")
)
WISHES = st.dictionaries(PATHS, st.integers(0, 40), min_size=1, max_size=25)


def queue_of(wishes: dict[tuple[str, str, str], int]) -> tuple[FairQueue[Wish], list[Wish]]:
    queue: FairQueue[Wish] = FairQueue()
    claimants = [Wish(path, wants) for path, wants in wishes.items()]
    for claimant in claimants:
        queue.add(claimant)
        queue.add(claimant)
    return queue, claimants


@given(WISHES, st.integers(0, 100))
def test_all_that_is_free_is_given_while_somebody_wants_it_and_never_more(
    wishes: dict[tuple[str, str, str], int], free: int
) -> None:
    queue, claimants = queue_of(wishes)
    granted = queue.grant(free)
    assert sum(count for _, count in granted) == min(free, sum(wishes.values()))
    assert all(0 < count <= claimant.wants for claimant, count in granted)
    assert len({id(claimant) for claimant, _ in granted}) == len(granted)
    assert 0 <= len(queue) <= len(claimants)


@given(st.integers(1, 30), st.integers(1, 60), st.integers(1, 20))
def test_neighbours_that_always_want_more_differ_by_one_at_most(runs: int, free: int, rounds: int) -> None:
    queue, _ = queue_of({("n", "t", f"r{run}"): 1_000 for run in range(runs)})
    total: Counter[str] = Counter({f"r{run}": 0 for run in range(runs)})
    for _ in range(rounds):
        for claimant, count in queue.grant(free):
            total[claimant.fair_path[-1]] += count
        assert max(total.values()) - min(total.values()) <= 1


@given(WISHES, st.lists(st.integers(1, 7), min_size=1, max_size=40))
def test_nobody_starves(wishes: dict[tuple[str, str, str], int], frees: list[int]) -> None:
    """With one slot a turn, everybody who wants something has something after as many turns as there could be claimants."""
    queue, claimants = queue_of(wishes)
    served: set[str] = set()
    for free in frees + [1] * 200:
        served |= {claimant.fair_path[-1] for claimant, _ in queue.grant(free)}
    assert served == {claimant.fair_path[-1] for claimant in claimants if claimant.wants}


@given(WISHES)
def test_who_wants_nothing_leaves_and_comes_back_when_added(wishes: dict[tuple[str, str, str], int]) -> None:
    queue, claimants = queue_of(wishes)
    for claimant in claimants:
        claimant.wants = 0
    assert queue.grant(1) == []
    assert len(queue) == 0
    for claimant in claimants:
        claimant.wants = 1
        queue.add(claimant)
    assert len(queue.grant(100)) == len(claimants)


@given(WISHES, st.data())
def test_removing_in_any_order_leaves_nothing(wishes: dict[tuple[str, str, str], int], data: st.DataObject) -> None:
    queue, claimants = queue_of(wishes)
    queue.grant(data.draw(st.integers(0, 50)))
    for claimant in data.draw(st.permutations(claimants)):
        queue.remove(claimant)
        queue.remove(claimant)
    assert len(queue) == 0
    assert queue.grant(10) == []


def test_a_sharing_out_asks_about_as_many_as_it_serves() -> None:
    """Ten thousand runs are open: a turn that gives one slot does not ask them all."""
    queue, claimants = queue_of({("n", f"t{run}", f"r{run}"): 5 for run in range(10_000)})
    queue.grant(1)
    assert sum(claimant.asked for claimant in claimants) <= 2
