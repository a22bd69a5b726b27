"""DEFROST_LONG, DEFROST_OFTEN, DEFROST_RECOVERY: a defrost is by design only as long as it goes as defrosts go.

All three sit on the room's air and rest on `Signals.phase`, which the contact tells or, where there is none, the
curve.

*Too long.* The defrost has been going on for `longest_s` since it began. A heater that stays on, a thermostat that
does not end it, a contactor that sticks.

*Too often.* More than `most` begin within `window_s`; or, told by the contact, twice the room's own habit (a sliding
mean over whole windows, known after two of them) and at least three more than that. What only the curve shows may be a
door as well, so there the habit is not held against the room.

*Does not recover.* From the end of the defrost the room has `within_s` to come within `margin` of its own level, the
one it had when the defrost began. A healthy room needs 13 to 25 min, a failing one was measured at 72; a room in which
people work takes longer, so twice what this one usually needs is allowed, and while it is falling by more than 1 K an
hour, as long again. A new defrost,
a door left open (it has an alarm of its own) and a gap end the waiting; a gap while the alarm stands does not end the
alarm.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hanlu.alerts.judge import lasting
from hanlu.alerts.judge.contract import Judge, Move, Signals, Verdict
from hanlu.alerts.judge.lasting import QUIET, Lasting
from hanlu.alerts.kind import Cause, Kind
from hanlu.alerts.rules.parameters import DefrostLongParameters, DefrostOftenParameters, DefrostRecoveryParameters

__all__ = ["DEFROST_LONG", "DEFROST_OFTEN", "DEFROST_RECOVERY", "OftenState", "RecoveryState"]

_HABIT_WINDOWS: Final = 2
"""Whole windows until a habit is known."""
_HABIT_FADES: Final = 7
"""Windows over which it is a mean."""
_MORE: Final = 3
"""Twice next to nothing is next to nothing: so many more at least."""
_RECOVERIES: Final = 10
_RECOVERIES_KNOWN: Final = 3
_PASSAGE_MS: Final = 5 * 60_000
"""A door that is open for no longer explains no slow recovery."""
_SMOOTH_MS: Final = 10 * 60_000
_SLOPE_MS: Final = 30 * 60_000


def _defrosting(signals: Signals) -> bool:
    return signals.phase.name == "defrost" or (signals.defrost is not None and signals.defrost.on)


def _began(signals: Signals, at_ms: int) -> int:
    """Return when the defrost in hand began: the contact knows it best."""
    if signals.defrost is not None and signals.defrost.on:
        return signals.defrost.since_ms
    began = signals.phase.began_ms
    return signals.phase.since_ms if began is None else min(began, at_ms)


def _long(
    state: Lasting, parameters: DefrostLongParameters, at_ms: int, value: float, signals: Signals
) -> tuple[Lasting, Verdict | None]:
    defrosting = _defrosting(signals)
    return lasting.last(
        state,
        Kind.DEFROST_LONG,
        defrosting,
        at_ms,
        value,
        for_ms=parameters.longest_s * 1000,
        since_ms=_began(signals, at_ms) if defrosting else None,
        gap=signals.gap_ms > 0,
        cause=Cause.DEFROST_FAULT,
    )


class OftenState(NamedTuple):
    """What is remembered.

    Attributes:
        began: when the defrosts in the window began, oldest first.
        defrosting: one was in hand at the last reading.
        window_ms: begin of the whole window that the habit counts at the moment, None before the first reading.
        begun: defrosts in it.
        habit: defrosts a window, sliding.
        windows: whole windows it has seen.
        broken: the window in hand has a gap, so it teaches nothing.
        raised: the alarm stands.
        since_ms: begin of the defrost with which it came.
    """

    began: tuple[int, ...] = ()
    defrosting: bool = False
    window_ms: int | None = None
    begun: int = 0
    habit: float = 0.0
    windows: int = 0
    broken: bool = False
    raised: bool = False
    since_ms: int | None = None


def _often(
    state: OftenState, parameters: DefrostOftenParameters, at_ms: int, value: float, signals: Signals
) -> tuple[OftenState, Verdict | None]:
    defrosting, window = _defrosting(signals), parameters.window_s * 1000
    begins = defrosting and not state.defrosting and not signals.gap_ms
    expired = bool(state.began) and at_ms - state.began[0] >= window
    turned = state.window_ms is None or at_ms - state.window_ms >= window
    if not (begins or expired or turned or signals.gap_ms):  # nearly every reading
        return (state if state.defrosting is defrosting else state._replace(defrosting=defrosting)), None
    began = tuple(each for each in state.began if at_ms - each < window)
    if begins:
        began = (*began, _began(signals, at_ms))[-(parameters.most + 1) :]
    window_ms, count, habit, windows = state.window_ms, state.begun, state.habit, state.windows
    broken = state.broken or signals.gap_ms > 0
    if turned:
        if window_ms is not None and not broken and not state.raised:
            windows = min(windows + 1, _HABIT_FADES)
            habit += (count - habit) / windows
        window_ms, count, broken = at_ms, 0, signals.gap_ms > 0
    count += begins
    allowed: float = parameters.most
    if windows >= _HABIT_WINDOWS and signals.defrost is not None:
        allowed = min(allowed, max(2 * habit, habit + _MORE))
    raised = len(began) > allowed
    since = (began[0] if raised else None) if raised is not state.raised else state.since_ms
    after = OftenState(began, defrosting, window_ms, count, habit, windows, broken, raised, since)
    if raised is state.raised:
        return after, None
    start = since if raised else state.since_ms
    move = Move.RAISE if raised else Move.RETURN
    return after, Verdict(
        Kind.DEFROST_OFTEN, move, at_ms, value, at_ms if start is None else start, cause=Cause.DEFROST_FAULT
    )


class RecoveryState(NamedTuple):
    """What is remembered.

    Attributes:
        defrosting: a defrost was in hand at the last reading.
        level: the room's own level when it began, None while unknown.
        end_ms: when it ended and the waiting began, None while nothing is waited for.
        usual_ms: how long recoveries usually take, mean of the last ten.
        recovered: how many of them are known, at most ten.
        mark_ms: when `mark` was taken, half an hour ago at most.
        mark: mean value then.
        smooth: mean of ten minutes.
        slope: kelvin an hour over the last half hour, None while unknown.
        newest_ms: newest reading since the end.
        timer: of the condition, begun at `end_ms`.
    """

    defrosting: bool = False
    level: float | None = None
    end_ms: int | None = None
    usual_ms: float = 0.0
    recovered: int = 0
    mark_ms: int | None = None
    mark: float = 0.0
    smooth: float = 0.0
    slope: float | None = None
    newest_ms: int | None = None
    timer: Lasting = QUIET

    @property
    def raised(self) -> bool:
        """Whether the alarm stands."""
        return self.timer.raised


def _recovery(
    state: RecoveryState, parameters: DefrostRecoveryParameters, at_ms: int, value: float, signals: Signals
) -> tuple[RecoveryState, Verdict | None]:
    if _defrosting(signals):
        if state.defrosting:
            return state, None
        # An alarm that stands goes on standing: the next defrost cannot make the room colder.
        level = state.level if state.timer.raised else signals.phase.baseline
        timer = state.timer if state.timer.raised else QUIET
        return RecoveryState(True, level, None, state.usual_ms, state.recovered, timer=timer), None
    if state.defrosting:
        began = RecoveryState(
            False, state.level, at_ms, state.usual_ms, state.recovered, at_ms, value, value, None, at_ms, state.timer
        )
        return (began if state.level is not None else began._replace(end_ms=None)), None
    if state.level is None or (state.end_ms is None and not state.timer.raised):
        return state, None
    back = value <= state.level + parameters.margin
    if not state.timer.raised:
        if back and not signals.gap_ms and state.end_ms is not None:
            recovered = min(state.recovered + 1, _RECOVERIES)
            usual = state.usual_ms + (at_ms - state.end_ms - state.usual_ms) / recovered
            return RecoveryState(usual_ms=usual, recovered=recovered), None
        door = signals.door
        propped = door is not None and door.on and at_ms - door.since_ms >= _PASSAGE_MS
        if back or signals.gap_ms or propped:
            return RecoveryState(usual_ms=state.usual_ms, recovered=state.recovered), None
    state = _sloped(state, at_ms, value, signals.gap_ms > 0)
    allowed = parameters.within_s * 1000.0
    if state.recovered >= _RECOVERIES_KNOWN:
        allowed = max(allowed, 2 * state.usual_ms)
    if state.slope is not None and state.slope <= -1.0:
        allowed *= 2
    timer, verdict = lasting.last(
        state.timer,
        Kind.DEFROST_RECOVERY,
        not back,
        at_ms,
        value,
        for_ms=int(allowed),
        since_ms=state.end_ms,
        gap=signals.gap_ms > 0,
    )
    if timer.since_ms is None:
        return RecoveryState(usual_ms=state.usual_ms, recovered=state.recovered), verdict
    return state._replace(timer=timer), verdict


def _sloped(state: RecoveryState, at_ms: int, value: float, gap: bool) -> RecoveryState:
    """Return the state with the slope followed."""
    newest = state.newest_ms
    if gap or newest is None or state.mark_ms is None:
        return state._replace(mark_ms=at_ms, mark=value, smooth=value, slope=None, newest_ms=at_ms)
    smooth = state.smooth + (value - state.smooth) * min(1.0, (at_ms - newest) / _SMOOTH_MS)
    if at_ms - state.mark_ms < _SLOPE_MS:
        return state._replace(smooth=smooth, newest_ms=at_ms)
    slope = (smooth - state.mark) * 3_600_000 / (at_ms - state.mark_ms)
    return state._replace(mark_ms=at_ms, mark=smooth, smooth=smooth, slope=slope, newest_ms=at_ms)


DEFROST_LONG = Judge(Kind.DEFROST_LONG, lasting.QUIET, _long)
DEFROST_OFTEN = Judge(Kind.DEFROST_OFTEN, OftenState(), _often)
DEFROST_RECOVERY = Judge(Kind.DEFROST_RECOVERY, RecoveryState(), _recovery)
