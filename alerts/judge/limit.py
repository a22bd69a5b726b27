"""HIGH, LOW, HIGH_HIGH, LOW_LOW: a value beyond its limit for longer than anything harmless explains.

Theory of operation. An excursion begins with the first reading beyond the limit and ends when a reading lies on the
good side of the deadband. It is an alarm once it has lasted the on-delay, and the alarm returns once the value has been
back for the off-delay. To this plain rule four things are added, each of which a rule can leave away:

* Held by design. While a defrost and the recovery to be expected after it (`cycle`), or a door that has just been
  opened, explain the value, time does not count. An excursion that outlasts the on-delay meanwhile is raised held: it
  is there to be seen and calls nobody. It is released as soon as it has lasted the on-delay without what was explained;
  at once, when the defrost departs from what is healthy, for then it has explained nothing; and soon, when the recovery
  is overdue. Explained time is bounded by `cycle` and, for doors, by the rule.
* On its way back. When the on-delay has passed and the value falls fast enough to be back soon, the alarm waits, at
  most for once more the on-delay: a room that was loaded and closed again needs nobody.
* Goods follow the air slowly. An alarm that has called returns when the goods, estimated from the air, are back too: a
  night of loading is one alarm and not six. Where goods cannot be back, because the room's mean lies too near its
  limit, the air being back for one time constant is enough.
* A gap is evidence of nothing: no excursion is bridged over one, every delay begins again after it, and an alarm that
  stands goes on standing.

Silence itself has a rule of its own, which runs on the platform's clock.

Source: ANSI/ISA-18.2-2016 annex on deadband and delay times, 5.4 (suppression by design); the event-time rule and what
a defrost explains are Hanlu's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, NamedTuple

from hanlu.alerts.judge.contract import Judge, Move, Signals, Verdict
from hanlu.alerts.kind import LIMIT_KINDS, Hold, Kind
from hanlu.alerts.rules.parameters import LimitParameters

__all__ = ["BEGIN", "LIMIT_JUDGES", "LimitState"]

_MINUTE: Final = 60_000
OVERDUE_MS: Final = 15 * _MINUTE
"""A held alarm calls so long after the recovery should have been over."""
AFTER_DOOR_MS: Final = 10 * _MINUTE
"""A closed door explains what it let in for so long: the air's own time constant."""
POINT_MS: Final = 150_000
"""One point of an excursion's trail in so much time."""
POINTS: Final = 9
"""Points of the trail: 20 min."""
LEAST_FALL: Final = 0.5
"""Less than so much in a quarter of an hour, in the channel's unit, is noise and no way back."""


class LimitState(NamedTuple):
    """What a limit rule remembers between two readings.

    Attributes:
        newest_ms: newest observation judged.
        start_ms: first observation of the excursion in hand; None when there is none.
        raised: it has become an alarm.
        held: why that calls nobody, a word of `Hold`; None when it calls.
        clear_ms: first observation back within the deadband; None when it is not back.
        peak: worst value of the excursion.
        peak_ms: when that was observed.
        excused_ms: how much of it something harmless has explained.
        door_ms: how much of that a door has.
        excusing: whether the newest reading was explained.
        goods: estimated temperature of goods; None where the rule does not ask.
        trail: (ms, value) of the excursion's last minutes, oldest first.
    """

    newest_ms: int | None = None
    start_ms: int | None = None
    raised: bool = False
    held: str | None = None
    clear_ms: int | None = None
    peak: float = 0.0
    peak_ms: int = 0
    excused_ms: int = 0
    door_ms: int = 0
    excusing: bool = False
    goods: float | None = None
    trail: tuple[tuple[int, float], ...] = ()


BEGIN: Final = LimitState()
"""The state of a limit rule that has seen nothing."""


def _step(
    kind: Kind, state: LimitState, parameters: LimitParameters, at_ms: int, value: float, signals: Signals
) -> tuple[LimitState, Verdict | None]:
    """Judge one reading; see `contract`. A reading no newer than the newest changes nothing."""
    newest = state.newest_ms
    if newest is not None and at_ms <= newest:
        return state, None
    elapsed = 0 if newest is None else at_ms - newest
    setpoint, gap_s = parameters.setpoint, parameters.gap_s
    assert setpoint is not None, "resolved"
    assert gap_s is not None, "resolved"
    gap = elapsed > gap_s * 1000
    goods = state.goods
    if parameters.goods_s:
        if goods is None:
            goods = value
        elif not gap:  # what the air was in a gap nobody knows
            goods += (value - goods) * elapsed / (parameters.goods_s * 1000 + elapsed)
    excess = value - setpoint if kind in _UP else setpoint - value
    if state.start_ms is None and excess <= 0:  # nearly every reading ends here
        return LimitState(at_ms, goods=goods), None
    hold = _hold(kind, state, parameters, at_ms, signals)
    if state.raised:
        return _standing(kind, state, parameters, at_ms, value, excess, elapsed, gap, hold, goods, signals)
    return _pending(kind, state, parameters, at_ms, value, excess, elapsed, gap, hold, goods, signals)


