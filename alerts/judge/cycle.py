"""Where a room is in its defrost cycle: told by the defrost's contact, or by the shape of the curve.

Theory of operation. A defrost lifts the air of a room at 0.2 to 0.8 K a minute for some tens of minutes, ends, and the
air falls back along a curve that is steep first. `track` follows the smoothed air through cold, defrost and recovery.
Where there is a contact that is known to work, it says when a defrost begins and ends; else the curve does: a steady
steep rise from a foot begins one, a pull-down from the peak ends it.

What a defrost explains is not a fixed time, but what this room's own defrosts do. Of the newest eight the tracker keeps
length, peak and time to come back. A defrost departs from what is healthy, and from there on explains nothing (no
`ceiling`), when it

* stands higher than the room's own peaks by a margin,
* lasts longer than a defrost can, told by the contact, or than most of this room's do, told by the curve,
* turns upward before it is back: after a defrost the air falls,
* takes longer to come back than this room's own recoveries,
* begins before the one before it has come back,
* in a room whose own defrosts are not known yet: begins while the air is climbing already.

A contact that stands on for longer than any defrost, or has not been on for days, is not believed; then the curve
tells.
A gap tells nothing: what was going on before it is over as far as anybody knows, and a defrost is seen anew.

Source: eight recorded frozen rooms: defrosts of 50 min (55 to 70 at most) every 4 to 19 h, rising by 5 to 18.5 K and
33 K at most, 0.4 to 0.7 K/min in the first ten minutes, back within 13 to 25 min, 72 min in a failing room.
"""

from __future__ import annotations

from statistics import median_high
from typing import Final, NamedTuple

from hanlu.alerts.judge.contract import Phase, Switch

__all__ = ["START", "Cycle", "CycleState", "expected_back", "track"]

_MINUTE: Final = 60_000
_HOUR: Final = 60 * _MINUTE

SMOOTH_MS: Final = 90_000
"""Time constant of the level: halves the noise of one-minute readings, lags a defrost's rise by less than 1 K."""
GLITCH_K: Final = 6.0
"""One reading that stands so far above the one before, and alone, is a drop-out and no air."""
GLITCH_K_PER_MS: Final = 1.2 / _MINUTE
"""Slow channels may move further: no air in a closed room warms faster."""
BUCKET_MS: Final = 150_000
"""One point of the trail in so much time."""
TRAIL: Final = 13
"""Points of the trail: 30 min."""

FOOT_RISE_K: Final = 5.0
"""So much above the lowest of the trail is a defrost's rise; less is what people and compressors do."""
FLAT_K: Final = 0.4
"""Down a rise, a point so much above the one after it belongs to what was before."""
LEAST_RISE_PER_MS: Final = 0.12 / _MINUTE
MOST_RISE_PER_MS: Final = 1.0 / _MINUTE
"""Between these slopes a rise can be a defrost; faster is a door."""
PULL_DOWN_K: Final = 2.0
PULL_DOWN: Final = 0.35
"""A fall by this share of the rise, and at least so many kelvin, from the peak ends a defrost seen by its shape."""

BACK_K: Final = 1.5
BACK: Final = 0.25
"""Back means within this share of the rise above the foot, and at least so many kelvin."""
PEAK_K: Final = 3.0
"""So much above the room's own peaks is not explained."""
UNLEARNED_RISE_K: Final = 33.0
"""Greatest rise seen in any room: explained while a room's own defrosts are not known."""
TURN_K: Final = 2.5
"""A rise by so much after a defrost is not explained."""
LEARNED: Final = 3
"""Cycles after which a room's own figures count."""
KEPT: Final = 8
"""Cycles remembered."""

UNDER_WAY_K: Final = 3.0
"""The air has climbed so far in the half hour before the contact comes: not the heater's doing, and it goes on."""

LENGTH_MS: Final = 60 * _MINUTE
"""Of a defrost while the room's own are not known; longest time one is seen in the curve is `SEEN_MOST_MS`."""
SEEN_MOST_MS: Final = 75 * _MINUTE
SEEN_LEAST_MS: Final = 40 * _MINUTE
TOLD_MOST_MS: Final = 75 * _MINUTE
"""A contact that stands on for longer explains nothing more."""
STUCK_MS: Final = 2 * _HOUR
"""A contact that stands on for longer is not believed."""
BELIEVED_MS: Final = 48 * _HOUR
"""A contact that has not been on for so long may be broken: the curve tells as well."""
RECOVERY_MS: Final = 45 * _MINUTE
"""Until the room should be back, while its own recoveries are not known."""
RECOVERY_LEAST_MS: Final = 25 * _MINUTE
RECOVERY_MOST_MS: Final = 75 * _MINUTE
"""No recovery explains more, however bad the room's habit."""
OWN_MARGIN_MS: Final = 10 * _MINUTE
"""Beyond the room's own recoveries."""
SHORT_MS: Final = 10 * _MINUTE
SHORT_SEEN_MS: Final = 25 * _MINUTE
"""Shorter ones teach nothing: a defrost that was called off; in the curve, a door."""
GIVEN_UP_MS: Final = 6 * _HOUR
"""After so long without coming back a cycle is over."""

