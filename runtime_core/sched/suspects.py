"""Finding the item that kills its component server, without harming its neighbours. Pure.

After a crash every call that was in flight is a suspect. Suspects are repeated in groups by an instance that runs nothing
else. A group that ends without a crash is cleared. A group that crashes is split in halves, each of which is tried alone,
until a group of one crashes: that crash is attributable to its call, and only such crashes are charged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)


class Suspects(Generic[S]):
    """Groups of suspects of one component server; one group is tried at a time.

    `S` names a call over its attempts: (run, item, step).
    """

    __slots__ = ("_trying", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[list[S]] = deque()
        self._trying: set[S] = set()

    @property
    def is_idle(self) -> bool:
        """No group is being tried and none waits."""
        return not self._waiting and not self._trying

    @property
    def is_trying(self) -> bool:
        return bool(self._trying)

    def crashed(self, in_flight: Sequence[S]) -> S | None:
        """A process ended with these in flight. Returns the guilty one if there is no doubt: it was alone.

        The guilty one is a suspect again: it must be tried alone (or given up with `forget`).
        """
        self._trying.difference_update(in_flight)
        if not in_flight:
            return None
        if len(in_flight) == 1:
            self._waiting.appendleft(list(in_flight))
            return in_flight[0]
        middle = (len(in_flight) + 1) // 2
        self._waiting.appendleft(list(in_flight[middle:]))
        self._waiting.appendleft(list(in_flight[:middle]))
        return None

    def next_group(self, at_most: int = 1 << 30) -> list[S]:
        """The group to try next, cut to `at_most` (>= 1); empty while one is being tried or none waits. It counts as being
        tried from now on."""
        if self._trying:
            return []
        while self._waiting:
            group = self._waiting.popleft()
            if len(group) > at_most:
                self._waiting.appendleft(group[at_most:])
                group = group[:at_most]
            if group:
                self._trying = set(group)
                return group
        return []

    def put_back(self, suspects: Iterable[S]) -> None:
        """Of these, the ones being tried did not get to run: they wait again, as one group, ahead of the others."""
        unsent = [suspect for suspect in suspects if suspect in self._trying]
        if unsent:
            self._trying.difference_update(unsent)
            self._waiting.appendleft(unsent)

    def ended(self, suspects: Iterable[S]) -> None:
        """These have ended without a crash."""
        self._trying.difference_update(suspects)

    def forget(self, suspect: S) -> None:
        """It is not to be tried again (failed, cancelled, timed out)."""
        self._trying.discard(suspect)
        for group in self._waiting:
            if suspect in group:
                group.remove(suspect)
                if not group:
                    self._waiting.remove(group)
                return

    def clear(self) -> None:
        """There is nobody left who could try them."""
        self._waiting.clear()
        self._trying.clear()

    def is_suspect(self, suspect: S) -> bool:
        return suspect in self._trying or any(suspect in group for group in self._waiting)
