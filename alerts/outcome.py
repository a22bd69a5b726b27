"""What the watch takes and what it concludes, as values: arrivals in, changes of alarms out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hanlu.alerts.judge.contract import Move
from hanlu.alerts.judge.room import Assigned, Memory
from hanlu.alerts.kind import Cause, Hold
from hanlu.alerts.occurrence import Subject

__all__ = [
    "ENGINE_NOTES",
    "JUDGED_ANEW",
    "LIMIT_WITHDRAWN",
    "UNIT_CHANGED",
    "Arrival",
    "Change",
    "Kept",
    "Late",
    "Outcome",
    "Peak",
]

LIMIT_WITHDRAWN: Final = "limit_withdrawn"
"""Note of a return that happened because no rule watches this any more."""
UNIT_CHANGED: Final = "unit_changed"
"""Note of a return that happened because the channel measures in another unit now."""
JUDGED_ANEW: Final = "judged_anew"
"""Note of a return that happened because what its judge remembered could not be read any more."""
ENGINE_NOTES: Final = frozenset({LIMIT_WITHDRAWN, UNIT_CHANGED, JUDGED_ANEW})
"""All of them: words of the program, to be shown in the reader's language."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message of telemetry.arrival_feed.

    Attributes:
        txid: writing transaction, decimal.
        arrival_id: key; with `txid` the position in the feed.
        lane: live, backlog, event or birth.
        replayed: recorded data played again.
        recorded_ms: when the platform stored it, Unix milliseconds.
        channel_ids: of the readings newly stored.
        observed_ms: parallel, Unix milliseconds.
        values: parallel.
    """

    txid: str
    arrival_id: int
    lane: str
    replayed: bool
    recorded_ms: int
    channel_ids: list[int]
    observed_ms: list[int]
    values: list[float]


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to the alarm of a subject.

    Attributes:
        subject: which alarm.
        move: RAISE, RETURN, HOLD or RELEASE.
        at_ms: when, Unix milliseconds: of observation, or the platform's for what its clock judges.
        start_ms: when what is going on began.
        rule: behind it; None for a return without one.
        value: the reading that decided it.
        peak: worst value so far, None where there is none.
        peak_ms: when that was.
        hold: why nobody is called, with RAISE and HOLD.
        cause: what probably lies behind it.
        replayed: judged in a replay's own time.
        note: why, where the condition itself did not decide.
        unit: of the values.
        parent: the channel whose silence explains this one's.
        names: of goods, in Chinese and English.
    """

    subject: Subject
    move: Move
    at_ms: int
    start_ms: int
    rule: Assigned | None = None
    value: float | None = None
    peak: float | None = None
    peak_ms: int | None = None
    hold: Hold | None = None
    cause: Cause = Cause.UNKNOWN
    replayed: bool = False
    note: str = ""
    unit: str | None = None
    parent: int | None = None
    names: tuple[str, str] | None = None


class Late(NamedTuple):
    """A late reading beyond a limit: it corrects the record of an alarm that covers its time."""

    subject: Subject
    observed_ms: int
    value: float


class Peak(NamedTuple):
    """The worst value of an alarm that stands."""

    value: float
    at_ms: int


class Kept(NamedTuple):
    """What is remembered of a channel beside its judges' memory.

    Attributes:
        memory: of its judges.
        unit: its values are in.
        step_ms: how far its clock has stepped back since, milliseconds; added to its instants.
    """

    memory: Memory
    unit: str
    step_ms: int = 0


@dataclass(slots=True)
class Outcome:
    """What a page of readings, or the passing of time, has brought.

    Attributes:
        changes: of alarms, in order.
        kept: what to remember, by channel.
        late: readings that may correct a record.
        peaks: worst values of standing alarms.
        waited: channels never heard that are waited for, with since when.
        failures: channels and rules whose judges failed and began anew, with the error.
    """

    changes: list[Change] = field(default_factory=list)
    kept: dict[int, Kept] = field(default_factory=dict)
    late: list[Late] = field(default_factory=list)
    peaks: dict[Subject, Peak] = field(default_factory=dict)
    waited: dict[int, int] = field(default_factory=dict)
    failures: list[tuple[int, Assigned, Exception]] = field(default_factory=list)
