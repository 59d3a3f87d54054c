"""Which steps need which. References lead only to earlier steps, so there is no cycle to look for; all walks are iterative
and linear, whatever the length of a chain."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def reachable_steps(references: Sequence[Collection[int]], roots: Iterable[int]) -> set[int]:
    """Steps that `roots` reach, themselves included. `references[i]`: the steps that step i mentions."""
    reached: set[int] = set()
    stack = list(roots)
    while stack:
        step = stack.pop()
        if step not in reached:
            reached.add(step)
            stack.extend(references[step])
    return reached


def dependents_of(dependencies: Sequence[Collection[int]]) -> tuple[tuple[int, ...], ...]:
    """The edges turned round: for every node, in ascending order, the nodes that depend on it."""
    dependents: list[list[int]] = [[] for _ in dependencies]
    for node, needed in enumerate(dependencies):
        for other in needed:
            dependents[other].append(node)
    return tuple(tuple(nodes) for nodes in dependents)
