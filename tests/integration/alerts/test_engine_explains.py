"""One loss is one call: gateways and mains explain their rooms' alarms, on a real database."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fix_alerts import CHILL, DEFROST, DOOR, FROZEN, HUMIDITY, PLAIN, County, rule

from hanlu.alerts import operate
from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import Engine
from hanlu.core.clock import ManualClock, SystemClock
from hanlu.db.pool import connect

pytestmark = pytest.mark.postgres

MINUTE = 60_000
HEALTH, MAINS = 9001, 9002
"""Channels of the gateway's own device: its spool, and the site's mains."""


@pytest.fixture
def site(county: County) -> County:
    """The county with a gateway that tells how it is, and the mains of its site."""
    county.query(
        "INSERT INTO registry.device (device_id, gateway_id, code, kind) OVERRIDING SYSTEM VALUE"
        " VALUES (9001, 1, 'gateway', 'gateway'), (9002, 1, 'mains', 'meter')"
    )
    county.query(
        "INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s) OVERRIDING SYSTEM VALUE"
        " VALUES (9001, 9001, 'spool_used', '/', 60), (9002, 9002, 'mains', '', 60)"
    )
    county.rules(
        rule("silent", "no_data", applies={"site": "yanling-store"}),
        rule("mains", "power", applies={"metric": "mains"}, parameters={"off_s": 60}, priority=1),
        rule("high", "high", applies={"profiled": True}, parameters=PLAIN | {"on_delay_s": 120}),
        rule("far", "high_high", applies={"profiled": True}, parameters=PLAIN | {"on_delay_s": 120, "beyond": 5}),
    )
    return county


@contextmanager
def engine(county: County, clock: ManualClock) -> Iterator[Engine]:
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        yield Engine(EngineConfig(seed_rules=False), connection, clock)


def turn(running: Engine) -> None:
    while running.turn():
        pass


def calling(county: County) -> list[tuple[object, ...]]:
    return county.query(
        "SELECT channel_id, kind FROM alerts.alarm WHERE process_state = 'UNACKNOWLEDGED'"
        " AND suppression_state = 'NONE' ORDER BY kind, channel_id"
    )


def explained(county: County) -> list[tuple[object, ...]]:
    return county.query(
        "SELECT child.channel_id, child.kind, parent.channel_id FROM alerts.alarm AS child"
        " JOIN alerts.alarm AS parent ON parent.alarm_id = child.explained_by"
        " WHERE child.suppression_state = 'SUPPRESSED_BY_DESIGN' AND child.hold_reason = 'explained'"
        " AND child.called_at IS NULL ORDER BY child.kind, child.channel_id"
    )


def speak(county: County, clock: ManualClock, values: dict[int, float]) -> None:
    county.arrive([(channel, clock.now_ms(), value) for channel, value in values.items()], recorded_ms=clock.now_ms())


def alive(**values: float) -> dict[int, float]:
    known = {"frozen": FROZEN, "chill": CHILL, "humidity": HUMIDITY, "health": HEALTH, "mains": MAINS}
    known |= {"defrost": DEFROST, "door": DOOR}
    usual = {"frozen": -18.0, "chill": 4.0, "humidity": 90.0, "health": 0.0, "mains": 1.0}
    usual |= {"defrost": 0.0, "door": 0.0}
    return {known[name]: value for name, value in (usual | values).items()}


@pytest.mark.parametrize("last", [FROZEN, HEALTH, None])
def test_lost_gateway_is_one_call_whatever_was_heard_of_it_last(site: County, last: int | None) -> None:
    clock = ManualClock(SystemClock().now_ms())
    with engine(site, clock) as running:
        speak(site, clock, alive())
        turn(running)
        if last is not None:
            clock.advance(20)
            speak(site, clock, {last: -18.0})
        for _ in range(80):
            clock.advance(15)
            turn(running)
        assert calling(site) == [(HEALTH, "no_data")]
        assert {row[0] for row in explained(site)} >= {FROZEN, CHILL, HUMIDITY}
        assert {row[2] for row in explained(site)} == {HEALTH}


def test_gateway_that_comes_back_without_one_of_its_channels_lets_that_one_call_after_a_grace(site: County) -> None:
    clock = ManualClock(SystemClock().now_ms())
    with engine(site, clock) as running:
        speak(site, clock, alive())
        turn(running)
        clock.advance(1_200)
        turn(running)
        assert calling(site) == [(HEALTH, "no_data")]
        others = alive()
        del others[FROZEN]
        for minute in range(1, 5):
            speak(site, clock, others)
            turn(running)
            assert calling(site) == ([] if minute < 3 else [(FROZEN, "no_data")])
            clock.advance(61)
    assert site.query(
        "SELECT j.event FROM alerts.journal AS j JOIN alerts.alarm USING (alarm_id) WHERE channel_id = %s"
        " ORDER BY j.version",
        FROZEN,
    ) == [("raise",), ("explain",), ("suppress",), ("unsuppress",)]
    assert site.query("SELECT process_state FROM alerts.alarm WHERE channel_id = %s AND kind = 'no_data'", CHILL) == [
        ("NORMAL",)
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(["mains", "warm"])))
def test_lost_mains_speak_for_a_warm_room_whichever_came_first_but_never_for_goods_at_risk(
    site: County, order: tuple[str, str]
) -> None:
    clock = ManualClock(SystemClock().now_ms())
    values = alive()
    with engine(site, clock) as running:
        for what in order:
            values |= {MAINS: 0.0} if what == "mains" else {FROZEN: -13.0}
            for _ in range(4):
                speak(site, clock, values)
                turn(running)
                clock.advance(60)
        assert calling(site) == [(MAINS, "power")]
        assert site.query("SELECT kind, hold_reason FROM alerts.alarm WHERE explained_by IS NOT NULL") == [
            ("high", "explained")
        ]
        values |= {FROZEN: -5.0}
        for _ in range(4):
            speak(site, clock, values)
            turn(running)
            clock.advance(60)
        assert calling(site) == [(FROZEN, "high_high"), (MAINS, "power")]
        values |= {FROZEN: -13.0, MAINS: 1.0}
        for _ in range(8):
            speak(site, clock, values)
            turn(running)
            clock.advance(60)
        assert (FROZEN, "high") not in calling(site)
        for _ in range(12):
            speak(site, clock, values)
            turn(running)
            clock.advance(60)
        assert (FROZEN, "high") in calling(site)


def test_mains_alarm_out_of_service_silences_nothing(site: County) -> None:
    clock = ManualClock(SystemClock().now_ms())
    values = alive(mains=0.0, frozen=-13.0)
    with engine(site, clock) as running:
        for _ in range(4):
            speak(site, clock, values)
            turn(running)
            clock.advance(60)
        assert calling(site) == [(MAINS, "power")]
        with connect(site.url, "hanlu_alerts", name="test", autocommit=True) as connection:
            operate.remove_from_service(
                connection, [(MAINS, "*")], reason="broken contact", note="", actor="li", at_ms=clock.now_ms()
            )
        clock.advance(1)
        turn(running)
    assert calling(site) == [(FROZEN, "high")]


def test_mains_of_the_site_take_over_what_the_mains_of_a_room_explained(site: County) -> None:
    site.query(
        "INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s) OVERRIDING SYSTEM VALUE"
        " VALUES (9003, 1, 'mains', '', 60)"
    )
    clock = ManualClock(SystemClock().now_ms())
    values = alive(frozen=-13.0) | {9003: 0.0}
    with engine(site, clock) as running:
        for minute in range(8):
            if minute == 4:
                values |= {MAINS: 0.0}
            speak(site, clock, values)
            turn(running)
            assert len(calling(site)) <= 1
            clock.advance(60)
    assert calling(site) == [(MAINS, "power")]
    assert site.query("SELECT count(*) FROM alerts.alarm WHERE explained_by IS NOT NULL") == [(2,)]
    assert site.query(
        "SELECT DISTINCT parent.channel_id FROM alerts.alarm AS child"
        " JOIN alerts.alarm AS parent ON parent.alarm_id = child.explained_by"
    ) == [(MAINS,)]


def test_silent_channel_whose_gateway_is_shelved_calls_by_itself(site: County) -> None:
    clock = ManualClock(SystemClock().now_ms())
    with connect(site.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        operate.shelve(
            connection, [(HEALTH, "no_data")], until_ms=clock.now_ms() + 600 * MINUTE, reason="r", note="", actor="li",
            at_ms=clock.now_ms(),
        )  # fmt: skip
    with engine(site, clock) as running:
        speak(site, clock, alive())
        turn(running)
        clock.advance(1_200)
        turn(running)
    assert (HEALTH, "no_data") not in calling(site)
    assert (FROZEN, "no_data") in calling(site)


def test_latched_alarm_calls_again_when_what_explained_it_is_over(site: County) -> None:
    site.rules(
        rule("high", "high", applies={"profiled": True}, parameters=PLAIN | {"on_delay_s": 120}, latch=True),
    )
    clock = ManualClock(SystemClock().now_ms())
    values = alive(frozen=-13.0)
    with engine(site, clock) as running:
        for changed, steps in (({}, 4), ({MAINS: 0.0}, 4), ({FROZEN: -18.0}, 4), ({MAINS: 1.0}, 24)):
            values |= changed
            for _ in range(steps):
                speak(site, clock, values)
                turn(running)
                clock.advance(60)
    assert site.query(
        "SELECT process_state, suppression_state, hold_reason FROM alerts.alarm WHERE channel_id = %s", FROZEN
    ) == [("LATCHED_UNACKNOWLEDGED", "NONE", None)]


def test_mains_of_a_room_speak_no_longer_for_what_was_moved_out_of_it(site: County) -> None:
    site.query(
        "INSERT INTO registry.device (device_id, gateway_id, zone_id, code, kind) OVERRIDING SYSTEM VALUE"
        " VALUES (9003, 1, 1, 'mains-1', 'meter')"
    )
    site.query(
        "INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s) OVERRIDING SYSTEM VALUE"
        " VALUES (9003, 9003, 'mains', '', 60)"
    )
    clock = ManualClock(SystemClock().now_ms())
    values = alive(frozen=20.0) | {9003: 0.0}
    with engine(site, clock) as running:
        for minute in range(8):
            if minute == 5:
                assert (FROZEN, "high") not in calling(site)
                site.query("UPDATE registry.device SET zone_id = 2 WHERE device_id = 1")
                running.look_at_rules()
            speak(site, clock, values)
            turn(running)
            clock.advance(60)
    assert (FROZEN, "high") in calling(site)
