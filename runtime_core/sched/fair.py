"""Who gets free slots: round robin by namespace, then by root run, then by run. Pure.

A run with a million items and a run with one get a slot each when two are free; so do two trees, whatever their size.
Claimants that want nothing drop out when their turn comes, so that a sharing-out costs as much as it gives, however many
runs are open.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import Generic, Protocol, TypeVar


class Claimant(Protocol):
    """Something that wants slots, such as a run at one component server."""

    @property
    def fair_path(self) -> tuple[str, ...]:
        """Where it stands: (namespace, root run, run). Never changes; unique within a queue."""
        ...

    def wanted(self) -> int:
        """How many slots it could use now."""
        ...


C = TypeVar("C", bound=Claimant)


class _Node(Generic[C]):
    """An inner node has children, in the order of their turns; a leaf has a claimant."""

    __slots__ = ("children", "claimant")

    def __init__(self, claimant: C | None = None) -> None:
        self.claimant = claimant
        self.children: OrderedDict[str, _Node[C]] = OrderedDict()


class _Round(Generic[C]):
    """One sharing-out. Remembers what each claimant still wants, because claimants do not change while it lasts."""

    __slots__ = ("dropped", "granted", "wants")

    def __init__(self) -> None:
        self.granted: dict[str, tuple[C, int]] = {}
        self.wants: dict[str, int] = {}
        self.dropped = 0

    def share(self, node: _Node[C], slots: int) -> int:
        """Share out up to `slots` below `node`; return how many were taken. Who takes less than it may is dropped."""
        if node.claimant is not None:
            return self._take(node.claimant, slots)
        children = node.children
        left = slots
        unseen = len(children)
        each = max(1, slots // unseen)
        hungry: list[str] = []
        # Every child gets an equal share, of one slot where there are more children than slots; what one does not take is
        # shared among the others in the next round. Who was served goes to the back, so that a remainder goes around from
        # call to call, and those in front are those not seen yet.
        while left:
            if unseen:
                names = list(islice(children, min(unseen, left)))
                unseen -= len(names)
            else:
                names, hungry = hungry, []
                if not names:
                    break
                each = max(1, left // len(names))
            for name in names:
                portion = min(each, left)
                if not portion:
                    break
                child = children[name]
                taken = self.share(child, portion)
                left -= taken
                if taken == portion:
                    children.move_to_end(name)
                    hungry.append(name)
                else:
                    del children[name]
                    self.dropped += child.claimant is not None
        return slots - left

    def _take(self, claimant: C, slots: int) -> int:
        key = claimant.fair_path[-1]
        wants = self.wants.get(key)
        if wants is None:
            wants = claimant.wanted()
        taken = min(slots, wants)
        self.wants[key] = wants - taken
        if taken:
            before = self.granted.get(key)
            self.granted[key] = (claimant, taken + (before[1] if before else 0))
        return taken


class FairQueue(Generic[C]):
    """Claimants that may want slots. Adding twice and removing what is not there are harmless.

    Who wants nothing at its turn has to be added again when it wants something.
    """

    __slots__ = ("_root", "_size")

    def __init__(self) -> None:
        self._root: _Node[C] = _Node()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, claimant: C) -> None:
        node = self._root
        *groups, last = claimant.fair_path
        for name in groups:
            node = node.children.setdefault(name, _Node())
        if last not in node.children:
            node.children[last] = _Node(claimant)
            self._size += 1

    def remove(self, claimant: C) -> None:
        trail: list[tuple[_Node[C], str]] = []
        node = self._root
        for name in claimant.fair_path:
            trail.append((node, name))
            child = node.children.get(name)
            if child is None:
                return
            node = child
        self._size -= 1
        for parent, name in reversed(trail):
            if parent.children[name].children:
                break
            del parent.children[name]

    def grant(self, free: int) -> list[tuple[C, int]]:
        """Share out `free` slots: (claimant, slots > 0), each claimant at most once and never more than it wants."""
        if free <= 0 or not self._size:
            return []
        sharing: _Round[C] = _Round()
        sharing.share(self._root, free)
        self._size -= sharing.dropped
        return list(sharing.granted.values())
