"""The graph as SVG, complete in one file: it needs no program to make it and no font to be seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.authoring.graph.layered.draw import draw
from gateway.authoring.graph.layered.shapes import Box, Link, Point, Shape, Stroke
from gateway.authoring.graph.lettering import shortened, text_width, xml_text
from gateway.authoring.graph.model import Edge, EdgeKind, FlowGraph, Node, NodeKind
from gateway.authoring.graph.svg_style import PALETTE, STATUS_COLOURS, style_sheet
from gateway.authoring.graph.wording import node_lines, tooltip

MARGIN: Final = 24.0
MIN_WIDTH: Final = 260.0
_ARROW: Final = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7.2" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path class="a" d="M0 0.6L8 4L0 7.4Z"/></marker></defs>'
)
LABEL_CHARS: Final = 34
"""Of a step's id and component; the tooltip has all."""
NOTE_CHARS: Final = 110
_PAD: Final = 14.0
_FRAME_PAD: Final = 12.0
_CLASSES: Final = {"label": "t", "component": "c", "marks": "m", "counts": "m"}


def to_svg(graph: FlowGraph) -> str:
    """The whole picture, with title and legend."""
    plugins = {plugin: index % len(PALETTE) for index, plugin in enumerate(graph.plugins())}
    words = {node.status.word for node in graph.all_nodes() if node.status is not None and node.status.word}
    is_run = any(node.status is not None for node in graph.all_nodes())
    body = _Sheet(plugins, is_run).draw(graph)
    title, note = shortened(graph.title, NOTE_CHARS), shortened(graph.note, NOTE_CHARS)
    head_width = max(text_width(title, 17) * 1.05, text_width(note, 12))
    width = max(body.width, head_width, MIN_WIDTH)
    legend, legend_height = _legend(graph, plugins, sorted(words, key=list(STATUS_COLOURS).index), width)
    head = 22.0 + (20.0 if note else 0.0) + 18.0
    body_x = (width - body.width) / 2
    full_width, full_height = width + 2 * MARGIN, head + body.height + 2 * MARGIN + legend_height
    size = f'width="{_n(full_width)}" height="{_n(full_height)}"'
    view = f'viewBox="0 0 {_n(full_width)} {_n(full_height)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} role="img" aria-label="{xml_text(graph.title)}">',
        f"<style>\n{style_sheet(len(plugins), has_statuses=is_run)}\n</style>",
        _ARROW,
        f'<rect class="bg" {size} rx="10"/>',
        f'<text class="h" x="{_n(MARGIN)}" y="{_n(MARGIN + 15)}">{xml_text(title)}</text>',
    ]
    if note:
        full = f"<title>{xml_text(graph.note)}</title>" if note != graph.note else ""
        parts.append(f'<text class="n" x="{_n(MARGIN)}" y="{_n(MARGIN + 36)}">{xml_text(note)}{full}</text>')
    parts.append(f'<g transform="translate({_n(MARGIN + body_x)} {_n(MARGIN + head)})">')
    parts += body.parts
    parts.append("</g>")
    parts.append(f'<g transform="translate({_n(MARGIN)} {_n(MARGIN + head + body.height)})">{legend}</g>' if legend else "")
    return "\n".join(filter(None, [*parts, "</svg>"])) + "\n"


@dataclass(frozen=True, slots=True)
class _Drawn:
    width: float
    height: float
    parts: list[str]


@dataclass(frozen=True, slots=True)
class _Figure:
    """A node before it has a place. `lines`: class and text. `inner`: drawings of embedded flows and their titles."""

    node: Node
    width: float
    height: float
    lines: tuple[tuple[str, str], ...]
    inner: tuple[tuple[str, _Drawn], ...] = ()


_LINE_HEIGHTS: Final = {"t": 17.0, "c": 15.0, "m": 14.0}


