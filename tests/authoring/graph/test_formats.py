"""The graph as SVG, DOT and Mermaid: whole, well formed and safe, whatever steps are called."""

from __future__ import annotations

import re
from time import perf_counter
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.authoring.graph.build import build_graph
from gateway.authoring.graph.dot import to_dot
from gateway.authoring.graph.lettering import shortened, text_width, xml_text
from gateway.authoring.graph.mermaid import to_mermaid
from gateway.authoring.graph.model import FlowGraph, NodeStatus
from gateway.authoring.graph.run_tally import with_statuses
from gateway.authoring.graph.svg import to_svg
from runtime_core.flow.parse import check_flow

SVG = "{http://www.w3.org/2000/svg}"
NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12) | st.sampled_from(
    [
        '"',
        "]]>",
        "--> x",
        "end",
        "a\nb",
        "\\",
        "\\N",
        "<b>&amp;",
        "\x00\x1b",
        "click",
        "`x`",
        "#35;",
        "%%{init}%%",
        "日本語",
        "é" * 50,
    ]
)


def graph_of(value: dict[str, Any]) -> FlowGraph:
    flow = check_flow(value).flow
    assert flow is not None
    return build_graph(flow, {}, title="untitled")


def hostile(names: list[str]) -> FlowGraph:
    """A chain whose ids, components, variables and name are all of these."""
    steps = [{"id": name, "component": f"/{name}", "input": {"$variable": f"$['{index}']"}} for index, name in enumerate(names)]
    inner = {"$literal": {"name": names[0], "steps": [dict(steps[0])], "output": {"$step": names[0]}}}
    steps.append({"id": "last", "component": "/x", "input": [inner, *({"$step": name} for name in names)]})
    return graph_of({"name": names[-1], "description": names[0], "steps": steps, "output": {"$step": "last"}})


HOSTILE = st.lists(NAMES.filter(lambda name: name != "last"), min_size=1, max_size=4, unique=True).map(hostile)


@given(HOSTILE)
def test_svg_is_well_formed_and_tells_every_step(graph: FlowGraph) -> None:
    root = ElementTree.fromstring(to_svg(graph).encode())
    told = {title.text for title in root.iter(f"{SVG}title")}
    for node in graph.nodes:
        assert any(text is not None and text.startswith(clean(node.label)) for text in told), node.label
    assert root.get("aria-label") == clean(graph.title)
    assert not list(root.iter(f"{SVG}script"))


def clean(text: str) -> str:
    """What an XML parser gives back of a text that went through `xml_text`."""
    return ElementTree.fromstring(f"<a>{xml_text(text)}</a>").text or ""


DOT_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|[A-Za-z_][A-Za-z_0-9]*|[0-9.]+|->|[{}\[\];=,]|\s+')


@given(HOSTILE)
def test_dot_is_made_of_its_tokens_and_labels_come_back(graph: FlowGraph) -> None:
    text = to_dot(graph)
    position = 0
    while position < len(text):
        match = DOT_TOKEN.match(text, position)
        assert match is not None, text[position : position + 40]
        position = match.end()
    labels = {unescaped(label) for label in re.findall(r'label=("(?:[^"\\\n]|\\.)*")', text)}
    for node in graph.nodes:
        if "\n" not in node.label and node.label.isprintable():
            assert any(label.split("\n")[0] == node.label for label in labels), node.label


def unescaped(quoted: str) -> str:
    """As Graphviz reads a label: backslashes, then entities."""
    text = re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], quoted[1:-1])
    return text.replace("&amp;", "&")


MERMAID_LINE = re.compile(
    r"\s*(?:"
    r'n\d+(?:\["[^"\n]*"\]|\{"[^"\n]*"\}|\(\["[^"\n]*"\]\))'
    r'|subgraph f\d+\["[^"\n]*"\]|end'
    r'|n\d+ (?:-->|-\.->)(?:\|"[^"\n]*"\|)? n\d+|n\d+ -\.- f\d+'
    r"|classDef \w+ [\w:#,.\-]+|class [\w,]+ \w+"
    r")"
)


