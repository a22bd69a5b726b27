"""Every fault a cold room knows is detected with the right cause named, and a healthy room is silent.

The rooms are simulated, frozen and chilled, with defrosts and doors in use; the rules are the shipped ones. What a
fault's alarm says is read from the first one that calls: whoever it wakes is told what to look for.
"""

from __future__ import annotations

import pytest
from simulated_room import (
    CHILLED_ROOM,
    DAY,
    DEVICE,
    FROZEN_ROOM,
    HOUR,
    MINUTE,
    START,
    UNITS,
    Kept,
    Raised,
    alarms,
    calling,
    judged,
    on_the_wire,
    rows,
    watched,
)

from hanlu.alerts.judge.room import Room, pack, unpack
from hanlu.alerts.kind import Cause, Kind
from hanlu.firmware_sim.faults import (
    CompressorFailure,
    DoorOpen,
    Drift,
    Fault,
    IceOnEvaporator,
    PowerLoss,
    RoomFault,
    Silence,
    Stuck,
)

ROOMS = pytest.mark.parametrize("kept", [FROZEN_ROOM, CHILLED_ROOM], ids=lambda kept: kept.name)
SEEDS = pytest.mark.parametrize("seed", [1, 2, 3])
AT = START + 2 * DAY + 9 * HOUR
"""When a fault strikes: a morning, after two healthy days."""


def after_fault(
    kept: Kept, seed: int, days: float, *, room: RoomFault | None = None, wire: Fault | None = None
) -> list[Raised]:
    """Return the alarms that called, all after the fault: before it the room is healthy and silent."""
    found = calling(
        judged(
            kept,
            (AT - START) / DAY + days,
            seed=seed,
            scenario=[room] if room else (),
            faults=[wire] if wire else (),
        )
    )
    assert all(alarm.called_ms is not None and alarm.called_ms >= AT for alarm in found)
    assert found, "nobody is called"
    return sorted(found, key=lambda alarm: alarm.called_ms or 0)


def named(found: list[Raised], cause: Cause) -> list[Raised]:
    """Return the alarms that name `cause`; the first one of all must, and most of them."""
    assert found[0].cause is cause, f"the first is {found[0]}"
    right = [alarm for alarm in found if alarm.cause is cause]
    assert len(right) >= 0.75 * len(found), f"too few of {found}"
    return right


def hours(alarm: Raised) -> float:
    assert alarm.called_ms is not None
    return (alarm.called_ms - AT) / HOUR


@ROOMS
@SEEDS
def test_door_left_open_is_called_within_a_quarter_of_an_hour(kept: Kept, seed: int) -> None:
    door = DoorOpen(device=DEVICE, from_ms=AT, to_ms=AT + 2 * HOUR)
    found = named(after_fault(kept, seed, 0.3, room=door), Cause.DOOR_OPEN)
    assert hours(found[0]) <= 0.25
    assert {Kind.DOOR, Kind.HIGH} <= {alarm.kind for alarm in found}


@ROOMS
@SEEDS
def test_compressor_that_does_not_start_is_called_within_three_hours(kept: Kept, seed: int) -> None:
    found = named(
        after_fault(kept, seed, 1.0, room=CompressorFailure(device=DEVICE, from_ms=AT)), Cause.COMPRESSOR_FAILURE
    )
    assert hours(found[0]) <= 3
    assert Kind.COMPRESSOR in {alarm.kind for alarm in found}


@ROOMS
@SEEDS
def test_ice_on_the_evaporator_is_called_before_the_room_is_lost(kept: Kept, seed: int) -> None:
    ice = IceOnEvaporator(device=DEVICE, from_ms=AT, days=3.0)
    found = named(after_fault(kept, seed, 6.0, room=ice), Cause.ICE)
    assert found[0].kind is Kind.COMPRESSOR
    warm = [alarm for alarm in found if alarm.kind in {Kind.HIGH, Kind.HIGH_HIGH}]
    assert all(hours(found[0]) < hours(alarm) for alarm in warm)


