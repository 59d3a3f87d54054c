"""The layered layout: nothing overlaps, everything leads down, the same graph gives the same picture."""

from __future__ import annotations

from itertools import pairwise
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authoring.graph.layered.chains import MAX_WAYPOINTS, chain_links
from gateway.authoring.graph.layered.draw import draw
from gateway.authoring.graph.layered.ordering import crossings, order_rows
from gateway.authoring.graph.layered.rows import assign_rows
from gateway.authoring.graph.layered.shapes import Box, Layout, Link, Shape

SIZES = st.sampled_from([(76.0, 30.0), (150.0, 44.0), (420.0, 300.0)])


@st.composite
def graphs(draw_from: st.DrawFn) -> tuple[list[Box], list[Link]]:
    """Graphs without cycles, dense and thin ones, with links that stand side by side in several styles."""
    count = draw_from(st.integers(1, 30))
    boxes = [
        Box(*draw_from(SIZES), draw_from(st.sampled_from(Shape)), draw_from(st.sampled_from(["", "", "", "top"])))
        for _ in range(count)
    ]
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
    links = (
        [
            Link(min(pair), max(pair), draw_from(st.sampled_from(["a", "b"])), draw_from(st.sampled_from(["", "", "then"])))
            for pair in draw_from(st.lists(pairs, max_size=60))
        ]
        if count > 1
        else []
    )
    top = {link.target for link in links}
    boxes = [Box(box.width, box.height, box.shape, "" if index in top else box.pinned) for index, box in enumerate(boxes)]
    return boxes, links


def check(boxes: list[Box], links: list[Link], layout: Layout) -> None:
    rectangles = [(x, y, x + box.width, y + box.height) for box, (x, y) in zip(boxes, layout.corners, strict=True)]
    for index, (left, top, right, bottom) in enumerate(rectangles):
        assert left >= -1e-6 and top >= -1e-6 and right <= layout.width + 1e-6 and bottom <= layout.height + 1e-6
        for other_left, other_top, other_right, other_bottom in rectangles[:index]:
            apart = left >= other_right or other_left >= right or top >= other_bottom or other_top >= bottom
            assert apart, "two nodes overlap"
    for link in links:
        assert layout.rows[link.source] < layout.rows[link.target]
        assert rectangles[link.source][3] < rectangles[link.target][1], "an edge does not go down"
    drawn = [0] * len(links)
    for stroke in layout.strokes:
        assert all(upper[1] <= lower[1] + 1e-6 for upper, lower in pairwise(stroke.points)), "a line goes up"
        for index in stroke.links:
            drawn[index] += 1
            assert links[index].style == stroke.style
    assert all(drawn)


@given(graphs())
def test_nodes_never_overlap_and_every_edge_goes_down(graph: tuple[list[Box], list[Link]]) -> None:
    boxes, links = graph
    check(boxes, links, draw(boxes, links))


@given(graphs())
def test_the_same_graph_is_drawn_the_same_way(graph: tuple[list[Box], list[Link]]) -> None:
    assert draw(*graph) == draw(*graph)


@given(graphs())
def test_lines_start_and_end_at_their_nodes(graph: tuple[list[Box], list[Link]]) -> None:
    boxes, links = graph
    layout = draw(boxes, links)
    for stroke in layout.strokes:
        if stroke.has_arrow:
            x, y = stroke.points[-1]
            targets = {links[index].target for index in stroke.links}
            assert len(targets) == 1
            (target,) = targets
            left, top = layout.corners[target]
            assert left - 1e-6 <= x <= left + boxes[target].width + 1e-6
            assert top - 1e-6 <= y <= top + boxes[target].height / 2 + 1e-6


@given(graphs())
def test_bends_stay_between_the_rows_where_no_node_is(graph: tuple[list[Box], list[Link]]) -> None:
    boxes, links = graph
    layout = draw(boxes, links)
    bands = {}
    for row, box, (_, y) in zip(layout.rows, boxes, layout.corners, strict=True):
        top, bottom = bands.get(row, (y, y + box.height))
        bands[row] = (min(top, y), max(bottom, y + box.height))
    for stroke in layout.strokes:
        for (x, y), (to_x, to_y) in pairwise(stroke.points):
            if x != to_x:
                assert not any(y < bottom - 1e-6 and to_y > top + 1e-6 for top, bottom in bands.values())


def test_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        draw([Box(1, 1)] * 2, [Link(0, 1), Link(1, 0)])


def test_nothing_at_all_can_be_drawn() -> None:
    assert draw([], []) == Layout(0.0, 0.0, (), (), (), ())


def test_a_full_row_is_continued_in_the_next() -> None:
    rows = assign_rows([Box(1, 1)] * 1_000, [])
    widest = max(rows.count(row) for row in set(rows))
    assert 20 <= widest <= 50


def test_crossings_are_counted_and_removed() -> None:
    hops = [(0, 5), (1, 4), (2, 3)]
    below = [[5], [4], [3], [], [], []]
    assert crossings([[0, 1, 2], [3, 4, 5]], below) == 3
    layers = order_rows([0, 0, 0, 1, 1, 1], hops)
    assert crossings(layers, below) == 0


def test_links_of_one_source_share_a_trunk() -> None:
    links = [Link(index, index + 1) for index in range(400)] + [Link(0, index) for index in range(2, 401)]
    chained = chain_links(range(401), links)
    assert len(chained.waypoint_rows) <= 400


def test_more_waypoints_than_anyone_can_follow_are_not_made() -> None:
    count = 300
    links = [Link(source, target) for target in range(count) for source in range(target)]
    chained = chain_links(range(count), links)
    assert len(chained.waypoint_rows) <= MAX_WAYPOINTS
    assert chained.straight
    boxes = [Box(76, 30)] * count
    check(boxes, links, draw(boxes, links))


def test_a_thousand_nodes_take_seconds_at_most() -> None:
    """Measured: 0.2 s on a laptop; the bound is for machines that do much else."""
    links = [Link(max(0, node - 1 - (node * 7919 + turn * 104729) % 50), node) for node in range(1, 1_000) for turn in range(3)]
    began_s = perf_counter()
    draw([Box(150, 44)] * 1_000, links)
    assert perf_counter() - began_s < 5
