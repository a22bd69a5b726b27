"""What lies behind an alarm, told from what the room says and what has changed about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.alerts.judge import cause
from hanlu.alerts.judge.cause import START, Facts, diagnose, observe
from hanlu.alerts.judge.compressor import CompressorState
from hanlu.alerts.judge.contract import Phase, Signals, Switch
from hanlu.alerts.judge.drift import DriftState
from hanlu.alerts.judge.lasting import Lasting
from hanlu.alerts.judge.room import Memory, pack, unpack
from hanlu.alerts.judge.stuck import StuckState
from hanlu.alerts.kind import Cause, Kind

MINUTE = 60_000
HOUR = 60 * MINUTE
T0 = 1_752_508_800_000
NOW = T0 + 72 * HOUR
PHASE = Phase("cold", T0, False, None, None, -20.0)
COLD = Signals(phase=PHASE)
LEARNED = Facts(newest_ms=NOW, smooth=-16.0, quiet_ms=60 * HOUR, duty=0.5, duty_usual=0.5)


def told(signals: Signals = COLD, facts: Facts = LEARNED, kind: Kind = Kind.HIGH, **states: object) -> Cause:
    return diagnose(kind, NOW - HOUR, NOW, signals, facts, {Kind(name): state for name, state in states.items()})


def test_nothing_said_is_unknown() -> None:
    assert told() is Cause.UNKNOWN
    assert diagnose(Kind.HIGH, NOW, NOW, Signals(), START, {}) is Cause.UNKNOWN


def test_mains_come_before_everything_and_for_hours_after_they_are_back() -> None:
    off = Signals(power=Switch(False, NOW - HOUR, NOW, NOW - HOUR), door=Switch(True, NOW - HOUR, NOW))
    assert told(off) is Cause.POWER_LOSS
    back = Signals(power=Switch(True, NOW - HOUR, NOW, NOW - 6 * HOUR), phase=PHASE)
    assert told(back) is Cause.POWER_LOSS
    assert told(back._replace(power=Switch(True, NOW - 9 * HOUR, NOW, NOW - 12 * HOUR))) is Cause.UNKNOWN


def test_door_that_stands_open_or_did_a_moment_ago() -> None:
    assert told(Signals(door=Switch(True, NOW - 6 * MINUTE, NOW), phase=PHASE)) is Cause.DOOR_OPEN
    assert told(Signals(door=Switch(True, NOW - MINUTE, NOW), phase=PHASE)) is Cause.UNKNOWN
    shut = LEARNED._replace(door_ms=NOW - HOUR, door_long_ms=NOW - HOUR, door_from_ms=NOW - 2 * HOUR)
    assert told(facts=shut) is Cause.DOOR_OPEN


def test_compressor_at_rest_longer_than_it_is_used_to() -> None:
    resting = Signals(compressor=Switch(False, NOW - 40 * MINUTE, NOW, NOW - 40 * MINUTE), phase=PHASE)
    assert told(resting) is Cause.COMPRESSOR_FAILURE
    assert told(resting, compressor=CompressorState(rest_ms=45.0 * MINUTE)) is Cause.UNKNOWN
    assert told(resting, LEARNED._replace(defrost_end_ms=NOW - 5 * MINUTE)) is Cause.UNKNOWN
    assert told(resting, LEARNED._replace(smooth=-20.0)) is Cause.UNKNOWN


def test_sensor_known_to_be_wrong_explains_what_it_says() -> None:
    still = StuckState(NOW, T0, NOW - 2 * HOUR, -14.0, 20.0 * MINUTE)
    assert told(stuck=still) is Cause.SENSOR_STUCK
    assert told(stuck=still._replace(longest_ms=90.0 * MINUTE)) is Cause.UNKNOWN
    assert told(drift=DriftState(suspicious=True)) is Cause.SENSOR_DRIFT
    open_door = Signals(door=Switch(True, NOW - HOUR, NOW), phase=PHASE)
    assert told(open_door, drift=DriftState(suspicious=True)) is Cause.DOOR_OPEN
    assert told(open_door, drift=DriftState(timer=Lasting(T0, raised=True))) is Cause.SENSOR_DRIFT


def test_ice_needs_two_signs() -> None:
    colder = LEARNED._replace(lift=14.0, lift_usual=9.0, coil=-32.0, coil_usual=-28.0)
    assert told(facts=colder) is Cause.ICE
    warm_room_on_a_rack = LEARNED._replace(lift=14.0, lift_usual=9.0, coil=-28.0, coil_usual=-28.0)
    assert told(facts=warm_room_on_a_rack) is Cause.UNKNOWN
    slow = LEARNED._replace(recovery_ms=80.0 * MINUTE, recovery_usual_ms=20.0 * MINUTE, recoveries=5)
    assert told(facts=slow) is Cause.UNKNOWN
    assert told(facts=slow._replace(duty=0.98)) is Cause.ICE
    assert told(facts=slow._replace(duty=0.98, duty_usual=0.97)) is Cause.UNKNOWN
    assert told(facts=slow._replace(duty=0.98, quiet_ms=HOUR)) is Cause.UNKNOWN


def test_defrost_that_does_not_end() -> None:
    stuck_on = Signals(defrost=Switch(True, NOW - 2 * HOUR, NOW), phase=PHASE)
    assert told(stuck_on) is Cause.DEFROST_FAULT
    assert told(stuck_on._replace(defrost=Switch(True, NOW - HOUR, NOW))) is Cause.UNKNOWN


def test_warm_goods_explain_a_room_that_falls_after_a_door_and_nothing_else() -> None:
    loaded = LEARNED._replace(door_ms=NOW - 2 * HOUR, slope=-1.5)
    assert told(facts=loaded) is Cause.WARM_GOODS
    assert told(facts=loaded._replace(slope=0.3)) is Cause.UNKNOWN
    assert diagnose(Kind.HIGH, NOW - 20 * HOUR, NOW, Signals(), loaded, {}) is Cause.UNKNOWN
    assert told(facts=loaded, kind=Kind.LOW) is Cause.UNKNOWN


def test_room_too_cold_by_a_compressor_that_does_not_stop() -> None:
    on = Signals(compressor=Switch(True, NOW - 3 * HOUR, NOW), phase=PHASE)
    assert told(on, kind=Kind.LOW) is Cause.COMPRESSOR_FAILURE
    assert told(on, LEARNED._replace(duty_usual=0.95), kind=Kind.LOW) is Cause.UNKNOWN


@pytest.mark.parametrize("took_min", [20, 60])
def test_recovery_is_measured_from_the_defrosts_end_to_the_rooms_own_level(took_min: int) -> None:
    facts = START
    for minute in range(180):
        on = 10 <= minute < 60
        air = -8.0 if 10 <= minute < 60 + took_min else -20.0
        signals = Signals(defrost=Switch(on, T0, T0), phase=PHASE)
        facts = observe(facts, T0 + minute * MINUTE, air, signals)
    assert facts.recovery_ms == took_min * MINUTE
    assert facts.recoveries == 1


@given(st.lists(st.tuples(st.integers(1, 7_200), st.floats(-60, 40), st.booleans(), st.booleans()), max_size=80))
def test_facts_stay_finite_and_survive_json(readings: list[tuple[int, float, bool, bool]]) -> None:
    facts, at_ms = START, T0
    for seconds, value, running, door in readings:
        at_ms += seconds * 1000
        gap = seconds * 1000 if seconds > 3_600 else 0
        contact = Switch(running, at_ms, at_ms)
        signals = Signals(
            compressor=contact, door=Switch(door, at_ms, at_ms), evaporator=value - 9, phase=PHASE, gap_ms=gap
        )
        facts = observe(facts, at_ms, value, signals)
    assert unpack(pack(Memory(facts=facts))).facts == facts
    assert facts.duty is None or 0.0 <= facts.duty <= 1.0
    assert facts.lift is None or facts.lift == pytest.approx(9.0)


def test_sliding_mean_begins_with_what_there_is() -> None:
    assert cause.mean(None, 4.0, 10, 100) == 4.0
    assert cause.mean(2.0, 4.0, 50, 100) == 3.0
    assert cause.mean(2.0, 4.0, 500, 100) == 4.0
