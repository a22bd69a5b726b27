"""Limit rules: series from tests/rules, and what must hold for any series."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.alerts.judge.contract import NO_SIGNALS, Move, Phase, Signals, Verdict
from hanlu.alerts.judge.limit import BEGIN, LIMIT_JUDGES, LimitState
from hanlu.alerts.judge.room import Assigned, ChannelPlan, Memory, Room, pack, unpack
from hanlu.alerts.kind import Hold, Kind
from hanlu.alerts.rules.parameters import LimitParameters

RULES = Path(__file__).resolve().parents[2] / "rules"
MINUTE = 60_000
AIR, DEFROST, DOOR = 1, 2, 3

Series = Sequence[tuple[int, float]]
Limit = tuple[Kind, LimitParameters]


def parameters(**given: Any) -> LimitParameters:
    plain = {
        "setpoint": -15.0,
        "unit": "Cel",
        "deadband": 1.0,
        "on_delay_s": 1800,
        "off_delay_s": 120,
        "gap_s": 600,
        "hold_defrost": False,
    }
    return LimitParameters(**(plain | given))


def cases() -> Iterator[Any]:
    for file in sorted(RULES.glob("*.toml")):
        for case in tomllib.loads(file.read_text(encoding="utf-8"))["case"]:
            yield pytest.param(case, id=case["name"])


def readings(notation: str, every_ms: int) -> Iterator[tuple[int, float]]:
    at = 0
    for word in notation.split():
        value, times = word.rsplit("x", 1)
        first, _, last = value.partition(">")
        for index in range(int(times)):
            if value != "_":
                yield at, float(first) + (float(last or first) - float(first)) * index / int(times)
            at += every_ms


def words(verdict: Verdict) -> str:
    at = f"{verdict.move} held {verdict.hold}" if verdict.hold else f"{verdict.move}"
    at += f" at {verdict.at_ms / MINUTE:g}"
    if verdict.move is Move.RAISE:
        at += f" since {verdict.start_ms / MINUTE:g} peak {verdict.peak:g}"
    return at


@pytest.mark.parametrize("case", list(cases()))
def test_series_gives_these_transitions(case: dict[str, Any]) -> None:
    kind, every_ms = Kind(case.get("kind", "high")), case.get("every_s", 60) * 1000
    names = set(LimitParameters.model_fields) & set(case)
    rule = parameters(setpoint=case.get("value", -15.0), **{name: case[name] for name in names})
    assert rule.gap_s is not None
    gap_ms = rule.gap_s * 1000
    contacts = {"defrost": DEFROST, "door": DOOR}
    room = Room(
        [
            ChannelPlan(AIR, "air_temperature", "Cel", gap_ms, (Assigned(kind, "rule", 1, 2, rule),)),
            *(
                ChannelPlan(number, "door_open" if name == "door" else name, "", gap_ms)
                for name, number in contacts.items()
            ),
        ],
        {},
    )
    events = [
        (at, number, value) for name, number in contacts.items() for at, value in readings(case.get(name, ""), every_ms)
    ]
    events += [(at, 9, value) for at, value in readings(case["series"], every_ms)]  # after the contacts of its moment
    found = []
    for at, number, value in sorted(events):
        taken = room.take(AIR if number == 9 else number, at, value)
        found += [words(verdict) for _, verdict in taken.verdicts]
    assert found == case["transitions"]


def run(limit: Limit, series: Series, state: LimitState = BEGIN) -> tuple[LimitState, list[Verdict]]:
    kind, rule = limit
    verdicts = []
    for at, value in series:
        state, verdict = LIMIT_JUDGES[kind].step(state, rule, at, value, NO_SIGNALS)
        if verdict is not None:
            verdicts.append(verdict)
    return state, verdicts


limits = st.tuples(
    st.sampled_from([Kind.HIGH, Kind.LOW, Kind.HIGH_HIGH, Kind.LOW_LOW]),
    st.builds(
        parameters,
        setpoint=st.sampled_from([-15.0, 0.0]),
        deadband=st.sampled_from([0.0, 0.5, 2.0]),
        on_delay_s=st.sampled_from([0, 300, 1800]),
        off_delay_s=st.sampled_from([0, 180]),
        gap_s=st.sampled_from([240, 1200]),
        recover_s=st.sampled_from([0, 0, 1800]),
        goods_s=st.sampled_from([0, 0, 3600]),
    ),
)
plain_limits = limits.map(lambda limit: (limit[0], limit[1].model_copy(update={"recover_s": 0, "goods_s": 0})))


def setpoint(limit: Limit) -> float:
    assert limit[1].setpoint is not None
    return limit[1].setpoint


def ms(seconds: int | None) -> int:
    assert seconds is not None
    return seconds * 1000


@st.composite
def series_near(draw: st.DrawFn, limit: Limit) -> Series:
    offsets = draw(
        st.lists(st.tuples(st.integers(1, 12), st.sampled_from([-3.0, -1.0, -0.4, 0.0, 0.4, 5.0])), max_size=60)
    )
    at, made = 0, []
    for minutes, offset in offsets:
        at += minutes * MINUTE
        made.append((at, setpoint(limit) + offset))
    return made


limit_and_series = limits.flatmap(lambda limit: st.tuples(st.just(limit), series_near(limit)))
plain_and_series = plain_limits.flatmap(lambda limit: st.tuples(st.just(limit), series_near(limit)))


def beyond(limit: Limit, value: float) -> float:
    return value - setpoint(limit) if limit[0] in {Kind.HIGH, Kind.HIGH_HIGH} else setpoint(limit) - value


@given(limit_and_series)
def test_verdicts_alternate_and_begin_with_a_raise(pair: tuple[Limit, Series]) -> None:
    state, verdicts = run(*pair)
    moves = [each.move for each in verdicts]
    assert moves == [Move.RAISE, Move.RETURN] * (len(moves) // 2) + [Move.RAISE] * (len(moves) % 2)
    assert state.raised == bool(len(moves) % 2)


@given(limit_and_series)
def test_raise_rests_on_unbroken_evidence_as_long_as_the_on_delay(pair: tuple[Limit, Series]) -> None:
    limit, series = pair
    kind, rule = limit
    assert rule.deadband is not None
    for verdict in run(limit, series)[1]:
        if verdict.move is Move.RAISE:
            assert verdict.at_ms - verdict.start_ms >= ms(rule.on_delay_s)
            evidence = [(at, value) for at, value in series if verdict.start_ms <= at <= verdict.at_ms]
            assert beyond(limit, evidence[0][1]) > 0
            assert all(beyond(limit, value) > -rule.deadband for _, value in evidence)
            assert all(later - earlier <= ms(rule.gap_s) for (earlier, _), (later, _) in pairwise(evidence))
            worst = max if kind in {Kind.HIGH, Kind.HIGH_HIGH} else min
            assert verdict.peak == worst(value for _, value in evidence)


@given(limit_and_series)
def test_reading_after_a_gap_raises_and_returns_nothing_that_has_to_last(pair: tuple[Limit, Series]) -> None:
    limit, series = pair
    _, rule = limit
    after_gap = {later for (earlier, _), (later, _) in pairwise(series) if later - earlier > ms(rule.gap_s)}
    for verdict in run(limit, series)[1]:
        if verdict.at_ms in after_gap:
            assert (rule.on_delay_s if verdict.move is Move.RAISE else rule.off_delay_s) == 0


@given(plain_limits, st.integers(0, 90), st.integers(1, 3))
def test_exceeding_as_long_as_the_on_delay_without_a_gap_is_always_raised(limit: Limit, extra: int, every: int) -> None:
    count = ms(limit[1].on_delay_s) // (every * MINUTE) + 2 + extra
    sign = 1 if limit[0] in {Kind.HIGH, Kind.HIGH_HIGH} else -1
    state, _ = run(limit, [(index * every * MINUTE, setpoint(limit) + sign * 0.1) for index in range(count)])
    assert state.raised


@given(limit_and_series, st.data())
def test_late_readings_change_nothing(pair: tuple[Limit, Series], data: st.DataObject) -> None:
    limit, series = pair
    mixed: list[tuple[int, float]] = []
    for at, value in series:
        mixed.append((at, value))
        if data.draw(st.booleans()):
            mixed.append((data.draw(st.integers(0, at)), setpoint(limit) + data.draw(st.sampled_from([-50.0, 50.0]))))
    assert run(limit, mixed) == run(limit, series)


@given(plain_and_series)
def test_low_limit_is_the_mirror_of_a_high_one(pair: tuple[Limit, Series]) -> None:
    (kind, rule), series = pair
    mirror = {Kind.HIGH: Kind.LOW, Kind.LOW: Kind.HIGH, Kind.HIGH_HIGH: Kind.LOW_LOW, Kind.LOW_LOW: Kind.HIGH_HIGH}
    assert rule.setpoint is not None
    other = (mirror[kind], rule.model_copy(update={"setpoint": -rule.setpoint}))
    mirrored = run(other, [(at, -value) for at, value in series])[1]
    assert [(each.move, each.at_ms, -(each.peak or 0.0)) for each in mirrored] == [
        (each.move, each.at_ms, each.peak) for each in run((kind, rule), series)[1]
    ]


@given(limit_and_series, st.data())
def test_paged_through_the_database_it_comes_to_the_same_as_in_one(
    pair: tuple[Limit, Series], data: st.DataObject
) -> None:
    limit, series = pair
    kind, _ = limit
    cut = data.draw(st.integers(0, len(series)))
    state, first = run(limit, series[:cut])
    stored = unpack(pack(Memory(states={kind: state}))).states[kind]
    assert stored == state
    end, second = run(limit, series[cut:], stored)
    assert (end, first + second) == run(limit, series)


@given(st.sampled_from([Kind.LOW, Kind.LOW_LOW]))
def test_defrost_explains_no_cold(kind: Kind) -> None:
    warm = Signals(phase=Phase("defrost", 0, began_ms=0, ceiling=40.0))
    rule, state, found = parameters(setpoint=0.0, hold_defrost=True), BEGIN, []
    for minute in range(40):
        state, verdict = LIMIT_JUDGES[kind].step(state, rule, minute * MINUTE, -5.0, warm)
        found += [] if verdict is None else [verdict]
    assert [(each.move, each.hold) for each in found] == [(Move.RAISE, None)]


def test_late_reading_beyond_the_limit_may_correct_a_record() -> None:
    late = LIMIT_JUDGES[Kind.HIGH].late
    assert late is not None
    assert late(parameters(), -10.0)
    assert not late(parameters(), -15.0)


def test_hold_says_whether_contact_or_curve_told() -> None:
    rule = parameters(hold_defrost=True, on_delay_s=0)
    for by_shape, hold in ((False, Hold.DEFROST), (True, Hold.DEFROST_SEEN)):
        signals = Signals(phase=Phase("defrost", 0, by_shape, began_ms=0, ceiling=0.0))
        _, verdict = LIMIT_JUDGES[Kind.HIGH].step(BEGIN, rule, 0, -10.0, signals)
        assert verdict is not None
        assert verdict.hold is hold
