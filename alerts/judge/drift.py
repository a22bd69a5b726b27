"""DRIFT: the sensor runs away from what its neighbours, or the room's own machine, say.

Both ways compare what is so now (a mean of 40 min of quiet time) with what is usual (a mean of a week, frozen as soon
as the two have begun to part, so that it does not follow what it should measure).

*Neighbours.* Where the room has other probes of the same metric, the distance to their median is watched. Probes hang
in different places, so the usual distance may be anything; what counts is that it changes, and that it is this channel
whose own level has moved.

*Own cycle.* A single probe that rises has either told the truth or not. The truth has witnesses: when the air really
becomes warmer, the compressor runs more (or rests though it should run), the coil's temperature goes along with the
air, the goods follow, or somebody has moved the setpoint. When the level has moved by `differs_by` and none of those
that the room has went along, while at least one could have, it is the sensor. A room without witnesses gets no
verdict.

A level that has moved within an hour is a new setting or a new place of the probe and no drift: what is usual is
learned anew. Doors, defrosts, the recovery after them and gaps are left out.

Sits on any analogue channel; the second way works on the room's air alone, the only one with a cycle.
"""

from __future__ import annotations

from statistics import median
from typing import Any, Final, NamedTuple

from hanlu.alerts.judge import lasting
from hanlu.alerts.judge.contract import Judge, Signals, Verdict
from hanlu.alerts.judge.lasting import QUIET, Lasting
from hanlu.alerts.kind import Cause, Kind
from hanlu.alerts.rules.parameters import DriftParameters

__all__ = ["DRIFT", "DriftState", "Means", "raised", "suspected"]

_HOUR: Final = 3_600_000
_EVERY: Final = 50_000
"""Nothing here moves within a minute, so a reading a minute is judged."""
_NOW: Final = 40 * 60_000
"""Two cycles of a compressor or more."""
_USUAL: Final = 7 * 24 * _HOUR
_LEARNED: Final = 12 * _HOUR
"""Quiet time before anything is usual."""
_LONGEST_STEP: Final = _HOUR // 2
_JUMP: Final = 70 * 60_000
"""What moves that far in so short a time is a new setting, no drift."""
_STILL: Final = _HOUR
_BREAK: Final = 10 * 60_000
"""After an interruption so long (a defrost, no mere passage) the means have to settle before a jump can be told."""
_FROZEN: Final = 0.5
"""Share of `differs_by` from which what is usual stands still."""
_SUSPECTED: Final = 0.3
"""Share of `differs_by` that makes a sensor suspicious before its alarm."""
_DUTY: Final = 0.15
"""The compressor's share of running may change so much with the weather."""
_CYCLES: Final = (0.05, 0.75)
"""A compressor that runs less or more than that does not regulate by resting; its running tells nothing."""
_FOLLOWS: Final = 1 / 3
"""Share of the move that the coil goes along with at least, when it is real."""
_MOVES: Final = 0.04
"""Square kelvin: an air that moves less shows nothing about what goes along with it."""
_GOES_ALONG: Final = 0.5
_GOODS: Final = 0.15
"""Share that the goods follow at least within the hours a drift takes; they need 8 to 30 h for two thirds."""


class Means(NamedTuple):
    """Means of what is compared, over quiet time; None where there is no such thing.

    Attributes:
        level: the value itself.
        apart: its distance to the median of its neighbours.
        evaporator: while the compressor runs.
        duty: share of running.
        product: temperature in the goods.
    """

    level: float | None = None
    apart: float | None = None
    evaporator: float | None = None
    duty: float | None = None
    product: float | None = None


class DriftState(NamedTuple):
    """What is remembered.

    Attributes:
        newest_ms: newest reading.
        quiet_ms: quiet time learned from.
        calm_ms: newest quiet reading.
        settled_ms: from when the means have forgotten what was before the last interruption.
        now: of 40 min.
        usual: of a week.
        air_air: mean square of the air's distance to its usual level while the compressor runs.
        air_coil: mean product of that and the coil's; their ratio says how far the coil goes along.
        value: newest value.
        same_ms: since when it has been exactly that.
        marks: (time, level) half an hour apart, the newest of the last two hours, newest last.
        suspicious: the level is on its way and no witness explains it.
        timer: of the condition.
    """

    newest_ms: int | None = None
    quiet_ms: int = 0
    calm_ms: int | None = None
    settled_ms: int = 0
    now: Means = Means()
    usual: Means = Means()
    air_air: float = 0.0
    air_coil: float = 0.0
    value: float | None = None
    same_ms: int = 0
    marks: tuple[tuple[int, float], ...] = ()
    suspicious: bool = False
    timer: Lasting = QUIET

    @property
    def raised(self) -> bool:
        """Whether the alarm stands."""
        return self.timer.raised


