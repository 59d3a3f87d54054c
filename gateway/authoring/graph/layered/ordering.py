"""The order within rows: few crossings, by barycentres, then by exchanging neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

SWEEPS: Final = 12
MAX_EXCHANGED: Final = 1_500
"""Hops up to which neighbours are exchanged as well; beyond, the barycentres must do."""


def order_rows(rows: Sequence[int], hops: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Per row its nodes from left to right.

    Args:
        rows: per node, its row.
        hops: pairs of nodes in neighbouring rows, upper first.
    """
    above: list[list[int]] = [[] for _ in rows]
    below: list[list[int]] = [[] for _ in rows]
    for upper, lower in hops:
        above[lower].append(upper)
        below[upper].append(lower)
    layers: list[list[int]] = [[] for _ in range(max(rows, default=-1) + 1)]
    for node in _first_order(rows, above, below):
        layers[rows[node]].append(node)
    best, fewest = [list(layer) for layer in layers], crossings(layers, below)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        if sweep % 2 == 0:
            for fixed, moved in pairwise(layers):
                _sort(moved, fixed, above)
        else:
            for fixed, moved in pairwise(layers[::-1]):
                _sort(moved, fixed, below)
        if len(hops) <= MAX_EXCHANGED:
            _exchange(layers, above, below)
        count = crossings(layers, below)
        if count < fewest:
            best, fewest = [list(layer) for layer in layers], count
    return best


def crossings(layers: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> int:
    """How often hops cross. For each pair of rows in n log n, with a tree of counts."""
    total = 0
    for upper, lower in pairwise(layers):
        position = {node: index for index, node in enumerate(lower)}
        size = len(lower) + 1
        tree = [0] * (size + 1)
        seen = 0
        for node in upper:
            ends = sorted(position[end] for end in below[node])
            for end in ends:
                index, not_right = end + 1, 0
                while index:
                    not_right += tree[index]
                    index &= index - 1
                total += seen - not_right
            for end in ends:
                index = end + 1
                while index <= size:
                    tree[index] += 1
                    index += index & -index
            seen += len(ends)
    return total


def _first_order(rows: Sequence[int], above: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> list[int]:
    """By depth first walks from the top, so that what belongs together begins side by side."""
    seen: set[int] = set()
    order: list[int] = []
    for root in sorted((node for node in range(len(rows)) if not above[node]), key=lambda node: rows[node]):
        stack = [root]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                order.append(node)
                stack += reversed(below[node])
    return order


def _sort(moved: list[int], fixed: Sequence[int], neighbours: Sequence[Sequence[int]]) -> None:
    """Sort one row by the mean place of its neighbours in the next; who has none stays where it was."""
    position = {node: index for index, node in enumerate(fixed)}
    scale = len(fixed) / max(len(moved), 1)
    keys: dict[int, float] = {}
    for index, node in enumerate(moved):
        ends = neighbours[node]
        keys[node] = sum(position[end] for end in ends) / len(ends) if ends else index * scale
    moved.sort(key=keys.__getitem__)


def _exchange(layers: Sequence[list[int]], above: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> None:
    """Exchange neighbours wherever that undoes crossings, once through all rows."""
    position = {node: index for layer in layers for index, node in enumerate(layer)}
    for layer in layers:
        for index in range(len(layer) - 1):
            left, right = layer[index], layer[index + 1]
            gain = 0
            for neighbours in (above, below):
                ends, others = [position[n] for n in neighbours[left]], [position[n] for n in neighbours[right]]
                gain += sum((a > b) - (a < b) for a in ends for b in others)
            if gain > 0:
                layer[index], layer[index + 1] = right, left
                position[left], position[right] = index + 1, index
