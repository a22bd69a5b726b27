"""What probably lies behind an alarm: told by what else the room says, and by what has changed about it.

`observe` learns, reading by reading of the room's air, what the room usually does: how long it needs after a defrost,
how much of the time its compressor runs, how far its coil stands below the air. `diagnose` compares. Both are pure;
the facts are a dozen numbers that are kept with the channel.

What is usual is a mean over a week (over all there is, in the first week) taken in quiet times: outside defrosts and
the recovery after them, with the doors closed. What is now is the same mean over hours. Ice needs days to grow, so the
two run apart long before the room is lost.

The order of the questions is that of how sure the answer is: a contact that says so, a sensor that is known to be
wrong, what has slowly changed, and last the goods, which explain every room that is warm and on its way down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from hanlu.alerts.judge import compressor as machine
from hanlu.alerts.judge import drift, stuck
from hanlu.alerts.judge.contract import Signals, Switch
from hanlu.alerts.kind import Cause, Kind

__all__ = ["START", "Facts", "diagnose", "mean", "observe"]

_MINUTE: Final = 60_000
_HOUR: Final = 60 * _MINUTE
_EVERY: Final = 25_000
"""Nothing learned here moves faster."""
_USUAL: Final = 7 * 24 * _HOUR
"""What is usual is what was so for a week."""
_LATELY: Final = 2 * _HOUR
_SMOOTH: Final = 10 * _MINUTE
_MARK: Final = 30 * _MINUTE
"""A slope is taken over half an hour of smoothed values."""
_LEARNED: Final = 12 * _HOUR
"""Before so much quiet time nothing is usual."""
_DOOR_LONG: Final = 5 * _MINUTE
"""An opening that is more than passing through."""
_AFTER_DOOR: Final = 90 * _MINUTE
"""So long after such an opening the room is still warm from it."""
_AFTER_LOADING: Final = 6 * _HOUR
_FALLING: Final = -0.2
"""Kelvin an hour: on its way down."""
_AFTER_POWER: Final = 3 * _HOUR
_IDLE: Final = 15 * _MINUTE
"""A compressor that should start rests 3 to 10 min."""
_SETTLED: Final = 3 * _MINUTE
"""After a start the coil needs so long until its temperature means anything."""
_NEAR: Final = 1.0
"""Kelvin from its own level at which a room counts as recovered."""
_LIFT_K: Final = 3.0
"""A coil stands so much further below the air than usual: ice keeps the heat out (healthy 8 to 15 K)."""
_SLOWER: Final = 1.7
"""A recovery that takes so many times as long as usual (measured: 72 min against 13 to 23)."""
_COLD: Final = frozenset({Kind.LOW, Kind.LOW_LOW})
_REGULATES: Final = 0.85
"""Usual share of running up to which a compressor regulates by resting."""
_BUSY: Final = 0.9
"""Share of running that leaves no rest."""
_LONGEST_RECOVERY: Final = 6 * _HOUR
_LONGEST_STEP: Final = 30 * _MINUTE


class Facts(NamedTuple):
    """What is known of a room by its air; times are Unix milliseconds, temperatures degrees Celsius.

    Attributes:
        newest_ms: newest reading.
        smooth: mean of ten minutes.
        slope: kelvin an hour over the last half hour or more, None while unknown.
        mark_ms: when the slope was last taken.
        mark: `smooth` then.
        door_ms: when a door was last seen open.
        door_long_ms: when one was last seen open for longer than a passage.
        door_from_ms: since when it was open then.
        defrosting: the last reading lay in a defrost.
        defrost_end_ms: when the last one ended.
        recovering_ms: since when the room has been recovering, None when it is not.
        recovery_ms: how long the last recovery took, milliseconds.
        recovery_usual_ms: how long they usually take.
        recoveries: how many have been measured, at most ten count.
        quiet_ms: how much quiet time the means below have seen.
        duty: share of running lately, None without a compressor contact.
        duty_usual: usually.
        lift: air above evaporating temperature while the compressor runs, kelvin, lately.
        lift_usual: usually.
        coil: evaporating temperature lately.
        coil_usual: usually.
        lift_ms: how much time these four have seen.
    """

    newest_ms: int | None = None
    smooth: float | None = None
    slope: float | None = None
    mark_ms: int | None = None
    mark: float | None = None
    door_ms: int | None = None
    door_long_ms: int | None = None
    door_from_ms: int | None = None
    defrosting: bool = False
    defrost_end_ms: int | None = None
    recovering_ms: int | None = None
    recovery_ms: float | None = None
    recovery_usual_ms: float | None = None
    recoveries: int = 0
    quiet_ms: int = 0
    duty: float | None = None
    duty_usual: float | None = None
    lift: float | None = None
    lift_usual: float | None = None
    coil: float | None = None
    coil_usual: float | None = None
    lift_ms: int = 0


START: Final = Facts()


def mean(before: float | None, value: float, elapsed_ms: float, over_ms: float) -> float:
    """Return a sliding mean after one more value that stood for `elapsed_ms`, over about `over_ms`."""
    if before is None or elapsed_ms >= over_ms:
        return value
    return before + (value - before) * (elapsed_ms / over_ms)


def observe(facts: Facts, at_ms: int, value: float, signals: Signals) -> Facts:
    """Learn from one reading of the room's air.

    Args:
        facts: what is known.
        at_ms: time of observation, ascending.
        value: air temperature, degrees Celsius.
        signals: what the rest of the room says.
    """
    newest = facts.newest_ms
    if newest is not None and at_ms - newest < _EVERY and not signals.gap_ms:
        return facts
    gap = bool(signals.gap_ms) or newest is None
    elapsed = 0 if newest is None or signals.gap_ms else min(at_ms - newest, _LONGEST_STEP)
    phase = signals.phase
    defrosting = phase.name == "defrost" or (signals.defrost is not None and signals.defrost.on)
    smooth = mean(None if gap else facts.smooth, value, elapsed, _SMOOTH)
    slope, mark_ms, mark = facts.slope, facts.mark_ms, facts.mark
    if gap or mark_ms is None or mark is None:
        slope, mark_ms, mark = None, at_ms, smooth
    elif at_ms - mark_ms >= _MARK:
        slope, mark_ms, mark = (smooth - mark) * _HOUR / (at_ms - mark_ms), at_ms, smooth
    door_ms, door_long_ms, door_from_ms = facts.door_ms, facts.door_long_ms, facts.door_from_ms
    if signals.door is not None and signals.door.on:
        door_ms = at_ms
        if at_ms - signals.door.since_ms >= _DOOR_LONG:
            door_long_ms, door_from_ms = at_ms, signals.door.since_ms
    end_ms = at_ms if facts.defrosting and not defrosting else facts.defrost_end_ms
    recovering, recovery, usual, recoveries = _recovery(facts, at_ms, value, signals, defrosting, gap)
    after = Facts(
        at_ms,
        smooth,
        slope,
        mark_ms,
        mark,
        door_ms,
        door_long_ms,
        door_from_ms,
        defrosting,
        end_ms,
        recovering,
        recovery,
        usual,
        recoveries,
        facts.quiet_ms,
        facts.duty,
        facts.duty_usual,
        facts.lift,
        facts.lift_usual,
        facts.coil,
        facts.coil_usual,
        facts.lift_ms,
    )
    quiet = not defrosting and phase.name != "recovery" and door_ms != at_ms
    if not quiet or not elapsed or (signals.compressor is None and signals.evaporator is None):
        return after
    return _quiet(after, at_ms, value, elapsed, signals)


def _recovery(
    facts: Facts, at_ms: int, value: float, signals: Signals, defrosting: bool, gap: bool
) -> tuple[int | None, float | None, float | None, int]:
    """Measure how long the room needs from a defrost's end until it is back near its own level."""
    since, last, usual, count = facts.recovering_ms, facts.recovery_ms, facts.recovery_usual_ms, facts.recoveries
    door_open = signals.door is not None and signals.door.on
    if defrosting or gap or door_open:
        return None, last, usual, count
    if facts.defrosting:
        return at_ms, last, usual, count
    level = signals.phase.baseline
    if since is None or level is None:
        return since, last, usual, count
    took = at_ms - since
    if value > level + _NEAR and took < _LONGEST_RECOVERY:
        return since, last, usual, count
    # What is unusual is remembered as the last one, and becomes usual only as slowly as ten recoveries let it.
    count = min(count + 1, 10)
    return None, float(took), float(took) if usual is None else usual + (took - usual) / count, count


