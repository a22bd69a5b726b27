"""What the simulated scanners say is understood by the trace room as it was meant."""

from __future__ import annotations

from itertools import pairwise

from hanlu.firmware_sim import day
from hanlu.firmware_sim.county import place_uri
from hanlu.firmware_sim.journey import journey, lots
from hanlu.firmware_sim.physics.schedule import DAY_MS
from hanlu.firmware_sim.yanling import demo_county
from hanlu.trace.epcis.captured import CapturedEvent
from hanlu.trace.epcis.document import read_document
from hanlu.trace.projection import EventFacts, ThingFacts, custody_of, edges_of

COUNTY = demo_county()
HARVEST = day.harvest_at(1_752_570_000_000)


def captured(start_ms: int = HARVEST) -> list[CapturedEvent]:
    events: list[CapturedEvent] = []
    for timed in journey(COUNTY, start_ms):
        outcome = read_document(timed.document)
        assert outcome.problems == ()
        events += outcome.events
    return events


def facts(events: list[CapturedEvent]) -> list[EventFacts]:
    return [
        EventFacts(
            event_id=number,
            event_type=event.type,
            action=event.action,
            event_ms=event.event_time,
            biz_step=event.biz_step,
            read_point=event.read_point,
            biz_location=event.biz_location,
            transformation_id=event.transformation_id,
            things=tuple(ThingFacts(t.role, t.uri, t.lot_uri, t.quantity, t.uom) for t in event.things),
        )
        for number, event in enumerate(events, start=1)
    ]


def test_every_document_is_valid_and_every_event_is_another() -> None:
    events = captured()
    assert len(events) == len(journey(COUNTY, HARVEST))
    assert len({event.hash for event in events}) == len(events)
    assert all(event.offset == "+08:00" for event in events)


def test_input_records_of_the_next_day_are_recognised_as_the_same_events() -> None:
    today, tomorrow = ({event.hash for event in captured(start)} for start in (HARVEST, HARVEST + DAY_MS))
    assert len(today & tomorrow) == 4


def test_lot_graph_leads_from_the_boxes_to_the_farm_inputs() -> None:
    edges = edges_of(facts(captured()))
    these = lots(HARVEST)
    above = {edge.from_uri for edge in edges if edge.to_uri == these.packed}
    assert above == {amount.lot for amount in these.harvest}
    inputs = {edge.from_uri for edge in edges if edge.to_uri in above}
    assert inputs == {these.fertiliser, these.pesticide}


def test_custody_of_the_boxes_follows_the_zones_without_a_gap() -> None:
    trucks = {place_uri(COUNTY.zone("truck-b01-box").gln)}
    boxes = lots(HARVEST).packed
    told = [event for event in facts(captured()) if any(thing.lot_uri == boxes for thing in event.things)]
    stays = custody_of(boxes, told, trucks)
    zone_of = {place_uri(zone.gln): zone.code for zone in COUNTY.zones}
    assert [zone_of[stay.location] for stay in stays] == [
        "hall-1", "truck-b01-box", "dock-1", "room-1", "truck-b01-box", "locker-1",
    ]  # fmt: skip
    assert all(earlier.to_ms == later.from_ms for earlier, later in pairwise(stays))
    assert stays[-1].to_ms is None
    watched = {device.zone for device in COUNTY.devices for each in device.channels if each.metric == "air_temperature"}
    blind = [stay for stay in stays if zone_of[stay.location] not in watched]
    assert sum((stay.to_ms or stay.from_ms) - stay.from_ms for stay in blind) <= 15 * 60_000


def test_harvest_date_and_variety_stand_in_the_harvest_event() -> None:
    made = next(event for event in captured() if any(thing.role == "output_quantity" for thing in event.things))
    assert made.biz_step == "commissioning"
    assert made.ilmd["hanlu:variety"] == "锦绣黄桃"
    assert made.ilmd["cbvmda:harvestStartDate"] == "2025-07-15"
