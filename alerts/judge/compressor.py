"""COMPRESSOR: it should run and does not, or it runs without rest and cools nothing.

Sits on the room's air, because what the compressor should do is told by the air; its contact comes as a signal. A room
without a compressor channel gets no verdict.

*Should run and does not.* A thermostat starts the compressor at one and the same temperature of the air, so the level
at which it has been starting is known after a few starts. The air, smoothed over ten minutes, above that by a quarter
of `warmer_by` for `idle_s`, and for half as long again as it is used to rest, without a start, outside defrosts, is a
machine that does not answer. Where the compressor
never rests between defrosts (a valve does the work) there are no starts to learn from; then `warmer_by` above the
room's own level between defrosts is asked for.

*Runs without cooling.* A compressor that regulates by resting has run for `run_s` without a rest other than defrosts,
the air is `warmer_by` above its own level, and has not become colder by a quarter of `warmer_by` within the last hour;
or it has run four times as long, however cold the room still is. A room that was loaded warm is on its way down and is
left alone.

*Runs with its coil far too cold.* The evaporating temperature, while it runs, has been `coil_by` below what is usual
for an hour (a mean of two hours against one of a week, which stands still meanwhile) and the air has not become
colder: ice, or too little refrigerant, days before the room is lost. Needs an evaporating temperature.

Nothing is concluded while the mains are known to be gone (POWER says so), while a door stands open for longer than a
passage, and in a defrost. What it was is named by what the compressor does when the alarm comes; ice looks like the
second and third and is told apart in `cause.py`. It returns when the air is halfway back to its own level (or the coil
to its usual temperature), however often the compressor starts meanwhile.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from hanlu.alerts.judge import lasting
from hanlu.alerts.judge.contract import Judge, Signals, Switch, Verdict
from hanlu.alerts.judge.lasting import QUIET, Lasting
from hanlu.alerts.kind import Cause, Kind
from hanlu.alerts.rules.parameters import CompressorParameters

__all__ = ["COMPRESSOR", "CompressorState", "fault", "idle_after_ms"]

_MINUTE: Final = 60_000
_EVERY: Final = 25_000
"""A compressor that is protected at all runs and rests for two minutes, so so seldom is often enough."""
_SMOOTH: Final = 10 * _MINUTE
_HOUR: Final = 60 * _MINUTE
_LEARNED: Final = 6
"""Starts after which the usual starting level is believed."""
_REMEMBERED: Final = 40
"""Starts over which it is a mean: a day or two."""
_QUARTER: Final = 0.25
_HALF: Final = 0.5
_PASSAGE: Final = 3 * _MINUTE
"""A door that is open for no longer explains nothing."""
_SETTLED: Final = 5 * _MINUTE
"""After a start the coil needs so long until its temperature means anything."""
_COIL_NOW: Final = 2 * _HOUR
_USUAL: Final = 7 * 24 * _HOUR
_LEARNED_MS: Final = 12 * _HOUR
_LONGEST_REST: Final = 2 * _HOUR
"""What is longer is no habit."""
_FORGETS: Final = 0.05
_LONGER: Final = 1.5
_NEVER_RESTS: Final = 4
"""Times `run_s` without a rest: the machine is at its end although the room is not yet."""
_RESTS: Final = 0.85
"""Usual share of running up to which a compressor regulates by resting."""
_LONGEST_STEP: Final = _HOUR // 2


class CompressorState(NamedTuple):
    """What is remembered.

    Attributes:
        newest_ms: newest reading.
        smooth: mean of ten minutes of the air, None before the first.
        ran: the compressor's last word, None without one.
        starts: starts learned from, at most `_REMEMBERED`.
        start_c: level of the air at which it usually starts.
        rest_ms: how long it is used to rest at most; longer rests count at once, shorter ones slowly.
        duty_ms: how long its share of running has been watched, outside what explains a rest.
        duty: that share, mean of a week.
        run_ms: since when it has run without a rest that no defrost explains, None while it rests.
        mark_ms: when `mark` was taken.
        mark: smoothed air about an hour ago.
        falls: the air has become colder since the mark before.
        coil_ms: how long the coil has been watched while the compressor ran.
        coil: its evaporating temperature, mean of two hours.
        coil_usual: of a week.
        mode: which of the three questions is being answered with yes: "idle", "run", "coil", or "".
        timer: of the condition.
    """

    newest_ms: int | None = None
    smooth: float | None = None
    ran: bool | None = None
    starts: int = 0
    start_c: float = 0.0
    rest_ms: float = 0.0
    duty_ms: int = 0
    duty: float = 0.0
    run_ms: int | None = None
    mark_ms: int = 0
    mark: float = 0.0
    falls: bool = True
    coil_ms: int = 0
    coil: float = 0.0
    coil_usual: float = 0.0
    mode: str = ""
    timer: Lasting = QUIET

    @property
    def raised(self) -> bool:
        """Whether the alarm stands."""
        return self.timer.raised


def _step(
    state: CompressorState, parameters: CompressorParameters, at_ms: int, value: float, signals: Signals
) -> tuple[CompressorState, Verdict | None]:
    compressor, newest = signals.compressor, state.newest_ms
    if newest is not None and at_ms - newest < _EVERY and not signals.gap_ms:
        return state, None
    if compressor is None:
        return _unheard(state, at_ms), None
    return _heard(state, parameters, at_ms, value, signals, compressor)


def _heard(
    state: CompressorState,
    parameters: CompressorParameters,
    at_ms: int,
    value: float,
    signals: Signals,
    compressor: Switch,
) -> tuple[CompressorState, Verdict | None]:
    """Learn what the machine does, then ask whether it does what it should."""
    newest = state.newest_ms
    gap = signals.gap_ms > 0 or newest is None or state.smooth is None
    elapsed = 0 if newest is None or gap else min(at_ms - newest, _LONGEST_STEP)
    smooth = value if gap or state.smooth is None else state.smooth + (value - state.smooth) * min(1, elapsed / _SMOOTH)
    explained = _explained(signals, at_ms)
    recovering = signals.phase.name == "recovery"
    starts, start_c = state.starts, state.start_c
    if compressor.on and state.ran is False and not (explained or gap or recovering):
        starts = min(starts + 1, _REMEMBERED)
        start_c += (smooth - start_c) / starts
    rest_ms, duty_ms, duty = state.rest_ms, state.duty_ms, state.duty
    if compressor.on and state.ran is False and not gap and not state.timer.raised and compressor.off_ms is not None:
        took = min(compressor.since_ms - compressor.off_ms, _LONGEST_REST)
        rest_ms = took if took > rest_ms else rest_ms + (took - rest_ms) * _FORGETS
    if not explained and not recovering:
        duty_ms += elapsed
        duty += (compressor.on - duty) * min(1.0, elapsed / max(1, min(duty_ms, _USUAL)))
    run_ms = state.run_ms
    if compressor.on:
        run_ms = at_ms if run_ms is None or gap else run_ms
    elif not explained and not recovering:
        run_ms = None
    mark_ms, mark, falls = state.mark_ms, state.mark, state.falls
    if gap or explained:
        mark_ms, mark, falls = at_ms, smooth, True
    elif at_ms - mark_ms >= _HOUR:
        mark_ms, mark, falls = at_ms, smooth, smooth <= mark - _QUARTER * parameters.warmer_by
    coil_ms, coil, coil_usual = state.coil_ms, state.coil, state.coil_usual
    evaporator = signals.evaporator
    if compressor.on and evaporator is not None and at_ms - compressor.since_ms >= _SETTLED and not explained:
        coil_ms += elapsed
        coil += (evaporator - coil) * min(1.0, elapsed / max(1, min(coil_ms, _COIL_NOW)))
        if coil_ms < _LEARNED_MS or coil_usual - coil < (_HALF * parameters.coil_by or math.inf):
            coil_usual += (evaporator - coil_usual) * min(1.0, elapsed / max(1, min(coil_ms, _USUAL)))
    after = CompressorState(
        at_ms,
        smooth,
        compressor.on,
        starts,
        start_c,
        rest_ms,
        duty_ms,
        duty,
        run_ms,
        mark_ms,
        mark,
        falls,
        coil_ms,
        coil,
        coil_usual,
        state.mode,
        state.timer,
    )
    if explained:
        # A delay that was running begins again; an alarm that stands waits for readings that mean something.
        return (after if state.timer.raised else after._replace(mode="", timer=QUIET)), None
    return _judged(after, parameters, at_ms, value, signals, gap)


def _judged(
    state: CompressorState, parameters: CompressorParameters, at_ms: int, value: float, signals: Signals, gap: bool
) -> tuple[CompressorState, Verdict | None]:
    """Ask the three questions, or whether the alarm that stands is over."""
    timer, on = state.timer, bool(state.ran)
    if timer.raised:
        mode, holds = state.mode, _still(state, parameters, signals)
    else:
        mode = _question(state, parameters, at_ms, signals)
        holds = bool(mode)
        if mode != state.mode:
            timer = QUIET
    if timer.since_ms is None and not holds:
        return (state if not state.mode else state._replace(mode="", timer=QUIET)), None
    timer, verdict = lasting.last(
        timer,
        Kind.COMPRESSOR,
        holds,
        at_ms,
        value,
        # A long run has taken its time already; what is waited for there is a second look.
        for_ms={"idle": max(parameters.idle_s * 1000, int(_LONGER * state.rest_ms)), "run": _HOUR // 2, "coil": _HOUR}[
            mode
        ],
        clear_ms=10 * _MINUTE,
        gap=gap,
        cause=Cause.COMPRESSOR_FAILURE if mode == "idle" and not on else Cause.UNKNOWN,
    )
    return state._replace(mode=mode if timer.since_ms is not None else "", timer=timer), verdict


def _unheard(state: CompressorState, at_ms: int) -> CompressorState:
    """Return the state when the compressor says nothing: an alarm stands, a delay that was running does not."""
    return state._replace(
        newest_ms=at_ms,
        smooth=None,
        ran=None,
        run_ms=None,
        mode=state.mode if state.timer.raised else "",
        timer=state.timer if state.timer.raised else QUIET,
    )


def _explained(signals: Signals, at_ms: int) -> bool:
    """Tell whether a compressor at rest, or a room that warms, is explained by something else."""
    door = signals.door
    return (
        signals.phase.name == "defrost"
        or (signals.defrost is not None and signals.defrost.on)
        or (door is not None and door.on and at_ms - door.since_ms >= _PASSAGE)
        or (signals.power is not None and not signals.power.on)
    )


def _question(state: CompressorState, parameters: CompressorParameters, at_ms: int, signals: Signals) -> str:
    """Return which of the three is so, "" when none."""
    level, smooth = signals.phase.baseline, state.smooth
    assert smooth is not None
    by = parameters.coil_by
    cold = by > 0 and state.coil_ms >= _LEARNED_MS and state.coil_usual - state.coil >= by
    if cold and level is not None and smooth >= level - _HALF * parameters.warmer_by:
        return "coil"
    if not state.ran:
        if state.starts >= _LEARNED:
            return "idle" if smooth >= state.start_c + _QUARTER * parameters.warmer_by else ""
        return "idle" if level is not None and smooth >= level + parameters.warmer_by else ""
    if level is not None and parameters.run_s > 0 and state.run_ms is not None and _rests(state):
        ran = at_ms - state.run_ms
        warm = not state.falls and smooth >= level + parameters.warmer_by
        if ran >= _NEVER_RESTS * parameters.run_s * 1000 or (warm and ran >= parameters.run_s * 1000):
            return "run"
    return ""


def _rests(state: CompressorState) -> bool:
    """Tell whether the compressor usually regulates by resting."""
    return state.duty_ms >= _LEARNED_MS and state.duty <= _RESTS


def _still(state: CompressorState, parameters: CompressorParameters, signals: Signals) -> bool:
    """Tell whether what the alarm was about is still so."""
    assert state.smooth is not None
    level = signals.phase.baseline
    if state.mode == "coil" and state.coil_usual - state.coil >= _HALF * parameters.coil_by:
        return True  # else the air has become so warm that the coil is too
    if state.mode == "run" and state.run_ms is not None and _rests(state):
        return True
    if state.mode == "idle" and state.starts >= _LEARNED:
        return state.smooth >= state.start_c + _QUARTER * parameters.warmer_by
    return level is None or state.smooth >= level + _HALF * parameters.warmer_by


def fault(state: Any) -> str:
    """Return what is known to be wrong, "idle", "run" or "coil"; "" while no alarm stands."""
    return state.mode if isinstance(state, CompressorState) and state.raised else ""


def idle_after_ms(state: Any) -> float:
    """Return how long a rest must be to be longer than this compressor is used to."""
    return _LONGER * state.rest_ms if isinstance(state, CompressorState) else 0.0


COMPRESSOR = Judge(Kind.COMPRESSOR, CompressorState(), _step)
