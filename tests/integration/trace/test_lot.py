"""What is known about a lot: journey, both directions of the graph, cold chain, search."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import psycopg
import pytest
from fix_services import PostgresServer
from fix_trace import (
    BOX_OF_PEACHES,
    CHANNEL,
    GLN,
    HOUR,
    MINUTE,
    PEACH,
    T0,
    Orchard,
    amount,
    at,
    event,
    lot,
    new_orchard,
    pallet,
)

from hanlu.core.errors import NotFoundError
from hanlu.trace.lot import cold_chain, find_lots, journey, trace_back, track_forward

pytestmark = pytest.mark.postgres

A, B, C = lot("A"), lot("B"), lot("C", BOX_OF_PEACHES)


def _seen(uri: str, hours: float, to: str, **more: Any) -> dict[str, Any]:
    return event(ms=T0 + round(hours * HOUR), step="storing", to=to, quantityList=[{"epcClass": uri}], **more)


def _packed(hours: float = 3) -> dict[str, Any]:
    return event(
        "TransformationEvent",
        ms=T0 + round(hours * HOUR),
        step="commissioning",
        to="room",
        inputQuantityList=[amount(A, 30), amount(B, 10)],
        outputQuantityList=[amount(C, 40, "KGM")],
    )


def test_journey_names_places_parties_and_product(orchard: Orchard) -> None:
    sold = _seen(
        A,
        2,
        "shop",
        sourceList=[{"type": "owning_party", "source": f"https://id.gs1.org/417/{GLN['coop']}"}],
        destinationList=[{"type": "location", "destination": at("shop")}],
    )
    orchard.capture(_seen(A, 1, "room"), sold, now_ms=T0 + 9 * HOUR, source="rest:zhou")
    with orchard.connect() as connection:
        found = journey(connection, A)
    assert found.lot.lot == "A"
    assert found.lot.product is not None
    assert found.lot.product.name_zh == "炎陵黄桃"
    first, second = found.steps
    assert first.biz_location is not None
    assert (first.biz_location.name_zh, first.biz_location.kind, first.biz_location.site_en) == (
        "1 号库",
        "cold_store",
        "County store",
    )
    assert first.biz_location.participant is not None
    assert first.biz_location.participant.name_en == "Pingle cooperative"
    assert (first.event_ms, first.recorded_ms, first.source) == (T0 + HOUR, T0 + 9 * HOUR, "rest:zhou")
    assert [(side, kind, who.name_zh) for side, kind, who in second.parties] == [
        ("source", "owning_party", "平乐合作社")
    ]
    assert second.document["bizLocation"] == {"id": at("shop")}


def test_journey_shows_an_event_taken_back_as_such(orchard: Orchard) -> None:
    wrong = _seen(A, 1, "room")
    orchard.capture(wrong, _seen(A, 2, "shop"))
    orchard.capture({**wrong, "errorDeclaration": {"declarationTime": "2025-06-16T00:00:00Z"}})
    with orchard.connect() as connection:
        steps = journey(connection, A).steps
    assert [(step.taken_back, step.declared_error) for step in steps] == [(True, False), (False, True), (False, False)]


def test_unknown_lot_is_not_found(orchard: Orchard) -> None:
    with orchard.connect() as connection:
        for question in (journey, trace_back, track_forward):
            with pytest.raises(NotFoundError):
                question(connection, lot("nobody"))
        assert cold_chain(connection, lot("nobody"), T0).stays == ()


def test_lot_is_traced_back_and_forward_with_quantities_and_places(orchard: Orchard) -> None:
    load = pallet(7)
    orchard.capture(
        _packed(),
        event(
            "AggregationEvent",
            ms=T0 + 4 * HOUR,
            step="packing",
            action="ADD",
            parentID=load,
            childQuantityList=[amount(C, 40)],
        ),
    )
    with orchard.connect() as connection:
        back, forward = trace_back(connection, load), track_forward(connection, A)
    assert [(node.name.uri, node.depth) for node in back.nodes] == [(load, 0), (C, 1), (A, 2), (B, 2)]
    assert [node.name.uri for node in forward.nodes] == [A, C, load]
    assert not back.truncated
    first = forward.edges[0]
    assert (first.from_uri, first.to_uri, first.kind) == (A, C, "transformation")
    assert (first.from_quantity, first.from_uom, first.to_quantity) == (30, "KGM", 40)
    assert first.place is not None
    assert first.place.name_en == "Room 1"


def test_cycle_ends_and_every_lot_is_told_once(orchard: Orchard) -> None:
    names = [lot(f"R{number}") for number in range(4)]
    for number, (old, new) in enumerate(zip(names, [*names[1:], names[0]], strict=True)):
        orchard.capture(
            event(
                "TransformationEvent",
                ms=T0 + number * HOUR,
                step="commissioning",
                inputQuantityList=[amount(old, 1)],
                outputQuantityList=[amount(new, 1)],
            )
        )
    with orchard.connect() as connection:
        found = track_forward(connection, names[0])
    assert [node.name.uri for node in found.nodes] == names
    assert len(found.edges) == 4


def test_limits_cut_an_answer_and_say_so(orchard: Orchard) -> None:
    orchard.capture(
        event(
            "TransformationEvent",
            step="commissioning",
            inputQuantityList=[amount(A, 1)],
            outputQuantityList=[amount(lot(f"P{number}"), 1) for number in range(12)],
        )
    )
    with orchard.connect() as connection:
        few = track_forward(connection, A, max_nodes=5)
        all_of_them = track_forward(connection, A)
    assert (len(few.nodes), few.truncated) == (5, True)
    assert (len(all_of_them.nodes), all_of_them.truncated) == (13, False)


def test_lattice_of_many_paths_is_answered_at_once(orchard: Orchard) -> None:
    # Ten layers of ten lots, each made of all of the layer before: ten billion paths.
    with psycopg.connect(orchard.url) as connection:
        orchard.capture(*(_seen(lot(f"{layer}-{place}"), 0, "room") for layer in range(10) for place in range(10)))
        connection.execute(
            "INSERT INTO trace.edge SELECT f.lot_uri, t.lot_uri, f.event_id, 'transformation'"
            " FROM trace.event_thing AS f JOIN trace.event_thing AS t"
            " ON split_part(split_part(t.lot_uri, '/10/', 2), '-', 1)::int"
            " = split_part(split_part(f.lot_uri, '/10/', 2), '-', 1)::int + 1"
        )
    begun = perf_counter()
    with orchard.connect() as connection:
        found = trace_back(connection, lot("9-0"))
    assert len(found.nodes) == 91
    assert len(found.edges) == 810
    assert not found.truncated
    assert perf_counter() - begun < 2


@pytest.mark.parametrize("edition", ["plain", "timescaledb"])
def test_cold_chain_is_what_the_lots_own_places_measured_in_its_time(
    edition: str, request: pytest.FixtureRequest
) -> None:
    server: PostgresServer = request.getfixturevalue(f"{'plain' if edition == 'plain' else 'timescale'}_server")
    with new_orchard(server.url) as orchard:
        orchard.capture(_seen(A, 0, "precooler"), _seen(A, 1, "room"), _seen(A, 3, "shop"))
        orchard.measure(CHANNEL["precooler"], [(T0 + n * MINUTE, 10.0) for n in range(-30, 90)])
        warm = [(T0 + n * MINUTE, 2.0 if n < 120 else 4.0) for n in range(60, 150)]
        orchard.measure(CHANNEL["room"], warm)
        orchard.measure(CHANNEL["room_product"], [(T0 + 75 * MINUTE, 6.5)])
        orchard.measure(CHANNEL["box"], [(T0 + 70 * MINUTE, 30.0)])
        with orchard.connect() as connection:
            found = cold_chain(connection, A, T0 + 5 * HOUR)
    assert [(stay.place.kind, stay.from_ms, stay.to_ms) for stay in found.stays] == [
        ("pre_cooler", T0, T0 + HOUR),
        ("cold_store", T0 + HOUR, T0 + 3 * HOUR),
        ("shop", T0 + 3 * HOUR, None),
    ]
    precooler, room, shop = found.stays
    (air,) = precooler.channels  # the site's only zone has no GLN of its own: its thermometer serves the site
    assert air.curve.figures is not None
    assert (air.curve.figures.count, air.curve.segments[0][0][0]) == (60, T0)
    assert shop.channels == ()
    by_metric = {channel.metric: channel for channel in room.channels}
    air = by_metric["air_temperature"]
    assert (air.limits.low, air.limits.high, air.limits.source) == (0, 3, "peach")
    assert air.curve.figures is not None
    assert (air.curve.figures.minimum, air.curve.figures.maximum) == (2, 4)
    assert air.curve.figures.outside_ms == 29 * MINUTE + MINUTE // 2
    assert [(gap.from_ms, gap.to_ms) for gap in air.curve.gaps] == [(T0 + 149 * MINUTE, T0 + 3 * HOUR)]
    probe = by_metric["product_temperature"]
    assert probe.curve.figures is not None
    assert probe.curve.figures.count == 1
    assert len(probe.curve.gaps) == 2


def test_long_curve_is_thinned_and_its_figures_are_not(orchard: Orchard) -> None:
    orchard.capture(_seen(A, 0, "room"))
    cells = [(T0 + n * MINUTE, 1.0 + (n % 7) * 0.1) for n in range(5000)]
    cells[3210] = (cells[3210][0], 9.5)
    orchard.measure(CHANNEL["room"], cells)
    with orchard.connect() as connection:
        (stay,) = cold_chain(connection, A, T0 + 5000 * MINUTE, points=200).stays
    (air,) = [channel for channel in stay.channels if channel.metric == "air_temperature"]
    drawn = [point for segment in air.curve.segments for point in segment]
    assert len(drawn) <= 200
    assert cells[3210] in drawn
    assert air.curve.figures is not None
    assert (air.curve.figures.count, air.curve.figures.maximum) == (5000, 9.5)


@pytest.mark.parametrize("text", ["01/" + PEACH + "/10/A", "黄桃", "peach", "  a ", ""])
def test_lot_is_found_by_identity_and_by_product(orchard: Orchard, text: str) -> None:
    orchard.capture(_seen(A, 1, "room"), _seen(A, 2, "shop"))
    with orchard.connect() as connection:
        found = find_lots(connection, text)
    assert [(each.name.uri, each.newest_ms, each.events) for each in found] == [(A, T0 + 2 * HOUR, 2)]


def test_search_takes_its_text_literally(orchard: Orchard) -> None:
    orchard.capture(_seen(A, 1, "room"))
    with orchard.connect() as connection:
        assert find_lots(connection, "%") == ()
        assert find_lots(connection, "_") == ()
        assert find_lots(connection, "\\") == ()
        assert find_lots(connection, "'; DROP TABLE trace.event; --") == ()
