"""What is known about a lot: its journey, what it came from and what became of it, its cold chain. Reading only.

All questions are answered from the projections (`event_thing`, `edge`, `custody`) in a handful of queries; identities
are canonical Digital Links throughout. The cold chain stands in `cold_chain.py` and is offered here too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.rows import dict_row

from hanlu.core.clock import to_ms
from hanlu.core.errors import NotFoundError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.cold_chain import ChannelCurve, ColdChain, Stay, cold_chain
from hanlu.trace.epcis.digital_link import DigitalLinkError, parse_digital_link
from hanlu.trace.places import Names, Participant, Place, Product, load_names

__all__ = [
    "MAX_DEPTH",
    "MAX_NODES",
    "ChannelCurve",
    "ColdChain",
    "Found",
    "Journey",
    "JourneyStep",
    "LotName",
    "Stay",
    "Trace",
    "TraceEdge",
    "TraceNode",
    "cold_chain",
    "find_lots",
    "journey",
    "lot_name",
    "trace_back",
    "track_forward",
]

_SQL = load_queries("hanlu.trace")

MAX_DEPTH = 40
"""Most steps of the lot graph that are followed away from a lot."""

MAX_NODES = 2_000
"""Most lots in one answer; a larger one says so (`Trace.truncated`)."""

_STEPS_PER_NODE = 20


@dataclass(frozen=True, slots=True)
class LotName:
    """How a lot or item is called.

    Attributes:
        uri: Canonical Digital Link.
        product: Its product, or None where the identity has no GTIN.
        lot: Lot number (AI 10), or None.
        serial: Serial number (AI 21), or None.
    """

    uri: str
    product: Product | None
    lot: str | None
    serial: str | None


@dataclass(frozen=True, slots=True)
class JourneyStep:
    """One event in the life of a lot.

    Attributes:
        event_hash: CBV event hash URI.
        event_type: ObjectEvent, AggregationEvent, TransactionEvent, TransformationEvent, AssociationEvent.
        action: ADD, OBSERVE, DELETE, or None.
        event_ms: When it happened, Unix milliseconds UTC.
        event_offset: Offset of local time there and then, such as ``+08:00``.
        recorded_ms: When the platform captured it.
        biz_step: Bare CBV word or a URI, or None.
        disposition: Likewise.
        read_point: Where it was seen, or None.
        biz_location: Where the lot is afterwards, or None.
        parties: Organisations named as source or destination: (side, type, who); side is source or destination, type
            the CBV word, such as owning_party.
        roles: How the lot takes part: epc, quantity, parent, child, child_quantity, input, input_quantity, output,
            output_quantity, contained.
        quantity: Amount of the lot the event names, or None.
        uom: Unit of it (UN/ECE Recommendation 20, such as KGM); None is a count.
        declared_error: The event takes an earlier one back.
        taken_back: A later declaration says that this event is wrong; it counts for nothing.
        source: How it came, such as ``gateway:gw-1``.
        evidence: 1 when a gateway's signature was checked, else 0.
        document: The event exactly as captured.
    """

    event_hash: str
    event_type: str
    action: str | None
    event_ms: int
    event_offset: str
    recorded_ms: int
    biz_step: str | None
    disposition: str | None
    read_point: Place | None
    biz_location: Place | None
    parties: tuple[tuple[str, str, Participant], ...]
    roles: tuple[str, ...]
    quantity: float | None
    uom: str | None
    declared_error: bool
    taken_back: bool
    source: str
    evidence: int
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Journey:
    """The life of a lot, oldest event first.

    Attributes:
        lot: Whose.
        steps: Every event that speaks of it, also those taken back.
    """

    lot: LotName
    steps: tuple[JourneyStep, ...]


@dataclass(frozen=True, slots=True)
class TraceNode:
    """A lot in a trace.

    Attributes:
        name: Which.
        depth: Fewest steps from the lot asked for.
    """

    name: LotName
    depth: int


@dataclass(frozen=True, slots=True)
class TraceEdge:
    """One step of the lot graph: `from_uri` became, or was packed into, `to_uri`.

    Attributes:
        from_uri: The earlier lot.
        to_uri: The later lot.
        kind: transformation, aggregation or association.
        event_hash: The event that says so.
        event_ms: When, Unix milliseconds UTC.
        biz_step: Bare CBV word or a URI, or None.
        place: Where, or None.
        from_quantity: Amount of the earlier lot that went in, or None.
        from_uom: Unit of it.
        to_quantity: Amount of the later lot that came out, or None.
        to_uom: Unit of it.
    """

    from_uri: str
    to_uri: str
    kind: str
    event_hash: str
    event_ms: int
    biz_step: str | None
    place: Place | None
    from_quantity: float | None
    from_uom: str | None
    to_quantity: float | None
    to_uom: str | None


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a lot came from, or what became of it.

    Attributes:
        direction: back or forward.
        nodes: Lots by depth; the first is the one asked for.
        edges: All edges between these lots, oldest first.
        truncated: A limit cut the answer: there is more.
    """

    direction: Literal["back", "forward"]
    nodes: tuple[TraceNode, ...]
    edges: tuple[TraceEdge, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A lot that a search found.

    Attributes:
        name: Which.
        newest_ms: Time of its newest event, Unix milliseconds UTC.
        events: How many events speak of it.
    """

    name: LotName
    newest_ms: int
    events: int


def _rows(connection: Connection, name: str, **values: Any) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name], values).fetchall()


def lot_name(uri: str, names: Names) -> LotName:
    """Return how the lot with this canonical URI is called."""
    try:
        link = parse_digital_link(uri)
    except DigitalLinkError:
        return LotName(uri, None, None, None)
    return LotName(uri, names.product(uri), link.lot, link.serial)


def journey(connection: Connection, lot_uri: str) -> Journey:
    """Return the life of a lot.

    Args:
        connection: Any connection of the room.
        lot_uri: Canonical Digital Link of the lot.

    Raises:
        NotFoundError: No event speaks of it.
    """
    rows = _rows(connection, "lot_events", lot_uri=lot_uri)
    if not rows:
        raise NotFoundError(f"no event speaks of {lot_uri}")
    documents = [json.loads(bytes(row["canonical"])) for row in rows]
    parties = [_parties(document) for document in documents]
    names = load_names(
        connection,
        places=[uri for row in rows for uri in (row["read_point"], row["biz_location"]) if uri],
        parties=[uri for each in parties for _, _, uri in each],
        things=[lot_uri],
    )
    steps = tuple(
        _step(row, document, tuple((side, kind, names.participant(uri)) for side, kind, uri in named), names)
        for row, document, named in zip(rows, documents, parties, strict=True)
    )
    return Journey(lot_name(lot_uri, names), steps)


def _parties(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (side, type, URI) of every owning or possessing party the event names."""
    found = []
    for side in ("source", "destination"):
        for each in document.get(f"{side}List") or ():
            kind = str(each.get("type", "")).rpartition("SDT-")[2]
            if kind in {"owning_party", "possessing_party"}:
                found.append((side, kind, str(each.get(side, ""))))
    return found


def _step(
    row: dict[str, Any],
    document: Mapping[str, Any],
    parties: tuple[tuple[str, str, Participant], ...],
    names: Names,
) -> JourneyStep:
    return JourneyStep(
        event_hash=row["event_hash"],
        event_type=row["event_type"],
        action=row["action"],
        event_ms=to_ms(row["event_time"]),
        event_offset=row["event_offset"],
        recorded_ms=to_ms(row["record_time"]),
        biz_step=row["biz_step"],
        disposition=row["disposition"],
        read_point=names.place(row["read_point"]),
        biz_location=names.place(row["biz_location"]),
        parties=parties,
        roles=tuple(row["roles"]),
        quantity=row["quantity"],
        uom=row["uom"],
        declared_error=row["declared_error"],
        taken_back=row["taken_back"],
        source=row["source"],
        evidence=row["evidence"],
        document=document,
    )


def trace_back(
    connection: Connection, lot_uri: str, *, max_depth: int = MAX_DEPTH, max_nodes: int = MAX_NODES
) -> Trace:
    """Return everything the lot came from.

    Args:
        connection: Any connection of the room.
        lot_uri: Canonical Digital Link of the lot.
        max_depth: Most steps away, 1 to `MAX_DEPTH`.
        max_nodes: Most lots, 1 to `MAX_NODES`.

    Raises:
        NotFoundError: No event speaks of the lot.
    """
    return _walk(connection, "back", lot_uri, max_depth, max_nodes)


def track_forward(
    connection: Connection, lot_uri: str, *, max_depth: int = MAX_DEPTH, max_nodes: int = MAX_NODES
) -> Trace:
    """Return everything that became of the lot; arguments and errors as for `trace_back`."""
    return _walk(connection, "forward", lot_uri, max_depth, max_nodes)


def _walk(
    connection: Connection, direction: Literal["back", "forward"], lot_uri: str, max_depth: int, max_nodes: int
) -> Trace:
    if not _rows(connection, "lot_exists", lot_uri=lot_uri)[0]["found"]:
        raise NotFoundError(f"no event speaks of {lot_uri}")
    depth, most = min(max(max_depth, 1), MAX_DEPTH), min(max(max_nodes, 1), MAX_NODES)
    # A lot on a cycle or behind many paths is met once at each depth: the steps bound the work, the nodes the answer.
    steps = most * _STEPS_PER_NODE
    walked = _rows(connection, f"walk_{direction}", lot_uri=lot_uri, max_depth=depth + 1, max_steps=steps)
    near = [row for row in walked if row["depth"] <= depth][:most]
    uris = [row["uri"] for row in near]
    edges = _rows(connection, "edges_among", uris=uris)
    names = load_names(connection, places=[row["biz_location"] for row in edges if row["biz_location"]], things=uris)
    return Trace(
        direction,
        tuple(TraceNode(lot_name(row["uri"], names), row["depth"]) for row in near),
        tuple(_edge(row, names) for row in edges),
        truncated=len(walked) > len(near) or walked[0]["steps"] >= steps,
    )


def _edge(row: dict[str, Any], names: Names) -> TraceEdge:
    return TraceEdge(
        from_uri=row["from_uri"],
        to_uri=row["to_uri"],
        kind=row["kind"],
        event_hash=row["event_hash"],
        event_ms=to_ms(row["event_time"]),
        biz_step=row["biz_step"],
        place=names.place(row["biz_location"]),
        from_quantity=row["from_quantity"],
        from_uom=row["from_uom"],
        to_quantity=row["to_quantity"],
        to_uom=row["to_uom"],
    )


def find_lots(connection: Connection, text: str, most: int = 50) -> tuple[Found, ...]:
    """Return the lots whose identity or product name holds `text`, those with the newest events first.

    Args:
        connection: Any connection of the room.
        text: Part of a lot number, GTIN, URI or product name; case does not matter; blank finds the newest lots.
        most: Most answers.
    """
    sought = text.strip()
    escaped = sought.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    rows = _rows(connection, "find_lots", form=f"%{escaped}%", most=most)
    names = load_names(connection, things=[row["lot_uri"] for row in rows])
    return tuple(Found(lot_name(row["lot_uri"], names), to_ms(row["newest"]), row["events"]) for row in rows)
