"""What a shopper is shown: the goods' own way, farm inputs apart, every event once, nothing left out but other lots."""

from __future__ import annotations

from typing import Any

from fix_page import HARVEST_MS, MINUTE_MS, bundles_of, demo_bundles, demo_events, item, piece

from hanlu.firmware_sim.journey import lots
from hanlu.trace.consumer_view import consumer_view
from hanlu.trace.lineage import counting, parents_of, shown_lot
from hanlu.trace.step_words import stop_text

LOTS = lots(HARVEST_MS)
HARVESTS = [amount.lot for amount in LOTS.harvest]
DAY_MS = 86_400_000
FIELD = "https://id.gs1.org/414/6999999010012"
ROOM = "https://id.gs1.org/414/6999999010210"


def _transformation(inputs: list[str], outputs: list[str], step: str = "packing", **more: Any) -> dict[str, Any]:
    return {
        "type": "TransformationEvent",
        "eventTime": "2026-07-02T13:20:00.000+08:00",
        "eventTimeZoneOffset": "+08:00",
        "bizStep": step,
        "inputQuantityList": [{"epcClass": uri} for uri in inputs],
        "outputQuantityList": [{"epcClass": uri} for uri in outputs],
        **more,
    }


def _steps(view: Any) -> list[str]:
    return [stop_text(stop.step, stop.facts, "en") for stop in view.stops]


def test_journey_is_the_way_of_the_goods_from_the_harvest_to_the_buyer() -> None:
    view = consumer_view(demo_bundles())
    assert _steps(view) == [
        *["Harvested"] * 3, "Stored", "Inspected", "Sorted and packed", "Loaded", "Shipped", "Received", "Stored",
        "Loaded", "Shipped", "Received", "Put on sale", *["Sold to a shopper"] * 3,
    ]  # fmt: skip
    assert [stop.at_ms for stop in view.stops] == sorted(stop.at_ms for stop in view.stops)
    assert view.sources == tuple(HARVESTS)
    assert view.elsewhere == ()
    assert view.omitted == 0


def test_farm_inputs_stand_apart_with_the_interval_before_the_harvest() -> None:
    fertiliser, pesticide = consumer_view(demo_bundles()).inputs
    assert (fertiliser.lot, pesticide.lot) == (LOTS.fertiliser, LOTS.pesticide)
    assert fertiliser.waiting is None
    assert [(stop.step, dict(stop.facts).get("hanlu:work")) for stop in pesticide.stops] == [
        ("commissioning", None),
        ("other", "植保"),
    ]
    waiting = pesticide.waiting
    assert waiting is not None
    assert (waiting.required_days, waiting.harvested_ms) == (10, HARVEST_MS)
    assert waiting.days == (HARVEST_MS - waiting.applied_ms) // DAY_MS >= 21


def test_every_event_of_the_bundles_is_shown_exactly_once() -> None:
    view = consumer_view(demo_bundles())
    shown = [stop.jcs for stop in view.stops] + [stop.jcs for each in view.inputs for stop in each.stops]
    assert sorted(shown) == sorted(item(each)["leaf"]["jcs"] for each in demo_events())


def test_other_lots_made_of_the_same_input_are_counted_and_not_shown() -> None:
    tomorrow = [each for each in demo_events(HARVEST_MS + DAY_MS) if each["type"] == "TransformationEvent"]
    view = consumer_view(demo_bundles(*tomorrow))
    assert view.omitted == 3
    assert view.stops == consumer_view(demo_bundles()).stops


def test_source_without_a_bundle_is_named_as_kept_elsewhere() -> None:
    bundles = [each for each in demo_bundles() if each["lot"] != LOTS.pesticide]
    view = consumer_view(bundles)
    assert view.elsewhere == (LOTS.pesticide,)
    assert [each.lot for each in view.inputs] == [LOTS.fertiliser]


def test_event_taken_back_says_so_and_makes_no_parents() -> None:
    wrong = next(each for each in demo_events() if each.get("bizStep") == "packing")
    known = item(wrong)
    declaration = {**wrong, "errorDeclaration": {"declarationTime": "2026-07-03T00:00:00Z"}}
    bundles = demo_bundles()
    bundles[0]["items"].append(item(declaration, known["leaf"]["cbv"]))
    view = consumer_view(bundles)
    assert [(stop.correction, stop.taken_back) for stop in view.stops if stop.step == "packing"] in (
        [(True, False), (False, True)],
        [(False, True), (True, False)],
    )
    assert view.sources == ()


def test_amount_is_that_of_the_shown_lots_and_absent_where_the_event_names_several() -> None:
    view = consumer_view(demo_bundles())
    amounts = {stop.step: stop.amount for stop in view.stops if stop.step != "commissioning"}
    assert amounts["packing"] == (str(LOTS.boxes), "")
    assert amounts["storing"] == (str(LOTS.boxes), "")  # the later one, of the boxes
    assert amounts["inspecting"] is None
    assert view.stops[0].amount == (str(LOTS.harvest[0].quantity), "KGM")


def test_lot_used_on_the_field_and_as_goods_counts_as_goods() -> None:
    own, middle, both = (f"https://id.gs1.org/01/06999999200024/10/{code}" for code in "XYZ")
    records = [item(_transformation([middle, both], [own])), item(_transformation([both], [middle], "commissioning"))]
    view = consumer_view(bundles_of(own, records, middle, both))
    assert view.sources == (middle, both)
    assert view.inputs == ()


def test_circle_of_transformations_ends() -> None:
    a, b = (f"https://id.gs1.org/01/06999999200024/10/{code}" for code in "AB")
    records = [item(_transformation([a], [b])), item(_transformation([b], [a]))]
    assert consumer_view(bundles_of(a, records, b)).sources == (b,)


def test_parents_are_found_whatever_spelling_the_event_uses() -> None:
    uri = "https://id.gs1.org/01/06999999200024/10/A%2F1"
    made = _transformation(
        ["urn:epc:class:lgtin:6999999.020002.A%2F1"], ["https://shop.example/x/01/06999999200017/10/P?17=261203"]
    )
    assert shown_lot("urn:epc:class:lgtin:6999999.020002.A%2F1") == uri
    assert parents_of("https://id.gs1.org/01/06999999200017/10/P", counting([("ni", made)])) == {uri: False}


def test_pesticide_applied_after_the_harvest_does_not_count_as_waiting() -> None:
    late = {
        **next(each for each in demo_events() if each.get("hanlu:work") == "植保"),
        "eventTime": "2026-07-02T06:00:00.000+08:00",
    }
    (_, before), (_, after) = (consumer_view(bundles).inputs for bundles in (demo_bundles(), demo_bundles(late)))
    assert after.waiting == before.waiting
    assert len(after.stops) == len(before.stops) + 1


def test_readings_of_farm_inputs_are_not_the_goods_temperature() -> None:
    own = piece(LOTS.packed, ROOM, [1.0, 2.0])
    stored = piece(LOTS.pesticide, FIELD, [30.0], channel="gw-2/station-1/air_temperature")
    (stretch,) = consumer_view(demo_bundles(own, stored)).stretches
    assert stretch.points == ((HARVEST_MS, 1.0), (HARVEST_MS + MINUTE_MS, 2.0))
