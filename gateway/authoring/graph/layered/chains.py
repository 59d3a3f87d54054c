"""Links over several rows pass through waypoints, one in each row between.

Links that leave one node share their waypoints, or those that arrive at one: a node that everything reads has one trunk with
branches, and the number of waypoints stays about linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from gateway.authoring.graph.layered.shapes import Link

MAX_WAYPOINTS: Final = 20_000
"""Beyond it long links are drawn straight, behind the nodes: nobody can follow so many lines, and time is bounded."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Waypoints of a bundle of links.

    Attributes:
        end: the node that all its links share. `is_fan_out`: it is their source, else their target.
        links: by position. `first_row`: of the first waypoint; they stand in consecutive rows.
        waypoints: their numbers, which follow those of the nodes; none for links between neighbouring rows.
    """

    end: int
    is_fan_out: bool
    style: str
    links: tuple[int, ...]
    first_row: int
    waypoints: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chained:
    """All links as chains. `waypoint_rows`: per waypoint. `straight`: links that got no waypoints although they are long."""

    chains: tuple[Chain, ...]
    waypoint_rows: tuple[int, ...]
    straight: tuple[int, ...]


def chain_links(rows: Sequence[int], links: Sequence[Link]) -> Chained:
    """Put every link into one chain or among the straight ones."""
    leaving: dict[tuple[int, str], int] = {}
    arriving: dict[tuple[int, str], int] = {}
    for link in links:
        leaving[link.source, link.style] = leaving.get((link.source, link.style), 0) + 1
        if not link.label:
            arriving[link.target, link.style] = arriving.get((link.target, link.style), 0) + 1
    bundles: dict[tuple[int, bool, str], list[int]] = {}
    for index, link in enumerate(links):
        is_fan_out = bool(link.label) or leaving[link.source, link.style] >= arriving[link.target, link.style]
        bundles.setdefault((link.source if is_fan_out else link.target, is_fan_out, link.style), []).append(index)
    chains: list[Chain] = []
    waypoint_rows: list[int] = []
    straight: list[int] = []
    number = len(rows)
    for (end, is_fan_out, style), members in bundles.items():
        near = [index for index in members if rows[links[index].target] - rows[links[index].source] == 1]
        far = [index for index in members if rows[links[index].target] - rows[links[index].source] > 1]
        first = min((rows[links[index].source] for index in far), default=0) + 1
        last = max((rows[links[index].target] for index in far), default=0) - 1
        length = last - first + 1 if far else 0
        if len(waypoint_rows) + length > MAX_WAYPOINTS:
            straight += far
            members, length = near, 0
        if members:
            waypoint_rows += range(first, first + length)
            chains.append(Chain(end, is_fan_out, style, tuple(members), first, tuple(range(number, number + length))))
            number += length
    return Chained(tuple(chains), tuple(waypoint_rows), tuple(straight))


def hops(chained: Chained, rows: Sequence[int], links: Sequence[Link]) -> list[tuple[int, int]]:
    """Pairs of nodes and waypoints in neighbouring rows that a line joins."""
    found: list[tuple[int, int]] = []
    for chain in chained.chains:
        way = chain.waypoints
        found += pairwise(way)
        if chain.is_fan_out:
            if way:
                found.append((chain.end, way[0]))
            for index in chain.links:
                target = links[index].target
                row = rows[target] - 1 - chain.first_row
                found.append((way[row] if way and row >= 0 else chain.end, target))
        else:
            if way:
                found.append((way[-1], chain.end))
            for index in chain.links:
                source = links[index].source
                row = rows[source] + 1 - chain.first_row
                found.append((source, way[row] if row < len(way) else chain.end))
    return found
