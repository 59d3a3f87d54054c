"""Rows, order and places put together, and the lines between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.authoring.graph.layered.chains import Chained, chain_links, hops
from gateway.authoring.graph.layered.ordering import order_rows
from gateway.authoring.graph.layered.places import Trunk, place_rows
from gateway.authoring.graph.layered.rows import assign_rows
from gateway.authoring.graph.layered.shapes import Box, Layout, Link, Point, Shape, Stroke

NODE_GAP: Final = 28.0
WAYPOINT_WIDTH: Final = 4.0
WAYPOINT_GAP: Final = 14.0
ROW_GAP: Final = 40.0
LABEL_GAP: Final = 20.0
"""What a row gap grows by where lines with labels arrive; they run upright there, and the label stands beside."""
MAX_BEND_GAP: Final = 60.0
"""What a row gap grows by at most so that far-reaching bends do not lie flat."""
PORT_GAP: Final = 14.0
LABEL_PORT_GAP: Final = 42.0


def draw(boxes: Sequence[Box], links: Sequence[Link]) -> Layout:
    """Lay out a graph without cycles; ValueError if it has one."""
    rows = assign_rows(boxes, links)
    chained = chain_links(rows, links)
    joined = hops(chained, rows, links)
    all_rows = [*rows, *chained.waypoint_rows]
    layers = order_rows(all_rows, joined)
    widths = [box.width for box in boxes] + [WAYPOINT_WIDTH] * len(chained.waypoint_rows)
    middles = place_rows(layers, widths, joined, _trunks(chained, links), NODE_GAP, WAYPOINT_GAP)
    tops, bottoms = _heights(boxes, links, layers, middles, joined, rows)
    corners = tuple(
        (middles[node] - box.width / 2, (tops[rows[node]] + bottoms[rows[node]] - box.height) / 2)
        for node, box in enumerate(boxes)
    )
    pen = _Pen(boxes, links, chained, all_rows, middles, corners, tops, bottoms)
    return Layout(
        width=max((middle + width / 2 for middle, width in zip(middles, widths, strict=True)), default=0.0),
        height=bottoms[-1] if bottoms else 0.0,
        rows=tuple(rows),
        corners=corners,
        strokes=pen.strokes(),
        labels=pen.labels(),
    )


def _trunks(chained: Chained, links: Sequence[Link]) -> list[Trunk]:
    found: list[Trunk] = []
    for chain in chained.chains:
        if chain.waypoints:
            others = [links[index].target if chain.is_fan_out else links[index].source for index in chain.links]
            found.append(Trunk(chain.waypoints, (chain.end, *others)))
    return found


def _heights(
    boxes: Sequence[Box],
    links: Sequence[Link],
    layers: Sequence[Sequence[int]],
    middles: Sequence[float],
    joined: Sequence[tuple[int, int]],
    rows: Sequence[int],
) -> tuple[list[float], list[float]]:
    """The upper and the lower edge of every row."""
    row_of = {node: row for row, layer in enumerate(layers) for node in layer}
    spread = [0.0] * len(layers)
    for upper, lower in joined:
        row = row_of[lower]
        spread[row] = max(spread[row], abs(middles[upper] - middles[lower]))
    has_labels = {rows[link.target] for link in links if link.label}
    tops: list[float] = []
    bottoms: list[float] = []
    y = 0.0
    for row, layer in enumerate(layers):
        if row:
            y += ROW_GAP + min(MAX_BEND_GAP, spread[row] / 10) + (LABEL_GAP if row in has_labels else 0.0)
        tops.append(y)
        y += max((boxes[node].height for node in layer if node < len(boxes)), default=0.0)
        bottoms.append(y)
    return tops, bottoms


class _Pen:
    """Draws the lines of one layout; first it finds out where they leave and arrive."""

    def __init__(
        self,
        boxes: Sequence[Box],
        links: Sequence[Link],
        chained: Chained,
        rows: Sequence[int],
        middles: Sequence[float],
        corners: Sequence[Point],
        tops: Sequence[float],
        bottoms: Sequence[float],
    ) -> None:
        self._boxes = boxes
        self._links = links
        self._chained = chained
        self._rows = rows
        self._middles = middles
        self._corners = corners
        self._tops = tops
        self._bottoms = bottoms
        self._label_rows = {rows[link.target] for link in links if link.label}
        self._ports: dict[tuple[int, bool, int], Point] = {}
        self._place_ports()

    def strokes(self) -> tuple[Stroke, ...]:
        """All lines, a bundle at a time."""
        found: list[Stroke] = []
        for number, chain in enumerate(self._chained.chains):
            way = chain.waypoints
            if chain.is_fan_out:
                start = self._leave(chain.end, number)
                if way:
                    found.append(Stroke(_joined(start, *map(self._pass, way)), chain.style, False, chain.links))
                for index in chain.links:
                    target = self._links[index].target
                    row = self._rows[target] - 1 - chain.first_row
                    begin = self._pass(way[row])[-1:] if way and row >= 0 else start
                    found.append(Stroke(_joined(begin, self._arrive(target, index)), chain.style, True, (index,)))
            else:
                end = self._arrive(chain.end, -1 - number)
                is_trunk = bool(way)
                if is_trunk:
                    found.append(Stroke(_joined(*map(self._pass, way), end), chain.style, True, chain.links))
                for index in chain.links:
                    source = self._links[index].source
                    row = self._rows[source] + 1 - chain.first_row
                    joins = is_trunk and row < len(way)
                    stop = self._pass(way[row])[:1] if joins else end
                    found.append(Stroke(_joined(self._leave(source, index), stop), chain.style, not joins, (index,)))
        for index in self._chained.straight:
            link = self._links[index]
            points = _joined(self._leave(link.source, index), self._arrive(link.target, index))
            found.append(Stroke(points, link.style, True, (index,)))
        return tuple(found)

    def labels(self) -> tuple[Point | None, ...]:
        """Where labels begin: beside the lines, just above the arrows."""
        found: list[Point | None] = []
        for index, link in enumerate(self._links):
            x = self._ports[link.target, True, index][0] if link.label else 0.0
            found.append((x + 4.0, self._corners[link.target][1] - 7.0) if link.label else None)
        return tuple(found)

    def _place_ports(self) -> None:
        """Where lines leave and arrive: side by side, in the order of where they come from or go to."""
        wanted: dict[tuple[int, bool], list[tuple[float, int]]] = {}
        middles = self._middles
        for number, chain in enumerate(self._chained.chains):
            way = chain.waypoints
            if chain.is_fan_out:
                near = way[0] if way else self._links[chain.links[0]].target
                wanted.setdefault((chain.end, False), []).append((middles[near], number))
            else:
                near = way[-1] if way else self._links[chain.links[0]].source
                wanted.setdefault((chain.end, True), []).append((middles[near], -1 - number))
            for index in chain.links:
                link = self._links[index]
                if chain.is_fan_out:
                    row = self._rows[link.target] - 1 - chain.first_row
                    near = way[row] if way and row >= 0 else link.source
                    wanted.setdefault((link.target, True), []).append((middles[near], index))
                else:
                    row = self._rows[link.source] + 1 - chain.first_row
                    near = way[row] if row < len(way) else link.target
                    wanted.setdefault((link.source, False), []).append((middles[near], index))
        for index in self._chained.straight:
            link = self._links[index]
            wanted.setdefault((link.source, False), []).append((middles[link.target], index))
            wanted.setdefault((link.target, True), []).append((middles[link.source], index))
        for (node, is_top), lines in wanted.items():
            lines.sort(key=lambda line: line[0])
            box, (left, top) = self._boxes[node], self._corners[node]
            has_labels = is_top and any(key >= 0 and self._links[key].label for _, key in lines)
            room = box.width * 0.8 / len(lines)
            step = min(LABEL_PORT_GAP if has_labels else PORT_GAP, room)
            for place, (_, key) in enumerate(lines):
                aside = (place - (len(lines) - 1) / 2) * step
                inset = abs(aside) / box.width * box.height if box.shape is Shape.DIAMOND else 0.0
                x = left + box.width / 2 + aside
                self._ports[node, is_top, key] = (x, top + inset if is_top else top + box.height - inset)

    def _leave(self, node: int, key: int) -> tuple[Point, ...]:
        x, y = self._ports[node, False, key]
        return ((x, y), (x, self._bottoms[self._rows[node]]))

    def _arrive(self, node: int, key: int) -> tuple[Point, ...]:
        x, y = self._ports[node, True, key]
        row = self._rows[node]
        return ((x, self._tops[row] - (LABEL_GAP if row in self._label_rows else 0.0)), (x, y))

    def _pass(self, waypoint: int) -> tuple[Point, ...]:
        x, row = self._middles[waypoint], self._rows[waypoint]
        return ((x, self._tops[row]), (x, self._bottoms[row]))


def _joined(*parts: tuple[Point, ...]) -> tuple[Point, ...]:
    """One line; points that stand on a straight way between others are left out."""
    points: list[Point] = []
    for point in (one for part in parts for one in part):
        if points and points[-1] == point:
            continue
        if len(points) > 1 and points[-1][0] == points[-2][0] == point[0]:
            points.pop()
        points.append(point)
    return tuple(points)
