"""DOSE and OUT_OF_RANGE: what the goods have borne beyond the limit within a sliding window, however often it returned.

Between two readings the value runs in a straight line (`segment.py`); DOSE adds up the area beyond the limit in
channel units times minutes, OUT_OF_RANGE the minutes. A gap adds nothing: nobody knows.

The window is kept in slots of a 96th of it (15 min of a day), cut exactly where the line crosses a slot's border, so
the sum is exact; what is bounded is only how finely its far end moves: the window is the slot in hand and the 96
before it. Slots without anything are not kept, so a room that keeps to its limits remembers nothing.

Defrosts are by design and short against the hours in which goods follow the air (8 to 30 h), so minutes of a defrost
and the recovery to be expected after it are left out unless `count_defrost` says otherwise. A recovery that is not as
expected ends that.

The alarm comes when the sum exceeds what the rule allows, and returns when enough has slid out of the window: below
nine tenths, with the value back on the good side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from hanlu.alerts.judge.contract import Judge, Move, Signals, Verdict
from hanlu.alerts.judge.segment import Beyond, beyond, value_at
from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.parameters import DoseParameters, OutOfRangeParameters

__all__ = ["DOSE", "OUT_OF_RANGE", "DoseState", "total"]

_SLOTS: Final = 96
_BACK: Final = 0.9


class DoseState(NamedTuple):
    """What is remembered.

    Attributes:
        newest_ms: newest reading, None before the first.
        value: what it said.
        slots: (number of the slot, amount) of those with anything in them, oldest first, at most 97.
        since_ms: when the oldest amount still in the window began, None while there is none.
        raised: the alarm stands.
        peak: worst value since `since_ms`.
        peak_ms: when that was observed.
    """

    newest_ms: int | None = None
    value: float = 0.0
    slots: tuple[tuple[int, float], ...] = ()
    since_ms: int | None = None
    raised: bool = False
    peak: float | None = None
    peak_ms: int | None = None


def total(state: DoseState) -> float:
    """Return what is in the window, degree-minutes or minutes."""
    return sum(amount for _, amount in state.slots)


def _step(
    kind: Kind,
    allowed: float,
    measure: Callable[[Beyond], float],
    state: DoseState,
    parameters: Any,
    at_ms: int,
    value: float,
    signals: Signals,
) -> tuple[DoseState, Verdict | None]:
    upward = parameters.side == "high"
    limit = parameters.setpoint
    excess = value - limit if upward else limit - value
    newest = state.newest_ms
    left_out = not parameters.count_defrost and signals.phase.name in {"defrost", "recovery"}
    was_good = newest is None or (state.value <= limit if upward else state.value >= limit)
    if not state.slots and not state.raised and ((excess <= 0 and was_good) or left_out):  # nearly every reading
        return DoseState(at_ms, value), None
    slot_ms = parameters.window_s * 1000 // _SLOTS
    slots, since = state.slots, state.since_ms
    if newest is not None and not signals.gap_ms and not left_out:
        slots, began = _added(slots, newest, state.value, at_ms, value, limit, upward, slot_ms, measure)
        since = began if since is None else since
    oldest = at_ms // slot_ms - _SLOTS
    if slots and slots[0][0] < oldest:
        slots = tuple(slot for slot in slots if slot[0] >= oldest)
        since = slots[0][0] * slot_ms if slots else None
    peak, peak_ms = state.peak, state.peak_ms
    if excess > 0 and not left_out and (peak is None or (value > peak if upward else value < peak)):
        peak, peak_ms = value, at_ms
    amount = sum(each for _, each in slots)
    raised = amount > allowed or (state.raised and (amount > _BACK * allowed or excess > 0))
    if not slots and not raised and excess <= 0:
        peak = peak_ms = None
    after = DoseState(at_ms, value, slots, since, raised, peak, peak_ms)
    if raised is state.raised:
        return after, None
    start = since if raised else state.since_ms
    move = Move.RAISE if raised else Move.RETURN
    shown, shown_ms = (peak, peak_ms) if raised else (state.peak, state.peak_ms)
    return after, Verdict(kind, move, at_ms, value, at_ms if start is None else start, shown, shown_ms)


def _added(
    slots: tuple[tuple[int, float], ...],
    from_ms: int,
    from_value: float,
    to_ms: int,
    to_value: float,
    limit: float,
    upward: bool,
    slot_ms: int,
    measure: Callable[[Beyond], float],
) -> tuple[tuple[tuple[int, float], ...], int | None]:
    """Return the slots with the line between two readings added, cut at their borders, and where it went beyond."""
    began: int | None = None
    start, start_value = float(from_ms), from_value
    newest = to_ms // slot_ms
    if newest - from_ms // slot_ms > _SLOTS:  # what lies before the window is not worth cutting up
        start = float((newest - _SLOTS) * slot_ms)
        start_value = value_at(start, from_ms, from_value, to_ms, to_value)
    for number in range(int(start) // slot_ms, newest + 1):
        border = (number + 1) * slot_ms
        end, end_value = float(to_ms), to_value
        if border < to_ms:
            end, end_value = float(border), value_at(border, from_ms, from_value, to_ms, to_value)
        part = beyond(start, start_value, end, end_value, limit, upward=upward)
        amount = measure(part)
        if amount > 0:
            began = round(part.from_ms) if began is None else began
            if slots and slots[-1][0] == number:
                slots = (*slots[:-1], (number, slots[-1][1] + amount))
            else:
                slots = (*slots, (number, amount))
        start, start_value = end, end_value
    return slots, began


def _dose(
    state: DoseState, parameters: DoseParameters, at_ms: int, value: float, signals: Signals
) -> tuple[DoseState, Verdict | None]:
    return _step(Kind.DOSE, parameters.degree_minutes, _area, state, parameters, at_ms, value, signals)


def _out_of_range(
    state: DoseState, parameters: OutOfRangeParameters, at_ms: int, value: float, signals: Signals
) -> tuple[DoseState, Verdict | None]:
    return _step(Kind.OUT_OF_RANGE, parameters.minutes, _minutes, state, parameters, at_ms, value, signals)


def _area(part: Beyond) -> float:
    return part.degree_minutes


def _minutes(part: Beyond) -> float:
    return part.minutes


def _late(parameters: Any, value: float) -> bool:
    """Tell whether a late reading lies beyond the limit: what has been added up may want correcting."""
    return bool(value > parameters.setpoint if parameters.side == "high" else value < parameters.setpoint)


DOSE = Judge(Kind.DOSE, DoseState(), _dose, _late)
OUT_OF_RANGE = Judge(Kind.OUT_OF_RANGE, DoseState(), _out_of_range, _late)