def _pending(
    kind: Kind,
    state: LimitState,
    parameters: LimitParameters,
    at_ms: int,
    value: float,
    excess: float,
    elapsed: int,
    gap: bool,
    hold: Hold | None,
    goods: float | None,
    signals: Signals,
) -> tuple[LimitState, Verdict | None]:
    """Judge a reading while no alarm is raised: an excursion begins, goes on, ends, or is confirmed."""
    assert parameters.deadband is not None, "resolved"
    assert parameters.on_delay_s is not None, "resolved"
    fresh = state.start_ms is None or gap
    if excess <= -parameters.deadband or (fresh and excess <= 0):
        return LimitState(at_ms, goods=goods), None
    if fresh or state.start_ms is None:
        start, peak, peak_ms = at_ms, value, at_ms
        excused, door = 0, 0
        trail: tuple[tuple[int, float], ...] = ()
    else:
        start = state.start_ms
        peak, peak_ms = _worst(kind, state, at_ms, value)
        excused, door = _excused(state, parameters, at_ms, elapsed, hold, signals)
        trail = state.trail
    if parameters.recover_s:
        trail = _longer(trail, at_ms, value)
    after = LimitState(at_ms, start, False, None, None, peak, peak_ms, excused, door, hold is not None, goods, trail)
    due_ms = parameters.on_delay_s * 1000
    if at_ms - start < due_ms:
        return after, None
    if hold is None and (at_ms - start - excused < due_ms or _coming_back(parameters, after, excess, kind)):
        return after, None
    held = None if hold is None else hold.value
    raised = after._replace(raised=True, held=held)
    return raised, Verdict(kind, Move.RAISE, at_ms, value, start, peak, peak_ms, hold=hold)


def _standing(
    kind: Kind,
    state: LimitState,
    parameters: LimitParameters,
    at_ms: int,
    value: float,
    excess: float,
    elapsed: int,
    gap: bool,
    hold: Hold | None,
    goods: float | None,
    signals: Signals,
) -> tuple[LimitState, Verdict | None]:
    """Judge a reading while the alarm stands: it goes on, is released from its hold, or the return is confirmed."""
    assert parameters.deadband is not None, "resolved"
    assert parameters.on_delay_s is not None, "resolved"
    assert parameters.off_delay_s is not None, "resolved"
    assert state.start_ms is not None, "an alarm has a start"
    start = state.start_ms
    peak, peak_ms = _worst(kind, state, at_ms, value)
    # What a defrost explains does not undo a return on its way, neither does it complete one.
    clear = None if gap or (excess > 0 and hold is None) else state.clear_ms
    if clear is None and excess <= -parameters.deadband:
        clear = at_ms
    excused, door = _excused(state, parameters, at_ms, elapsed, hold, signals)
    if gap:
        excused = at_ms - start  # delays begin again
    trail = _longer(state.trail, at_ms, value) if parameters.recover_s else ()
    after = LimitState(
        at_ms, start, True, state.held, clear, peak, peak_ms, excused, door, hold is not None, goods, trail
    )
    if state.held is None:
        back = clear is not None and excess <= 0 and at_ms - clear >= parameters.off_delay_s * 1000
        if back and clear is not None and _goods_back(kind, parameters, goods, at_ms - clear):
            return LimitState(at_ms, goods=goods), Verdict(kind, Move.RETURN, at_ms, value, start, peak, peak_ms)
        return after, None
    if clear is not None and not gap:  # what has called nobody can go without a delay
        return LimitState(at_ms, goods=goods), Verdict(kind, Move.RETURN, at_ms, value, start, peak, peak_ms)
    departed = hold is None and excess > 0 and at_ms - start - excused >= parameters.on_delay_s * 1000
    if departed and not _coming_back(parameters, after, excess, kind):
        return after._replace(held=None), Verdict(kind, Move.RELEASE, at_ms, value, start, peak, peak_ms)
    return after, None


