"""The graph in the language of Graphviz."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from typing import Final

from gateway.authoring.graph.model import Edge, EdgeKind, FlowGraph, Node, NodeKind
from gateway.authoring.graph.svg_style import PALETTE, STATUS_COLOURS
from gateway.authoring.graph.wording import inner_title, node_lines, tooltip

_CONTROL: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SHAPES: Final = {
    NodeKind.STEP: "box",
    NodeKind.IF: "diamond",
    NodeKind.COALESCE: "diamond",
    NodeKind.INPUT: "oval",
    NodeKind.VARIABLES: "oval",
    NodeKind.OUTPUT: "oval",
}
_EDGE_STYLES: Final = {EdgeKind.NEEDED: "solid", EdgeKind.CONDITIONAL: "dashed", EdgeKind.SKIP: "dotted"}


def to_dot(graph: FlowGraph) -> str:
    """A digraph; embedded flows are clusters beside their step."""
    plugins = {plugin: index % len(PALETTE) for index, plugin in enumerate(graph.plugins())}
    title = "\n".join(filter(None, (graph.title, graph.note)))
    lines = [
        f"digraph {quoted(graph.title)} {{",
        f'  graph [label={quoted(title)}, labelloc=t, labeljust=l, fontname="Helvetica", nodesep=0.35, ranksep=0.45];',
        '  node [fontname="Helvetica", fontsize=11, style="filled,rounded", fillcolor="#ffffff", color="#57606a"];',
        '  edge [fontname="Helvetica", fontsize=10, color="#8c959f"];',
    ]
    _write(graph, lines, "  ", plugins, count())
    return "\n".join([*lines, "}"]) + "\n"


def quoted(text: str) -> str:
    """A string of DOT that shows `text` as it is, over several lines where it has them."""
    text = _CONTROL.sub("�", text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + text.replace("\n", "\\n") + '"'


def _write(graph: FlowGraph, lines: list[str], indent: str, plugins: Mapping[str, int], numbers: count[int]) -> None:
    names = {node.id: f"n{next(numbers)}" for node in graph.nodes}
    for node in graph.nodes:
        if not node.inner:
            lines.append(indent + _node(node, names[node.id], plugins))
            continue
        lines.append(f"{indent}subgraph cluster_{names[node.id]} {{")
        lines.append(f'{indent}  graph [label="", style="rounded,dashed", color="#afb8c1"];')
        lines.append(indent + "  " + _node(node, names[node.id], plugins))
        for inner in node.inner:
            lines.append(f"{indent}  subgraph cluster_f{next(numbers)} {{")
            lines.append(f'{indent}    graph [label={quoted(inner_title(inner))}, style="dashed", color="#afb8c1"];')
            _write(inner, lines, indent + "    ", plugins, numbers)
            lines.append(indent + "  }")
        lines.append(indent + "}")
    for edge in graph.edges:
        lines.append(indent + _edge(edge, names))


def _node(node: Node, name: str, plugins: Mapping[str, int]) -> str:
    label = "\n".join(text for _, text in node_lines(node))
    attributes = [f"label={quoted(label)}", f"shape={_SHAPES[node.kind]}", f"tooltip={quoted(tooltip(node))}"]
    if node.kind is NodeKind.STEP:
        fill, line = PALETTE[plugins[node.plugin]][:2]
        if node.status is not None:
            fill = STATUS_COLOURS[node.status.word][0] if node.status.word else "#ffffff"
        attributes += [f'fillcolor="{fill}"', f'color="{line}"']
    if "must run" in node.marks:
        attributes.append("penwidth=2.5")
    if not node.is_reachable:
        attributes += ['fillcolor="#f6f8fa"', 'color="#d0d7de"', 'fontcolor="#8c959f"']
    return f"{name} [{', '.join(attributes)}];"


def _edge(edge: Edge, names: Mapping[str, str]) -> str:
    attributes = [f"style={_EDGE_STYLES[edge.kind]}"]
    if edge.label:
        attributes.append(f"label={quoted(edge.label)}")
    if edge.paths:
        attributes.append(f"tooltip={quoted(', '.join(edge.paths))}")
    return f"{names[edge.source]} -> {names[edge.target]} [{', '.join(attributes)}];"