@given(HOSTILE)
def test_mermaid_is_made_of_its_lines_and_labels_come_back(graph: FlowGraph) -> None:
    head, title, fence, kind, *lines = to_mermaid(graph).splitlines()
    assert (head, fence, kind) == ("---", "---", "flowchart TD")
    (shown,) = yaml.safe_load(title).values()
    assert shown == graph.title or not graph.title.isprintable()
    for line in lines:
        assert MERMAID_LINE.fullmatch(line), line
    labels = {plain(label) for line in lines for label in re.findall(r'"([^"]*)"', line)}
    for node in graph.nodes:
        if node.label.isprintable():
            assert any(label.split("\n")[0] == node.label for label in labels), node.label


def plain(label: str) -> str:
    return re.sub(r"#(\d+);", lambda match: chr(int(match[1])), label.replace("<br/>", "\n"))


BRANCHING = {
    "name": "b",
    "steps": [
        {"id": "a", "component": "/p/a", "skip": {"$input": "$.no"}},
        {"id": "b", "component": "/q/b", "mustExecute": True},
        {"id": "unused", "component": "/q/u"},
    ],
    "output": {"$if": {"$step": "a"}, "then": {"$coalesce": [{"$step": "b"}, 0]}},
}


def test_branches_conditions_and_marks_are_in_every_format() -> None:
    graph = graph_of(BRANCHING)
    svg, dot, mermaid = to_svg(graph), to_dot(graph), to_mermaid(graph)
    assert svg.count("<polygon") == 2
    assert dot.count("shape=diamond") == 2
    assert len(re.findall(r"n\d+\{", mermaid)) == 2
    for text in (svg, dot, mermaid):
        for label in ("then", "skip?", "must run"):
            assert label in text
    assert 'class="e conditional"' in svg and "style=dashed" in dot and '-.->|"then"|' in mermaid
    assert 'class="off"' in svg and "never runs" in dot and "classDef off" in mermaid
    assert "prefers-color-scheme:dark" in svg


def test_a_run_is_shown_in_every_format_with_counts_and_colours() -> None:
    statuses = {"/steps/0": NodeStatus(success=1_200, failed=3, repeated=2), "/output": NodeStatus(success=4)}
    graph = with_statuses(graph_of(BRANCHING), statuses, title="b: failed", note="run r")
    for text in (to_svg(graph), to_dot(graph), to_mermaid(graph)):
        assert "b: failed" in text
        assert "✓ 1" in text
        assert "–" in text
    assert 'class="b is-failed"' in to_svg(graph)
    assert "classDef is_failed" in to_mermaid(graph)
    by_id = {node["id"]: node for node in graph.to_json()["nodes"]}
    assert by_id["/steps/0"]["status"] == {"success": 1_200, "failed": 3, "repeated": 2}
    assert by_id["/steps/1"]["status"] == {}


def test_a_legend_names_every_plugin() -> None:
    names = [f"plugin{index}" for index in range(12)]
    steps = [{"id": name, "component": f"/{name}/x"} for name in names]
    svg = to_svg(graph_of({"steps": steps, "output": [{"$step": name} for name in names]}))
    assert all(f">{name}</text>" in svg for name in names)


def test_the_same_flow_gives_the_same_bytes() -> None:
    assert to_svg(graph_of(BRANCHING)) == to_svg(graph_of(BRANCHING))


def test_an_empty_flow_is_a_picture_too() -> None:
    graph = graph_of({"steps": [], "output": None})
    ElementTree.fromstring(to_svg(graph))
    assert "output" in to_dot(graph) and "output" in to_mermaid(graph)


@pytest.mark.parametrize("count", [1_000, 4_000])
def test_large_flows_are_drawn_within_seconds(count: int) -> None:
    """Wide and deep parts, every step reads the input. Measured: 0.3 s and 1.2 s."""
    steps: list[dict[str, Any]] = []
    for index in range(count):
        reads = [{"$input": "$"}] + [{"$step": f"s{back}"} for back in (index - 1, index - 7, index // 2) if 0 <= back < index]
        steps.append({"id": f"s{index}", "component": f"/p{index % 9}/c", "input": reads if index % 3 else {"$input": "$.x"}})
    value = {"steps": steps, "output": [{"$step": f"s{index}"} for index in range(count)]}
    graph = graph_of(value)
    began_s = perf_counter()
    svg = to_svg(graph)
    assert perf_counter() - began_s < 20
    assert len(svg) < 3_000 * count


def test_text_is_cut_on_one_line_and_wide_letters_are_wide() -> None:
    assert shortened("a\nb", 10) == "a b"
    assert shortened("abcdef", 4) == "abc…"
    assert text_width("日本", 10) > text_width("ab", 10) > text_width("il", 10)
