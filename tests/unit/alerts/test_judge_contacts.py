"""Doors, mains, spools and clocks: conditions that must last, and what a channel's silence means for them."""

from __future__ import annotations

import pytest

from hanlu.alerts.judge.contract import NO_SIGNALS, Judge, Move, Signals, Verdict
from hanlu.alerts.judge.door import DOOR
from hanlu.alerts.judge.level import CLOCK, SPOOL
from hanlu.alerts.judge.power import POWER
from hanlu.alerts.judge.room import Assigned, ChannelPlan, Room, pack, unpack
from hanlu.alerts.kind import Cause, Kind
from hanlu.alerts.rules.parameters import ClockParameters, DoorParameters, PowerParameters, SpoolParameters

MINUTE = 60_000
HOUR = 60 * MINUTE
T0 = 1_752_508_800_000


def run(
    judge: Judge, parameters: object, readings: list[tuple[float, float]], gap_min: float = 1e9
) -> list[tuple[Move, float]]:
    """Judge (minute, value) pairs; return what happened at which minute."""
    state, found, before = judge.start, [], None
    for minute, value in readings:
        gap = 0 if before is None or minute - before <= gap_min else round((minute - before) * MINUTE)
        state, verdict = judge.step(state, parameters, T0 + round(minute * MINUTE), value, Signals(gap_ms=gap))
        before = minute
        if verdict is not None:
            found.append((verdict.move, (verdict.at_ms - T0) / MINUTE))
    return found


def test_door_open_for_ten_minutes_is_an_alarm_and_closing_it_ends_it() -> None:
    readings = [(m, float(5 <= m < 30)) for m in range(40)]
    assert run(DOOR, DoorParameters(open_s=600), readings) == [(Move.RAISE, 15), (Move.RETURN, 30)]


def test_door_that_people_pass_is_no_alarm() -> None:
    assert run(DOOR, DoorParameters(open_s=600), [(m, float(m % 9 < 8)) for m in range(200)]) == []


def test_door_across_a_gap_proves_nothing() -> None:
    assert run(DOOR, DoorParameters(open_s=600), [(0, 1.0), (60, 1.0), (65, 1.0)], gap_min=10) == []
    assert run(DOOR, DoorParameters(open_s=600), [(0, 1.0), (60, 1.0), (65, 1.0), (70, 1.0)], gap_min=10) == [
        (Move.RAISE, 70)
    ]


def rule(kind: Kind, parameters: object) -> Assigned:
    return Assigned(kind, kind.value, 1, 2, parameters)


def quiet_door(gap_min: float) -> Room:
    """Return a room with a door that reports only what changes, and a thermometer without rules."""
    door = ChannelPlan(1, "door_open", "", round(gap_min * MINUTE), (rule(Kind.DOOR, DoorParameters(open_s=600)),))
    return Room([door, ChannelPlan(2, "relative_humidity", "%RH", 10 * MINUTE)], {})


def elsewhere(room: Room, until: int) -> list[tuple[int, Verdict]]:
    found = []
    for minute in range(1, until):
        taken = room.take(2, T0 + minute * MINUTE, 80.0)
        found += [(channel_id, verdict) for channel_id, _, verdict in taken.elsewhere]
    return found


def test_door_that_said_open_once_is_an_alarm_when_another_channel_shows_that_the_time_has_come() -> None:
    room = quiet_door(24 * 60)
    room.take(1, T0, 1.0)
    assert room.due_ms == T0 + 10 * MINUTE + 30_000
    ((channel_id, verdict),) = elsewhere(room, 30)
    assert (channel_id, verdict.kind, verdict.move) == (1, Kind.DOOR, Move.RAISE)
    assert (verdict.at_ms, verdict.start_ms, verdict.cause) == (T0 + 10 * MINUTE, T0, Cause.DOOR_OPEN)
    closed = room.take(1, T0 + 40 * MINUTE, 0.0)
    assert [each.move for _, each in closed.verdicts] == [Move.RETURN]