def _quiet(facts: Facts, at_ms: int, value: float, elapsed: int, signals: Signals) -> Facts:
    """Learn what the machine does between defrosts."""
    quiet_ms = facts.quiet_ms + elapsed
    duty, duty_usual = facts.duty, facts.duty_usual
    compressor = signals.compressor
    if compressor is not None:
        running = 1.0 if compressor.on else 0.0
        duty = mean(duty, running, elapsed, min(quiet_ms, _LATELY))
        duty_usual = mean(duty_usual, running, elapsed, min(quiet_ms, _USUAL))
    lift, lift_usual, lift_ms = facts.lift, facts.lift_usual, facts.lift_ms
    coil, coil_usual = facts.coil, facts.coil_usual
    cooling = compressor is None or (compressor.on and at_ms - compressor.since_ms >= _SETTLED)
    if cooling and signals.evaporator is not None and 0.0 < value - signals.evaporator < 60.0:
        lift_ms += elapsed
        now = value - signals.evaporator
        # What is unusual becomes usual in months only: else ice that grows for a week would be.
        slow = 4 if lift_ms >= _LEARNED and _coil_fell(facts, _LIFT_K / 2) else 1
        lift = mean(lift, now, elapsed, min(lift_ms, _LATELY))
        lift_usual = mean(lift_usual, now, elapsed, slow * min(lift_ms, _USUAL))
        coil = mean(coil, signals.evaporator, elapsed, min(lift_ms, _LATELY))
        coil_usual = mean(coil_usual, signals.evaporator, elapsed, slow * min(lift_ms, _USUAL))
    return facts._replace(
        quiet_ms=quiet_ms,
        duty=duty,
        duty_usual=duty_usual,
        lift=lift,
        lift_usual=lift_usual,
        coil=coil,
        coil_usual=coil_usual,
        lift_ms=lift_ms,
    )