KNOWN_MS: Final = 30 * _MINUTE
"""Of readings before a level is called the room's own."""
SETTLES_MS: Final = 5 * _MINUTE
"""At first: a drop-out in the first reading is soon forgotten."""
SINKS_MS: Final = 1 * _HOUR
CLIMBS_MS: Final = 24 * _HOUR
"""The baseline follows quickly down, slowly up, and up only from near above it."""
NEAR_K: Final = 3.0
DRIFTS_MS: Final = 10 * 24 * _HOUR


class Cycle(NamedTuple):
    """One defrost that came back.

    Attributes:
        length_ms: of the defrost.
        peak: highest level.
        recovery_ms: from its end until back.
    """

    length_ms: int
    peak: float
    recovery_ms: int


class CycleState(NamedTuple):
    """What the tracker remembers of one air temperature; bounded.

    Attributes:
        newest_ms: newest observation.
        value: what it said.
        level: smoothed.
        suspect: a reading that may be a drop-out, None when the newest is believed.
        seen_ms: time followed so far, until `KNOWN_MS`.
        baseline: the room's own level.
        trail: (ms, level) of the last minutes, oldest first.
        name: of the phase.
        since_ms: when it began.
        by_shape: told by the curve.
        began_ms: of the cycle in hand, None between cycles.
        foot: level it rose from.
        peak: highest level of it.
        peak_ms: when.
        ended_ms: end of the defrost.
        lowest: lowest level since then.
        departed: it explains nothing any more.
        contact_ms: when the contact was last on.
        cycles: newest last.
    """

    newest_ms: int | None = None
    value: float = 0.0
    level: float = 0.0
    suspect: float | None = None
    seen_ms: int = 0
    baseline: float = 0.0
    trail: tuple[tuple[int, float], ...] = ()
    name: str = "unknown"
    since_ms: int = 0
    by_shape: bool = False
    began_ms: int | None = None
    foot: float = 0.0
    peak: float = 0.0
    peak_ms: int = 0
    ended_ms: int = 0
    lowest: float = 0.0
    departed: bool = False
    contact_ms: int | None = None
    cycles: tuple[Cycle, ...] = ()


START: Final = CycleState()


def track(state: CycleState, at_ms: int, value: float, defrost: Switch | None, gap_ms: int) -> tuple[CycleState, Phase]:
    """Follow one reading of the room's air.

    Args:
        state: what is remembered.
        at_ms: time of observation, ascending, Unix milliseconds.
        value: air temperature, degrees Celsius.
        defrost: the contact's word, None when there is none or it is not fresh.
        gap_ms: length of a gap just before this reading, 0 for none.
    """
    newest = state.newest_ms
    if newest is None or gap_ms:
        state = _anew(state, at_ms, value)
    elif at_ms <= newest:
        return state, _phase(state, at_ms)
    else:
        elapsed = at_ms - newest
        if state.suspect is None and value - state.value > max(GLITCH_K, GLITCH_K_PER_MS * elapsed):
            state = state._replace(newest_ms=at_ms, suspect=value)
            return state, _phase(state, at_ms)
        state = _smoothed(state, at_ms, value, elapsed)
    contact = _believed(state, at_ms, defrost)
    if defrost is not None and defrost.on:
        state = state._replace(contact_ms=at_ms)
    state = _seen(state, at_ms) if contact is None else _told(state, at_ms, contact)
    if state.began_ms is not None:
        state = _followed(state, at_ms)
    return state, _phase(state, at_ms)


def expected_back(state: CycleState) -> int | None:
    """Return when the defrost in hand with its recovery should be over, Unix milliseconds; None between defrosts."""
    return None if state.newest_ms is None else _phase(state, state.newest_ms).expected_end_ms


def _anew(state: CycleState, at_ms: int, value: float) -> CycleState:
    """Begin, or begin again after a gap: what the room has taught stays, what was going on is not known any more."""
    baseline = state.baseline if state.newest_ms is not None else value
    return CycleState(
        at_ms,
        value,
        value,
        seen_ms=state.seen_ms,
        baseline=baseline,
        trail=((at_ms, value),),
        since_ms=at_ms,
        contact_ms=state.contact_ms,
        cycles=state.cycles,
    )


