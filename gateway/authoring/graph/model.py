"""The picture's content: nodes and edges, without any place or form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

INPUT_ID = "$input"
VARIABLES_ID = "$variable"
OUTPUT_ID = "/output"


class NodeKind(StrEnum):
    """What a node stands for."""

    STEP = "step"
    IF = "if"
    COALESCE = "coalesce"
    INPUT = "input"
    VARIABLES = "variables"
    OUTPUT = "output"

    @property
    def is_branch(self) -> bool:
        return self in (NodeKind.IF, NodeKind.COALESCE)


class EdgeKind(StrEnum):
    """How the data of an edge is needed."""

    NEEDED = "needed"
    CONDITIONAL = "conditional"
    """Only if a branch is taken."""
    SKIP = "skip"
    """Read by a skip condition."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How a node fared in a run.

    Attributes:
        success, failed, skipped, cancelled: items in which it ended so. `repeated`: attempts that others followed.
        untold: items in which it may have begun, and how it ended is not known. `doubtful`: those of them in which it may
            have failed.
    """

    success: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0
    repeated: int = 0
    untold: int = 0
    doubtful: int = 0

    @property
    def word(self) -> str:
        """`failed` or `cancelled` if any item did; empty if one may have failed, or nothing is known; else `success`;
        `skipped` if all were."""
        if self.failed:
            return "failed"
        if self.cancelled:
            return "cancelled"
        if self.doubtful:
            return ""
        if self.success:
            return "success"
        return "skipped" if self.skipped else ""

    def counts(self) -> dict[str, int]:
        """What is not zero, by name."""
        named = (
            ("success", self.success),
            ("failed", self.failed),
            ("skipped", self.skipped),
            ("cancelled", self.cancelled),
            ("repeated", self.repeated),
            ("untold", self.untold),
        )
        return {name: count for name, count in named if count}


@dataclass(frozen=True, slots=True)
class Node:
    """A node.

    Attributes:
        id: the JSON pointer of what it stands for (`/steps/0`, `/output`, `/output/$if`), `$input` or `$variable`;
            unique within its graph.
        label: the step's id, or a word.
        component, plugin: of steps; what the step calls, and who offers that.
        details: lines that say more, for tooltips.
        marks: a few words that should be seen at once, such as `skip?`.
        is_reachable: something needs it, or may need it.
        inner: flows that stand in the step as literals.
        status: how it fared, if the picture shows a run.
    """

    id: str
    kind: NodeKind
    label: str
    component: str = ""
    plugin: str = ""
    details: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    is_reachable: bool = True
    inner: tuple[FlowGraph, ...] = ()
    status: NodeStatus | None = None

    def to_json(self) -> dict[str, Any]:
        """What is not said is not there."""
        found: dict[str, Any] = {"id": self.id, "kind": self.kind.value, "label": self.label}
        if self.kind is NodeKind.STEP:
            found |= {"component": self.component, "plugin": self.plugin, "reachable": self.is_reachable}
        if self.details:
            found["details"] = list(self.details)
        if self.marks:
            found["marks"] = list(self.marks)
        if self.status is not None:
            found["status"] = self.status.counts()
        if self.inner:
            found["flows"] = [graph.to_json() for graph in self.inner]
        return found


@dataclass(frozen=True, slots=True)
class Edge:
    """Data that flows from `source` to `target`, ids of nodes.

    Attributes:
        label: the arm of a branch: `if`, `then`, `else`, `1`, `2`, ..., or empty.
        paths: what is read of the source, as written; none: the whole.
    """

    source: str
    target: str
    kind: EdgeKind = EdgeKind.NEEDED
    label: str = ""
    paths: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"source": self.source, "target": self.target, "kind": self.kind.value}
        if self.label:
            found["label"] = self.label
        if self.paths:
            found["paths"] = list(self.paths)
        return found


@dataclass(frozen=True, slots=True)
class FlowGraph:
    """A flow's graph; edges lead from earlier nodes to later ones, in the order of `nodes`.

    Attributes:
        title: the flow's name, or what else it is known by.
        note: a line below the title: the description, or how a run went.
    """

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The graph as JSON, embedded flows within their steps."""
        return {
            "title": self.title,
            "note": self.note,
            "nodes": [node.to_json() for node in self.nodes],
            "edges": [edge.to_json() for edge in self.edges],
        }

    def all_nodes(self) -> Iterator[Node]:
        """Nodes of this graph and of the flows within it."""
        for node in self.nodes:
            yield node
            for graph in node.inner:
                yield from graph.all_nodes()

    def plugins(self) -> tuple[str, ...]:
        """All plugins that the steps name, in order of appearance."""
        return tuple(dict.fromkeys(node.plugin for node in self.all_nodes() if node.kind is NodeKind.STEP))
