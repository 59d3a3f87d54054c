"""The graph in the language of Mermaid, which many places that show Markdown draw by themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import count
from typing import Final

from gateway.authoring.graph.model import Edge, EdgeKind, FlowGraph, Node, NodeKind
from gateway.authoring.graph.svg_style import PALETTE, STATUS_COLOURS
from gateway.authoring.graph.wording import inner_title, node_lines

_PLAIN: Final = re.compile(r"[A-Za-z0-9 _/.,:✓✗⤼⊘↻·–?\-]")
_NOT_IN_YAML: Final = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_ARROWS: Final = {EdgeKind.NEEDED: "-->", EdgeKind.CONDITIONAL: "-.->", EdgeKind.SKIP: "-.->"}
_OUTLINES: Final = {
    NodeKind.STEP: ("[", "]"),
    NodeKind.IF: ("{", "}"),
    NodeKind.COALESCE: ("{", "}"),
    NodeKind.INPUT: ("([", "])"),
    NodeKind.VARIABLES: ("([", "])"),
    NodeKind.OUTPUT: ("([", "])"),
}


def to_mermaid(graph: FlowGraph) -> str:
    """A flowchart; embedded flows are subgraphs beside their step."""
    plugins = {plugin: index % len(PALETTE) for index, plugin in enumerate(graph.plugins())}
    # The front matter is YAML, of which JSON is a part.
    title = json.dumps(_NOT_IN_YAML.sub("�", graph.title), ensure_ascii=False)
    lines = ["---", f"title: {title}", "---", "flowchart TD"]
    classes: dict[str, list[str]] = {}
    _write(graph, lines, "  ", plugins, count(), classes)
    colours = {f"p{index}": PALETTE[index] for index in plugins.values()}
    colours |= {f"is_{word}": known for word, known in STATUS_COLOURS.items()}
    for name, members in classes.items():
        if name in colours:
            lines.append(f"  classDef {name} fill:{colours[name][0]},stroke:{colours[name][1]},color:#1f2328")
        elif name == "must":
            lines.append("  classDef must stroke-width:3px")
        else:
            lines.append("  classDef off opacity:0.4")
        lines.append(f"  class {','.join(members)} {name}")
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text between quotes. Whatever has a meaning anywhere in Mermaid, or may get one, is written as its number."""
    return "".join(char if _PLAIN.match(char) else "<br/>" if char == "\n" else f"#{_shown(char)};" for char in text)


def _shown(char: str) -> int:
    number = ord(char)
    return 0xFFFD if number < 32 or 0x7F <= number < 0xA0 or 0xD800 <= number < 0xE000 else number


def _write(
    graph: FlowGraph,
    lines: list[str],
    indent: str,
    plugins: Mapping[str, int],
    numbers: count[int],
    classes: dict[str, list[str]],
) -> None:
    names = {node.id: f"n{next(numbers)}" for node in graph.nodes}
    for node in graph.nodes:
        name = names[node.id]
        left, right = _OUTLINES[node.kind]
        label = "\n".join(text for _, text in node_lines(node))
        lines.append(f'{indent}{name}{left}"{escaped(label)}"{right}')
        for word in _classes(node, plugins):
            classes.setdefault(word, []).append(name)
        for inner in node.inner:
            frame = f"f{next(numbers)}"
            lines.append(f'{indent}subgraph {frame}["{escaped(inner_title(inner))}"]')
            _write(inner, lines, indent + "  ", plugins, numbers, classes)
            lines.append(f"{indent}end")
            lines.append(f"{indent}{name} -.- {frame}")
    for edge in graph.edges:
        lines.append(indent + _edge(edge, names))


def _classes(node: Node, plugins: Mapping[str, int]) -> list[str]:
    found: list[str] = []
    if node.status is not None and node.status.word:
        found.append(f"is_{node.status.word}")
    elif node.kind is NodeKind.STEP and node.status is None:
        found.append(f"p{plugins[node.plugin]}")
    if "must run" in node.marks:
        found.append("must")
    if not node.is_reachable:
        found.append("off")
    return found


def _edge(edge: Edge, names: Mapping[str, str]) -> str:
    label = f'|"{escaped(edge.label)}"|' if edge.label else ""
    return f"{names[edge.source]} {_ARROWS[edge.kind]}{label} {names[edge.target]}"
