"""STUCK: the value does not move for longer than a live sensor can hold still.

A healthy cold room always moves: its compressor cycles, its coil is defrosted, doors are opened. A probe that shows
whole degrees in a quiet room may nevertheless stand on one number for hours, and that is no fault. So three questions
must be answered with yes:

1. Has the value stood still (within `least_change`) for `for_s`, without a gap?
2. Is that longer than this channel's own habit? The longest hold it has come out of by itself is remembered and fades
   over weeks; twice and a half of that must have passed. While too little is known (less than a day watched), twice
   `for_s` is asked for.
3. Has something happened that should have moved it? Where the room has a compressor or defrost channel, that many
   starts or defrosts must have passed as a live value would have followed; where a room is switched off, nothing is to
   be expected and nothing is concluded. Where no such channel exists, time alone must do.

It returns with the first value that moves.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from hanlu.alerts.judge.contract import Judge, Move, Signals, Verdict
from hanlu.alerts.kind import Cause, Kind
from hanlu.alerts.rules.parameters import StuckParameters

__all__ = ["STUCK", "StuckState", "suspected"]

_DAY_MS: Final = 86_400_000
_LONGER: Final = 2.5
"""Times its longest hold that a live channel will not stand still."""
_SUSPICIOUS_MS: Final = 45 * 60_000
"""Standing still for so long, and longer than ever, explains another alarm of the channel before it is one itself."""
_EVERY: Final = 25_000
"""Holding still takes hours: readings closer than that are passed over."""
_FADES_MS: Final = 30 * _DAY_MS
_EVENTS: Final = 3
"""Compressor starts that a stuck value has not followed; one defrost counts as much, it moves the air most."""
_ALWAYS_RUNS_MS: Final = 12 * 3_600_000
"""A compressor that neither starts nor stops says nothing about the air for so long."""


class StuckState(NamedTuple):
    """What is remembered.

    Attributes:
        newest_ms: newest reading.
        first_ms: begin of the watch.
        since_ms: since when the value has stood still.
        anchor: where.
        longest_ms: longest hold that ended by itself, fading.
        events: what should have moved it since: compressor starts, and defrosts counted as `_EVENTS` of them.
        ran: the compressor's last word, None without one.
        defrosting: the defrost's last word.
        raised: the alarm stands.
    """

    newest_ms: int | None = None
    first_ms: int | None = None
    since_ms: int | None = None
    anchor: float = 0.0
    longest_ms: float = 0.0
    events: int = 0
    ran: bool | None = None
    defrosting: bool | None = None
    raised: bool = False


def _step(
    state: StuckState, parameters: StuckParameters, at_ms: int, value: float, signals: Signals
) -> tuple[StuckState, Verdict | None]:
    newest, since = state.newest_ms, state.since_ms
    moved = since is None or abs(value - state.anchor) > parameters.least_change
    if not moved and newest is not None and at_ms - newest < _EVERY and not signals.gap_ms:
        return state, None
    ran = None if signals.compressor is None else signals.compressor.on
    defrosting = None if signals.defrost is None else signals.defrost.on
    first = at_ms if state.first_ms is None else state.first_ms
    if moved or (signals.gap_ms and not state.raised) or since is None or newest is None:
        longest = state.longest_ms
        if since is not None and newest is not None and not signals.gap_ms:
            longest *= 1.0 - min(1.0, (at_ms - newest) / _FADES_MS)
            # The hold of a fault is no habit, else the next one would be believed.
            longest = longest if state.raised else max(longest, newest - since)
        after = StuckState(at_ms, first, at_ms, value, longest, 0, ran, defrosting, False)
        if not state.raised or since is None:
            return after, None
        returned = Verdict(Kind.STUCK, Move.RETURN, at_ms, value, since, cause=Cause.SENSOR_STUCK)
        return after, returned
    events = state.events
    if ran and state.ran is False:
        events += 1
    if defrosting is False and state.defrosting:
        events += _EVENTS
    fades = 1.0 - min(1.0, (at_ms - newest) / _FADES_MS)
    after = StuckState(
        at_ms, first, since, state.anchor, state.longest_ms * fades, events, ran, defrosting, state.raised
    )
    if state.raised or at_ms - since < _least_ms(after, parameters, since):
        return after, None
    if not _expected(after, at_ms, since):
        return after, None
    raised = Verdict(Kind.STUCK, Move.RAISE, at_ms, value, since, cause=Cause.SENSOR_STUCK)
    return after._replace(raised=True), raised


def _least_ms(state: StuckState, parameters: StuckParameters, since: int) -> float:
    """Return how long this channel must stand still to be suspicious."""
    asked = parameters.for_s * 1000
    known = state.first_ms is not None and since - state.first_ms >= _DAY_MS
    return max(asked if known else 2 * asked, _LONGER * state.longest_ms)


def _expected(state: StuckState, at_ms: int, since: int) -> bool:
    """Tell whether something has passed that a live value would have followed."""
    if state.ran is None and state.defrosting is None:
        return True
    if state.events >= _EVENTS:
        return True
    # It runs without a rest (a valve does the work): then the coil is being fed, and air that is fed moves.
    return state.ran is True and state.events == 0 and at_ms - since >= _ALWAYS_RUNS_MS


def suspected(state: Any, at_ms: int) -> bool:
    """Tell whether the channel's value is known to stand still, or does so for longer than it ever has."""
    if not isinstance(state, StuckState) or state.first_ms is None or state.since_ms is None:
        return False
    known = at_ms - state.first_ms >= _DAY_MS
    return state.raised or (known and at_ms - state.since_ms >= max(_SUSPICIOUS_MS, _LONGER * state.longest_ms))


STUCK = Judge(Kind.STUCK, StuckState(), _step)
