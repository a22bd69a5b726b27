"""What an alarm is and which ways it may go: three tables, and nothing that is not in them.

Theory of operation. An alarm is one occurrence: from a condition being true long enough (RAISE) until it is both gone
(RETURN) and seen by a person (ACKNOWLEDGE), in either order. That is the process state. A latching alarm asks for a
third thing: its condition may be gone and seen, it stays until somebody has looked at the plant and says so (RESET).

Beside it stands the suppression state of the alarm's point (a channel and a kind of alarm): why nobody is called. It
is a machine of its own, moved by an operator (SHELVE), by the plant's logic (SUPPRESS: a defrost, an empty room, a
power cut that explains everything) or by maintenance (REMOVE_FROM_SERVICE).

The two are coupled in two places, and `settle` runs the coupling to its fixed point after every event:

* An alarm that returns while its point is suppressed needs no acknowledgement, since nobody was called: CLOSE.
* When a point leaves suppression, what is true is judged at once: `resume` gives the event that an alarm whose
  condition still holds needs so that it calls again, even when it had been acknowledged before.

An alarm may be quiet for several reasons at once (shelved, and a defrost runs), of which it shows one. `bring` gives
the steps to a state that one of the reasons that are left supports; only without any does it leave suppression.

When the condition comes true again while an earlier occurrence has returned but was never acknowledged, a new
occurrence begins and the old one stays to be acknowledged: so RAISE is lawful in NORMAL only. (Where other systems let
RTN_UNACKNOWLEDGED turn back into UNACKNOWLEDGED, the earlier excursion disappears from the operator's list.) RE_ALARM
calls again for an occurrence that was acknowledged and still stands: its time to respond has passed, or suppression
has ended.

An event that is not in the table for a state is not an error and changes nothing: two operators may press the same
button, and a return may overtake an acknowledgement.

Source: ANSI/ISA-18.2-2016 5.4 and IEC 62682:2022 5.4 (state model, latching, shelving, suppression by design, out of
service, re-alarm); OPC UA Part 9 5.5.2 (condition branches keep the earlier occurrence).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final

__all__ = [
    "ACTIVE",
    "COUPLING",
    "PROCESS",
    "SUPPRESSION",
    "Event",
    "ProcessState",
    "SuppressionEvent",
    "SuppressionState",
    "bring",
    "calls",
    "diagram",
    "process",
    "resume",
    "settle",
    "suppress",
]


class ProcessState(StrEnum):
    """Where an occurrence stands between the process and the operator."""

    NORMAL = "NORMAL"
    UNACKNOWLEDGED = "UNACKNOWLEDGED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RTN_UNACKNOWLEDGED = "RTN_UNACKNOWLEDGED"
    LATCHED_UNACKNOWLEDGED = "LATCHED_UNACKNOWLEDGED"
    LATCHED_ACKNOWLEDGED = "LATCHED_ACKNOWLEDGED"


class Event(StrEnum):
    """What moves the process state; also words of the journal."""

    RAISE = "raise"
    RETURN = "return"
    LATCH = "latch"
    """The condition of a latching alarm is gone: it returns for its point, and waits for a reset."""
    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    RE_ALARM = "re_alarm"
    CLOSE = "close"
    """Over without an acknowledgement, because nobody was called."""


class SuppressionState(StrEnum):
    """Whether, and why, an alarm keeps quiet."""

    NONE = "NONE"
    SHELVED = "SHELVED"
    SUPPRESSED_BY_DESIGN = "SUPPRESSED_BY_DESIGN"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"


class SuppressionEvent(StrEnum):
    """What moves the suppression state: an operator, the clock, the plant's logic, or maintenance."""

    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    EXPIRE = "expire"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    REMOVE_FROM_SERVICE = "remove_from_service"
    RETURN_TO_SERVICE = "return_to_service"


_NORMAL, _UNACKNOWLEDGED, _ACKNOWLEDGED, _RETURNED, _LATCHED_UNACKNOWLEDGED, _LATCHED_ACKNOWLEDGED = ProcessState
_NONE, _SHELVED, _BY_DESIGN, _OUT_OF_SERVICE = SuppressionState

PROCESS: Final[Mapping[tuple[ProcessState, Event], ProcessState]] = {
    (_NORMAL, Event.RAISE): _UNACKNOWLEDGED,
    (_UNACKNOWLEDGED, Event.ACKNOWLEDGE): _ACKNOWLEDGED,
    (_UNACKNOWLEDGED, Event.RETURN): _RETURNED,
    (_UNACKNOWLEDGED, Event.LATCH): _LATCHED_UNACKNOWLEDGED,
    (_ACKNOWLEDGED, Event.RETURN): _NORMAL,
    (_ACKNOWLEDGED, Event.LATCH): _LATCHED_ACKNOWLEDGED,
    (_ACKNOWLEDGED, Event.RE_ALARM): _UNACKNOWLEDGED,
    (_RETURNED, Event.ACKNOWLEDGE): _NORMAL,
    (_RETURNED, Event.CLOSE): _NORMAL,
    (_LATCHED_UNACKNOWLEDGED, Event.ACKNOWLEDGE): _LATCHED_ACKNOWLEDGED,
    (_LATCHED_ACKNOWLEDGED, Event.RESET): _NORMAL,
}
"""Every lawful step of the process state."""

