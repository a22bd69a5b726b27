"""TIME_TO_LIMIT: going on like this, the limit is crossed within the time a person needs.

The trend is the Theil-Sen slope (the median of the slopes between all pairs) of the points of the window, so that one
drop-out or a door opened in between does not bend it. It is taken only between defrosts and while no door is open: what
a defrost or a door does to the air is no trend. The points are thinned to `POINTS` in a window, so that the rule
remembers as little for a reading every ten seconds as for one every five minutes.

A value that lies beyond the limit already has an alarm of its own; nothing is predicted then, and a prediction that
stands returns: it has come true. The verdict's `peak` is the shortest time to the limit foretold so far, in seconds,
and `peak_ms` when; it is no temperature.

Source: Sen 1968 (estimates of the regression coefficient based on Kendall's tau).
"""

from __future__ import annotations

from statistics import median
from typing import Final, NamedTuple

from hanlu.alerts.judge.contract import Judge, Move, Phase, Signals, Verdict
from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.parameters import TimeToLimitParameters

__all__ = ["TIME_TO_LIMIT", "TrendState"]

POINTS: Final = 12
"""Points kept of a window; 66 pairs."""
LEAST_POINTS: Final = 6
CLEAR: Final = 2.0
"""The prediction is gone when the limit is so many times further off than the rule asks."""
AGREEING: Final = 0.75
"""Share of the pairs whose slope must have the trend's sign: noise around a level has none."""


class TrendState(NamedTuple):
    """What is remembered.

    Attributes:
        newest_ms: newest observation.
        points: (ms, value) of the window, oldest first.
        since_ms: from when on the limit has been foretold to be near.
        raised: it has become an alarm.
        nearest_s: shortest time foretold.
        nearest_ms: when that was.
    """

    newest_ms: int | None = None
    points: tuple[tuple[int, float], ...] = ()
    since_ms: int | None = None
    raised: bool = False
    nearest_s: float = 0.0
    nearest_ms: int = 0


START: Final = TrendState()


def _step(
    state: TrendState, parameters: TimeToLimitParameters, at_ms: int, value: float, signals: Signals
) -> tuple[TrendState, Verdict | None]:
    newest = state.newest_ms
    if newest is not None and at_ms <= newest:
        return state, None
    setpoint, sign = parameters.setpoint, 1.0 if parameters.side == "high" else -1.0
    assert setpoint is not None, "resolved"
    room = (setpoint - value) * sign
    if signals.gap_ms or not _undisturbed(signals):
        return state._replace(newest_ms=at_ms, points=(), since_ms=state.since_ms if state.raised else None), None
    if room <= 0:
        return _gone(state, at_ms, value) if state.raised else (TrendState(at_ms), None)
    window_ms = parameters.window_s * 1000
    points = state.points
    if points and (at_ms - points[-1][0]) * POINTS < window_ms:
        return state._replace(newest_ms=at_ms), None
    points = (*(each for each in points[1 - POINTS :] if at_ms - each[0] <= window_ms), (at_ms, value))
    state = state._replace(newest_ms=at_ms, points=points)
    seconds = _seconds_to(points, room, sign, window_ms)
    if seconds is None or seconds > parameters.within_s * (CLEAR if state.raised else 1.0):
        if state.raised:
            return _gone(state, at_ms, value)
        return state._replace(since_ms=None), None
    since = at_ms if state.since_ms is None else state.since_ms
    if state.since_ms is None or seconds < state.nearest_s:
        state = state._replace(nearest_s=round(seconds, 1), nearest_ms=at_ms)
    state = state._replace(since_ms=since)
    if state.raised or at_ms - since < parameters.for_s * 1000:
        return state, None
    start = points[0][0]
    verdict = Verdict(Kind.TIME_TO_LIMIT, Move.RAISE, at_ms, value, start, state.nearest_s, state.nearest_ms)
    return state._replace(raised=True, since_ms=start), verdict


def _gone(state: TrendState, at_ms: int, value: float) -> tuple[TrendState, Verdict]:
    """End the alarm: the limit is crossed, or not near any more."""
    start = at_ms if state.since_ms is None else state.since_ms
    verdict = Verdict(Kind.TIME_TO_LIMIT, Move.RETURN, at_ms, value, start, state.nearest_s, state.nearest_ms)
    return TrendState(at_ms, state.points), verdict


def _undisturbed(signals: Signals) -> bool:
    """Tell whether what the air does now is its own doing."""
    phase: Phase = signals.phase
    if phase.began_ms is not None or (signals.defrost is not None and signals.defrost.on):
        return False
    return signals.door is None or not signals.door.on


def _seconds_to(points: tuple[tuple[int, float], ...], room: float, sign: float, window_ms: int) -> float | None:
    """Return after how many seconds `room` is used up along the trend; None without one that leads there."""
    if len(points) < LEAST_POINTS or (points[-1][0] - points[0][0]) * 3 < window_ms * 2:
        return None
    slopes = [
        sign * (later - earlier) / (later_ms - earlier_ms)
        for index, (earlier_ms, earlier) in enumerate(points)
        for later_ms, later in points[index + 1 :]
    ]
    slope = median(slopes)
    if slope <= 0 or sum(each > 0 for each in slopes) < AGREEING * len(slopes):
        return None
    return room / slope / 1000


TIME_TO_LIMIT = Judge(Kind.TIME_TO_LIMIT, START, _step)