@SEEDS
def test_ice_on_the_evaporator_is_called_without_a_probe_on_the_coil_too(seed: int) -> None:
    metrics = [metric for metric in UNITS if metric not in {"evaporator_temperature", "mains"}]
    ice = IceOnEvaporator(device=DEVICE, from_ms=AT, days=3.0)
    found = calling(judged(FROZEN_ROOM, 8.0, seed=seed, scenario=[ice], metrics=metrics))
    named(found, Cause.ICE)


@ROOMS
@SEEDS
def test_sensor_that_is_stuck_is_called_within_half_a_day(kept: Kept, seed: int) -> None:
    stuck = Stuck(metric="air_temperature", from_ms=AT)
    found = named(after_fault(kept, seed, 1.0, wire=stuck), Cause.SENSOR_STUCK)
    assert Kind.STUCK in {alarm.kind for alarm in found if hours(alarm) <= 12}


@ROOMS
@SEEDS
@pytest.mark.parametrize("per_hour", [0.25, -0.25])
def test_sensor_that_drifts_is_called_and_what_it_sets_off_names_it(kept: Kept, seed: int, per_hour: float) -> None:
    drift = Drift(metric="air_temperature", from_ms=AT, per_hour=per_hour)
    found = named(after_fault(kept, seed, 1.6, wire=drift), Cause.SENSOR_DRIFT)
    assert Kind.DRIFT in {alarm.kind for alarm in found}


@ROOMS
def test_mains_that_go_are_called_at_once(kept: Kept) -> None:
    found = named(after_fault(kept, 1, 0.5, room=PowerLoss(device=DEVICE, from_ms=AT)), Cause.POWER_LOSS)
    assert found[0].kind is Kind.POWER
    assert hours(found[0]) <= 0.1


@ROOMS
@SEEDS
def test_gap_in_a_healthy_room_raises_nothing(kept: Kept, seed: int) -> None:
    gap = Silence(from_ms=AT, to_ms=AT + 7 * HOUR)
    assert calling(judged(kept, 3.5, seed=seed, faults=[gap])) == []


def test_gap_is_neither_an_excursion_nor_good() -> None:
    """The room is warm before and after the gap: nothing new is raised in it, and nothing returns."""
    failure = CompressorFailure(device=DEVICE, from_ms=AT)
    gap_from, gap_to = AT + 4 * HOUR, AT + 10 * HOUR
    silent = Silence(from_ms=gap_from, to_ms=gap_to)
    found = judged(FROZEN_ROOM, 3.0, scenario=[failure], faults=[silent])
    standing = [alarm for alarm in found if alarm.raised_ms < gap_from and not (alarm.returned_ms or gap_to) < gap_from]
    assert {Kind.HIGH, Kind.COMPRESSOR} <= {alarm.kind for alarm in standing}
    for alarm in found:
        assert not gap_from < alarm.raised_ms <= gap_to
        assert alarm.returned_ms is None or not gap_from < alarm.returned_ms <= gap_to + MINUTE


@ROOMS
@pytest.mark.parametrize(("seed", "days"), [(1, 30.0), (2, 9.0), (3, 9.0)])
def test_thirty_days_without_a_fault_call_nobody(kept: Kept, seed: int, days: float) -> None:
    found = calling(judged(kept, days, seed=seed))
    assert [alarm for alarm in found if alarm.priority <= 2] == []
    assert len(found) <= 1


def test_kill_in_the_middle_of_a_fault_changes_no_alarm() -> None:
    """The memory of every channel goes through JSON each few hours; the alarms are those of a room that never died."""
    failure = CompressorFailure(device=DEVICE, from_ms=AT)
    samples = list(on_the_wire(rows(FROZEN_ROOM, 3.0, scenario=[failure]), ()))
    whole = alarms(watched(FROZEN_ROOM), samples)
    room, parts = watched(FROZEN_ROOM), []
    for start in range(0, len(samples), 3_000):
        room = Room(room.channels.values(), {key: unpack(pack(memory)) for key, memory in room.memory.items()})
        for sample in samples[start : start + 3_000]:
            taken = room.take(list(UNITS).index(sample.metric), sample.observed_ms, sample.value)
            parts += [(verdict.kind, verdict.at_ms, verdict.cause) for _, verdict in taken.verdicts]
    raised = [(alarm.kind, alarm.raised_ms) for alarm in whole]
    assert set(raised) <= {(kind, at_ms) for kind, at_ms, _ in parts}
    assert raised
