"""RATE: the value moves faster than the room can.

The slope is that of the least-squares line through the means of six slots of the window, so that a single reading or
the swirl before a probe makes none. A window that is not full (just begun, a gap) gives no verdict.

What moves the air by design is left out: the window begins anew after a defrost, the recovery from it and an open
door, each of which has an alarm of its own when it lasts. A defrost that only the curve shows is known a few minutes
after it has begun, so where the room has no defrost contact the slope must last for a second window before it is an
alarm; then the phase has said what it is.

It returns when the slope is below half the limit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hanlu.alerts.judge import lasting
from hanlu.alerts.judge.contract import Judge, Signals, Verdict
from hanlu.alerts.judge.lasting import QUIET, Lasting
from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.parameters import RateParameters

__all__ = ["RATE", "RateState"]

_SLOTS: Final = 6
_HOUR: Final = 3_600_000.0


class RateState(NamedTuple):
    """What is remembered.

    Attributes:
        slots: (mean time since `from_ms`, mean value) of the slots that are complete, at most `_SLOTS`.
        from_ms: when the slot in hand began, None before the first reading.
        readings: how many are in it.
        time_sum: of their times since `from_ms`, milliseconds.
        value_sum: of their values.
        timer: of the condition.
    """

    slots: tuple[tuple[float, float], ...] = ()
    from_ms: int | None = None
    readings: int = 0
    time_sum: float = 0.0
    value_sum: float = 0.0
    timer: Lasting = QUIET

    @property
    def raised(self) -> bool:
        """Whether the alarm stands."""
        return self.timer.raised


def _step(
    state: RateState, parameters: RateParameters, at_ms: int, value: float, signals: Signals
) -> tuple[RateState, Verdict | None]:
    disturbed = _disturbed(signals)
    if disturbed or signals.gap_ms or state.from_ms is None:
        return _anew(state, at_ms, value, signals, disturbed)
    slot_ms = parameters.window_s * 1000 // _SLOTS
    if at_ms - state.from_ms < slot_ms:
        return RateState(
            state.slots,
            state.from_ms,
            state.readings + 1,
            state.time_sum + (at_ms - state.from_ms),
            state.value_sum + value,
            state.timer,
        ), None
    done = (state.from_ms + state.time_sum / state.readings, state.value_sum / state.readings)
    slots = (*state.slots[-(_SLOTS - 1) :], done)
    timer, verdict = state.timer, None
    if len(slots) == _SLOTS or timer.raised:
        slope = _slope(slots) if len(slots) >= 2 else 0.0
        size = {"up": slope, "down": -slope, "both": abs(slope)}[parameters.direction]
        holds: bool | None = size > parameters.per_hour
        if timer.raised and not holds and size > parameters.per_hour / 2:
            holds = None
        told = signals.defrost is not None or signals.phase.name == "unknown"
        timer, verdict = lasting.last(
            timer,
            Kind.RATE,
            holds,
            at_ms,
            value,
            for_ms=0 if told else parameters.window_s * 1000,
            upward=slope >= 0,
        )
    return RateState(slots, at_ms, 1, 0.0, value, timer), verdict


def _disturbed(signals: Signals) -> bool:
    return (
        signals.phase.name in {"defrost", "recovery"}
        or (signals.defrost is not None and signals.defrost.on)
        or (signals.door is not None and signals.door.on)
    )


def _anew(
    state: RateState, at_ms: int, value: float, signals: Signals, disturbed: bool
) -> tuple[RateState, Verdict | None]:
    """Begin the window again; an alarm that stands ends when what it showed has turned out to be by design."""
    if not state.timer.raised:
        return RateState((), at_ms, 1, 0.0, value), None
    timer, verdict = lasting.last(state.timer, Kind.RATE, None if not disturbed else False, at_ms, value, for_ms=0)
    return RateState((), at_ms, 1, 0.0, value, timer), verdict


def _slope(slots: tuple[tuple[float, float], ...]) -> float:
    """Return the slope of the least-squares line, units an hour."""
    count = len(slots)
    time_mean = sum(slot[0] for slot in slots) / count
    value_mean = sum(slot[1] for slot in slots) / count
    above = sum((at - time_mean) * (value - value_mean) for at, value in slots)
    below = sum((at - time_mean) ** 2 for at, _ in slots)
    return above / below * _HOUR if below else 0.0


RATE = Judge(Kind.RATE, RateState(), _step)
