"""COMPRESSOR: it should run and does not, or it runs without rest and cools nothing.

Sits on the room's air, because what the compressor should do is told by the air; its contact comes as a signal. A room
without a compressor channel gets no verdict.

*Should run and does not.* A thermostat starts the compressor at one and the same temperature of the air, so the level
at which it has been starting is known after a few starts. The air, smoothed over ten minutes, above that by a quarter
of `warmer_by` for `idle_s`, without a start, outside defrosts, is a machine that does not answer. Where the compressor
never rests between defrosts (a valve does the work) there are no starts to learn from; then `warmer_by` above the
room's own level between defrosts is asked for.

*Runs without cooling.* It has run for `run_s` without a rest other than defrosts, the air is `warmer_by` above its own
level, and has not become colder by a quarter of `warmer_by` within the last hour. A room that was loaded warm is on
its way down and is left alone.

Nothing is concluded while the mains are known to be gone (POWER says so), while a door stands open, in a defrost and
until the compressor has had `idle_s` after it. Which of the two it was is told by what the compressor does when the
alarm comes; ice on the coil looks like the second and is told apart in `cause.py`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hanlu.alerts.judge import lasting
from hanlu.alerts.judge.contract import Judge, Signals, Verdict
from hanlu.alerts.judge.lasting import QUIET, Lasting
from hanlu.alerts.kind import Cause, Kind
from hanlu.alerts.rules.parameters import CompressorParameters

__all__ = ["COMPRESSOR", "CompressorState"]

_MINUTE: Final = 60_000
_SMOOTH: Final = 10 * _MINUTE
_HOUR: Final = 60 * _MINUTE
_LEARNED: Final = 6
"""Starts after which the usual starting level is believed."""
_REMEMBERED: Final = 40
"""Starts over which it is a mean: a day or two."""
_QUARTER: Final = 0.25


class CompressorState(NamedTuple):
    """What is remembered.

    Attributes:
        newest_ms: newest reading.
        smooth: mean of ten minutes of the air, None before the first.
        ran: the compressor's last word, None without one.
        starts: starts learned from, at most `_REMEMBERED`.
        start_c: level of the air at which it usually starts.
        run_ms: since when it has run without a rest that no defrost explains, None while it rests.
        mark_ms: when `mark` was taken.
        mark: smoothed air about an hour ago.
        falls: the air has become colder since the mark before.
        timer: of the condition.
    """

    newest_ms: int | None = None
    smooth: float | None = None
    ran: bool | None = None
    starts: int = 0
    start_c: float = 0.0
    run_ms: int | None = None
    mark_ms: int = 0
    mark: float = 0.0
    falls: bool = True
    timer: Lasting = QUIET

    @property
    def raised(self) -> bool:
        """Whether the alarm stands."""
        return self.timer.raised


def _step(
    state: CompressorState, parameters: CompressorParameters, at_ms: int, value: float, signals: Signals
) -> tuple[CompressorState, Verdict | None]:
    compressor = signals.compressor
    if compressor is None:
        return CompressorState(at_ms, starts=state.starts, start_c=state.start_c, timer=_kept(state.timer)), None
    gap = signals.gap_ms > 0 or state.smooth is None or state.newest_ms is None
    smooth = value if gap else _slid(state, at_ms, value)
    explained = _explained(signals)
    starts, start_c = state.starts, state.start_c
    if compressor.on and state.ran is False and not explained and not gap and signals.phase.name != "recovery":
        starts = min(starts + 1, _REMEMBERED)
        start_c += (smooth - start_c) / starts
    run_ms = state.run_ms
    if compressor.on:
        run_ms = at_ms if run_ms is None or gap else run_ms
    elif not explained and signals.phase.name != "recovery":
        run_ms = None
    mark_ms, mark, falls = state.mark_ms, state.mark, state.falls
    if gap:
        mark_ms, mark, falls = at_ms, smooth, True
    elif at_ms - mark_ms >= _HOUR:
        mark_ms, mark, falls = at_ms, smooth, smooth <= mark - _QUARTER * parameters.warmer_by
    holds = _holds(compressor.on, smooth, starts, start_c, run_ms, falls, at_ms, parameters, signals)
    timer, verdict = state.timer, None
    if not explained or (timer.since_ms is not None and not timer.raised):
        timer, verdict = lasting.last(
            timer,
            Kind.COMPRESSOR,
            holds and not explained,
            at_ms,
            value,
            # The long run has taken its time already; what is waited for here is the idle one, and a second look.
            for_ms=parameters.idle_s * 1000 if not compressor.on else min(parameters.idle_s * 1000, _HOUR // 2),
            clear_ms=10 * _MINUTE,
            gap=gap,
            cause=Cause.UNKNOWN if compressor.on else Cause.COMPRESSOR_FAILURE,
        )
    return (
        CompressorState(at_ms, smooth, compressor.on, starts, start_c, run_ms, mark_ms, mark, falls, timer),
        verdict,
    )


def _kept(timer: Lasting) -> Lasting:
    """Return the timer when the compressor says nothing: an alarm stands, a delay that was running does not."""
    return timer if timer.raised else QUIET


def _slid(state: CompressorState, at_ms: int, value: float) -> float:
    assert state.smooth is not None
    assert state.newest_ms is not None
    share = (at_ms - state.newest_ms) / _SMOOTH
    return value if share >= 1 else state.smooth + (value - state.smooth) * share


def _explained(signals: Signals) -> bool:
    """Tell whether a compressor at rest, or a room that warms, is explained by something else."""
    return (
        signals.phase.name == "defrost"
        or (signals.defrost is not None and signals.defrost.on)
        or (signals.door is not None and signals.door.on)
        or (signals.power is not None and not signals.power.on)
    )


def _holds(
    on: bool,
    smooth: float,
    starts: int,
    start_c: float,
    run_ms: int | None,
    falls: bool,
    at_ms: int,
    parameters: CompressorParameters,
    signals: Signals,
) -> bool:
    level = signals.phase.baseline
    if not on:
        if starts >= _LEARNED:
            return smooth >= start_c + _QUARTER * parameters.warmer_by
        return level is not None and smooth >= level + parameters.warmer_by
    if parameters.run_s <= 0 or level is None or run_ms is None or falls:
        return False
    return smooth >= level + parameters.warmer_by and at_ms - run_ms >= parameters.run_s * 1000


COMPRESSOR = Judge(Kind.COMPRESSOR, CompressorState(), _step)
