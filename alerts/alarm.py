"""What an alarm is and which ways it may go: two tables, and nothing that is not in them.

Theory of operation. An alarm is one occurrence: from a limit being exceeded long enough (RAISE) until it is both back
(RETURN) and seen by a person (ACKNOWLEDGE), in either order. That is the process state. Beside it stands the
suppression state, which never changes the process state: a shelved alarm still returns and can still be acknowledged,
it merely does not call anybody. The two machines are therefore two tables, and whether somebody is called is a question
to both (`calls`).

When the limit is exceeded again while an earlier occurrence has returned but was never acknowledged, a new occurrence
begins and the old one stays to be acknowledged: so RAISE is lawful in NORMAL only. (Where other systems let
RTN_UNACKNOWLEDGED turn back into UNACKNOWLEDGED, the earlier excursion disappears from the operator's list.)

An event that is not in the table for a state is not an error and changes nothing: two operators may press the same
button, and a return may overtake an acknowledgement.

Source: ANSI/ISA-18.2-2016 5.4 and IEC 62682:2022 5.4 (state model); OPC UA Part 9 5.5.2 (condition branches keep the
earlier occurrence).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

__all__ = [
    "PROCESS",
    "SUPPRESSION",
    "Event",
    "ProcessState",
    "SuppressionEvent",
    "SuppressionState",
    "calls",
    "diagram",
    "process",
    "suppress",
]


class ProcessState(StrEnum):
    """Where an occurrence stands between the process and the operator."""

    NORMAL = "NORMAL"
    UNACKNOWLEDGED = "UNACKNOWLEDGED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RTN_UNACKNOWLEDGED = "RTN_UNACKNOWLEDGED"


class Event(StrEnum):
    """What moves the process state; also the words of the journal."""

    RAISE = "raise"
    RETURN = "return"
    ACKNOWLEDGE = "acknowledge"


class SuppressionState(StrEnum):
    """Whether, and why, an alarm keeps quiet."""

    NONE = "NONE"
    SHELVED = "SHELVED"
    SUPPRESSED_BY_DESIGN = "SUPPRESSED_BY_DESIGN"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"


class SuppressionEvent(StrEnum):
    """What moves the suppression state: an operator, the plant's logic, or maintenance."""

    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    REMOVE_FROM_SERVICE = "remove_from_service"
    RETURN_TO_SERVICE = "return_to_service"


PROCESS: Final[Mapping[tuple[ProcessState, Event], ProcessState]] = {
    (ProcessState.NORMAL, Event.RAISE): ProcessState.UNACKNOWLEDGED,
    (ProcessState.UNACKNOWLEDGED, Event.ACKNOWLEDGE): ProcessState.ACKNOWLEDGED,
    (ProcessState.UNACKNOWLEDGED, Event.RETURN): ProcessState.RTN_UNACKNOWLEDGED,
    (ProcessState.ACKNOWLEDGED, Event.RETURN): ProcessState.NORMAL,
    (ProcessState.RTN_UNACKNOWLEDGED, Event.ACKNOWLEDGE): ProcessState.NORMAL,
}
"""Every lawful step of the process state."""

SUPPRESSION: Final[Mapping[tuple[SuppressionState, SuppressionEvent], SuppressionState]] = {
    (SuppressionState.NONE, SuppressionEvent.SHELVE): SuppressionState.SHELVED,
    (SuppressionState.SHELVED, SuppressionEvent.UNSHELVE): SuppressionState.NONE,
    (SuppressionState.NONE, SuppressionEvent.SUPPRESS): SuppressionState.SUPPRESSED_BY_DESIGN,
    (SuppressionState.SUPPRESSED_BY_DESIGN, SuppressionEvent.UNSUPPRESS): SuppressionState.NONE,
    # Maintenance outranks the other two; what they said is over when the device comes back.
    (SuppressionState.NONE, SuppressionEvent.REMOVE_FROM_SERVICE): SuppressionState.OUT_OF_SERVICE,
    (SuppressionState.SHELVED, SuppressionEvent.REMOVE_FROM_SERVICE): SuppressionState.OUT_OF_SERVICE,
    (SuppressionState.SUPPRESSED_BY_DESIGN, SuppressionEvent.REMOVE_FROM_SERVICE): SuppressionState.OUT_OF_SERVICE,
    (SuppressionState.OUT_OF_SERVICE, SuppressionEvent.RETURN_TO_SERVICE): SuppressionState.NONE,
}
"""Every lawful step of the suppression state."""


def process(state: ProcessState, event: Event) -> ProcessState:
    """Return the process state after `event`; `state` itself when the event is not lawful in it."""
    return PROCESS.get((state, event), state)


def suppress(state: SuppressionState, event: SuppressionEvent) -> SuppressionState:
    """Return the suppression state after `event`; `state` itself when the event is not lawful in it."""
    return SUPPRESSION.get((state, event), state)


def calls(state: ProcessState, suppression: SuppressionState) -> bool:
    """Tell whether the alarm asks for a person: not acknowledged and not suppressed."""
    waiting = (ProcessState.UNACKNOWLEDGED, ProcessState.RTN_UNACKNOWLEDGED)
    return state in waiting and suppression is SuppressionState.NONE


def diagram(table: Mapping[tuple[StrEnum, StrEnum], StrEnum]) -> str:
    """Return `table` as a Mermaid state diagram; the first state in it is where everything begins."""
    first = next(iter(table))[0]
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    lines += [f"    {before} --> {after}: {event}" for (before, event), after in table.items()]
    return "\n".join(lines) + "\n"
