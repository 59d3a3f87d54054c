"""Which node stands in which row: below everything that it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Final

from gateway.authoring.graph.layered.shapes import Box, Link

MIN_ROW_NODES: Final = 12
"""Rows up to this size are never broken."""


def assign_rows(boxes: Sequence[Box], links: Sequence[Link]) -> list[int]:
    """Rows from 0, without gaps; a link always leads to a later row.

    By longest path from the top; a row that is full gives to the next, so that a thousand nodes side by side become a
    block and not a line. Then nodes move down to where they are needed if that makes the links shorter.

    Raises:
        ValueError: the links go round in a circle.
    """
    count = len(boxes)
    sources: list[list[int]] = [[] for _ in range(count)]
    targets: list[list[int]] = [[] for _ in range(count)]
    for link in links:
        sources[link.target].append(link.source)
        targets[link.source].append(link.target)
    order = topological_order(count, links)
    capacity = max(MIN_ROW_NODES, isqrt(2 * count))
    rows = [0] * count
    held: dict[int, int] = {}
    for node in order:
        row = max((rows[source] + 1 for source in sources[node]), default=0)
        while held.get(row, 0) >= capacity and boxes[node].pinned != "top":
            row += 1
        rows[node] = row
        held[row] = held.get(row, 0) + 1
    _move_down(boxes, rows, held, sources, targets, order, capacity)
    last = max(rows, default=0)
    for node, box in enumerate(boxes):
        if box.pinned == "bottom" and not targets[node]:
            held[rows[node]] -= 1
            rows[node] = last
            held[last] += 1
    used = sorted(row for row, nodes in held.items() if nodes)
    position = {row: index for index, row in enumerate(used)}
    return [position[row] for row in rows]


def _move_down(
    boxes: Sequence[Box],
    rows: list[int],
    held: dict[int, int],
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    order: Sequence[int],
    capacity: int,
) -> None:
    for node in reversed(order):
        if not targets[node] or boxes[node].pinned or len(set(sources[node])) > len(set(targets[node])):
            continue
        row = min(rows[target] for target in targets[node]) - 1
        while row > rows[node] and held.get(row, 0) >= capacity:
            row -= 1
        if row > rows[node]:
            held[rows[node]] -= 1
            rows[node] = row
            held[row] = held.get(row, 0) + 1


def topological_order(count: int, links: Sequence[Link]) -> list[int]:
    """Sources before targets; among equals the order of the nodes. Raises ValueError on a circle."""
    targets: list[list[int]] = [[] for _ in range(count)]
    open_sources = [0] * count
    for link in links:
        targets[link.source].append(link.target)
        open_sources[link.target] += 1
    order = [node for node in range(count) if not open_sources[node]]
    for node in order:
        for target in targets[node]:
            open_sources[target] -= 1
            if not open_sources[target]:
                order.append(target)
    if len(order) != count:
        raise ValueError("the links go round in a circle")
    return order
