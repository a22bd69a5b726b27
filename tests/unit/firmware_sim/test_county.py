"""The demo county is whole, its lots are true to its machines, and its run reaches the gateways."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fix_line import LineServerDouble

from hanlu.core.clock import SystemClock
from hanlu.core.limits import CODE_PATTERN, PHYSICAL_RANGE
from hanlu.core.wire.documents import BirthChannel, Loss
from hanlu.firmware_sim import day
from hanlu.firmware_sim.county import County, check_digit
from hanlu.firmware_sim.faults import Silence
from hanlu.firmware_sim.fleet import Fleet, door_left_open, history
from hanlu.firmware_sim.journey import TimedEvent, journey, journeys, lots
from hanlu.firmware_sim.physics.schedule import DAY_MS, HOUR_MS
from hanlu.firmware_sim.plant import TIMETABLE
from hanlu.firmware_sim.runner import RunSummary, beginning, run
from hanlu.firmware_sim.sample import Sample
from hanlu.firmware_sim.yanling import DEMO_PREFIX, demo_county

NOW = 1_752_570_000_000  # 2025-07-15T17:00:00+08:00
COUNTY = demo_county()
HARVEST = day.newest_finished_harvest(NOW)


def event_in(timed: TimedEvent) -> dict[str, Any]:
    (event,) = timed.document["epcisBody"]["eventList"]
    assert isinstance(event, dict)
    return event


@pytest.fixture(scope="module")
def past() -> dict[tuple[str, str], list[Sample]]:
    by_channel: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in history(COUNTY, HARVEST - HOUR_MS, NOW):
        by_channel[sample.device, sample.metric].append(sample)
    return by_channel


def test_county_names_everything_the_registry_asks_for() -> None:
    kinds = {"field", "pre_cooler", "cold_store", "truck", "locker", "shop", "drone", "depot"}
    roles = {"producer", "cooperative", "store", "carrier", "shop", "input_dealer", "laboratory"}
    assert {site.kind for site in COUNTY.sites} <= kinds
    assert {participant.role for participant in COUNTY.participants} <= roles
    assert [level.name_zh for level in COUNTY.levels] == ["省", "市", "县", "乡", "村"]
    level = {each.code: each.level for each in COUNTY.organisations}
    assert all(each.parent is None or level[each.parent] < each.level for each in COUNTY.organisations)
    for named in (*COUNTY.organisations, *COUNTY.sites, *COUNTY.zones, *COUNTY.products, *COUNTY.devices):
        assert re.search("[\u4e00-\u9fff]", named.name_zh)
        assert named.name_en.isascii()
    rooms = [device for device in COUNTY.devices if device.kind == "cold_room"]
    assert len(rooms) >= 6
    assert {COUNTY.zone(room.zone).limit_profile for room in rooms} >= {"peach", "frozen"}


def test_numbers_are_valid_unique_and_marked_as_demo() -> None:
    assert check_digit("629104150021") == "3"  # worked example of the GS1 General Specifications
    glns = [each.gln for each in (*COUNTY.participants, *COUNTY.sites, *COUNTY.zones)]
    assert len(set(glns)) == len(glns)
    assert all(gln.startswith(DEMO_PREFIX) for gln in glns)
    assert all(product.gtin.startswith("0" + DEMO_PREFIX) for product in COUNTY.products)


def test_every_channel_can_be_announced_in_a_birth() -> None:
    announced = [channel for gateway in COUNTY.gateways for channel in COUNTY.channels_of(gateway.code)]
    assert len(announced) == sum(len(device.channels) for device in COUNTY.devices)
    for name, unit, period_s in announced:
        assert BirthChannel(name=name, unit=unit, period_s=period_s).name == name
        assert re.fullmatch(rf"{CODE_PATTERN}/[a-z][a-z0-9_]*", name)
        assert unit == "" or unit in PHYSICAL_RANGE


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"gateways": (*COUNTY.gateways, replace(COUNTY.gateways[0], partition=64, code="gw-x"))}, "partition 64"),
        ({"gateways": (*COUNTY.gateways, COUNTY.gateways[0])}, "appears twice"),
        ({"zones": (replace(COUNTY.zones[0], gln="6999999010013"), *COUNTY.zones[1:])}, "GLN 6999999010013 is wrong"),
        ({"zones": COUNTY.zones[1:]}, "no zone 'plot-a'"),
        ({"limit_profiles": ()}, "no limit profile 'peach'"),
        ({"devices": (replace(COUNTY.devices[0], code="Station 1"),)}, "is not a code"),
        ({"products": (replace(COUNTY.products[0], gtin="06999999200010"),)}, "GTIN 06999999200010 is wrong"),
    ],
)
def test_county_that_is_not_whole_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(COUNTY, **change)


def test_every_channel_has_a_history_and_nothing_else_does(past: dict[tuple[str, str], list[Sample]]) -> None:
    wanted = {(device.code, channel.metric) for device in COUNTY.devices for channel in device.channels}
    assert set(past) == wanted
    minutes = (NOW - HARVEST + HOUR_MS) // 60_000
    assert len(past["room-1", "air_temperature"]) == pytest.approx(minutes, abs=1)
    assert len(past["room-2", "air_temperature"]) == pytest.approx(minutes / 2, abs=1)
    for samples in past.values():
        times = [sample.observed_ms for sample in samples]
        assert times == sorted(set(times))
        low, high = PHYSICAL_RANGE.get(samples[0].unit, (0.0, 1.0))
        assert all(low <= sample.value <= high for sample in samples)


def test_history_raises_no_false_alarm(past: dict[tuple[str, str], list[Sample]]) -> None:
    """Defrosts, doors and loading stay within limits and delays: what rings in the demo county is worth looking at."""
    limits = {(limit.code, limit.metric): limit for limit in COUNTY.limit_profiles}
    for device in COUNTY.devices:
        limit = limits.get((COUNTY.zone(device.zone).limit_profile or "", "air_temperature"))
        over_since: int | None = None
        for sample in past.get((device.code, "air_temperature"), []):
            low = limit.low if limit and limit.low is not None else -999.0
            high = limit.high if limit and limit.high is not None else 999.0
            if low <= sample.value <= high:
                over_since = None
            else:
                over_since = over_since or sample.observed_ms
                assert limit is not None
                assert sample.observed_ms - over_since < limit.on_delay_s * 1000, (device.code, sample)


def test_lot_is_cooled_while_it_is_in_the_pre_cooler(past: dict[tuple[str, str], list[Sample]]) -> None:
    into = HARVEST + (day.PRECOOL_IN_S - day.HARVEST_S) * 1000
    out = HARVEST + (day.PRECOOL_OUT_S - day.HARVEST_S) * 1000
    inside = [s.value for s in past["precooler-1", "product_temperature"] if into + 600_000 <= s.observed_ms < out]
    assert inside[0] > 20
    assert inside[-1] < 4
    assert inside == pytest.approx(sorted(inside, reverse=True), abs=0.3)


def test_truck_drives_while_its_lot_is_in_transit(past: dict[tuple[str, str], list[Sample]]) -> None:
    shipped = [timed.at_ms for timed in journey(COUNTY, HARVEST) if event_in(timed)["bizStep"] == "shipping"]
    received = [timed.at_ms for timed in journey(COUNTY, HARVEST) if event_in(timed)["bizStep"] == "receiving"]
    assert len(shipped) == len(received) == 2
    for left, arrived in zip(shipped, received, strict=True):
        speeds = [s.value for s in past["reefer-1", "speed"] if left < s.observed_ms < arrived]
        assert max(speeds) > 5
        assert speeds[-1] == 0.0
    lat, lon = TIMETABLE.position(received[1])
    shop = next(site for site in COUNTY.sites if site.kind == "locker")
    assert (lat, lon) == pytest.approx((shop.latitude, shop.longitude), abs=1e-6)


def test_journey_tells_the_whole_way_in_order() -> None:
    events = journey(COUNTY, HARVEST)
    steps = [event_in(timed)["bizStep"] for timed in events]
    assert steps == [
        "commissioning", "commissioning", "other", "other",
        "commissioning", "commissioning", "commissioning", "storing", "inspecting", "packing",
        "loading", "shipping", "receiving", "storing", "loading", "shipping", "receiving", "stocking",
        "retail_selling", "retail_selling", "retail_selling",
    ]  # fmt: skip
    assert [timed.at_ms for timed in events] == sorted(timed.at_ms for timed in events)
    scanners = {(device.gateway, device.code) for device in COUNTY.devices if device.kind == "scanner"}
    assert {(timed.gateway, timed.device) for timed in events} == scanners


def test_events_name_known_places_and_valid_lots() -> None:
    places = {f"https://id.gs1.org/414/{each.gln}" for each in (*COUNTY.sites, *COUNTY.zones)}
    gtins = {product.gtin for product in COUNTY.products}
    for timed in journey(COUNTY, HARVEST):
        event = event_in(timed)
        assert event["readPoint"]["id"] in places
        assert event["bizLocation"]["id"] in places
        for key in ("quantityList", "inputQuantityList", "outputQuantityList"):
            for element in event.get(key, []):
                match = re.fullmatch(r"https://id\.gs1\.org/01/(\d{14})/10/([A-Z0-9]{1,20})", element["epcClass"])
                assert match is not None
                assert match[1] in gtins
                assert element["quantity"] > 0
        at = datetime.fromisoformat(event["eventTime"])
        assert at.utcoffset() is not None
        assert event["eventTimeZoneOffset"] == "+08:00"
        assert int(at.timestamp() * 1000) <= timed.at_ms


def test_boxes_can_be_traced_back_to_the_farm_inputs() -> None:
    made_of: dict[str, set[str]] = defaultdict(set)
    for timed in journey(COUNTY, HARVEST):
        event = event_in(timed)
        for output in event.get("outputQuantityList", []):
            made_of[output["epcClass"]] |= {each["epcClass"] for each in event["inputQuantityList"]}
    these = lots(HARVEST)
    assert made_of[these.packed] == {amount.lot for amount in these.harvest}
    for amount in these.harvest:
        assert made_of[amount.lot] == {these.fertiliser, these.pesticide}
    assert 0.9 < these.boxes * 2.5 / sum(amount.quantity for amount in these.harvest) < 1.0


def test_inputs_were_applied_long_enough_before_every_harvest_of_the_season() -> None:
    for days in range(60):
        start = HARVEST + days * DAY_MS
        events = [event_in(timed) for timed in journey(COUNTY, start)]
        sprayed = next(event for event in events if event.get("hanlu:work") == "植保")
        applied = datetime.fromisoformat(sprayed["eventTime"]).timestamp() * 1000
        assert 21 * DAY_MS <= start - applied < (21 + 28) * DAY_MS


def test_input_records_are_the_same_for_lots_of_one_season() -> None:
    def inputs(start: int) -> list[dict[str, Any]]:
        return [event_in(timed) for timed in journey(COUNTY, start)[:4]]

    firsts = [inputs(HARVEST + days * DAY_MS) for days in range(29)]
    assert len({json.dumps(first, sort_keys=True) for first in firsts}) == 2


def test_journeys_give_each_event_once_whatever_the_pieces() -> None:
    whole = list(journeys(COUNTY, HARVEST - HOUR_MS, NOW))
    cuts = range(HARVEST - HOUR_MS, NOW + 1, 1_000_000)
    pieces = [event for cut in cuts for event in journeys(COUNTY, cut, min(cut + 1_000_000, NOW))]
    assert pieces == whole
    first = journey(COUNTY, HARVEST)
    assert [event for event in first if event.at_ms <= NOW] == [event for event in whole if event in first]


@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_second_lot_is_under_way_whenever_the_county_starts(hour: int) -> None:
    now = NOW + hour * HOUR_MS
    start = day.newest_finished_harvest(now)
    assert 29 * HOUR_MS <= now - start <= 54 * HOUR_MS
    assert (start + 8 * HOUR_MS) % DAY_MS == day.HARVEST_S * 1000
    sold = [timed for timed in journey(COUNTY, start) if event_in(timed)["bizStep"] == "retail_selling"]
    assert sold[0].at_ms < now
    second = [timed.at_ms for timed in journey(COUNTY, start + DAY_MS)]
    assert second[0] < now < second[-1]


def test_door_left_open_raises_the_alarm_of_its_room_soon_after_the_start() -> None:
    fleet = Fleet(COUNTY, NOW - 60 * 60_000, scenario=(door_left_open(NOW),))
    limit = next(each for each in COUNTY.limit_profiles if (each.code, each.metric) == ("peach", "air_temperature"))
    over: list[int] = []
    opened: list[int] = []
    while fleet.next_ms <= NOW + 30 * 60_000:
        for sample in fleet.tick(live=True):
            if sample.device == "room-3" and sample.metric == "door_open" and sample.value:
                opened.append(sample.observed_ms - NOW)
            if sample.device == "room-3" and sample.metric == "air_temperature" and sample.value > (limit.high or 0):
                over.append(sample.observed_ms - NOW)
    assert set(range(-120_000, 8 * 60_000, 5_000)) <= set(opened)
    over_now = [at for at in over if at > -30 * 60_000]
    assert 0 < over_now[0] + limit.on_delay_s * 1000 < 120_000
    assert over_now[-1] < 25 * 60_000  # and is over before the door opens again


def test_live_channels_report_at_their_own_period() -> None:
    fleet = Fleet(COUNTY, NOW)
    seen: dict[tuple[str, str], list[int]] = defaultdict(list)
    for _ in range(60):
        for sample in fleet.tick(live=True):
            seen[sample.device, sample.metric].append(sample.observed_ms)
    for device in COUNTY.devices:
        for channel in device.channels:
            times = seen[device.code, channel.metric]
            assert len(times) == pytest.approx(300 / channel.period_s, abs=1)
            assert all(b - a == channel.period_s * 1000 for a, b in pairwise(times))


def test_fleet_of_one_seed_is_one_stream() -> None:
    def stream(seed: int) -> list[Sample]:
        fleet = Fleet(COUNTY, NOW, seed=seed)
        return [sample for _ in range(24) for sample in fleet.tick(live=True)]

    assert stream(1) == stream(1)
    assert stream(1) != stream(2)


@contextmanager
def gateways() -> Iterator[dict[str, LineServerDouble]]:
    servers = {gateway.code: LineServerDouble() for gateway in COUNTY.gateways}
    try:
        yield servers
    finally:
        for server in servers.values():
            server.close()


def drive(servers: dict[str, LineServerDouble], until: Any, **options: Any) -> RunSummary:
    """Run the county against `servers` until `until()` holds; return what the run says it did."""
    stop = threading.Event()
    outcome: list[RunSummary] = []
    addresses = {code: (server.host, server.port) for code, server in servers.items()}
    thread = threading.Thread(target=lambda: outcome.append(run(COUNTY, addresses, stop, **options)))
    thread.start()
    end = time.monotonic() + 90
    while not until() and time.monotonic() < end and thread.is_alive():
        time.sleep(0.05)
    stop.set()
    thread.join()
    assert until()
    return outcome[0]


def test_run_catches_up_with_the_past_and_goes_live() -> None:
    began = int(time.time() * 1000)
    with gateways() as servers:

        def live() -> bool:
            return all(
                any(record.get("bt", 0) * 1000 > began for line in server.lines for record in line.get("senml", []))
                for server in servers.values()
            )

        summary = drive(servers, live, start_ms=began - 2 * HOUR_MS)
        lines = [line for server in servers.values() for line in server.lines]
    records = [record for line in lines for record in line.get("senml", [])]
    assert summary.dropped == 0
    assert summary.samples >= len(records) > 2_000
    assert set(summary.answers) == {"taken"}
    assert all(line["senml"][0]["bn"].endswith("/") for line in lines if "senml" in line)
    assert sum(record["n"] == "air_temperature" for record in records if record.get("u") == "Cel") > 200


class RunningFrom(SystemClock):
    """A clock that runs as fast as any, from another day."""

    def __init__(self, start_ms: int) -> None:
        self._ahead_ms = start_ms - super().now_ms()

    def now_ms(self) -> int:
        return super().now_ms() + self._ahead_ms


def test_run_hands_over_the_lots_events_at_each_gateway() -> None:
    start = HARVEST - HOUR_MS
    with gateways() as servers:
        expected = list(journeys(COUNTY, start, start + 34 * HOUR_MS))

        def sold() -> bool:
            return sum("epcis" in line for server in servers.values() for line in server.lines) >= len(expected)

        clock = RunningFrom(start + 34 * HOUR_MS)
        summary = drive(servers, sold, start_ms=start, clock=clock, faults=(Silence(device="drone-1"),))
        got = [(code, line["epcis"]) for code, server in servers.items() for line in server.lines if "epcis" in line]
        names = {line["senml"][0]["bn"] for server in servers.values() for line in server.lines if "senml" in line}
    for timed in expected:
        assert (timed.gateway, timed.document) in got
    assert summary.events == len(got)
    assert "drone-1/" not in names
    assert "room-1/" in names


def test_gateway_that_was_killed_gets_everything_in_the_end() -> None:
    began = int(time.time() * 1000)
    with gateways() as servers:
        servers["gw-yanling"].kill_after, servers["gw-yanling"].kills = 3, 2

        def live() -> bool:
            return all(
                any(line["senml"][0]["bt"] * 1000 > began for line in server.lines if "senml" in line)
                for server in servers.values()
            )

        drive(servers, live, start_ms=began - 3 * HOUR_MS)
        lines = servers["gw-yanling"].lines
        assert servers["gw-yanling"].connections == 3
    minutes = {
        (record["n"], line["senml"][0]["bt"] + record.get("t", 0))
        for line in lines
        if "senml" in line and line["senml"][0]["bn"] == "room-1/"
        for record in line["senml"]
    }
    air = sorted(second for name, second in minutes if name == "air_temperature" and second * 1000 <= began)
    assert len(air) >= 179
    assert {b - a for a, b in pairwise(air)} == {60}


def test_next_start_goes_on_where_everything_was_answered(tmp_path: Path) -> None:
    state = tmp_path / "simulator.json"
    assert beginning(NOW, state) == HARVEST - HOUR_MS
    assert beginning(NOW, None) == HARVEST - HOUR_MS
    assert beginning(NOW, None, past=False) == NOW
    state.write_text(json.dumps({"until_ms": NOW - 60_000}))
    assert beginning(NOW, state) == NOW - 60_000
    state.write_text(json.dumps({"until_ms": NOW - 90 * DAY_MS}))
    assert beginning(NOW, state) == HARVEST - HOUR_MS
    state.write_text(json.dumps({"until_ms": NOW + DAY_MS}))
    assert beginning(NOW, state) == NOW
    state.write_text("half a fi")
    assert beginning(NOW, state) == NOW


def test_faster_run_leaves_the_clock_behind() -> None:
    with gateways() as servers:

        def an_hour_later() -> bool:
            return any(
                line["senml"][0]["bt"] * 1000 >= NOW + HOUR_MS
                for line in servers["gw-changsha"].lines
                if "senml" in line
            )

        drive(servers, an_hour_later, start_ms=NOW, speed=3_600.0)


@pytest.mark.parametrize(("start_ms", "speed"), [(NOW, 3_600.0), (NOW - HOUR_MS, 1.0)])
def test_run_with_an_end_is_over_when_everything_up_to_there_is_answered(start_ms: int, speed: float) -> None:
    seen: list[int] = []
    with gateways() as servers:
        addresses = {code: (server.host, server.port) for code, server in servers.items()}
        end_ms = start_ms + HOUR_MS
        summary = run(
            COUNTY,
            addresses,
            threading.Event(),
            start_ms=start_ms,
            until_ms=end_ms,
            speed=speed,
            watch=lambda at_ms, _: seen.append(at_ms),
        )
        records = [line["senml"] for server in servers.values() for line in server.lines if "senml" in line]
    assert seen[-1] == end_ms
    assert seen == sorted(seen)
    assert summary.samples == sum(len(pack) for pack in records) > 1_000
    assert summary.answers["taken"] == sum(len(server.lines) for server in servers.values())
    assert max(pack[0]["bt"] for pack in records) * 1000 <= end_ms


def test_run_remembers_how_far_it_was_answered(tmp_path: Path) -> None:
    state = tmp_path / "new" / "simulator.json"
    began = int(time.time() * 1000)
    with gateways() as servers:
        drive(servers, state.exists, start_ms=began - HOUR_MS, state=state)
    until = json.loads(state.read_text())["until_ms"]
    assert began - 10_000 <= until <= int(time.time() * 1000)


def test_values_a_device_has_no_room_for_are_declared_lost() -> None:
    from hanlu.firmware_sim.runner import _Dropped

    dropped = _Dropped()
    dropped.add([{"bn": "room-1/", "bt": 1_752_570_000, "n": "a", "v": 1}, {"n": "b", "t": 5, "v": 2}])
    dropped.add([{"bn": "room-1/", "bt": 1_752_569_000, "n": "a", "v": 1}])
    loss = Loss(**dropped.loss())
    assert (loss.count, loss.from_ms, loss.to_ms) == (3, 1_752_569_000_000, 1_752_570_005_000)


def test_county_is_the_same_value_every_time() -> None:
    assert demo_county() == COUNTY
    assert isinstance(COUNTY, County)