def diagnose(
    kind: Kind, start_ms: int, at_ms: int, signals: Signals, facts: Facts, states: Mapping[Kind, Any]
) -> Cause:
    """Return what probably lies behind an alarm that begins to call now.

    Args:
        kind: of the alarm.
        start_ms: when what it is about began.
        at_ms: when it calls.
        signals: what the rest of the room says.
        facts: what is known of the room.
        states: of the channel's judges; a sensor known to be wrong explains what it says.
    """
    if _recently_without_power(signals.power, at_ms):
        return Cause.POWER_LOSS
    if kind is not Kind.STUCK and stuck.suspected(states.get(Kind.STUCK), at_ms):
        return Cause.SENSOR_STUCK
    drifts = None if kind is Kind.DRIFT else states.get(Kind.DRIFT)
    if drift.raised(drifts):
        return Cause.SENSOR_DRIFT
    told = Cause.UNKNOWN if kind in _COLD else _told_by_contacts(at_ms, signals, facts, states.get(Kind.COMPRESSOR))
    if told is not Cause.UNKNOWN:
        return told
    if drift.suspected(drifts):
        return Cause.SENSOR_DRIFT
    if kind in _COLD:
        return _told_when_cold(at_ms, signals, facts)
    found = _told_by_habit(kind, at_ms, signals, facts, machine.fault(states.get(Kind.COMPRESSOR)))
    if found is Cause.UNKNOWN and _loaded(start_ms, at_ms, facts):
        return Cause.WARM_GOODS
    return found


def _told_by_contacts(at_ms: int, signals: Signals, facts: Facts, compressor: Any) -> Cause:
    """Return what door, compressor and defrost say, and what is known of the machine by an alarm that stands."""
    door, fault = signals.door, machine.fault(compressor)
    if door is not None and door.on and at_ms - door.since_ms >= _DOOR_LONG:
        return Cause.DOOR_OPEN
    if fault == "idle" or _idle_though_warm(at_ms, signals, facts, machine.idle_after_ms(compressor)):
        return Cause.COMPRESSOR_FAILURE
    if fault == "coil":
        return Cause.ICE
    if _warm_from_door(at_ms, facts):
        return Cause.DOOR_OPEN
    return Cause.DEFROST_FAULT if _defrost_too_long(at_ms, signals) else Cause.UNKNOWN


