"""The lot graph's drawing: every lot once, time from left to right, cycles and odd names survive."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.trace.graph_picture import MAX_NODES, GraphNode, graph_svg, layers

names = st.lists(st.sampled_from("abcdefghij"), unique=True, min_size=1)


@given(names, st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("abcdefghij")), max_size=30))
def test_every_node_stands_in_exactly_one_layer_whatever_the_edges(
    nodes: list[str], edges: list[tuple[str, str]]
) -> None:
    assert sorted(node for layer in layers(nodes, edges) for node in layer) == sorted(nodes)


@given(names, st.data())
def test_without_cycles_every_edge_points_to_the_right(nodes: list[str], data: st.DataObject) -> None:
    pairs = [(a, b) for i, a in enumerate(nodes) for b in nodes[i + 1 :]]
    edges = data.draw(st.lists(st.sampled_from(pairs), max_size=20)) if pairs else []
    column = {node: index for index, layer in enumerate(layers(nodes, edges)) for node in layer}
    assert all(column[start] < column[end] for start, end in edges)


def test_picture_is_well_formed_and_escapes_what_partners_wrote() -> None:
    nodes = [GraphNode("u:1", "<script>", '"&', "/inspect?x=1&y=2", "focus"), GraphNode("u:2", "炎陵黄桃", "L2")]
    root = ET.fromstring(graph_svg(nodes, [("u:1", "u:2"), ("u:1", "u:9")], title="a & b"))
    assert len(root.findall(".//{http://www.w3.org/2000/svg}rect")) == 2
    assert len([p for p in root.iter("{http://www.w3.org/2000/svg}path") if p.get("class") == "lot-link"]) == 1


def test_too_many_lots_are_refused_with_the_limit() -> None:
    with pytest.raises(ValueError, match=str(MAX_NODES)):
        graph_svg([GraphNode(str(i), "", "") for i in range(MAX_NODES + 1)], [], title="")