def test_door_that_said_open_once_is_an_alarm_by_the_engines_clock() -> None:
    room = quiet_door(24 * 60)
    room.take(1, T0, 1.0)
    assert room.overdue(T0 + 9 * MINUTE) == ()
    ((_, _, verdict),) = room.overdue(T0 + 11 * MINUTE)
    assert verdict.at_ms == T0 + 10 * MINUTE
    assert room.overdue(T0 + 12 * MINUTE) == ()


def test_door_that_should_report_every_minute_and_is_silent_is_not_judged_by_the_clock() -> None:
    room = quiet_door(5)
    room.take(1, T0, 1.0)
    assert elsewhere(room, 60) == []


def test_door_that_closes_with_the_very_reading_is_heard_before_time_speaks_for_it() -> None:
    room = quiet_door(24 * 60)
    room.take(1, T0, 1.0)
    assert room.take(2, T0 + 10 * MINUTE, 80.0).elsewhere == ()
    assert room.take(1, T0 + 10 * MINUTE, 0.0).verdicts == ()


def test_door_closed_in_time_is_no_longer_due_and_a_kill_does_not_forget_the_open_one() -> None:
    room = quiet_door(24 * 60)
    room.take(1, T0, 1.0)
    again = Room(room.channels.values(), {key: unpack(pack(memory)) for key, memory in room.memory.items()})
    assert again.due_ms == room.due_ms
    again.take(1, T0 + 5 * MINUTE, 0.0)
    assert again.due_ms is None


def test_mains_switched_off_are_an_alarm_after_two_minutes() -> None:
    readings = [(m, float(not 10 <= m < 20)) for m in range(30)]
    assert run(POWER, PowerParameters(), readings) == [(Move.RAISE, 12), (Move.RETURN, 20)]


def test_meter_below_the_least_power_is_no_mains_and_one_watt_of_a_switch_is() -> None:
    meter = [(m, 2_400.0 if m < 10 else 1.0) for m in range(30)]
    assert run(POWER, PowerParameters(least_w=5.0), meter) == [(Move.RAISE, 12)]
    assert run(POWER, PowerParameters(least_w=5.0), [(m, 1.0) for m in range(30)]) == []


def test_meter_of_a_compressor_that_rests_is_no_outage_once_its_habit_is_known() -> None:
    rests = [(m, 0.0 if m % 20 < 8 else 1_800.0) for m in range(40, 600)]
    found = run(POWER, PowerParameters(off_s=120), rests)
    assert len([move for move, _ in found if move is Move.RAISE]) <= 2
    gone = [(m, 0.0) for m in range(600, 700)]
    assert run(POWER, PowerParameters(off_s=120), rests + gone)[-1][0] is Move.RAISE


@pytest.mark.parametrize("sign", [1, -1])
def test_clock_wrong_either_way_is_an_alarm_and_returns_a_tenth_below(sign: int) -> None:
    offsets = [(m, sign * (90.0 if m < 10 else 58.0 if m < 20 else 20.0)) for m in range(30)]
    assert run(CLOCK, ClockParameters(offset_s=60.0, for_s=300), offsets) == [(Move.RAISE, 5), (Move.RETURN, 20)]


def test_spool_that_fills_is_an_alarm_and_a_short_burst_is_none() -> None:
    parameters = SpoolParameters(used=0.7, for_s=300)
    assert run(SPOOL, parameters, [(m, 0.9 if m % 6 < 4 else 0.1) for m in range(60)]) == []
    assert run(SPOOL, parameters, [(m, min(1.2, m / 20)) for m in range(60)]) == [(Move.RAISE, 19)]


def test_readings_that_keep_to_the_rule_change_no_state() -> None:
    for judge, parameters, value in ((DOOR, DoorParameters(), 0.0), (SPOOL, SpoolParameters(), 0.2)):
        state, verdict = judge.step(judge.start, parameters, T0, value, NO_SIGNALS)
        assert (state, verdict) == (judge.start, None)
