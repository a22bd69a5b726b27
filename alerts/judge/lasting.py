"""A condition that must last before it is an alarm, and must have been gone before the alarm returns.

Most of the judges ask one question of a reading (is the door open, is the spool full?) and share this answer to "for
how long". The rules of time are those of a limit: a gap proves nothing, so a delay that was running begins again with
the first reading after it, and an alarm that stands goes on standing until readings say otherwise.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hanlu.alerts.judge.contract import Move, Verdict
from hanlu.alerts.kind import Cause, Kind

__all__ = ["QUIET", "Lasting", "due", "last"]


class Lasting(NamedTuple):
    """What is remembered of the condition.

    Attributes:
        since_ms: first observation of the condition in hand, None while there is none.
        raised: it has become an alarm.
        clear_ms: first observation of its absence since, None while it holds.
        peak: worst value of it.
        peak_ms: when that was observed.
    """

    since_ms: int | None = None
    raised: bool = False
    clear_ms: int | None = None
    peak: float | None = None
    peak_ms: int | None = None


QUIET: Final = Lasting()


def last(
    state: Lasting,
    kind: Kind,
    holds: bool | None,
    at_ms: int,
    value: float,
    *,
    for_ms: int,
    clear_ms: int = 0,
    since_ms: int | None = None,
    gap: bool = False,
    upward: bool = True,
    cause: Cause = Cause.UNKNOWN,
) -> tuple[Lasting, Verdict | None]:
    """Follow the condition over one reading.

    Args:
        state: what is remembered.
        kind: of the alarm.
        holds: whether the reading shows the condition; None when it cannot tell, which changes nothing.
        at_ms: time of observation.
        value: what was read, for the verdict.
        for_ms: how long it must hold, milliseconds.
        clear_ms: how long it must have been gone.
        since_ms: when it began, where the judge knows better than "with this reading".
        gap: readings are missing just before this one.
        upward: whether the greater value is the worse.
        cause: what lies behind it, where the kind says so by itself.
    """
    if holds is None or (state.since_ms is None and not holds):  # nearly every reading ends here
        return state, None
    if state.raised:
        return _standing(state, kind, holds, at_ms, value, clear_ms, gap, upward, cause)
    if not holds:
        return QUIET, None
    fresh = state.since_ms is None or gap
    start = at_ms if since_ms is None or gap else min(since_ms, at_ms)
    if not fresh and state.since_ms is not None:
        start = min(start, state.since_ms)
    peak, peak_ms = (value, at_ms) if fresh else _worst(state, at_ms, value, upward)
    if at_ms - start < for_ms:
        return Lasting(start, False, None, peak, peak_ms), None
    after = Lasting(start, True, None, peak, peak_ms)
    return after, Verdict(kind, Move.RAISE, at_ms, value, start, peak, peak_ms, cause=cause)


def due(state: Lasting, for_ms: int) -> int | None:
    """Return when the condition in hand becomes an alarm if nothing more is heard, None when there is none in hand."""
    return None if state.raised or state.since_ms is None else state.since_ms + for_ms


def _standing(
    state: Lasting,
    kind: Kind,
    holds: bool,
    at_ms: int,
    value: float,
    clear_ms: int,
    gap: bool,
    upward: bool,
    cause: Cause,
) -> tuple[Lasting, Verdict | None]:
    peak, peak_ms = _worst(state, at_ms, value, upward)
    if holds:
        return Lasting(state.since_ms, True, None, peak, peak_ms), None
    clear = at_ms if state.clear_ms is None or gap else state.clear_ms
    if at_ms - clear < clear_ms:
        return Lasting(state.since_ms, True, clear, peak, peak_ms), None
    assert state.since_ms is not None
    returned = Verdict(kind, Move.RETURN, at_ms, value, state.since_ms, state.peak, state.peak_ms, cause=cause)
    return QUIET, returned


def _worst(state: Lasting, at_ms: int, value: float, upward: bool) -> tuple[float, int]:
    """Return the worst value so far and its time, the earlier one where two are equal."""
    if state.peak is None or state.peak_ms is None:
        return value, at_ms
    worse = value > state.peak if upward else value < state.peak
    return (value, at_ms) if worse else (state.peak, state.peak_ms)
