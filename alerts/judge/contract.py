"""What every judge takes and gives. A judge is one kind of alarm as a pure function of readings in event time.

    state, verdict = judge.step(state, parameters, at_ms, value, signals)

* `state` is a NamedTuple of numbers, booleans, strings and None (tuples of those), so that it is kept as JSON and
  loaded again without loss; `judge.start` is what a rule that has seen nothing remembers. A state from an older version
  that does not fit any more is thrown away by the caller.
* `parameters` is what the rule says, already resolved: every limit is a number in the channel's unit.
* `signals` is what the rest of the room says at that moment.
* Time is the time of observation. A judge sees ascending times only; the caller keeps late readings away from it.

A judge answers None nearly always. A verdict either begins an alarm (RAISE, perhaps held by design), ends it (RETURN),
lets a held one call (RELEASE), or holds one that has called nobody yet (HOLD).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

from hanlu.alerts.kind import Cause, Hold, Kind

__all__ = ["NO_SIGNALS", "Judge", "Move", "Phase", "Signals", "Switch", "Verdict"]


class Move(StrEnum):
    """What a verdict does to the alarm of its kind."""

    RAISE = "raise"
    HOLD = "hold"
    RELEASE = "release"
    RETURN = "return"


class Switch(NamedTuple):
    """A channel that says on or off, as of its newest reading.

    Attributes:
        on: what it says.
        since_ms: first observation of this state without a gap, Unix milliseconds.
        seen_ms: newest observation.
        off_ms: when it was last on, None when never: the last moment of the run before.
    """

    on: bool
    since_ms: int
    seen_ms: int
    off_ms: int | None = None


class Phase(NamedTuple):
    """Where a room is in its defrost cycle, told by the defrost channel or by the curve.

    Attributes:
        name: "cold" between defrosts, "defrost", "recovery" after one, "unknown" while too little has been seen.
        since_ms: when this phase began.
        by_shape: concluded from the curve alone.
        expected_end_ms: when defrost and recovery together should be over, by this room's own history.
        began_ms: when the defrost of this cycle began (its curve's foot), None in "cold" and "unknown".
        baseline: the room's own level between defrosts, in the channel's unit; None while unknown.
        ceiling: what a healthy defrost, or the recovery after it, accounts for at this moment at most, in the channel's
            unit; None when neither is going on, or this one has departed from what is healthy and explains nothing.
        foot: the level this cycle's defrost rose from, which is what a healthy room comes back to; None between cycles.
            By day it lies above `baseline`, when people and goods keep the room busy.
    """

    name: str = "unknown"
    since_ms: int = 0
    by_shape: bool = False
    expected_end_ms: int | None = None
    began_ms: int | None = None
    baseline: float | None = None
    ceiling: float | None = None
    foot: float | None = None


class Signals(NamedTuple):
    """What the rest of the room says when a channel is judged; None where there is no such channel or no fresh word.

    Attributes:
        defrost: the defrost's contact.
        door: any door of the room: open when one is.
        compressor: running.
        power: mains present, from a switch channel or from a power meter that reads more than nothing.
        evaporator: newest evaporating temperature, degrees Celsius.
        product: newest temperature in the goods, degrees Celsius.
        others: newest values of the same metric by other probes of the room.
        phase: defrost cycle of the channel judged.
        gap_ms: since the reading before, when that is longer than a gap the rule bridges; 0 otherwise.
    """

    defrost: Switch | None = None
    door: Switch | None = None
    compressor: Switch | None = None
    power: Switch | None = None
    evaporator: float | None = None
    product: float | None = None
    others: tuple[float, ...] = ()
    phase: Phase = Phase()
    gap_ms: int = 0


NO_SIGNALS = Signals()


class Verdict(NamedTuple):
    """What a judge concludes.

    Attributes:
        kind: which alarm.
        move: what happens to it.
        at_ms: observation that completed the condition, Unix milliseconds.
        value: what it said.
        start_ms: first observation of what is going on.
        peak: worst value so far, None where there is no such thing.
        peak_ms: when that was observed.
        hold: with RAISE and HOLD: why nobody is called.
        cause: what probably lies behind it.
    """

    kind: Kind
    move: Move
    at_ms: int
    value: float
    start_ms: int
    peak: float | None = None
    peak_ms: int | None = None
    hold: Hold | None = None
    cause: Cause = Cause.UNKNOWN


class Judge(NamedTuple):
    """One kind's rule.

    Attributes:
        kind: which alarm.
        start: state before the first reading.
        step: judge one reading.
        late: tell whether a late reading lies beyond what the rule allows, so that it may correct a record; None when
            late readings never matter.
        due: say when, Unix milliseconds, the alarm comes if the channel says nothing more, None when nothing is
            running; None instead of a function for judges that only ever learn from readings of their own channel. A
            door that reports only when it is moved says "open" once: `Room` then judges it again, with the value it
            stands at, when a reading of any other channel of the room, or the engine's clock by `Room.overdue`, shows
            that the time has come.
    """

    kind: Kind
    start: Any
    step: Callable[[Any, Any, int, float, Signals], tuple[Any, Verdict | None]]
    late: Callable[[Any, float], bool] | None = None
    due: Callable[[Any, Any], int | None] | None = None