def _step(
    state: DriftState, parameters: DriftParameters, at_ms: int, value: float, signals: Signals
) -> tuple[DriftState, Verdict | None]:
    newest = state.newest_ms
    if newest is not None and at_ms - newest < _EVERY and not signals.gap_ms:
        return state, None
    if newest is None or signals.gap_ms:
        timer = state.timer if state.timer.raised else QUIET
        return state._replace(newest_ms=at_ms, marks=(), timer=timer), None
    if not _quiet(signals):
        return state._replace(newest_ms=at_ms), None
    same_ms = state.same_ms if value == state.value else at_ms
    if at_ms - same_ms >= _STILL:  # what does not move at all is no drift; STUCK sees to it
        return state._replace(newest_ms=at_ms, calm_ms=at_ms, suspicious=False), None
    elapsed = min(at_ms - newest, _LONGEST_STEP)
    quiet_ms = state.quiet_ms + elapsed
    shown = _shown(value, signals)
    now = _toward(state.now, shown, elapsed, min(quiet_ms, _NOW))
    learned = quiet_ms >= _LEARNED
    moved = 0.0 if now.level is None or state.usual.level is None else now.level - state.usual.level
    frozen = learned and abs(moved) >= _FROZEN * parameters.differs_by
    usual = state.usual if frozen else _toward(state.usual, shown, elapsed, min(quiet_ms, _USUAL))
    air_air, air_coil = state.air_air, state.air_coil
    if not frozen and shown.evaporator is not None and usual.level is not None and usual.evaporator is not None:
        share = min(1.0, elapsed / max(1, min(quiet_ms, _USUAL)))
        off = value - usual.level
        air_air += (off * off - air_air) * share
        air_coil += (off * (shown.evaporator - usual.evaporator) - air_coil) * share
    follows = air_air >= _MOVES and air_coil >= _GOES_ALONG * air_air
    broken = state.calm_ms is None or at_ms - state.calm_ms >= _BREAK
    settled_ms = at_ms + 2 * _NOW if broken else state.settled_ms
    marks = () if broken else state.marks
    if at_ms >= settled_ms and (not marks or at_ms - marks[-1][0] >= _HOUR // 2):
        marks = (*marks[-2:], (at_ms, now.level or 0.0))
        jumped = any(
            abs(marks[-1][1] - level) >= parameters.differs_by for marked, level in marks if at_ms - marked <= _JUMP
        )
        if jumped and not state.timer.raised:  # somebody's doing: learn anew
            return DriftState(at_ms), None
    away = learned and _away(now, usual, moved, parameters.differs_by, signals, follows, slow=True)
    suspicious = learned and _away(now, usual, moved, _SUSPECTED * parameters.differs_by, signals, follows)
    timer, verdict = state.timer, None
    if away or timer.since_ms is not None:
        timer, verdict = lasting.last(
            timer,
            Kind.DRIFT,
            _holds(timer, away, moved, parameters.differs_by),
            at_ms,
            value,
            for_ms=parameters.for_s * 1000,
            upward=moved >= 0,
            cause=Cause.SENSOR_DRIFT,
        )
    return DriftState(
        at_ms, quiet_ms, at_ms, settled_ms, now, usual, air_air, air_coil, value, same_ms, marks, suspicious, timer
    ), verdict


def _quiet(signals: Signals) -> bool:
    """Tell whether the room is left to itself: no defrost, no recovery, no open door, mains there."""
    return not (
        signals.phase.name in {"defrost", "recovery"}
        or (signals.defrost is not None and signals.defrost.on)
        or (signals.door is not None and signals.door.on)
        or (signals.power is not None and not signals.power.on)
    )


def _shown(value: float, signals: Signals) -> Means:
    compressor = signals.compressor
    cooling = compressor is None or compressor.on
    return Means(
        value,
        value - median(signals.others) if signals.others else None,
        signals.evaporator if cooling else None,
        None if compressor is None else float(compressor.on),
        signals.product,
    )


def _toward(means: Means, shown: Means, elapsed: int, over: int) -> Means:
    """Return sliding means after one more word of each; what says nothing leaves its mean as it is."""
    share = 1.0 if elapsed >= over else elapsed / over
    return Means(*(_slid(before, value, share) for before, value in zip(means, shown, strict=True)))


def _slid(before: float | None, value: float | None, share: float) -> float | None:
    if value is None:
        return before
    return value if before is None else before + (value - before) * share


def _holds(timer: Lasting, away: bool, moved: float, differs_by: float) -> bool | None:
    """Say whether the sensor is away; an alarm that stands returns only when its level is halfway home."""
    if away or not timer.raised:
        return away
    return None if abs(moved) >= _FROZEN * differs_by else False


def _away(
    now: Means, usual: Means, moved: float, by: float, signals: Signals, follows: bool, *, slow: bool = False
) -> bool:
    """Tell whether the channel has moved by `by` while what should have gone along has not.

    `slow`: goods count as a witness, which follow within hours only.
    """
    if signals.others and now.apart is not None and usual.apart is not None:
        return abs(now.apart - usual.apart) >= by and abs(moved) >= by / 2
    if abs(moved) < by or signals.phase.baseline is None:
        return False
    sign = 1.0 if moved > 0 else -1.0
    witnesses = 0
    if now.duty is not None and usual.duty is not None:
        if abs(now.duty - usual.duty) > _DUTY:
            return False
        witnesses += _CYCLES[0] <= usual.duty <= _CYCLES[1]
    if signals.evaporator is not None and now.evaporator is not None and usual.evaporator is not None:
        if abs(now.evaporator - usual.evaporator) > max(1.0, _FOLLOWS * abs(moved)):
            return False
        witnesses += follows
    if signals.product is not None and now.product is not None and usual.product is not None:
        if (now.product - usual.product) * sign > max(0.3, _GOODS * abs(moved)):
            return False
        witnesses += slow  # too slow for a first suspicion
    return witnesses > 0


def suspected(state: Any) -> bool:
    """Tell whether the channel is on its way from what is usual, without a witness for it."""
    return isinstance(state, DriftState) and state.suspicious


def raised(state: Any) -> bool:
    """Tell whether the channel is known to have left what is usual."""
    return isinstance(state, DriftState) and state.raised


DRIFT = Judge(Kind.DRIFT, DriftState(), _step)
