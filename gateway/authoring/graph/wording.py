"""The words that all pictures share, whatever they are drawn with."""

from __future__ import annotations

from typing import Final

from gateway.authoring.graph.model import FlowGraph, Node, NodeKind

_COUNT_SIGNS: Final = {"success": "✓", "failed": "✗", "skipped": "⤼", "cancelled": "⊘", "repeated": "↻", "untold": "?"}
_LEGEND_OF_SIGNS: Final = {"repeated": "repeated attempts", "untold": "not told by the log"}


def counts_line(node: Node) -> str:
    """How a node fared: `✓ 8  ✗ 2`; a dash if nothing is known of it; empty if the picture shows no run."""
    if node.status is None:
        return ""
    return "  ".join(f"{_COUNT_SIGNS[name]} {count:,}" for name, count in node.status.counts().items()) or "–"


def node_lines(node: Node) -> list[tuple[str, str]]:
    """What stands in a node, from the top: the part of speech (`label`, `component`, `marks`, `counts`) and its text."""
    lines = [("label", node.label)]
    if node.kind is NodeKind.STEP:
        lines.append(("component", node.component))
    if node.marks:
        lines.append(("marks", " · ".join(node.marks)))
    if node.status is not None:
        lines.append(("counts", counts_line(node)))
    return lines


def tooltip(node: Node) -> str:
    """All that is known of a node, a line each."""
    lines = [node.label, *node.details]
    if not node.is_reachable:
        lines.append("never runs: neither the output nor a step with mustExecute needs it")
    if node.status is not None:
        lines += [f"{count:,} {_LEGEND_OF_SIGNS.get(name, name)}" for name, count in node.status.counts().items()]
    return "\n".join(lines)


def inner_title(graph: FlowGraph) -> str:
    """Of an embedded flow's frame; with the note where there is nothing else to see."""
    return graph.title if graph.nodes else f"{graph.title}: {graph.note}"
