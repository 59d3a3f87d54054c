"""From a flow to its graph: nodes, edges, branches, what is marked and what is grey."""

from __future__ import annotations

from typing import Any

from gateway.authoring.graph.build import MAX_INNER_DEPTH, build_graph, plugin_of
from gateway.authoring.graph.model import FlowGraph, Node
from runtime_core.flow.parse import check_flow


def graph_of(value: dict[str, Any], routes: dict[str, str] | None = None) -> FlowGraph:
    flow = check_flow(value).flow
    assert flow is not None
    return build_graph(flow, routes or {}, title="untitled")


def edges(graph: FlowGraph) -> list[tuple[str, str, str, str]]:
    labels = {node.id: node.label if node.kind.value == "step" else node.id for node in graph.nodes}
    return [(labels[edge.source], labels[edge.target], edge.kind.value, edge.label) for edge in graph.edges]


def node(graph: FlowGraph, label: str) -> Node:
    (found,) = [one for one in graph.nodes if one.label == label]
    return found


def step(step_id: str, given: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "component": f"/p/{step_id}", "input": given, **more}


def test_data_flows_from_the_input_over_steps_to_the_output() -> None:
    graph = graph_of(
        {
            "name": "n",
            "description": "d",
            "steps": [
                step("a", {"$input": "$.x"}),
                step("b", [{"$step": "a", "path": "$.y"}, {"$step": "a"}, {"$variable": "v"}]),
            ],
            "output": {"$step": "b"},
        }
    )
    assert (graph.title, graph.note) == ("n", "d")
    assert edges(graph) == [
        ("$input", "a", "needed", ""),
        ("a", "b", "needed", ""),
        ("$variable", "b", "needed", ""),
        ("b", "/output", "needed", ""),
    ]
    assert graph.edges[1].paths == ("$.y", "$")
    assert graph.edges[2].paths == ("v",)


def test_what_is_not_read_has_no_node() -> None:
    graph = graph_of({"steps": [step("a")], "output": {"$step": "a"}})
    assert [one.id for one in graph.nodes] == ["/steps/0", "/output"]
    assert graph.title == "untitled"


def test_a_condition_is_a_diamond_with_labelled_arms_that_are_needed_only_if_taken() -> None:
    graph = graph_of(
        {
            "steps": [step("c"), step("x"), step("y")],
            "output": {"r": {"$if": {"$step": "c"}, "then": {"$step": "x"}, "else": [{"$step": "y"}, {"$step": "c"}]}},
        }
    )
    assert edges(graph) == [
        ("/output/r/$if", "/output", "needed", ""),
        ("c", "/output/r/$if", "needed", "if"),
        ("x", "/output/r/$if", "conditional", "then"),
        ("y", "/output/r/$if", "conditional", "else"),
        ("c", "/output/r/$if", "conditional", "else"),
    ]


def test_elements_of_coalesce_are_numbered_and_only_the_first_is_certain() -> None:
    graph = graph_of({"steps": [step("a"), step("b")], "output": {"$coalesce": [{"$step": "a"}, 1, {"$step": "b"}]}})
    assert edges(graph) == [
        ("/output/$coalesce", "/output", "needed", ""),
        ("a", "/output/$coalesce", "needed", "1"),
        ("b", "/output/$coalesce", "conditional", "3"),
    ]


def test_branches_within_branches_are_chains_of_diamonds() -> None:
    graph = graph_of(
        {
            "steps": [step("a"), step("b"), step("c")],
            "output": {"$if": {"$step": "a"}, "then": {"$coalesce": [{"$step": "b"}, {"$step": "c"}]}},
        }
    )
    inner = "/output/then/$coalesce"
    assert edges(graph) == [
        ("/output/$if", "/output", "needed", ""),
        ("a", "/output/$if", "needed", "if"),
        (inner, "/output/$if", "conditional", "then"),
        ("b", inner, "needed", "1"),
        ("c", inner, "conditional", "2"),
    ]


def test_defaults_for_skipped_steps_and_for_variables_are_conditional() -> None:
    on_skip = {"action": "useDefault", "defaultValue": {"$step": "b"}}
    graph = graph_of(
        {
            "steps": [step("a"), step("b"), step("c")],
            "output": [{"$step": "a", "onSkip": on_skip}, {"$variable": "v", "default": {"$step": "c"}}],
        }
    )
    assert ("b", "/output", "conditional", "if skipped") in edges(graph)
    assert ("c", "/output", "conditional", "default") in edges(graph)


def test_skip_conditions_and_other_traits_of_a_step_are_marked() -> None:
    graph = graph_of(
        {
            "steps": [
                step("a"),
                step("b", {"$step": "a"}, skipIf={"$step": "a", "path": "$.no"}, mustExecute=True, timeout="1m30s"),
                step("c", onError={"action": "retry", "maxRetries": 5, "defaultValue": 0}),
                step("d", onError={"action": "useDefault", "defaultValue": {"x": 1}}),
            ],
            "output": [{"$step": "c"}, {"$step": "d"}],
        }
    )
    assert edges(graph)[:2] == [("a", "b", "skip", "skip?"), ("a", "b", "needed", "")]
    assert node(graph, "b").marks == ("skip?", "must run", "90 s")
    assert node(graph, "c").marks == ("retry 5", "else default")
    assert node(graph, "d").marks == ("on error: default",)
    assert 'onError: useDefault {"x":1}' in node(graph, "d").details


def test_what_nothing_needs_is_unreachable_and_what_must_run_is_not() -> None:
    graph = graph_of(
        {
            "steps": [step("a"), step("b", {"$step": "a"}), step("c"), step("d", {"$step": "c"}, mustExecute=True)],
            "output": 1,
        }
    )
    assert [one.label for one in graph.nodes if not one.is_reachable] == ["a", "b"]


def test_flows_within_flows_are_drawn_within_their_steps_down_to_a_depth() -> None:
    value: dict[str, Any] = {"steps": [step("leaf", {"$input": "$"})], "output": {"$step": "leaf"}, "name": "leaf flow"}
    for level in range(MAX_INNER_DEPTH + 2):
        value = {"steps": [step("outer", {"flow": {"$literal": value}})], "output": {"$step": "outer"}, "name": f"at {level}"}
    graph, depth = graph_of(value), 0
    while graph.nodes:
        graph, depth = graph.nodes[0].inner[0], depth + 1
    assert depth == MAX_INNER_DEPTH + 1
    assert "not drawn" in graph.note


def test_a_literal_that_is_no_flow_is_nothing_special_and_a_wrong_flow_is_named() -> None:
    steps = [
        step("a", {"$literal": {"$step": "zzz"}}),
        step("b", {"$literal": {"steps": [step("x", {"$step": "nowhere"})]}}),
    ]
    graph = graph_of({"steps": steps, "output": [{"$step": "a"}, {"$step": "b"}]})
    assert node(graph, "a").inner == ()
    assert [inner.note for inner in node(graph, "b").inner] == ["is not valid"]


def test_plugins_are_found_by_the_longest_prefix_and_else_by_the_first_name() -> None:
    routes = {"/a": "one", "/a/b": "two"}
    assert plugin_of("/a/x", routes) == "one"
    assert plugin_of("/a/b/x", routes) == "two"
    assert plugin_of("/ab/x", routes) == "ab"
    assert plugin_of("/ab/x", {**routes, "/": "rest"}) == "rest"
