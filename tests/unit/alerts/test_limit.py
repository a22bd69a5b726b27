"""Limit rules: series from tests/rules, and what must hold for any series."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.alerts.alarm import Event
from hanlu.alerts.judge.limit import QUIET, Limit, RuleState, Transition, silent_at, step
from hanlu.alerts.kind import Kind

RULES = Path(__file__).resolve().parents[2] / "rules"
MINUTE = 60_000
FROZEN = Limit(Kind.HIGH, -15.0, 1.0, 30 * MINUTE, 2 * MINUTE, 10 * MINUTE)

Series = Sequence[tuple[int, float]]


def cases() -> Iterator[Any]:
    for file in sorted(RULES.glob("*.toml")):
        for case in tomllib.loads(file.read_text(encoding="utf-8"))["case"]:
            yield pytest.param(case, id=case["name"])


def readings(notation: str, every_ms: int) -> Iterator[tuple[int, float]]:
    at = 0
    for word in notation.split():
        value, times = word.rsplit("x", 1)
        for _ in range(int(times)):
            if value != "_":
                yield at, float(value)
            at += every_ms


def run(limit: Limit, series: Series, state: RuleState = QUIET) -> tuple[RuleState, list[Transition]]:
    transitions = []
    for at, value in series:
        state, transition = step(state, limit, at, value)
        if transition is not None:
            transitions.append(transition)
    return state, transitions


def words(transition: Transition) -> str:
    at = f"{transition.event} at {transition.at_ms / MINUTE:g}"
    if transition.event is Event.RAISE:
        at += f" since {transition.start_ms / MINUTE:g} peak {transition.peak:g}"
    return at


@pytest.mark.parametrize("case", list(cases()))
def test_series_gives_these_transitions(case: dict[str, Any]) -> None:
    limit = Limit(
        Kind(case.get("kind", "high")),
        case.get("value", -15.0),
        case.get("deadband", 1.0),
        case.get("on_delay_s", 1800) * 1000,
        case.get("off_delay_s", 120) * 1000,
        case.get("gap_s", 600) * 1000,
    )
    _, transitions = run(limit, list(readings(case["series"], case.get("every_s", 60) * 1000)))
    assert [words(each) for each in transitions] == case["transitions"]


limits = st.builds(
    Limit,
    st.sampled_from([Kind.HIGH, Kind.LOW]),
    st.sampled_from([-15.0, 0.0]),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.sampled_from([0, 5 * MINUTE, 30 * MINUTE]),
    st.sampled_from([0, 3 * MINUTE]),
    st.sampled_from([4 * MINUTE, 20 * MINUTE]),
)


@st.composite
def series_near(draw: st.DrawFn, limit: Limit) -> Series:
    offsets = draw(
        st.lists(st.tuples(st.integers(1, 12), st.sampled_from([-3.0, -1.0, -0.4, 0.0, 0.4, 5.0])), max_size=60)
    )
    at, made = 0, []
    for minutes, offset in offsets:
        at += minutes * MINUTE
        made.append((at, limit.value + offset))
    return made


limit_and_series = limits.flatmap(lambda limit: st.tuples(st.just(limit), series_near(limit)))


def beyond(limit: Limit, value: float) -> float:
    return value - limit.value if limit.kind is Kind.HIGH else limit.value - value


@given(limit_and_series)
def test_transitions_alternate_and_begin_with_a_raise(pair: tuple[Limit, Series]) -> None:
    state, transitions = run(*pair)
    events = [each.event for each in transitions]
    assert events == [Event.RAISE, Event.RETURN] * (len(events) // 2) + [Event.RAISE] * (len(events) % 2)
    assert state.raised == bool(len(events) % 2)


@given(limit_and_series)
def test_raise_rests_on_unbroken_evidence_as_long_as_the_on_delay(pair: tuple[Limit, Series]) -> None:
    limit, series = pair
    for transition in run(limit, series)[1]:
        if transition.event is Event.RAISE:
            assert transition.at_ms - transition.start_ms >= limit.on_delay_ms
            evidence = [(at, value) for at, value in series if transition.start_ms <= at <= transition.at_ms]
            assert beyond(limit, evidence[0][1]) > 0
            assert all(beyond(limit, value) > -limit.deadband for _, value in evidence)
            times = [at for at, _ in evidence]
            assert all(later - earlier <= limit.gap_ms for earlier, later in pairwise(times))
            worst = max if limit.kind is Kind.HIGH else min
            assert transition.peak == worst(value for _, value in evidence)


@given(limits, st.integers(0, 90), st.integers(1, 3))
def test_exceeding_as_long_as_the_on_delay_without_a_gap_is_always_raised(limit: Limit, extra: int, every: int) -> None:
    count = limit.on_delay_ms // (every * MINUTE) + 2 + extra
    sign = 1 if limit.kind is Kind.HIGH else -1
    state, _ = run(limit, [(index * every * MINUTE, limit.value + sign * 0.1) for index in range(count)])
    assert state.raised


@given(limit_and_series, st.data())
def test_late_readings_change_nothing(pair: tuple[Limit, Series], data: st.DataObject) -> None:
    limit, series = pair
    mixed: list[tuple[int, float]] = []
    for at, value in series:
        mixed.append((at, value))
        if data.draw(st.booleans()):
            mixed.append((data.draw(st.integers(0, at)), limit.value + data.draw(st.sampled_from([-50.0, 50.0]))))
    assert run(limit, mixed) == run(limit, series)


@given(limit_and_series)
def test_low_limit_is_the_mirror_of_a_high_one(pair: tuple[Limit, Series]) -> None:
    limit, series = pair
    other = replace(limit, kind=Kind.LOW if limit.kind is Kind.HIGH else Kind.HIGH, value=-limit.value)
    mirrored = run(other, [(at, -value) for at, value in series])[1]
    assert [(each.event, each.at_ms, -each.peak) for each in mirrored] == [
        (each.event, each.at_ms, each.peak) for each in run(limit, series)[1]
    ]


@given(limit_and_series, st.data())
def test_catching_up_in_pieces_comes_to_the_same_as_in_one(pair: tuple[Limit, Series], data: st.DataObject) -> None:
    limit, series = pair
    cut = data.draw(st.integers(0, len(series)))
    state, first = run(limit, series[:cut])
    resumed = RuleState(*tuple(state))  # as it comes back from the database
    end, second = run(limit, series[cut:], resumed)
    assert (end, first + second) == run(limit, series)


def test_silence_counts_from_the_last_reading_heard() -> None:
    assert silent_at(heard_ms=1_000, watched_from_ms=0, no_data_ms=500, now_ms=1_499) is None
    assert silent_at(heard_ms=1_000, watched_from_ms=0, no_data_ms=500, now_ms=1_500) == 1_500


def test_silence_while_nobody_listened_proves_nothing() -> None:
    assert silent_at(heard_ms=1_000, watched_from_ms=90_000, no_data_ms=500, now_ms=90_100) is None
    assert silent_at(heard_ms=1_000, watched_from_ms=90_000, no_data_ms=500, now_ms=90_500) == 90_500
