from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.reading import Reading
from hanlu.gateway.item import Drop
from hanlu.gateway.policy import Admission, Priorities, Priority, Stage, gathered, stage_after

NOW = 1_750_000_200_000
LOW, NORMAL, HIGH = "room-1/rssi", "room-1/air_temperature", "vault-1/air_temperature"


def admission() -> Admission:
    return Admission(Priorities(high=("vault-*/*",)))


def readings(name: str, minutes: int) -> list[Reading]:
    return [Reading(name, "Cel", NOW + 60_000 * minute, float(minute)) for minute in range(minutes)]


@pytest.mark.parametrize(
    ("name", "priority"),
    [
        ("gateway/uptime", Priority.LOW),
        ("room-1/battery", Priority.LOW),
        ("room-1/battery_level", Priority.LOW),
        ("room-1/rssi", Priority.LOW),
        ("room-1/air_temperature", Priority.NORMAL),
        ("room-1/door_open", Priority.NORMAL),
        ("vault-1/rssi", Priority.HIGH),
        ("pump-1/flow", Priority.LOW),
        ("pump-2/snr", Priority.NORMAL),
    ],
)
def test_priority_follows_the_patterns_before_the_defaults(name, priority):
    priorities = Priorities(high=("vault-*/*",), normal=("pump-2/*",), low=("pump-?/flow",))
    assert priorities.of(name) is priority


def test_stages_are_entered_at_their_fill_and_left_a_margin_below():
    fills = [0.0, 0.79, 0.80, 0.76, 0.749, 0.95, 0.91, 0.899, 0.84, 1.0, 0.96, 0.949, 1.2, 1.06, 1.04, 0.1]
    stage, seen = Stage.OPEN, []
    for fill in fills:
        stage = stage_after(stage, fill)
        seen.append(stage.name)
    assert seen == [
        "OPEN", "OPEN", "THIN_LOW", "THIN_LOW", "OPEN", "THIN_NORMAL", "THIN_NORMAL", "STOP_LOW", "THIN_LOW",
        "FULL", "FULL", "THIN_NORMAL", "SHUT", "SHUT", "FULL", "OPEN",
    ]  # fmt: skip


@given(st.sampled_from(Stage), st.floats(0, 2))
def test_stage_never_lags_behind_the_fill_and_settles_at_once(stage, fill):
    after = stage_after(stage, fill)
    assert after >= stage_after(Stage.OPEN, fill)
    assert stage_after(after, fill) is after


@pytest.mark.parametrize(
    ("stage", "kept"),
    [
        (Stage.OPEN, {LOW: 30, NORMAL: 30, HIGH: 30}),
        (Stage.THIN_LOW, {LOW: 3, NORMAL: 30, HIGH: 30}),
        (Stage.STOP_LOW, {LOW: 0, NORMAL: 30, HIGH: 30}),
        (Stage.THIN_NORMAL, {LOW: 0, NORMAL: 3, HIGH: 30}),
        (Stage.FULL, {LOW: 0, NORMAL: 0, HIGH: 0}),
        (Stage.SHUT, {LOW: 0, NORMAL: 0, HIGH: 0}),
    ],
)
def test_each_stage_keeps_what_its_row_says_and_counts_the_rest(stage, kept):
    offered = [each for name in kept for each in readings(name, 30)]
    taken, drops = admission().admit(offered, stage, "spool_full")
    assert {name: sum(each.name == name for each in taken) for name in kept} == kept
    assert len(taken) + sum(drop.count for drop in drops) == len(offered)
    assert list(taken) == [each for each in offered if each in set(taken)]


def test_thinned_channel_keeps_the_first_reading_of_each_ten_minutes_and_says_what_it_dropped():
    taken, drops = admission().admit(readings(NORMAL, 20), Stage.THIN_NORMAL, "spool_full")
    assert [each.value for each in taken] == [0.0, 10.0]
    assert gathered(drops) == {
        ("decimated", NORMAL): Drop("decimated", NORMAL, 18, NOW + 60_000, NOW + 19 * 60_000),
    }  # fmt: skip


def test_thinning_goes_by_time_and_not_by_number():
    every_second = [Reading(NORMAL, "Cel", NOW + 1_000 * n, 1.0) for n in range(1_200)]
    taken, _ = admission().admit(every_second, Stage.THIN_NORMAL, "spool_full")
    assert len(taken) == 2
    every_hour = [Reading(NORMAL, "Cel", NOW + 3_600_000 * n, 1.0) for n in range(1, 10)]
    assert len(admission().admit(every_hour, Stage.THIN_NORMAL, "spool_full")[0]) == 9


def test_reading_whose_transaction_failed_is_taken_when_offered_again():
    judge = admission()
    first = readings(NORMAL, 1)
    assert judge.admit(first, Stage.THIN_NORMAL, "spool_full")[0] == tuple(first)
    judge.forget()
    assert judge.admit(first, Stage.THIN_NORMAL, "spool_full")[0] == tuple(first)
    judge.settle()
    assert judge.admit(first, Stage.THIN_NORMAL, "spool_full")[0] == ()


def test_stopped_readings_carry_the_reason_given_and_thinned_ones_their_own():
    _, drops = admission().admit([*readings(LOW, 2), *readings(NORMAL, 2)], Stage.THIN_NORMAL, "disk_full")
    assert {(drop.reason, drop.channel) for drop in drops} == {("disk_full", LOW), ("decimated", NORMAL)}
