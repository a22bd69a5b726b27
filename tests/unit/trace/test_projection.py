"""Folds of events: graph, contents, custody; orderless, repeatable, without overlaps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.trace.projection import Custody, Edge, EventFacts, ThingFacts, contained_lots, custody_of, edges_of

LOT = "https://id.gs1.org/01/06901234567892/10/A"
TRUCK, FIELD, ROOM, SHOP = "truck", "field", "room", "shop"
TRUCKS = frozenset({TRUCK})


def _event(
    number: int, at: int, step: str = "storing", to: str | None = None, seen: str | None = None, **more: Any
) -> EventFacts:
    things = more.pop("things", (ThingFacts("quantity", LOT, LOT),))
    return EventFacts(
        number, more.pop("kind", "ObjectEvent"), more.pop("action", "OBSERVE"), at, step, seen, to, things, **more
    )


def _transformed(number: int, inputs: str, outputs: str, told: str | None = None, at: int = 0) -> EventFacts:
    things = [ThingFacts("input_quantity", each, each, 1) for each in inputs]
    things += [ThingFacts("output_quantity", each, each, 1) for each in outputs]
    return EventFacts(number, "TransformationEvent", None, at, None, None, None, tuple(things), told)


def _packed(number: int, at: int, action: str, parent: str, *children: tuple[str, float | None]) -> EventFacts:
    things = (
        ThingFacts("parent", parent, parent),
        *(ThingFacts("child_quantity", uri, uri, quantity, "KGM") for uri, quantity in children),
    )
    return EventFacts(number, "AggregationEvent", action, at, None, None, None, things)


def test_transformation_joins_every_input_with_every_output_and_nothing_with_itself() -> None:
    edges = edges_of([_transformed(1, "ab", "bc")])
    assert edges == {
        Edge("a", "b", 1, "transformation"),
        Edge("a", "c", 1, "transformation"),
        Edge("b", "c", 1, "transformation"),
    }


def test_transformation_told_in_parts_is_joined_whatever_part_comes_first() -> None:
    parts = [_transformed(2, "", "c", "T", at=5), _transformed(1, "a", "", "T", at=1), _transformed(3, "x", "", None)]
    assert edges_of(parts) == edges_of(reversed(parts)) == {Edge("a", "c", 2, "transformation")}


def test_packing_leads_from_child_to_container_and_unpacking_leads_nowhere() -> None:
    assert edges_of([_packed(1, 0, "ADD", "P", ("a", 1)), _packed(2, 1, "DELETE", "P", ("b", 1))]) == {
        Edge("a", "P", 1, "aggregation")
    }


def test_container_holds_what_was_put_in_and_not_taken_out() -> None:
    packings = {
        "P": [
            _packed(1, 0, "ADD", "P", ("a", 60), ("b", 40)),
            _packed(2, 5, "DELETE", "P", ("a", 20)),
            _packed(3, 6, "DELETE", "P", ("a", 40)),
            _packed(4, 7, "DELETE", "P"),
        ]
    }
    seen = [contained_lots("P", (at, 99), packings) for at in (-1, 0, 5, 6, 7)]
    assert seen == [frozenset(), {"a", "b"}, {"a", "b"}, {"b"}, frozenset()]


def test_container_inside_itself_ends() -> None:
    packings = {"P": [_packed(1, 0, "ADD", "P", ("Q", None), ("a", 1))], "Q": [_packed(2, 0, "ADD", "Q", ("P", None))]}
    assert contained_lots("P", (9, 9), packings) == {"P", "Q", "a"}


WAYS: dict[str, tuple[list[EventFacts], list[tuple[str, int, int | None]]]] = {
    "place to place": ([_event(1, 0, to=FIELD), _event(2, 5, to=ROOM)], [(FIELD, 0, 5), (ROOM, 5, None)]),
    "same place is only confirmed": ([_event(1, 0, to=ROOM), _event(2, 5, to=ROOM)], [(ROOM, 0, None)]),
    "shipping leaves": ([_event(1, 0, to=ROOM), _event(2, 5, "shipping")], [(ROOM, 0, 5)]),
    "shipping leaves also when it names the place left": (
        [_event(1, 0, to=ROOM), _event(2, 5, "shipping", to=ROOM)],
        [(ROOM, 0, 5)],
    ),
    "shipping into a truck": (
        [_event(1, 0, to=ROOM), _event(2, 5, "shipping", to=TRUCK)],
        [(ROOM, 0, 5), (TRUCK, 5, None)],
    ),
    "seen in a truck": ([_event(1, 0, to=ROOM), _event(2, 5, "loading", seen=TRUCK)], [(ROOM, 0, 5), (TRUCK, 5, None)]),
    "departing in the truck it is in": (
        [
            _event(1, 0, "loading", seen=TRUCK),
            _event(2, 5, "departing", seen=TRUCK),
            _event(3, 9, "receiving", to=SHOP),
        ],
        [(TRUCK, 0, 9), (SHOP, 9, None)],
    ),
    "seen elsewhere moves nothing": ([_event(1, 0, to=ROOM), _event(2, 5, "inspecting", seen=SHOP)], [(ROOM, 0, None)]),
    "two places in one instant: the later event wins": (
        [_event(1, 3, to=FIELD), _event(2, 3, to=ROOM)],
        [(ROOM, 3, None)],
    ),
    "leaves and comes back": (
        [_event(1, 0, to=ROOM), _event(2, 5, "shipping"), _event(3, 9, to=ROOM)],
        [(ROOM, 0, 5), (ROOM, 9, None)],
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_custody_follows_the_events(way: str) -> None:
    events, expected = WAYS[way]
    stays = custody_of(LOT, events, TRUCKS)
    assert [(stay.location, stay.from_ms, stay.to_ms) for stay in stays] == expected


def _quantity(role: str, quantity: float | None) -> tuple[ThingFacts, ...]:
    return (ThingFacts(role, LOT, LOT, quantity, "KGM"),)


def test_custody_ends_when_the_whole_known_quantity_is_used_and_not_before() -> None:
    made = _event(1, 0, "commissioning", to=ROOM, action="ADD", things=_quantity("quantity", 100))
    half = _event(2, 5, to=ROOM, kind="TransformationEvent", things=_quantity("input_quantity", 40))
    rest = _event(3, 8, to=ROOM, kind="TransformationEvent", things=_quantity("input_quantity", 60))
    assert custody_of(LOT, [made, half], TRUCKS) == (Custody(0, None, ROOM, 1),)
    assert custody_of(LOT, [made, half, rest], TRUCKS) == (Custody(0, 8, ROOM, 1),)
    # Without its beginning, nobody knows how much is left.
    assert custody_of(LOT, [half, rest], TRUCKS) == (Custody(5, None, ROOM, 2),)


def test_single_item_of_a_lot_that_is_used_leaves_the_lot() -> None:
    item = ThingFacts("input", LOT + "/21/7", LOT)
    used = _event(2, 5, to=ROOM, kind="TransformationEvent", things=(item,))
    assert custody_of(LOT, [_event(1, 0, to=ROOM), used], TRUCKS) == (Custody(0, None, ROOM, 1),)


_facts = st.builds(
    _event,
    st.integers(1, 10**6),
    st.integers(0, 30),
    st.sampled_from(["storing", "shipping", "loading", "receiving"]),
    st.sampled_from([None, FIELD, ROOM, SHOP, TRUCK]),
    st.sampled_from([None, ROOM, TRUCK]),
    action=st.sampled_from(["ADD", "OBSERVE", "DELETE"]),
    things=st.builds(
        _quantity, st.sampled_from(["quantity", "input_quantity", "output_quantity"]), st.sampled_from([None, 1.0, 5.0])
    ),
)
_histories = st.lists(_facts, max_size=25, unique_by=lambda event: event.event_id)


@given(_histories, st.randoms(use_true_random=False))
def test_custody_does_not_depend_on_the_order_of_capture(events: list[EventFacts], random: Any) -> None:
    shuffled = events[:]
    random.shuffle(shuffled)
    assert custody_of(LOT, shuffled, TRUCKS) == custody_of(LOT, events, TRUCKS)


@given(_histories)
def test_custody_never_overlaps_and_every_stay_has_its_own_event(events: list[EventFacts]) -> None:
    stays = custody_of(LOT, events, TRUCKS)
    for before, after in pairwise(stays):
        assert before.to_ms is not None
        assert before.from_ms < before.to_ms <= after.from_ms
    assert len({stay.event_id for stay in stays}) == len(stays)
