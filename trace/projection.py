"""What follows from events: the lot graph, contents of containers, custody. Pure folds; the same result from zero.

Nothing here knows in which order events were captured: every fold orders them by the time they happened (and by their
number where that is equal), so a late event gives the same result as if it had come in time. Events that were taken
back by an error declaration, and the declarations themselves, are left out by the caller.

Theory of custody. A lot is in one place at a time. An event with a bizLocation says where the lot is from then on; a
truck's readPoint says the same, because goods that were seen in a truck are in it. Shipping and departing end custody
without a new place (EPCIS 2.0 leaves bizLocation open when goods leave), unless the goods are now in a truck. A place
already held is only confirmed. Custody also ends when the lot is used up: all of a known quantity, or the whole thing.

Source: EPCIS 2.0, sections 7.3.4 (readPoint, bizLocation), 7.4.3 (AggregationEvent), 7.4.5 (TransformationEvent);
CBV 2.0, section 7.1 (business steps).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

__all__ = [
    "EDGE_MAKING",
    "LEAVING",
    "Custody",
    "Edge",
    "EventFacts",
    "ThingFacts",
    "contained_lots",
    "custody_of",
    "edges_of",
]

LEAVING: Final = frozenset({"shipping", "departing", "consigning"})
"""Business steps with which goods leave a place. Source: CBV 2.0, section 7.1.3."""

_EDGE_KIND: Final = {"AggregationEvent": "aggregation", "AssociationEvent": "association"}
EDGE_MAKING: Final = frozenset({"TransformationEvent", *_EDGE_KIND})
"""Types of events that can add to the lot graph."""

_CHILD: Final = frozenset({"child", "child_quantity"})
_INPUT: Final = frozenset({"input", "input_quantity"})
_OUTPUT: Final = frozenset({"output", "output_quantity"})
_MOST_NESTED = 8
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class ThingFacts:
    """A thing as an event names it.

    Attributes:
        role: As in `trace.event_thing`.
        uri: Canonical Digital Link.
        lot_uri: Of its lot, or the same as `uri`.
        quantity: How much, or None.
        uom: Unit of it, or None for pieces.
    """

    role: str
    uri: str
    lot_uri: str
    quantity: float | None = None
    uom: str | None = None


@dataclass(frozen=True, slots=True)
class EventFacts:
    """What the folds need of an event.

    Attributes:
        event_id: Our number for it; decides between events of one instant.
        event_type: One of the five.
        action: ADD, OBSERVE, DELETE, or None.
        event_ms: When it happened, Unix milliseconds UTC.
        biz_step: Bare CBV word or a URI, or None.
        read_point: Canonical URI, or None.
        biz_location: Canonical URI, or None.
        things: What it is about.
        transformation_id: Joins the events of one transformation, or None.
    """

    event_id: int
    event_type: str
    action: str | None
    event_ms: int
    biz_step: str | None
    read_point: str | None
    biz_location: str | None
    things: tuple[ThingFacts, ...]
    transformation_id: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """`from_uri` became, or was packed into, `to_uri`.

    Attributes:
        from_uri: Lot.
        to_uri: Lot or container.
        event_id: The event that says so.
        kind: transformation, aggregation or association.
    """

    from_uri: str
    to_uri: str
    event_id: int
    kind: str


@dataclass(frozen=True, slots=True, order=True)
class Custody:
    """A lot stood at a place.

    Attributes:
        from_ms: Since when, Unix milliseconds UTC.
        to_ms: Until when; None while it is still there.
        location: Canonical URI.
        event_id: The event that began it; begins one custody of a lot only.
    """

    from_ms: int
    to_ms: int | None
    location: str
    event_id: int


def _in_order(events: Iterable[EventFacts]) -> list[EventFacts]:
    return sorted(events, key=lambda each: (each.event_ms, each.event_id))


def edges_of(events: Iterable[EventFacts]) -> frozenset[Edge]:
    """Return the edges that `events` make.

    Args:
        events: Valid events; of a transformation told in several events, all of them.

    Returns:
        Edges between lots; a transformation told in several events is attributed to the last one that names the
        output. A lot is no origin of itself.
    """
    edges: set[Edge] = set()
    transformations: dict[str, list[EventFacts]] = {}
    for event in events:
        if event.event_type == "TransformationEvent":
            transformations.setdefault(event.transformation_id or f"alone {event.event_id}", []).append(event)
        elif event.event_type in _EDGE_KIND and event.action != "DELETE":
            parents = [thing.lot_uri for thing in event.things if thing.role == "parent"]
            children = {thing.lot_uri for thing in event.things if thing.role in _CHILD}
            kind = _EDGE_KIND[event.event_type]
            edges.update(Edge(child, parent, event.event_id, kind) for parent in parents for child in children)
    for told in transformations.values():
        inputs = {thing.lot_uri for event in told for thing in event.things if thing.role in _INPUT}
        outputs = {
            thing.lot_uri: event.event_id
            for event in _in_order(told)
            for thing in event.things
            if thing.role in _OUTPUT
        }
        edges.update(Edge(used, made, number, "transformation") for made, number in outputs.items() for used in inputs)
    return frozenset(edge for edge in edges if edge.from_uri != edge.to_uri)


def contained_lots(container: str, at: tuple[int, int], packings: Mapping[str, Sequence[EventFacts]]) -> frozenset[str]:
    """Return the lots inside `container`, also inside what is inside it, once the event `at` has happened.

    Args:
        container: Canonical URI.
        at: (instant, event number): packings up to this one count.
        packings: Aggregation events by the container they fill or empty.
    """
    return frozenset(_lots_inside(container, at, packings, frozenset({container})))


def _lots_inside(
    container: str, at: tuple[int, int], packings: Mapping[str, Sequence[EventFacts]], above: frozenset[str]
) -> set[str]:
    lots: set[str] = set()
    for thing in _contents(container, at, packings.get(container, ())):
        lots.add(thing.lot_uri)
        if thing.uri in packings and thing.uri not in above and len(above) < _MOST_NESTED:
            lots |= _lots_inside(thing.uri, at, packings, above | {thing.uri})
    return lots


def _contents(container: str, at: tuple[int, int], packings: Sequence[EventFacts]) -> list[ThingFacts]:
    """Return what lies directly in a container: what was put in and not taken out."""
    inside: dict[tuple[str, str | None], ThingFacts] = {}
    for event in _in_order(packings):
        if (event.event_ms, event.event_id) > at:
            break
        children = [thing for thing in event.things if thing.role in _CHILD]
        if event.action == "DELETE" and not children:
            inside.clear()
        for child in children:
            key = (child.uri, child.uom)
            held = inside.get(key)
            if event.action == "DELETE":
                left = _less(held, child)
                if left is None:
                    inside.pop(key, None)
                else:
                    inside[key] = left
            elif event.action == "ADD":
                inside[key] = _more(held, child)
            else:
                inside[key] = child
    return list(inside.values())


def _more(held: ThingFacts | None, added: ThingFacts) -> ThingFacts:
    if held is None or held.quantity is None or added.quantity is None:
        return added
    return replace(held, quantity=held.quantity + added.quantity)


def _less(held: ThingFacts | None, taken: ThingFacts) -> ThingFacts | None:
    """Return what is left, None when nothing is; taking an unknown amount takes all."""
    if held is None or held.quantity is None or taken.quantity is None:
        return None
    left = held.quantity - taken.quantity
    return replace(held, quantity=left) if left > _NOTHING else None


def custody_of(lot_uri: str, events: Iterable[EventFacts], trucks: Container[str]) -> tuple[Custody, ...]:
    """Return where a lot stood, oldest first, without overlaps.

    Args:
        lot_uri: Canonical URI of the lot.
        events: All valid events that speak of it, in any order; `things` holds at least the lot's own.
        trucks: Canonical URIs of places that move.
    """
    stays: list[Custody] = []
    balance = _Balance()
    for event in _in_order(events):
        mine = [thing for thing in event.things if thing.lot_uri == lot_uri]
        used_up = balance.after(event, mine)
        place = _place_after(event, trucks, stays[-1] if stays and stays[-1].to_ms is None else None)
        if place is not _STAYS:
            _end(stays, event.event_ms)
        if isinstance(place, str):
            stays.append(Custody(event.event_ms, None, place, event.event_id))
        if used_up:
            _end(stays, event.event_ms)
    return tuple(stays)


class _Unchanged:
    """The event moves nothing."""


_STAYS: Final = _Unchanged()


def _place_after(event: EventFacts, trucks: Container[str], now: Custody | None) -> str | _Unchanged | None:
    """Return where the lot is after `event`, None when it has left, `_STAYS` when nothing changes."""
    place = event.biz_location
    if place is None and event.read_point is not None and event.read_point in trucks:
        place = event.read_point
    if event.biz_step in LEAVING and (place is None or place not in trucks):
        return None
    if place is None or (now is not None and now.location == place):
        return _STAYS
    return place


def _end(stays: list[Custody], at_ms: int) -> None:
    """End the stay that goes on; one that began this very instant was none."""
    if stays and stays[-1].to_ms is None:
        last = stays.pop()
        if at_ms > last.from_ms:
            stays.append(replace(last, to_ms=at_ms))


class _Balance:
    """How much of a lot there is, as far as its events say; a lot whose beginning is unknown is never used up by
    parts."""

    def __init__(self) -> None:
        self._left: dict[str | None, float] = {}

    def after(self, event: EventFacts, mine: Sequence[ThingFacts]) -> bool:
        """Count one event in; return True when it leaves nothing."""
        made = event.event_type == "ObjectEvent" and event.action == "ADD"
        gone = event.event_type == "ObjectEvent" and event.action == "DELETE"
        used_up = False
        for thing in mine:
            if thing.role in _OUTPUT or (made and thing.role == "quantity"):
                if thing.quantity is not None:
                    self._left[thing.uom] = self._left.get(thing.uom, 0.0) + thing.quantity
            elif thing.role in _INPUT or (gone and thing.role in {"epc", "quantity"}):
                used_up = self._take(thing) or used_up
        return used_up

    def _take(self, thing: ThingFacts) -> bool:
        if thing.quantity is None:
            # A single item of a lot is not the lot; the thing itself, or a lot named without amount, is all of it.
            return thing.uri == thing.lot_uri
        if thing.uom not in self._left:
            return False
        self._left[thing.uom] -= thing.quantity
        return self._left[thing.uom] <= _NOTHING