class _Sheet:
    """Draws graphs, and those within their nodes."""

    def __init__(self, plugins: Mapping[str, int], is_run: bool) -> None:
        self._plugins = plugins
        self._is_run = is_run

    def draw(self, graph: FlowGraph) -> _Drawn:
        if not graph.nodes:
            note = shortened(graph.note, LABEL_CHARS)
            return _Drawn(text_width(note, 11), 16.0, [f'<text class="k" y="11">{xml_text(note)}</text>'])
        arriving: dict[str, int] = {}
        for edge in graph.edges:
            arriving[edge.target] = arriving.get(edge.target, 0) + 1
        figures = [self._figure(node, arriving.get(node.id, 0)) for node in graph.nodes]
        position = {node.id: index for index, node in enumerate(graph.nodes)}
        layout = draw(
            [_box(figure) for figure in figures],
            [Link(position[edge.source], position[edge.target], edge.kind.value, edge.label) for edge in graph.edges],
        )
        unreachable = {node.id for node in graph.nodes if not node.is_reachable}
        parts = [self._stroke(stroke, graph, unreachable) for stroke in layout.strokes]
        for figure, corner in zip(figures, layout.corners, strict=True):
            parts += self._node(figure, corner)
        right = layout.width
        for edge, place in zip(graph.edges, layout.labels, strict=True):
            if place is not None:
                x, y = place
                right = max(right, x + text_width(edge.label, 10.5))
                off = " off" if edge.target in unreachable else ""
                parts.append(f'<text class="l{off}" x="{_n(x)}" y="{_n(y)}">{xml_text(edge.label)}</text>')
        return _Drawn(right, layout.height, parts)

    def _figure(self, node: Node, arriving: int) -> _Figure:
        if node.kind.is_branch:
            word = text_width(node.label, 11)
            return _Figure(node, max(word * 1.5 + 22, 20.0 + 44 * arriving), 38.0, (("k", node.label),))
        lines = [(_CLASSES[part], shortened(text, LABEL_CHARS) if part != "marks" else text) for part, text in node_lines(node)]
        width = max(_line_width(kind, text) for kind, text in lines) + 2 * _PAD
        height = sum(_LINE_HEIGHTS[kind] for kind, _ in lines) + 14.0
        inner = tuple((shortened(graph.title, LABEL_CHARS), self.draw(graph)) for graph in node.inner)
        if inner:
            height += max(drawn.height for _, drawn in inner) + 34.0 + _FRAME_PAD
            frames = [max(drawn.width, text_width(title, 11)) + 2 * _FRAME_PAD for title, drawn in inner]
            width = max(width, sum(frames) + _FRAME_PAD * (len(inner) + 1))
        return _Figure(node, max(width, 76.0), height, tuple(lines), inner)

    def _node(self, figure: _Figure, corner: Point) -> list[str]:
        node, (x, y) = figure.node, corner
        width, height = figure.width, figure.height
        told = f"<title>{xml_text(tooltip(node))}</title>"
        off = "" if node.is_reachable else ' class="off"'
        parts = [f'<g{off} transform="translate({_n(x)} {_n(y)})">{told}']
        if node.kind.is_branch:
            points = f"{_n(width / 2)},0 {_n(width)},{_n(height / 2)} {_n(width / 2)},{_n(height)} 0,{_n(height / 2)}"
            parts.append(f'<polygon class="b if" points="{points}"/>')
            parts.append(f'<text class="k" x="{_n(width / 2)}" y="{_n(height / 2 + 4)}" text-anchor="middle">{node.label}</text>')
            return [*parts, "</g>"]
        is_step = node.kind is NodeKind.STEP
        colour = f"p{self._plugins[node.plugin]}" if is_step else "io"
        fill = colour
        if self._is_run and node.status is not None:
            fill = f"is-{node.status.word}" if node.status.word else "s"
        must = " must" if "must run" in node.marks else ""
        radius = 8.0 if is_step else height / 2
        size = f'width="{_n(width)}" height="{_n(height)}"'
        parts.append(f'<rect class="b {fill}{must}" {size} rx="{_n(min(radius, 20.0))}"/>')
        head = height
        if figure.inner:
            head = sum(_LINE_HEIGHTS[kind] for kind, _ in figure.lines) + 14.0
        if is_step:
            parts.append(f'<rect class="{colour}-bar" x="5" y="7" width="3.5" height="{_n(head - 14)}" rx="1.75"/>')
        line_y = 7.0
        for kind, text in figure.lines:
            line_y += _LINE_HEIGHTS[kind]
            place = f'x="{_n(width / 2)}" y="{_n(line_y - 4)}" text-anchor="middle"'
            parts.append(f'<text class="{kind}" {place}>{xml_text(text)}</text>')
        frame_x = _FRAME_PAD
        for title, drawn in figure.inner:
            spare = width - 2 * _FRAME_PAD if len(figure.inner) == 1 else 0.0
            frame = max(drawn.width + 2 * _FRAME_PAD, text_width(title, 11) + 2 * _FRAME_PAD, spare)
            size = f'width="{_n(frame)}" height="{_n(drawn.height + 34)}"'
            parts.append(f'<rect class="frame" x="{_n(frame_x)}" y="{_n(head)}" {size} rx="6"/>')
            parts.append(f'<text class="k" x="{_n(frame_x + 10)}" y="{_n(head + 16)}">{xml_text(title)}</text>')
            inner_x = frame_x + (frame - drawn.width) / 2
            parts.append(f'<g transform="translate({_n(inner_x)} {_n(head + 25)})">')
            parts += drawn.parts
            parts.append("</g>")
            frame_x += frame + _FRAME_PAD
        return [*parts, "</g>"]

    def _stroke(self, stroke: Stroke, graph: FlowGraph, unreachable: Collection[str]) -> str:
        kind = "" if stroke.style == EdgeKind.NEEDED else f" {stroke.style}"
        arrow = ' marker-end="url(#arrow)"' if stroke.has_arrow else ""
        if all(graph.edges[index].target in unreachable for index in stroke.links):
            kind += " off"
        if len(stroke.links) == 1:
            told = f"<title>{xml_text(_edge_tooltip(graph.edges[stroke.links[0]]))}</title>"
            return f'<path class="e{kind}"{arrow} d="{_path(stroke.points)}">{told}</path>'
        return f'<path class="e{kind}"{arrow} d="{_path(stroke.points)}"/>'