def _smoothed(state: CycleState, at_ms: int, value: float, elapsed: int) -> CycleState:
    """Take the reading into level, baseline and trail."""
    level = state.level + (value - state.level) * elapsed / (SMOOTH_MS + elapsed)
    baseline = state.baseline
    above = level - baseline
    if above < 0.0:
        baseline += above * elapsed / ((SINKS_MS if state.seen_ms >= KNOWN_MS else SETTLES_MS) + elapsed)
    elif state.began_ms is None:
        baseline += above * elapsed / ((CLIMBS_MS if above < NEAR_K else DRIFTS_MS) + elapsed)
    trail = state.trail
    if not trail or at_ms - trail[-1][0] >= BUCKET_MS:
        trail = (*trail[1 - TRAIL :], (at_ms, level))
    name, since = state.name, state.since_ms
    seen = state.seen_ms
    if seen < KNOWN_MS:
        seen += elapsed
    if name == "unknown" and state.began_ms is None and seen >= KNOWN_MS:
        name, since = "cold", at_ms
    return state._replace(
        newest_ms=at_ms,
        value=value,
        level=level,
        suspect=None,
        seen_ms=seen,
        baseline=baseline,
        trail=trail,
        name=name,
        since_ms=since,
    )


def _believed(state: CycleState, at_ms: int, defrost: Switch | None) -> Switch | None:
    """Return the contact when it can be believed."""
    if defrost is None or (defrost.on and at_ms - defrost.since_ms > STUCK_MS):
        return None
    if not defrost.on and (state.contact_ms is None or at_ms - state.contact_ms > BELIEVED_MS):
        return None
    return defrost


def _told(state: CycleState, at_ms: int, contact: Switch) -> CycleState:
    """Follow the contact."""
    if contact.on:
        if state.name != "defrost" or state.by_shape:
            return _begun(state, at_ms, contact.since_ms, by_shape=False)
        return state
    if state.name == "defrost":
        return state._replace(name="recovery", since_ms=at_ms, ended_ms=at_ms, lowest=state.peak)
    return state


def _seen(state: CycleState, at_ms: int) -> CycleState:
    """Follow the curve's shape."""
    level = state.level
    if state.name == "defrost":
        if not state.by_shape:  # the contact has gone silent, or is stuck
            return state._replace(by_shape=True)
        rise = state.peak - state.foot
        if (
            state.peak - state.value >= max(PULL_DOWN_K, PULL_DOWN * rise)
            and state.peak - level >= PULL_DOWN * rise / 3
        ):
            return state._replace(name="recovery", since_ms=at_ms, ended_ms=at_ms, lowest=level)
        return state
    foot_ms, foot = next_ms, following = at_ms, level
    for ms, low in reversed(state.trail):  # down the rise to where it began
        if low > foot + FLAT_K:
            break
        if following - low > MOST_RISE_PER_MS * max(next_ms - ms, BUCKET_MS):
            return state  # a door
        next_ms, following = ms, low
        if foot - low >= LEAST_RISE_PER_MS * (foot_ms - ms):
            foot_ms, foot = ms, low
    if not FOOT_RISE_K <= level - foot <= MOST_RISE_PER_MS * (at_ms - foot_ms) or (
        state.began_ms is not None and foot_ms < state.since_ms
    ):
        return state  # no rise, or still that of the cycle in hand
    return _begun(state, at_ms, foot_ms, by_shape=True, foot=foot)


def _begun(state: CycleState, at_ms: int, began_ms: int, *, by_shape: bool, foot: float | None = None) -> CycleState:
    """Begin a defrost; one that begins before the last one has come back explains nothing."""
    level = state.level
    if foot is None:  # the contact may come a little after the heat
        foot = min((low for ms, low in state.trail if ms >= began_ms - 2 * BUCKET_MS), default=level)
        foot = min(foot, level)
    same = state.name == "defrost"
    still_warm = state.began_ms is not None and not same and not _pulled_down(state)
    return state._replace(
        name="defrost",
        since_ms=at_ms if same else began_ms,
        by_shape=by_shape,
        began_ms=began_ms,
        foot=foot,
        peak=level,
        peak_ms=at_ms,
        departed=still_warm or (not by_shape and not same and _under_way(state, began_ms)),
    )


def _under_way(state: CycleState, began_ms: int) -> bool:
    """Tell whether the air was climbing before the contact came, in a room whose own defrosts are not known yet."""
    if len(state.cycles) >= LEARNED:
        return False
    before = [low for ms, low in state.trail if ms <= began_ms - 2 * BUCKET_MS]  # the contact may come a little late
    return bool(before) and before[-1] - min(before) >= UNDER_WAY_K


