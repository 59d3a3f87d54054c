"""From a checked flow to its graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from gateway.authoring.graph.model import INPUT_ID, OUTPUT_ID, VARIABLES_ID, Edge, EdgeKind, FlowGraph, Node, NodeKind
from gateway.authoring.graph.references import Arm, BranchKind, Literal, Reference, SourceKind, walk
from runtime_core.flow.document import Flow, OnError, OnErrorAction, Step
from runtime_core.flow.parse import check_flow
from runtime_core.model.json_value import JsonObject, JsonValue, encode_json

MAX_INNER_DEPTH: Final = 4
"""Flows within flows that are drawn; what lies deeper is only named."""
SHOWN_CHARS: Final = 160
"""Of a value in a tooltip."""


def build_graph(flow: Flow, routes: Mapping[str, str], *, title: str, depth: int = 0) -> FlowGraph:
    """The graph of a flow that was checked.

    Args:
        routes: prefixes (`/python`) to names of plugins; a path that none of them takes is named after its first part.
        title: for a flow without a name.
        depth: how many flows it stands in.
    """
    return _Builder(flow, routes, depth).build(title)


def plugin_of(component: str, routes: Mapping[str, str]) -> str:
    """Whose component it is: the longest prefix wins, as where calls are routed."""
    names = component.strip("/").split("/")
    for length in range(len(names), 0, -1):
        plugin = routes.get("/" + "/".join(names[:length]))
        if plugin is not None:
            return plugin
    return routes.get("/", names[0])


class _Builder:
    def __init__(self, flow: Flow, routes: Mapping[str, str], depth: int) -> None:
        self._flow = flow
        self._routes = routes
        self._depth = depth
        self._ids = {step.id: f"/steps/{index}" for index, step in enumerate(flow.steps)}
        self._nodes: dict[str, Node] = {}
        self._edges: dict[tuple[str, str, str, EdgeKind], dict[str, None]] = {}

    def build(self, title: str) -> FlowGraph:
        flow, nodes = self._flow, self._nodes
        nodes[INPUT_ID] = Node(INPUT_ID, NodeKind.INPUT, "input", details=_schema_details(flow.schemas.input))
        variables = Node(VARIABLES_ID, NodeKind.VARIABLES, "variables", details=_variable_details(flow.schemas.variables))
        nodes[VARIABLES_ID] = variables
        for index, step in enumerate(flow.steps):
            pointer = f"/steps/{index}"
            if step.skip is not None:
                self._connect(step.skip, f"{pointer}/{step.skip_field}", pointer, is_skip=True)
            inner = self._connect(step.input, f"{pointer}/input", pointer)
            nodes[pointer] = self._step_node(step, pointer, inner)
        inner = self._connect(flow.output, "/output", OUTPUT_ID)
        nodes[OUTPUT_ID] = Node(OUTPUT_ID, NodeKind.OUTPUT, "output", details=(_excerpt(flow.output),), inner=inner)
        read = {key[0] for key in self._edges}
        for unread in {INPUT_ID, VARIABLES_ID} - read:
            del nodes[unread]
        must = [f"/steps/{index}" for index, step in enumerate(flow.steps) if step.must_execute]
        reached = self._reached([OUTPUT_ID, *must])
        return FlowGraph(
            title=flow.name or title,
            nodes=tuple(node if node.id in reached else replace(node, is_reachable=False) for node in nodes.values()),
            edges=tuple(
                Edge(source, target, kind, label, tuple(paths)) for (source, target, label, kind), paths in self._edges.items()
            ),
            note=flow.description or "",
        )

    def _connect(self, value: JsonValue, pointer: str, target: str, *, is_skip: bool = False) -> tuple[FlowGraph, ...]:
        """Edges for all that an expression reads; the flows that it holds as literals."""
        inner: list[FlowGraph] = []
        for found in walk(value, pointer):
            if type(found) is Literal:
                inner += self._embedded(found)
            elif type(found) is Reference:
                self._add_reference(found, target, EdgeKind.SKIP if is_skip else EdgeKind.NEEDED)
        return tuple(inner)

    def _add_reference(self, reference: Reference, target: str, kind: EdgeKind) -> None:
        if reference.source is SourceKind.STEP:
            source, path = self._ids[reference.name], reference.path
        elif reference.source is SourceKind.INPUT:
            source, path = INPUT_ID, reference.path
        else:
            source, path = VARIABLES_ID, reference.name
        label, is_certain = "", True
        for arm in reference.arms:
            if arm.kind in (BranchKind.IF, BranchKind.COALESCE):
                self._add_branch(arm)
                self._add_edge(arm.pointer, target, kind if is_certain else EdgeKind.CONDITIONAL, label)
                target, label, is_certain = arm.pointer, arm.label, arm.is_certain
                kind = EdgeKind.NEEDED
            else:
                label, is_certain = label or arm.label, False
        paths = self._add_edge(source, target, kind if is_certain else EdgeKind.CONDITIONAL, label)
        paths[path or "$"] = None

    def _add_branch(self, arm: Arm) -> None:
        if arm.pointer not in self._nodes:
            kind = NodeKind.IF if arm.kind is BranchKind.IF else NodeKind.COALESCE
            self._nodes[arm.pointer] = Node(
                arm.pointer, kind, "if" if kind is NodeKind.IF else "first of", details=(arm.pointer,)
            )

    def _add_edge(self, source: str, target: str, kind: EdgeKind, label: str) -> dict[str, None]:
        label = label or ("skip?" if kind is EdgeKind.SKIP else "")
        return self._edges.setdefault((source, target, label, kind), {})

    def _embedded(self, literal: Literal) -> list[FlowGraph]:
        value = literal.value
        if type(value) is not dict or type(value.get("steps")) is not list:
            return []
        flow = check_flow(value).flow
        if flow is None:
            return [FlowGraph("embedded flow", (), (), "is not valid")]
        if self._depth >= MAX_INNER_DEPTH:
            return [FlowGraph(flow.name or "embedded flow", (), (), f"{len(flow.steps)} steps, not drawn at this depth")]
        return [build_graph(flow, self._routes, title="embedded flow", depth=self._depth + 1)]

    def _step_node(self, step: Step, pointer: str, inner: tuple[FlowGraph, ...]) -> Node:
        details = [f"component: {step.component}", f"input: {_excerpt(step.input)}"]
        marks: list[str] = []
        if step.skip is not None:
            details.append(f"skip: {_excerpt(step.skip)}")
            marks.append("skip?")
        if step.must_execute:
            details.append("mustExecute: runs even if nothing needs its output")
            marks.append("must run")
        if step.timeout_s is not None:
            details.append(f"timeout: {step.timeout_s:g} s per attempt")
            marks.append(f"{step.timeout_s:g} s")
        if step.retry.max_retries is not None:
            details.append(f"retry: {step.retry.max_retries} transport retries, {step.retry.backoff.value} back-off")
        details += _on_error_details(step.on_error)
        marks += _on_error_marks(step.on_error)
        return Node(
            id=pointer,
            kind=NodeKind.STEP,
            label=step.id,
            component=step.component,
            plugin=plugin_of(step.component, self._routes),
            details=tuple(details),
            marks=tuple(marks),
            inner=inner,
        )

    def _reached(self, roots: list[str]) -> set[str]:
        sources: dict[str, list[str]] = {}
        for source, target, _, _ in self._edges:
            sources.setdefault(target, []).append(source)
        reached: set[str] = set()
        stack = list(roots)
        while stack:
            node = stack.pop()
            if node not in reached:
                reached.add(node)
                stack += sources.get(node, ())
        return reached


def _on_error_details(on_error: OnError) -> list[str]:
    action = on_error.action
    if action is OnErrorAction.FAIL:
        return []
    default = f" {_excerpt(on_error.default_value)}" if on_error.has_default else ""
    if action is OnErrorAction.RETRY:
        return [f"onError: retry {on_error.max_retries} times" + (f", then{default}" if default else "")]
    return [f"onError: {action.value}{default}"]


def _on_error_marks(on_error: OnError) -> list[str]:
    if on_error.action is OnErrorAction.RETRY:
        return [f"retry {on_error.max_retries}"] + (["else default"] if on_error.has_default else [])
    named = {OnErrorAction.USE_DEFAULT: "on error: default", OnErrorAction.SKIP: "on error: skip"}
    return [named[on_error.action]] if on_error.action in named else []


def _schema_details(schema: JsonValue) -> tuple[str, ...]:
    return () if schema is None else (f"schema: {_excerpt(schema)}",)


def _variable_details(schema: JsonObject | None) -> tuple[str, ...]:
    properties = (schema or {}).get("properties")
    return tuple(properties) if type(properties) is dict else ()


def _excerpt(value: JsonValue) -> str:
    text = encode_json(value).decode()
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 3] + "..."
