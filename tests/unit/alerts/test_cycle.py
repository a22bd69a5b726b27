"""Where a room is in its defrost cycle: told by the contact or by the curve, at any cadence and coarseness."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.alerts.judge.contract import Phase, Switch
from hanlu.alerts.judge.cycle import KEPT, START, TRAIL, CycleState, track
from hanlu.alerts.judge.room import Memory, pack, unpack

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
LENGTH = 48 * MINUTE
COLD = -20.0

Series = Sequence[tuple[int, float]]


def room(every_ms: int, hours: int, *, period_h: int = 6, rise: float = 10.0, back_ms: int = 12 * MINUTE) -> Series:
    """Return a room that defrosts every `period_h` hours from hour 3 on."""
    made, value = [], COLD
    for at in range(0, hours * HOUR, every_ms):
        if defrosts(at, period_h):
            value += rise * every_ms / LENGTH
        else:
            value += (COLD - value) * every_ms / (back_ms + every_ms)
        made.append((at, value))
    return made


def defrosts(at: int, period_h: int = 6) -> bool:
    return (at - 3 * HOUR) % (period_h * HOUR) < LENGTH and at >= 3 * HOUR


def contact(series: Series, period_h: int = 6) -> Iterator[tuple[int, float, Switch]]:
    switch: Switch | None = None
    for at, value in series:
        on = defrosts(at, period_h)
        if switch is None or switch.on is not on:
            switch = Switch(on, at, at, at if switch is not None and switch.on else None)
        yield at, value, switch._replace(seen_ms=at)


def follow(events: Iterable[tuple[int, float, Switch | None]]) -> tuple[CycleState, list[tuple[int, Phase]]]:
    state, found = START, []
    for at, value, switch in events:
        state, phase = track(state, at, value, switch, 0)
        found.append((at, phase))
    return state, found


def begun(found: list[tuple[int, Phase]]) -> list[int]:
    return [at for (_, before), (at, after) in pairwise(found) if after.name == "defrost" != before.name]


def test_contact_tells_phases_and_the_room_teaches_its_own_figures() -> None:
    state, found = follow(contact(room(MINUTE, 48)))
    assert begun(found) == [(3 + 6 * n) * HOUR for n in range(8)]
    assert not any(phase.by_shape for at, phase in found if at > 4 * HOUR)
    assert len(state.cycles) == 8
    assert all(each.length_ms == LENGTH and 5 * MINUTE <= each.recovery_ms <= 25 * MINUTE for each in state.cycles)
    assert all(abs(each.peak - -10.0) < 0.6 for each in state.cycles)


@pytest.mark.parametrize("quantum", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("every_s", [10, 60, 300])
def test_curve_alone_finds_every_defrost_of_any_cadence_and_coarseness(every_s: int, quantum: float) -> None:
    rng = random.Random(1)
    noise = 0.0 if quantum == 1.0 else 0.4
    noisy = [(at, value + rng.gauss(0.0, noise)) for at, value in room(every_s * SECOND, 48)]
    coarse = [(at, round(value / quantum) * quantum if quantum else value, None) for at, value in noisy]
    _, found = follow(coarse)
    starts = begun(found)
    for expected in [(3 + 6 * n) * HOUR for n in range(8)]:
        assert sum(expected <= at <= expected + LENGTH for at in starts) == 1
    assert len(starts) == 8
    ends = [(at, phase) for at, phase in found if phase.name == "recovery"]
    assert all(phase.by_shape for _, phase in ends)
    assert all((at - 3 * HOUR) % (6 * HOUR) > LENGTH - 6 * MINUTE for at, _ in ends)
    assert found[-1][1].baseline == pytest.approx(COLD, abs=1.2)


def test_while_a_defrost_is_healthy_its_ceiling_lies_above_the_air() -> None:
    for at, phase in follow(contact(room(MINUTE, 48)))[1]:
        if phase.name == "defrost":
            assert phase.ceiling is not None
            assert phase.ceiling > -10.0, at


def test_defrost_far_above_the_rooms_own_explains_nothing() -> None:
    healthy = room(MINUTE, 27)
    hot = [(at, value + (8.0 * (at - 27 * HOUR) / LENGTH if defrosts(at) else 0.0)) for at, value in room(MINUTE, 28)]
    _, found = follow(contact([*healthy, *hot[len(healthy) :]]))
    last = [phase for at, phase in found if 27 * HOUR + LENGTH - 3 * MINUTE < at < 27 * HOUR + LENGTH]
    assert all(phase.name == "defrost" and phase.ceiling is None for phase in last)


def test_room_that_does_not_come_back_loses_its_explanation() -> None:
    series = [(at, max(value, -12.0) if at > 9 * HOUR + LENGTH else value) for at, value in room(MINUTE, 14)]
    phases = dict(follow(contact(series))[1])
    assert phases[9 * HOUR + LENGTH + 20 * MINUTE].ceiling is not None
    assert phases[9 * HOUR + LENGTH + 80 * MINUTE].ceiling is None
    assert phases[9 * HOUR + LENGTH + 80 * MINUTE].name == "recovery"


def test_second_defrost_of_a_room_still_warm_explains_nothing() -> None:
    series = [(at, max(value, -11.0) if at > 9 * HOUR + LENGTH else value) for at, value in room(MINUTE, 17)]
    phases = dict(follow(contact(series))[1])
    again = phases[15 * HOUR + 10 * MINUTE]
    assert again.name == "defrost"
    assert phases[9 * HOUR + 10 * MINUTE].ceiling is not None
    assert again.ceiling is None


def test_contact_that_is_stuck_explains_nothing_for_ever() -> None:
    stuck = Switch(True, 0, 0)
    _, found = follow((at, -10.0, stuck._replace(seen_ms=at)) for at in range(0, 24 * HOUR, MINUTE))
    assert all(phase.ceiling is None for at, phase in found if at > 90 * MINUTE)


def test_broken_contact_that_is_never_on_leaves_it_to_the_curve() -> None:
    off = Switch(False, 0, 0)
    _, found = follow((at, value, off._replace(seen_ms=at)) for at, value in room(MINUTE, 24))
    assert len(begun(found)) == 4
    assert all(phase.by_shape for _, phase in found if phase.name == "defrost")


def test_door_thrown_open_is_no_defrost() -> None:
    series = [(at, -20.0 if at < 4 * HOUR else -8.0) for at in range(0, 8 * HOUR, MINUTE)]
    _, found = follow((at, value, None) for at, value in series)
    assert begun(found) == []


def test_drop_out_to_zero_changes_nothing_but_the_time() -> None:
    clean = room(MINUTE, 24)
    dirty = [(at, 0.0 if at % (97 * MINUTE) == 0 and not defrosts(at) else value) for at, value in clean]
    assert any(one != other for one, other in zip(clean, dirty, strict=True))
    _, found = follow((at, value, None) for at, value in dirty)
    assert len(begun(found)) == 4
    assert max(phase.baseline or COLD for _, phase in found) < -19.0


def test_gap_ends_what_was_going_on_and_keeps_what_was_learned() -> None:
    state, _ = follow(contact(room(MINUTE, 28)))
    before = state.cycles
    state, phase = track(state, 40 * HOUR, -12.0, None, 12 * HOUR)
    assert state.cycles == before
    assert (phase.began_ms, phase.ceiling) == (None, None)
    assert phase.baseline == pytest.approx(COLD, abs=0.5)


def test_reading_out_of_order_changes_nothing() -> None:
    state, _ = follow(contact(room(MINUTE, 10)))
    assert state.newest_ms is not None
    for at in (0, state.newest_ms - 1, state.newest_ms):
        assert track(state, at, 30.0, None, 0)[0] == state


@given(
    st.lists(
        st.tuples(st.integers(1, 1200), st.floats(-30.0, 10.0), st.sampled_from([None, True, False])), max_size=120
    ),
    st.integers(0, 120),
)
def test_any_series_keeps_the_state_small_and_survives_the_database(
    steps: list[tuple[int, float, bool | None]], cut: int
) -> None:
    state, at = START, 0
    for index, (seconds, value, on) in enumerate(steps):
        at += seconds * SECOND
        switch = None if on is None else Switch(on, at, at)
        gap_ms = seconds * SECOND if seconds > 900 else 0
        if index == cut:
            stored = unpack(pack(Memory(cycle=state))).cycle
            assert stored == state
            state = stored
        state, phase = track(state, at, value, switch, gap_ms)
        assert len(state.trail) <= TRAIL
        assert len(state.cycles) <= KEPT
        assert phase.name in {"cold", "defrost", "recovery", "unknown"}
        assert phase.ceiling is None or phase.began_ms is not None
