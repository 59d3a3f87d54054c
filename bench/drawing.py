"""Plots as SVG, made by hand: bars on a logarithmic scale, and a line over a logarithmic axis.

Colours are classes that follow the reader's scheme, light or dark. Nothing is told by colour alone: every bar and every point
has its name and its value beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 800
LABEL_WIDTH: Final = 290
VALUE_WIDTH: Final = 84
BAR: Final = 18
ROW: Final = 28
TOP: Final = 58
BOTTOM: Final = 30
LINE_HEIGHT: Final = 250
SHORTEST: Final = 0.1
"""Decades that the shortest bar spans at least."""

_STYLE: Final = """\
<style>
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .page { fill: #ffffff; } .title { font-weight: 600; font-size: 15px; } .soft { fill: #59636e; font-size: 12px; }
  .grid { stroke: #d1d9e0; stroke-width: 1; } .range { stroke: #1f2328; stroke-width: 1.5; }
  .flowspan { fill: #0969da; } .sketch { fill: #8b949e; } .peer { fill: #bc6c00; }
  .line { fill: none; stroke: #0969da; stroke-width: 2; } .point { fill: #0969da; stroke: #ffffff; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .page { fill: #0d1117; } .soft { fill: #9198a1; }
    .grid { stroke: #3d444d; } .range { stroke: #f0f6fc; }
    .flowspan { fill: #4493f8; } .sketch { fill: #6e7681; } .peer { fill: #d29922; }
    .line { stroke: #4493f8; } .point { fill: #4493f8; stroke: #0d1117; }
  }
</style>"""


@dataclass(frozen=True, slots=True)
class Bar:
    """`kind`: a class of the style: flowspan, sketch or peer. `low`, `high`: the range of the repetitions."""

    label: str
    value: float
    low: float
    high: float
    kind: str


def bars(title: str, note: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars in their order, on a logarithmic scale of whole decades that begins below the smallest.

    Raises:
        ValueError: no rows, or one that is not above 0.
    """
    if not rows or min(min(row.value, row.low) for row in rows) <= 0:
        raise ValueError("a logarithmic scale needs values above 0")
    first = math.floor(math.log10(min(row.low for row in rows)) - SHORTEST)
    last = max(first + 1, math.ceil(math.log10(max(row.high for row in rows))))
    plot = WIDTH - LABEL_WIDTH - VALUE_WIDTH

    def x(value: float) -> float:
        return LABEL_WIDTH + plot * (math.log10(value) - first) / (last - first)

    bottom = TOP + ROW * len(rows)
    parts = []
    for decade in range(first, last + 1):
        at = x(10.0**decade)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{TOP - 6}" x2="{at:.1f}" y2="{bottom}"/>')
        parts.append(_text(at, bottom + 18, short(10.0**decade), "soft", "middle"))
    for number, row in enumerate(rows):
        top = TOP + ROW * number + (ROW - BAR) / 2
        middle = top + BAR / 2
        parts.append(_text(LABEL_WIDTH - 8, middle + 4.5, row.label, "", "end"))
        end = x(row.value)
        parts.append(
            f'<rect class="{row.kind}" x="{LABEL_WIDTH}" y="{top:.1f}" width="{end - LABEL_WIDTH:.1f}" height="{BAR}" rx="2"/>'
        )
        if row.high > row.low:
            parts.append(
                f'<line class="range" x1="{x(row.low):.1f}" y1="{middle:.1f}" x2="{x(row.high):.1f}" y2="{middle:.1f}"/>'
            )
        parts.append(_text(max(end, x(row.high)) + 6, middle + 4.5, short(row.value), "", "start"))
    told = "; ".join(f"{row.label}: {short(row.value)}" for row in rows)
    return _page(title, note, told, bottom + BOTTOM, parts)


def line(title: str, note: str, points: Sequence[tuple[float, float]]) -> str:
    """A line over a logarithmic axis; the other axis begins at 0, so that flat looks flat.

    Raises:
        ValueError: fewer than two points, or one that is not above 0.
    """
    if len(points) < 2 or min(min(point) for point in points) <= 0:
        raise ValueError("a line needs two points above 0")
    left, right = 70, WIDTH - 60
    first, last = math.log10(min(x for x, _ in points)), math.log10(max(x for x, _ in points))
    step, top_value = _ticks(max(y for _, y in points) * 1.15)
    bottom = TOP + LINE_HEIGHT

    def place(point: tuple[float, float]) -> tuple[float, float]:
        share = (math.log10(point[0]) - first) / (last - first)
        return left + 20 + (right - left - 40) * share, bottom - LINE_HEIGHT * point[1] / top_value

    parts = []
    for number in range(round(top_value / step) + 1):
        y = bottom - LINE_HEIGHT * number * step / top_value
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(_text(left - 8, y + 4, short(number * step) if number else "0", "soft", "end"))
    placed = [place(point) for point in points]
    parts.append(f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in placed)}"/>')
    for (x, y), (count, value) in zip(placed, points, strict=True):
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        parts.append(_text(x, y - 12, short(value), "", "middle"))
        parts.append(_text(x, bottom + 18, short(count), "soft", "middle"))
    told = "; ".join(f"{short(x)}: {short(y)}" for x, y in points)
    return _page(title, note, told, bottom + BOTTOM, parts)


def short(value: float) -> str:
    """As a person reads it: 1,234 or 12.3 or 0.0456."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ticks(top: float) -> tuple[float, float]:
    """A round step (1, 2 or 5 times a power of ten) of which at most six reach `top`, and where they end."""
    power = 10.0 ** math.floor(math.log10(top))
    step = next(step for step in (0.2 * power, 0.5 * power, power, 2 * power) if top <= 6 * step)
    return step, step * math.ceil(top / step)


def _page(title: str, note: str, told: str, height: float, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(told)}</desc>",
        _STYLE,
        f'<rect class="page" width="{WIDTH}" height="{height:.0f}"/>',
        _text(16, 24, title, "title", "start"),
        _text(16, 42, note, "soft", "start"),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