def _box(figure: _Figure) -> Box:
    kind = figure.node.kind
    pinned = {NodeKind.INPUT: "top", NodeKind.VARIABLES: "top", NodeKind.OUTPUT: "bottom"}.get(kind, "")
    return Box(figure.width, figure.height, Shape.DIAMOND if kind.is_branch else Shape.BOX, pinned)


def _line_width(kind: str, text: str) -> float:
    if kind == "c":
        return text_width(text, 11, is_mono=True)
    return text_width(text, 13) * 1.05 if kind == "t" else text_width(text, 10.5)


def _path(points: Sequence[Point]) -> str:
    """Straight where x stays, else a bend that leaves and arrives upright."""
    x, y = points[0]
    parts = [f"M{_n(x)} {_n(y)}"]
    for to_x, to_y in points[1:]:
        if to_x == x:
            parts.append(f"V{_n(to_y)}")
        else:
            middle = (y + to_y) / 2
            parts.append(f"C{_n(x)} {_n(middle)} {_n(to_x)} {_n(middle)} {_n(to_x)} {_n(to_y)}")
        x, y = to_x, to_y
    return "".join(parts)


def _edge_tooltip(edge: Edge) -> str:
    words = {EdgeKind.CONDITIONAL: ", if that branch is taken", EdgeKind.SKIP: ", to know whether to skip", EdgeKind.NEEDED: ""}
    read = ", ".join(edge.paths) or "the value of the branch"
    return f"{edge.label + ': ' if edge.label else ''}{read}{words[edge.kind]}"


def _legend(graph: FlowGraph, plugins: Mapping[str, int], words: Sequence[str], width: float) -> tuple[str, float]:
    """Swatches in rows, and how high they are."""
    swatch = 'y="1" width="10" height="10" rx="2.5"/>'
    entries = [(f'<rect class="p{index}-bar" {swatch}', plugin) for plugin, index in plugins.items()]
    entries += [(f'<rect class="b is-{word}" {swatch}', word) for word in words]
    kinds = {edge.kind for edge in graph.edges}
    if EdgeKind.CONDITIONAL in kinds:
        entries.append(('<path class="e conditional" d="M0 6H14"/>', "only if taken"))
    if EdgeKind.SKIP in kinds:
        entries.append(('<path class="e skip" d="M0 6H14"/>', "skip condition"))
    if not all(node.is_reachable for node in graph.nodes):
        entries.append((f'<rect class="b s off" {swatch}', "never runs"))
    if not entries:
        return "", 0.0
    parts: list[str] = []
    x, y = 0.0, 24.0
    for sign, label in entries:
        text = shortened(label, LABEL_CHARS)
        room = 20.0 + text_width(text, 11) + 18.0
        if x and x + room > width:
            x, y = 0.0, y + 18.0
        named = f'<text class="k" x="20" y="10">{xml_text(text)}</text>'
        parts.append(f'<g transform="translate({_n(x)} {_n(y)})">{sign}{named}</g>')
        x += room
    return "".join(parts), y + 12.0


def _n(number: float) -> str:
    """A length with at most one decimal: pixels are not finer, and the text is shorter."""
    text = f"{number:.1f}"
    return text[:-2] if text.endswith(".0") else text