def _pulled_down(state: CycleState) -> bool:
    """Tell whether the cycle in hand has at least come down most of its way."""
    return state.name == "recovery" and state.lowest <= state.foot + 0.4 * (state.peak - state.foot)


def _followed(state: CycleState, at_ms: int) -> CycleState:
    """Follow the cycle in hand: its peak, whether it departs from what is healthy, whether it is back."""
    began_ms, level, foot = state.began_ms, state.level, state.foot
    assert began_ms is not None, "there is a cycle in hand"
    warming = state.name != "recovery" or at_ms - state.ended_ms < OWN_MARGIN_MS  # heat still comes from the coil
    if warming and level > state.peak:
        state = state._replace(peak=level, peak_ms=at_ms)
    back = foot + max(BACK_K, BACK * (state.peak - foot))
    if state.name == "recovery":
        if level < state.lowest:
            state = state._replace(lowest=level)
        if level <= back:
            return _back(state, at_ms)
    elif state.name == "unknown":
        if not state.ended_ms and state.peak - level >= PULL_DOWN * (state.peak - foot):
            state = state._replace(ended_ms=at_ms)
        if level <= back:
            return _back(state, at_ms)
    if at_ms - began_ms > GIVEN_UP_MS and state.name != "defrost":
        return state._replace(name="cold", since_ms=at_ms, began_ms=None, departed=False)
    if not state.departed and level > _ceiling(state, at_ms):
        state = state._replace(departed=True)
        if state.name == "defrost" and state.by_shape:  # no defrost after all
            state = state._replace(name="unknown", since_ms=at_ms, ended_ms=0)
    return state


def _back(state: CycleState, at_ms: int) -> CycleState:
    """End the cycle, and learn from it; one high peak moves the room's own figures a little only."""
    assert state.began_ms is not None
    length, recovery = state.ended_ms - state.began_ms, at_ms - state.ended_ms
    cycles = state.cycles
    if (SHORT_SEEN_MS if state.by_shape else SHORT_MS) <= length <= STUCK_MS and recovery <= STUCK_MS:
        peak = state.peak
        if len(cycles) >= LEARNED:
            peak = min(peak, max(each.peak for each in cycles) + PEAK_K / 2)
        cycles = (*cycles[1 - KEPT :], Cycle(length, peak, recovery))
    return state._replace(name="cold", since_ms=at_ms, began_ms=None, departed=False, cycles=cycles)


def _ceiling(state: CycleState, at_ms: int) -> float:
    """Return the highest level the cycle in hand explains now; minus infinity when its time is over."""
    assert state.began_ms is not None
    learned = len(state.cycles) >= LEARNED
    if at_ms >= _expected_end(state, ended=state.name == "recovery"):
        return float("-inf")
    highest = max(each.peak for each in state.cycles) + PEAK_K if learned else state.foot + UNLEARNED_RISE_K
    if state.name == "recovery":
        return min(highest, state.lowest + TURN_K)
    return highest


def _expected_end(state: CycleState, *, ended: bool) -> int:
    """Return when the defrost in hand, or the recovery after it, should be over by this room's own history."""
    assert state.began_ms is not None
    cycles = state.cycles
    learned = len(cycles) >= LEARNED
    if ended:
        own = RECOVERY_MS
        if learned:
            own = _upper([each.recovery_ms for each in cycles]) + OWN_MARGIN_MS
            own = min(max(own, RECOVERY_LEAST_MS), RECOVERY_MOST_MS)
        return state.ended_ms + own
    if not state.by_shape:
        return state.began_ms + TOLD_MOST_MS
    own = LENGTH_MS
    if learned:
        own = median_high([each.length_ms for each in cycles])
        own = min(max(own, SEEN_LEAST_MS), SEEN_MOST_MS)
    return state.began_ms + own


def _upper(times: list[int]) -> int:
    """Return the upper quartile."""
    return sorted(times)[len(times) * 3 // 4]


def _phase(state: CycleState, at_ms: int) -> Phase:
    """Return the state as the judges see it."""
    baseline = state.baseline if state.seen_ms >= KNOWN_MS else None
    if state.began_ms is None:
        return Phase(state.name, state.since_ms, state.by_shape, None, None, baseline)
    end = None
    if state.name == "defrost":
        recovery = _expected_end(state._replace(ended_ms=0), ended=True)
        end = _expected_end(state, ended=False) + recovery
    elif state.name == "recovery":
        end = _expected_end(state, ended=True)
    ceiling = None if state.departed or state.name == "unknown" else _ceiling(state, at_ms)
    return Phase(state.name, state.since_ms, state.by_shape, end, state.began_ms, baseline, ceiling, state.foot)