def _told_when_cold(at_ms: int, signals: Signals, facts: Facts) -> Cause:
    """Return what explains a room that is too cold: a compressor that used to rest and does not stop."""
    compressor = signals.compressor
    rests = facts.quiet_ms >= _LEARNED and facts.duty_usual is not None and facts.duty_usual <= _REGULATES
    if rests and compressor is not None and compressor.on and at_ms - compressor.since_ms >= _HOUR:
        return Cause.COMPRESSOR_FAILURE
    return Cause.UNKNOWN


def _told_by_habit(kind: Kind, at_ms: int, signals: Signals, facts: Facts, fault: str) -> Cause:
    """Return what has changed about the room."""
    if _iced(at_ms, signals, facts, kind, fault):
        return Cause.ICE
    if _runs_for_nothing(facts, signals):
        return Cause.COMPRESSOR_FAILURE
    return Cause.UNKNOWN


def _loaded(start_ms: int, at_ms: int, facts: Facts) -> bool:
    """Tell whether the room is warm since a door was in use a few hours ago, and on its way down."""
    recent = (
        facts.door_ms is not None and at_ms - facts.door_ms <= _AFTER_LOADING and at_ms - start_ms <= _AFTER_LOADING
    )
    return recent and facts.slope is not None and facts.slope <= _FALLING


def _recently_without_power(power: Switch | None, at_ms: int) -> bool:
    if power is None:
        return False
    return not power.on or (power.off_ms is not None and at_ms - power.since_ms <= _AFTER_POWER)


def _idle_though_warm(at_ms: int, signals: Signals, facts: Facts, longest_ms: float) -> bool:
    """Tell whether the compressor rests although nothing lets it: no defrost, no end of one a moment ago."""
    compressor, level = signals.compressor, signals.phase.baseline
    if compressor is None or compressor.on or facts.defrosting:
        return False
    since = max(compressor.since_ms, facts.defrost_end_ms or 0)
    warm = level is None or facts.smooth is None or facts.smooth >= level + 0.5
    return warm and at_ms - since >= max(_IDLE, longest_ms)


def _warm_from_door(at_ms: int, facts: Facts) -> bool:
    """Tell whether a door was open for long a moment ago: what got warm meanwhile needs as long again to cool."""
    if facts.door_long_ms is None or facts.door_from_ms is None:
        return False
    return at_ms - facts.door_long_ms <= _AFTER_DOOR + (facts.door_long_ms - facts.door_from_ms)


def _defrost_too_long(at_ms: int, signals: Signals) -> bool:
    phase = signals.phase
    began = phase.began_ms
    if signals.defrost is not None and signals.defrost.on:
        began = signals.defrost.since_ms
    elif phase.name != "defrost":
        return False
    return began is not None and at_ms - began > 90 * _MINUTE


def _iced(at_ms: int, signals: Signals, facts: Facts, kind: Kind, fault: str) -> bool:
    """Tell whether ice is likely: two signs, each against what is usual in this room."""
    if facts.quiet_ms < _LEARNED:
        return False
    signs = (2 if _coil_fell(facts) else 0) + (fault == "run")
    usual = facts.recovery_usual_ms
    running = at_ms - facts.recovering_ms if facts.recovering_ms is not None else 0
    took = max(float(running), facts.recovery_ms or 0.0)
    if kind is Kind.DEFROST_RECOVERY or (usual is not None and facts.recoveries >= 3 and took >= _SLOWER * usual):
        signs += 1
    if facts.duty is not None and facts.duty_usual is not None and facts.duty >= _BUSY:
        # Where it runs between defrosts anyway (a valve does the work), running is no sign.
        signs += facts.duty - facts.duty_usual >= 0.1
    return signs >= 2


def _coil_fell(facts: Facts, by: float = _LIFT_K) -> bool:
    """Tell whether the coil evaporates colder than usual, and not because the air is colder.

    A warm room alone widens the distance too: where a rack of compressors keeps the suction, the coil stays as it is.
    """
    if facts.lift is None or facts.lift_usual is None or facts.coil is None or facts.coil_usual is None:
        return False
    return min(facts.lift - facts.lift_usual, facts.coil_usual - facts.coil) >= by


def _runs_for_nothing(facts: Facts, signals: Signals) -> bool:
    """Tell whether the compressor runs and the coil is hardly colder than the air."""
    if signals.compressor is None or not signals.compressor.on or facts.lift is None or facts.lift_usual is None:
        return False
    return facts.lift < 0.4 * facts.lift_usual
