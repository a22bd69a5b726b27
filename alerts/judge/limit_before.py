"""The limit rule of before: still behind `watch` until the engine judges by rooms; `limit` is what replaces it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from hanlu.alerts.alarm import Event
from hanlu.alerts.kind import Kind

__all__ = ["QUIET", "Limit", "RuleState", "Transition", "silent_at", "step"]


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of one channel.

    Attributes:
        kind: HIGH or LOW.
        value: the setpoint, in the channel's unit.
        deadband: how far on the good side a value must be to count as back, >= 0, in the channel's unit.
        on_delay_ms: how long the limit must be exceeded, milliseconds, >= 0.
        off_delay_ms: how long it must be kept again, milliseconds, >= 0.
        gap_ms: longest time between two readings that still tells what was between them, milliseconds, > 0.
        priority: 1 critical, 2 high, 3 low.
    """

    kind: Kind
    value: float
    deadband: float
    on_delay_ms: int
    off_delay_ms: int
    gap_ms: int
    priority: int = 2


class RuleState(NamedTuple):
    """What a rule remembers between two readings.

    Attributes:
        newest_ms: newest observation judged, Unix milliseconds; None before the first.
        start_ms: first observation of the excursion in hand; None when there is none.
        raised: whether the excursion in hand has become an alarm.
        clear_ms: first observation back within the deadband; None when it is not back.
        peak: worst value of the excursion in hand.
        peak_ms: when that was observed.
    """

    newest_ms: int | None = None
    start_ms: int | None = None
    raised: bool = False
    clear_ms: int | None = None
    peak: float | None = None
    peak_ms: int | None = None


QUIET: Final = RuleState()
"""The state of a rule that has seen nothing."""


class Transition(NamedTuple):
    """An alarm raised or returned.

    Attributes:
        event: RAISE or RETURN.
        at_ms: observation that completed the delay, Unix milliseconds.
        value: what it said.
        start_ms: first observation of the excursion.
        peak: worst value so far.
        peak_ms: when that was observed.
    """

    event: Event
    at_ms: int
    value: float
    start_ms: int
    peak: float
    peak_ms: int


def step(state: RuleState, limit: Limit, observed_ms: int, value: float) -> tuple[RuleState, Transition | None]:
    """Judge one reading.

    Args:
        state: what the rule remembers of this channel.
        limit: the limit in force.
        observed_ms: time of observation, Unix milliseconds UTC.
        value: finite, in the channel's unit.

    Returns:
        The new state, and a transition when there is one. A reading no newer than the newest changes nothing.
    """
    newest = state.newest_ms
    if newest is not None and observed_ms <= newest:
        return state, None
    excess = value - limit.value if limit.kind is Kind.HIGH else limit.value - value
    if state.start_ms is None and excess <= 0:  # nearly every reading ends here
        return RuleState(observed_ms), None
    after_gap = newest is not None and observed_ms - newest > limit.gap_ms
    if state.raised:
        return _step_raised(state, limit, observed_ms, value, excess, after_gap)
    return _step_pending(state, limit, observed_ms, value, excess, after_gap)


def silent_at(heard_ms: int, watched_from_ms: int, no_data_ms: int, now_ms: int) -> int | None:
    """Return since when a channel counts as silent, Unix milliseconds, or None while it does not.

    Args:
        heard_ms: when the platform last took in a live reading of the channel.
        watched_from_ms: since when the engine has been listening; silence before that proves nothing, since nobody
            was there to hear.
        no_data_ms: longest silence allowed, milliseconds.
        now_ms: the platform's clock.
    """
    due = max(heard_ms, watched_from_ms) + no_data_ms
    return due if now_ms >= due else None


def _step_pending(
    state: RuleState, limit: Limit, observed_ms: int, value: float, excess: float, after_gap: bool
) -> tuple[RuleState, Transition | None]:
    """Judge a reading while no alarm is raised: an excursion begins, goes on, ends, or is confirmed."""
    fresh = state.start_ms is None or after_gap
    if excess <= -limit.deadband or (fresh and excess <= 0):
        return RuleState(observed_ms), None
    start = observed_ms if fresh or state.start_ms is None else state.start_ms
    peak, peak_ms = (value, observed_ms) if fresh else _worst(state, limit, observed_ms, value)
    if observed_ms - start < limit.on_delay_ms:
        return RuleState(observed_ms, start, False, None, peak, peak_ms), None
    raised = RuleState(observed_ms, start, True, None, peak, peak_ms)
    return raised, Transition(Event.RAISE, observed_ms, value, start, peak, peak_ms)


def _step_raised(
    state: RuleState, limit: Limit, observed_ms: int, value: float, excess: float, after_gap: bool
) -> tuple[RuleState, Transition | None]:
    """Judge a reading while the alarm stands: it goes on, or the return is confirmed."""
    peak, peak_ms = _worst(state, limit, observed_ms, value)
    clear = None if after_gap or excess > 0 else state.clear_ms
    if clear is None and excess <= -limit.deadband:
        clear = observed_ms
    if clear is None or observed_ms - clear < limit.off_delay_ms:
        return RuleState(observed_ms, state.start_ms, True, clear, peak, peak_ms), None
    assert state.start_ms is not None
    return RuleState(observed_ms), Transition(Event.RETURN, observed_ms, value, state.start_ms, peak, peak_ms)


def _worst(state: RuleState, limit: Limit, observed_ms: int, value: float) -> tuple[float, int]:
    """Return the worst value of the excursion and its time, the earlier one where two are equal."""
    if state.peak is None or state.peak_ms is None:
        return value, observed_ms
    worse = value > state.peak if limit.kind is Kind.HIGH else value < state.peak
    return (value, observed_ms) if worse else (state.peak, state.peak_ms)