def _hold(kind: Kind, state: LimitState, parameters: LimitParameters, at_ms: int, signals: Signals) -> Hold | None:
    """Return what harmless explains the value now."""
    if parameters.hold_defrost and kind in _UP and signals.phase.ceiling is not None:
        return Hold.DEFROST_SEEN if signals.phase.by_shape else Hold.DEFROST
    door, longest_ms = signals.door, parameters.hold_door_s * 1000
    if door is not None and longest_ms and state.door_ms < longest_ms:
        if door.on:
            return Hold.DOOR if at_ms - door.since_ms < longest_ms else None
        return Hold.DOOR if door.off_ms is not None and at_ms - door.off_ms < AFTER_DOOR_MS else None
    return None


def _excused(
    state: LimitState, parameters: LimitParameters, at_ms: int, elapsed: int, hold: Hold | None, signals: Signals
) -> tuple[int, int]:
    """Return how much of the excursion is explained, and how much of it by a door, with this reading."""
    assert state.start_ms is not None, "an excursion has a start"
    assert parameters.on_delay_s is not None, "resolved"
    if hold is not None:
        return state.excused_ms + elapsed, state.door_ms + (elapsed if hold is Hold.DOOR else 0)
    if not state.excusing:
        return state.excused_ms, state.door_ms
    phase = signals.phase
    over = phase.began_ms is None or (phase.expected_end_ms is not None and at_ms >= phase.expected_end_ms)
    if not over or phase.name == "defrost":
        return state.door_ms, state.door_ms  # departed: the defrost has explained nothing
    most = at_ms - state.start_ms - max(0, parameters.on_delay_s * 1000 - OVERDUE_MS)
    return max(state.door_ms, min(state.excused_ms, most)), state.door_ms


def _coming_back(parameters: LimitParameters, state: LimitState, excess: float, kind: Kind) -> bool:
    """Tell whether the value falls fast enough to be back within `recover_s`, and has not been given long enough."""
    assert state.newest_ms is not None, "a reading has been judged"
    assert state.start_ms is not None, "an excursion has a start"
    assert parameters.on_delay_s is not None, "resolved"
    if not parameters.recover_s:
        return False
    at_ms = state.newest_ms
    if at_ms - state.start_ms - state.excused_ms >= 2 * parameters.on_delay_s * 1000:
        return False
    new = [each for each in state.trail if at_ms - each[0] <= 5 * _MINUTE]
    old = [each for each in state.trail if 10 * _MINUTE <= at_ms - each[0] <= 20 * _MINUTE]
    if not new or not old:
        return False
    took_ms = sum(ms for ms, _ in new) / len(new) - sum(ms for ms, _ in old) / len(old)
    fall = sum(value for _, value in old) / len(old) - sum(value for _, value in new) / len(new)
    if kind not in _UP:
        fall = -fall
    return fall >= LEAST_FALL and fall * parameters.recover_s * 1000 >= excess * took_ms


def _goods_back(kind: Kind, parameters: LimitParameters, goods: float | None, back_ms: int) -> bool:
    """Tell whether goods are back, as far as the air can tell."""
    assert parameters.setpoint is not None
    if not parameters.goods_s or goods is None or back_ms >= parameters.goods_s * 1000:
        return True
    inside = parameters.setpoint - goods if kind in _UP else goods - parameters.setpoint
    return inside >= parameters.goods_inside


def _longer(trail: tuple[tuple[int, float], ...], at_ms: int, value: float) -> tuple[tuple[int, float], ...]:
    """Return the trail with this reading, where it is time for another point."""
    if trail and at_ms - trail[-1][0] < POINT_MS:
        return trail
    return (*trail[1 - POINTS :], (at_ms, value))


def _worst(kind: Kind, state: LimitState, at_ms: int, value: float) -> tuple[float, int]:
    """Return the worst value of the excursion and its time, the earlier one where two are equal."""
    worse = value > state.peak if kind in _UP else value < state.peak
    return (value, at_ms) if worse else (state.peak, state.peak_ms)


def _late(kind: Kind, parameters: LimitParameters, value: float) -> bool:
    """Tell whether a late reading lies beyond the limit."""
    assert parameters.setpoint is not None
    return value > parameters.setpoint if kind in _UP else value < parameters.setpoint


_UP: Final = frozenset({Kind.HIGH, Kind.HIGH_HIGH})

LIMIT_JUDGES: Final[Mapping[Kind, Judge]] = {
    kind: Judge(kind, BEGIN, partial(_step, kind), partial(_late, kind)) for kind in sorted(LIMIT_KINDS)
}