SUPPRESSION: Final[Mapping[tuple[SuppressionState, SuppressionEvent], SuppressionState]] = {
    (_NONE, SuppressionEvent.SHELVE): _SHELVED,
    (_SHELVED, SuppressionEvent.UNSHELVE): _NONE,
    (_SHELVED, SuppressionEvent.EXPIRE): _NONE,
    (_NONE, SuppressionEvent.SUPPRESS): _BY_DESIGN,
    (_BY_DESIGN, SuppressionEvent.UNSUPPRESS): _NONE,
    (_BY_DESIGN, SuppressionEvent.EXPIRE): _NONE,
    # Maintenance outranks the other two; what they said is over when the device comes back.
    (_NONE, SuppressionEvent.REMOVE_FROM_SERVICE): _OUT_OF_SERVICE,
    (_SHELVED, SuppressionEvent.REMOVE_FROM_SERVICE): _OUT_OF_SERVICE,
    (_BY_DESIGN, SuppressionEvent.REMOVE_FROM_SERVICE): _OUT_OF_SERVICE,
    (_OUT_OF_SERVICE, SuppressionEvent.RETURN_TO_SERVICE): _NONE,
    (_OUT_OF_SERVICE, SuppressionEvent.EXPIRE): _NONE,
}
"""Every lawful step of the suppression state."""

COUPLING: Final[Mapping[tuple[ProcessState, SuppressionState], Event]] = {
    (_RETURNED, _SHELVED): Event.CLOSE,
    (_RETURNED, _BY_DESIGN): Event.CLOSE,
    (_RETURNED, _OUT_OF_SERVICE): Event.CLOSE,
}
"""What the two states together demand of the process state. A latched alarm waits for its reset, suppressed or not."""

ACTIVE: Final = frozenset({_UNACKNOWLEDGED, _ACKNOWLEDGED})
"""States of an occurrence whose condition is true."""


def process(state: ProcessState, event: Event) -> ProcessState:
    """Return the process state after `event`; `state` itself when the event is not lawful in it."""
    return PROCESS.get((state, event), state)


def suppress(state: SuppressionState, event: SuppressionEvent) -> SuppressionState:
    """Return the suppression state after `event`; `state` itself when the event is not lawful in it."""
    return SUPPRESSION.get((state, event), state)


def settle(state: ProcessState, suppression: SuppressionState) -> tuple[ProcessState, tuple[Event, ...]]:
    """Run the coupling until nothing more follows.

    Returns:
        The process state at the fixed point, and the events that led there, in order; they belong into the journal.
    """
    events: list[Event] = []
    while (event := COUPLING.get((state, suppression))) is not None:
        after = process(state, event)
        assert after is not state, "the coupling names only lawful events"
        events.append(event)
        state = after
    return state, tuple(events)


def resume(state: ProcessState) -> Event | None:
    """Return what an occurrence needs when its point leaves suppression, or None when its state says it already.

    An unacknowledged one calls by itself, an acknowledged one whose condition still holds is to call again.
    """
    return Event.RE_ALARM if state is _ACKNOWLEDGED else None


_ENTER: Final = {
    _SHELVED: SuppressionEvent.SHELVE,
    _BY_DESIGN: SuppressionEvent.SUPPRESS,
    _OUT_OF_SERVICE: SuppressionEvent.REMOVE_FROM_SERVICE,
}
_LEAVE: Final = {
    _SHELVED: SuppressionEvent.UNSHELVE,
    _BY_DESIGN: SuppressionEvent.UNSUPPRESS,
    _OUT_OF_SERVICE: SuppressionEvent.RETURN_TO_SERVICE,
}


def bring(
    state: SuppressionState, reasons: Collection[SuppressionState], *, expired: bool = False
) -> tuple[SuppressionEvent, ...]:
    """Return the lawful steps from `state` to one that `reasons` support.

    Args:
        state: what the alarm shows now.
        reasons: what there is reason for, any of the three suppressed states; none: it leaves suppression.
        expired: the reason that is gone ran out by itself (EXPIRE instead of a person's or the plant's word).
    """
    if _OUT_OF_SERVICE in reasons:
        goal = _OUT_OF_SERVICE
    elif state in reasons or not reasons:
        goal = state if reasons else _NONE
    else:
        goal = _SHELVED if _SHELVED in reasons else _BY_DESIGN
    if goal is state:
        return ()
    if state is not _NONE and (state, _ENTER.get(goal)) not in SUPPRESSION:
        leave = SuppressionEvent.EXPIRE if expired else _LEAVE[state]
        return (leave,) if goal is _NONE else (leave, _ENTER[goal])
    return (_ENTER[goal],)


def calls(state: ProcessState, suppression: SuppressionState) -> bool:
    """Tell whether the alarm asks for a person: not acknowledged and not suppressed."""
    return state in {_UNACKNOWLEDGED, _RETURNED, _LATCHED_UNACKNOWLEDGED} and suppression is _NONE


def diagram(table: Mapping[tuple[StrEnum, StrEnum], StrEnum]) -> str:
    """Return `table` as a Mermaid state diagram; the first state in it is where everything begins."""
    first = next(iter(table))[0]
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    lines += [f"    {before} --> {after}: {event}" for (before, event), after in table.items()]
    return "\n".join(lines) + "\n"
