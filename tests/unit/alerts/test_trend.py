"""The time to a limit, and one call for one warm room."""

from __future__ import annotations

import random
from typing import Any

from hanlu.alerts.judge.contract import NO_SIGNALS, Move, Phase, Signals, Switch, Verdict
from hanlu.alerts.judge.room import EXPLAINED_MS, Assigned, ChannelPlan, Room, pack, unpack
from hanlu.alerts.judge.trend import POINTS, TIME_TO_LIMIT, TrendState
from hanlu.alerts.kind import Hold, Kind
from hanlu.alerts.rules.parameters import (
    CompressorParameters,
    LimitParameters,
    OutOfRangeParameters,
    TimeToLimitParameters,
)

MINUTE = 60_000
RULE = TimeToLimitParameters(setpoint=-15.0, unit="Cel", within_s=3600, window_s=3600, for_s=900)


def run(values: list[float], signals: Signals = NO_SIGNALS, **given: Any) -> tuple[TrendState, list[Verdict]]:
    state, found, rule = TIME_TO_LIMIT.start, [], RULE.model_copy(update=given)
    for minute, value in enumerate(values):
        state, verdict = TIME_TO_LIMIT.step(state, rule, minute * MINUTE, value, signals)
        assert len(state.points) <= POINTS
        found += [] if verdict is None else [verdict]
    return state, found


def test_room_that_warms_steadily_is_told_before_it_reaches_its_limit_and_ends_when_it_has() -> None:
    _, found = run([-20.0 + 0.04 * minute for minute in range(160)])
    assert [each.move for each in found] == [Move.RAISE, Move.RETURN]
    raised, returned = found
    assert raised.value < -15.0
    assert raised.peak is not None
    seconds_left = (-15.0 - raised.value) / 0.04 * 60
    assert abs(raised.peak - seconds_left) < 60.0
    assert returned.at_ms > raised.at_ms


def test_noise_about_a_level_foretells_nothing() -> None:
    rng = random.Random(5)
    assert run([-15.6 + rng.gauss(0.0, 0.15) for _ in range(1440)])[1] == []


def test_drop_out_bends_no_trend() -> None:
    assert run([0.0 if minute == 70 else -19.0 for minute in range(240)])[1] == []


def test_defrost_and_open_door_are_no_trend() -> None:
    rising = [-20.0 + 0.04 * minute for minute in range(120)]
    assert run(rising, Signals(phase=Phase("defrost", 0, began_ms=0)))[1] == []
    assert run(rising, Signals(door=Switch(True, 0, 0)))[1] == []


def test_falling_room_is_told_by_the_low_side() -> None:
    _, found = run([5.0 - 0.03 * minute for minute in range(150)], side="low", setpoint=0.0)
    assert [each.move for each in found] == [Move.RAISE]


def room() -> Room:
    high = LimitParameters(
        setpoint=-15.0, unit="Cel", deadband=1.0, on_delay_s=600, off_delay_s=60, gap_s=900, hold_defrost=False
    )
    minutes = OutOfRangeParameters(setpoint=-15.0, unit="Cel", minutes=30.0, window_s=86_400)
    rules = (
        Assigned(Kind.HIGH, "high", 1, 2, high),
        Assigned(Kind.OUT_OF_RANGE, "minutes", 1, 2, minutes),
        Assigned(Kind.COMPRESSOR, "compressor", 1, 2, CompressorParameters()),
    )
    return Room([ChannelPlan(1, "air_temperature", "Cel", 900_000, rules)], {})


def test_what_only_says_why_the_room_is_warm_is_held_while_its_limit_calls_and_calls_an_hour_after() -> None:
    judged, found = room(), []
    for minute in range(240):
        if minute == 40:  # as if the compressor had been found wanting while the limit calls
            judged.memory[1].explained[Kind.COMPRESSOR] = (30 * MINUTE, -9.0, 35 * MINUTE)
        taken = judged.take(1, minute * MINUTE, -10.0 if 10 <= minute < 60 else -18.0)
        judged = Room(judged.channels.values(), {key: unpack(pack(each)) for key, each in judged.memory.items()})
        found += [(verdict.kind, verdict.move, verdict.hold, verdict.at_ms // MINUTE) for _, verdict in taken.verdicts]
    returned = next(at for kind, move, _, at in found if kind is Kind.HIGH and move is Move.RETURN)
    minutes_at = found[1][3]
    assert found == [
        (Kind.HIGH, Move.RAISE, None, 20),
        (Kind.OUT_OF_RANGE, Move.RAISE, Hold.EXPLAINED, minutes_at),
        (Kind.HIGH, Move.RETURN, None, returned),
        (Kind.COMPRESSOR, Move.RELEASE, None, returned + EXPLAINED_MS // MINUTE),
    ]
    assert minutes_at < returned
