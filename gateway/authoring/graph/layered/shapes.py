"""What is laid out, and what comes of it. Lengths are pixels, y grows downwards."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Point = tuple[float, float]


class Shape(StrEnum):
    """A node's outline; lines end at it."""

    BOX = "box"
    DIAMOND = "diamond"


@dataclass(frozen=True, slots=True)
class Box:
    """A node. `pinned`: `top` keeps it in the first row, `bottom` in the last; empty: wherever it belongs."""

    width: float
    height: float
    shape: Shape = Shape.BOX
    pinned: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """An edge between nodes, by position. Only links of one style share a line. `label`: text beside the arrow."""

    source: int
    target: int
    style: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line that goes down all the way. Between two points with the same x it is straight, else a smooth bend.

    Attributes:
        links: the links that it belongs to: a trunk is drawn once for all that leave one node, or arrive at one.
    """

    points: tuple[Point, ...]
    style: str
    has_arrow: bool
    links: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A drawing.

    Attributes:
        rows: per node, its row from 0. `corners`: per node, its upper left corner.
        labels: per link, the middle of its label; None where it has none.
    """

    width: float
    height: float
    rows: tuple[int, ...]
    corners: tuple[Point, ...]
    strokes: tuple[Stroke, ...]
    labels: tuple[Point | None, ...]
