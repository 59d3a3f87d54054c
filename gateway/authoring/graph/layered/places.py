"""Where the nodes of a row stand: as near as possible to their neighbours above and below, and never over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

ROUNDS: Final = 6
TRUNK_WEIGHT: Final = 8.0
"""Lines over many rows should be straight before nodes are well placed."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """Waypoints that should stand in one line. `nodes`: what they join."""

    waypoints: tuple[int, ...]
    nodes: tuple[int, ...]

    def wish(self, middles: Sequence[float]) -> float:
        """Where the line should be. One wish for all of it: wishes from row to row would push it aside a little in each."""
        own = sum(middles[waypoint] for waypoint in self.waypoints) / len(self.waypoints)
        others = sum(middles[node] for node in self.nodes) / len(self.nodes)
        return (own + others) / 2


def place_rows(
    layers: Sequence[Sequence[int]],
    widths: Sequence[float],
    hops: Sequence[tuple[int, int]],
    trunks: Sequence[Trunk],
    gap: float,
    waypoint_gap: float,
) -> list[float]:
    """The x of every node's middle; the leftmost edge is at 0.

    Args:
        widths: per node. `gap`: between nodes; `waypoint_gap`: between a waypoint and whatever is beside it.
    """
    trunk_of: dict[int, int] = {waypoint: number for number, trunk in enumerate(trunks) for waypoint in trunk.waypoints}
    above: list[list[int]] = [[] for _ in widths]
    below: list[list[int]] = [[] for _ in widths]
    for upper, lower in hops:
        above[lower].append(upper)
        below[upper].append(lower)
    middles = [0.0] * len(widths)
    distances: list[list[float]] = []
    for layer in layers:
        steps = [0.0]
        for left, right in pairwise(layer):
            room = waypoint_gap if left in trunk_of or right in trunk_of else gap
            steps.append((widths[left] + widths[right]) / 2 + room)
        distances.append(steps)
        x = -sum(steps) / 2
        for node, step in zip(layer, steps, strict=True):
            x += step
            middles[node] = x
    for turn in range(2 * ROUNDS):
        is_down = turn % 2 == 0
        lines = [trunk.wish(middles) for trunk in trunks]
        wishes = {waypoint: lines[number] for waypoint, number in trunk_of.items()}
        for number in range(len(layers)) if is_down else range(len(layers) - 1, -1, -1):
            first, second = (above, below) if is_down else (below, above)
            _settle(layers[number], distances[number], middles, first, second, wishes)
    edge = min((middle - width / 2 for middle, width in zip(middles, widths, strict=True)), default=0.0)
    return [middle - edge for middle in middles]


def _settle(
    layer: Sequence[int],
    distances: Sequence[float],
    middles: list[float],
    first: Sequence[Sequence[int]],
    second: Sequence[Sequence[int]],
    wishes: Mapping[int, float],
) -> None:
    """Move one row. Least squares under the distances, by pooling neighbours that would come too near to each other."""
    blocks: list[list[float]] = []  # [sum of weight * wish, weight, nodes]
    offset = 0.0
    for node, distance in zip(layer, distances, strict=True):
        offset += distance
        if node in wishes:
            wish, weight = wishes[node], max(TRUNK_WEIGHT, 2.0 * len(layer))
        else:
            ends = first[node] or second[node]
            wish = sum(middles[end] for end in ends) / len(ends) if ends else middles[node]
            weight = 1.0 if ends else 0.1
        block = [weight * (wish - offset), weight, 1.0]
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = [before[0] + block[0], before[1] + block[1], before[2] + block[2]]
        blocks.append(block)
    offset = 0.0
    position = 0
    for total, weight, nodes in blocks:
        for _ in range(int(nodes)):
            offset += distances[position]
            middles[layer[position]] = total / weight + offset
            position += 1
