"""The lot graph as a picture: a layered drawing in SVG, where what came first stands left and every lot can be opened.

Pure: nodes and edges in, text out. Layers are longest paths from the sources; within a layer nodes are ordered by the
mean place of their neighbours, swept to and fro: the usual cure for crossings (Sugiyama, Tagawa and Toda 1981).
Colours come by CSS class only (`lot`, `lot--focus`, `lot--input`, `lot-link`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["MAX_NODES", "GraphNode", "graph_svg", "layers"]

MAX_NODES: Final = 400
"""Lots in one picture; more are shown as a table."""

_WIDTH, _HEIGHT = 196, 52
_GAP_X, _GAP_Y = 64, 18
_MARGIN = 8
_SWEEPS = 4
_LABEL_CHARS = 25


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One lot or input in the picture.

    Attributes:
        uri: identity; what edges name.
        title: first line, e.g. the product.
        subtitle: second line, e.g. the lot number.
        href: where a click leads; empty for none.
        kind: "lot", "input" or "focus" (the lot the reader asked for).
    """

    uri: str
    title: str
    subtitle: str
    href: str = ""
    kind: str = "lot"


def layers(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Return the nodes in layers: each stands right of all it came from.

    Args:
        nodes: identities, in the order that decides ties.
        edges: (from, to); edges of a cycle that would point backwards are ignored for layering, others to unknown
            nodes too.
    """
    known = set(nodes)
    parents: dict[str, list[str]] = {node: [] for node in nodes}
    for start, end in edges:
        if start in known and end in known and start != end:
            parents[end].append(start)
    depth: dict[str, int] = {}

    for root in nodes:
        stack: list[tuple[str, bool]] = [(root, False)]
        open_now: set[str] = set()
        while stack:
            node, done = stack.pop()
            if done:
                open_now.discard(node)
                depth[node] = max((depth[parent] + 1 for parent in parents[node] if parent in depth), default=0)
            elif node not in depth and node not in open_now:
                open_now.add(node)
                stack.append((node, True))
                stack.extend((parent, False) for parent in parents[node] if parent not in open_now)
    found: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in nodes:
        found[depth[node]].append(node)
    return _uncrossed(found, edges)


def _uncrossed(columns: list[list[str]], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    neighbours: dict[str, list[str]] = {}
    for start, end in edges:
        neighbours.setdefault(start, []).append(end)
        neighbours.setdefault(end, []).append(start)
    for sweep in range(_SWEEPS):
        place = {node: row for column in columns for row, node in enumerate(column)}
        order = range(len(columns)) if sweep % 2 == 0 else range(len(columns) - 1, -1, -1)
        for index in order:
            columns[index].sort(key=lambda node: (_mean_place(node, neighbours, place), place[node]))
            place.update({node: row for row, node in enumerate(columns[index])})
    return columns


def _mean_place(node: str, neighbours: Mapping[str, Sequence[str]], place: Mapping[str, int]) -> float:
    rows = [place[other] for other in neighbours.get(node, ()) if other in place]
    return sum(rows) / len(rows) if rows else float(place[node])


def graph_svg(nodes: Sequence[GraphNode], edges: Sequence[tuple[str, str]], *, title: str) -> str:
    """Return the picture.

    Args:
        nodes: at most MAX_NODES.
        edges: (from uri, to uri).
        title: read by screen readers.

    Raises:
        ValueError: there are too many nodes to draw.
    """
    if len(nodes) > MAX_NODES:
        raise ValueError(f"{len(nodes)} lots are too many for a picture, at most {MAX_NODES}")
    by_uri = {node.uri: node for node in nodes}
    columns = layers([node.uri for node in nodes], edges)
    tallest = max((len(column) for column in columns), default=1)
    height = 2 * _MARGIN + tallest * (_HEIGHT + _GAP_Y) - _GAP_Y
    width = 2 * _MARGIN + max(len(columns), 1) * (_WIDTH + _GAP_X) - _GAP_X
    at: dict[str, tuple[float, float]] = {}
    for index, column in enumerate(columns):
        offset = (height - len(column) * (_HEIGHT + _GAP_Y) + _GAP_Y) / 2
        for row, uri in enumerate(column):
            at[uri] = (_MARGIN + index * (_WIDTH + _GAP_X), offset + row * (_HEIGHT + _GAP_Y))
    parts = [
        f'<svg class="graph" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img"'
        f' xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>'
    ]
    parts += [_link(at[start], at[end]) for start, end in edges if start in at and end in at]
    parts += [_box(by_uri[uri], *at[uri]) for column in columns for uri in column]
    parts.append("</svg>")
    return "".join(parts)


def _link(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT / 2
    x2, y2 = end[0], end[1] + _HEIGHT / 2
    bend = max((x2 - x1) / 2, _GAP_X / 2)
    curve = f"M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2 - 6:g} {y2:g}"
    head = f"M{x2 - 7:g} {y2 - 4:g}L{x2:g} {y2:g}L{x2 - 7:g} {y2 + 4:g}z"
    return f'<path class="lot-link" d="{curve}"/><path class="lot-link-head" d="{head}"/>'


def _box(node: GraphNode, x: float, y: float) -> str:
    body = (
        f"<title>{escape(node.title)} {escape(node.subtitle)}</title>"
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>'
        f'<text x="{x + 12:g}" y="{y + 22:g}">{escape(_short(node.title))}</text>'
        f'<text class="lot-sub" x="{x + 12:g}" y="{y + 40:g}">{escape(_short(node.subtitle))}</text>'
    )
    group = f'<g class="lot lot--{escape(node.kind)}">{body}</g>'
    return f'<a href="{escape(node.href)}">{group}</a>' if node.href else group


def _short(text: str) -> str:
    """Cut `text` to what fits, counting a Chinese character as two."""
    width = 0
    for index, letter in enumerate(text):
        width += 2 if ord(letter) > 0x2E80 else 1
        if width > _LABEL_CHARS:
            return text[: max(index - 1, 1)] + "…"
    return text
