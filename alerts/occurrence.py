"""One occurrence of an alarm in memory: what may happen to it, as `alarm.py` allows, and what the journal says of it.

Engine and operators move alarms through this class alone. It is pure; `ledger.py` loads and writes it. Nothing here
takes a transition that is not in the tables: a method whose event is not lawful answers False and changes nothing.

Why an alarm keeps quiet is the sum of three: what people said of its point (`Quiet`, alerts.suppression), what its
judge holds it for (`plant_hold`), and the alarm that explains it (`explained_by`). It shows one of them, and leaves
suppression when none is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hanlu.alerts.alarm import (
    ACTIVE,
    Event,
    ProcessState,
    SuppressionState,
    bring,
    calls,
    process,
    resume,
    settle,
    suppress,
)
from hanlu.alerts.kind import Cause, Hold, Kind

__all__ = ["ASSIGN", "CAUSE", "ENGINE", "EVERY_KIND", "EXPLAIN", "Entry", "Occurrence", "Quiet", "Subject"]

ENGINE: Final = "engine"
"""The engine as an actor in the journal."""
EVERY_KIND: Final = "*"
"""Kind of a point that stands for all kinds of its channel."""
ASSIGN: Final = "assign"
CAUSE: Final = "cause"
EXPLAIN: Final = "explain"
"""Words of the journal beside those of the tables."""

_QUIETED: Final = ACTIVE | {ProcessState.LATCHED_UNACKNOWLEDGED, ProcessState.LATCHED_ACKNOWLEDGED}
"""What suppression quiets. An earlier occurrence that returned unacknowledged has called a person already: it stays on
the list until one has seen it."""


class Subject(NamedTuple):
    """What an alarm is about: a channel, or goods at a site, and a kind of alarm; one alarm at most stands there."""

    channel_id: int | None
    kind: Kind
    site_id: int | None = None
    item: str | None = None


class Quiet(NamedTuple):
    """What people have said of a point.

    Attributes:
        state: SHELVED, SUPPRESSED_BY_DESIGN or OUT_OF_SERVICE.
        reason: shown with the alarm.
        actor: who said it.
    """

    state: SuppressionState
    reason: str
    actor: str


class Entry(NamedTuple):
    """One line of the journal; see alerts.journal."""

    version: int
    at_ms: int
    event: str
    from_state: str
    to_state: str
    actor: str
    value: float | None = None
    note: str = ""


@dataclass(slots=True, eq=False)
class Occurrence:
    """One alarm; the fields are the columns of alerts.alarm, instants in Unix milliseconds."""

    subject: Subject
    priority: int
    exceeded_ms: int
    raised_ms: int
    detected_ms: int
    alarm_id: int | None = None
    process_state: ProcessState = ProcessState.NORMAL
    suppression_state: SuppressionState = SuppressionState.NONE
    version: int = 0
    limit_value: float | None = None
    unit: str | None = None
    returned_ms: int | None = None
    acknowledged_ms: int | None = None
    acknowledged_by: str | None = None
    note: str | None = None
    peak: float | None = None
    peak_ms: int | None = None
    replayed: bool = False
    rule_code: str | None = None
    rule_version: int | None = None
    cause: Cause = Cause.UNKNOWN
    plant_hold: Hold | None = None
    """Why its judge holds it."""
    hold_reason: str | None = None
    explained_by: Occurrence | int | None = None
    """What explains it, an alarm or its key; that holds it as well."""
    latches: bool = False
    called_ms: int | None = None
    respond_s: int | None = None
    re_alarm_s: int | None = None
    re_alarm_ms: int | None = None
    assignee: str | None = None
    item_zh: str | None = None
    item_en: str | None = None
    entries: list[Entry] = field(default_factory=list)
    """What the journal does not hold yet."""

    @property
    def active(self) -> bool:
        """Return whether its condition is true."""
        return self.process_state in ACTIVE

    def begin(
        self,
        at_ms: int,
        now_ms: int,
        quiets: Iterable[Quiet] = (),
        *,
        value: float | None = None,
    ) -> None:
        """RAISE, quiet from the first moment when its point is, or when the plant holds it (`plant_hold`)."""
        self._write(at_ms, Event.RAISE, ENGINE, value)
        if self.explained_by is not None:
            self._note(now_ms, EXPLAIN, ENGINE)
        self._quiet(tuple(quiets), at_ms, ENGINE, "", called_ms=now_ms)
        self._called(now_ms)

    def acknowledge(self, at_ms: int, actor: str, note: str) -> bool:
        """A person has seen it."""
        if not self._write(at_ms, Event.ACKNOWLEDGE, actor, None, note):
            return False
        self.acknowledged_ms, self.acknowledged_by, self.note = at_ms, actor, note or None
        if self.process_state is ProcessState.ACKNOWLEDGED and self.re_alarm_s is not None:
            self.re_alarm_ms = at_ms + self.re_alarm_s * 1000
        return True

    def give_back(self, at_ms: int, *, value: float | None = None, note: str = "", actor: str = ENGINE) -> bool:
        """The condition is gone: RETURN, or LATCH where the rule waits for a reset and somebody was called."""
        # What the plant held called nobody and was no alarm to anybody: there is nothing to look at and to reset.
        by_plant = self.plant_hold is not None or self.explained_by is not None
        latch = self.latches and (self.called_ms is not None or not by_plant)
        if not self._write(at_ms, Event.LATCH if latch else Event.RETURN, actor, value, note):
            return False
        self.returned_ms, self.re_alarm_ms = at_ms, None
        _, follow = settle(self.process_state, self.suppression_state)
        for event in follow:
            self._write(at_ms, event, actor)
        return True

    def reset(self, at_ms: int, actor: str, note: str) -> bool:
        """Somebody has looked at the plant after a latching alarm."""
        return self._write(at_ms, Event.RESET, actor, None, note)

    def call_again(self, now_ms: int) -> bool:
        """RE_ALARM: acknowledged, still standing, and its time has passed."""
        if self.suppression_state is not SuppressionState.NONE or not self._write(now_ms, Event.RE_ALARM, ENGINE):
            return False
        self.re_alarm_ms = None
        self._called(now_ms)
        return True

    def hold(self, hold: Hold | None, at_ms: int, now_ms: int, quiets: Iterable[Quiet]) -> None:
        """Its judge holds it (a reason) or no longer does (None); it calls when nothing else keeps it quiet.

        Args:
            hold: why.
            at_ms: the observation that decided it.
            now_ms: the platform's time: when people are called.
            quiets: what people have said of its point.
        """
        self.plant_hold = hold
        self._quiet(tuple(quiets), at_ms, ENGINE, "", called_ms=now_ms)

    def requiet(
        self, quiets: Iterable[Quiet], at_ms: int, actor: str, note: str = "", *, expired: bool = False
    ) -> bool:
        """People have changed what they say of its point; answer whether that changed anything here."""
        return self._quiet(tuple(quiets), at_ms, actor, note, expired=expired)

    def explain(self, parent: Occurrence | int, at_ms: int, quiets: Iterable[Quiet]) -> None:
        """Another alarm explains this one and speaks for it."""
        self.explained_by = parent
        self._note(at_ms, EXPLAIN, ENGINE)
        self._quiet(tuple(quiets), at_ms, ENGINE, "")

    def stand_alone(self, at_ms: int, quiets: Iterable[Quiet], note: str = "") -> None:
        """What explained it is over: it calls by itself when nothing else keeps it quiet."""
        self.explained_by = None
        self._quiet(tuple(quiets), at_ms, ENGINE, note)

    def suspect(self, cause: Cause, at_ms: int) -> bool:
        """The readings tell a (different) cause; UNKNOWN never takes back what was known."""
        if cause in {Cause.UNKNOWN, self.cause} or not self.active:
            return False
        self.cause = cause
        self._note(at_ms, CAUSE, ENGINE, note=cause.value)
        return True

    def assign(self, assignee: str, at_ms: int, actor: str) -> bool:
        """A person takes it on."""
        if self.process_state is ProcessState.NORMAL or (self.assignee or "") == assignee:
            return False
        self.assignee = assignee or None
        self._note(at_ms, ASSIGN, actor, note=assignee)
        return True

    def _quiet(
        self,
        quiets: tuple[Quiet, ...],
        at_ms: int,
        actor: str,
        note: str,
        *,
        expired: bool = False,
        called_ms: int | None = None,
    ) -> bool:
        if self.process_state not in _QUIETED:
            return False
        reasons = {each.state for each in quiets}
        if self.plant_hold is not None or self.explained_by is not None:
            reasons.add(SuppressionState.SUPPRESSED_BY_DESIGN)
        before = self.suppression_state
        for event in bring(before, reasons, expired=expired):
            after = suppress(self.suppression_state, event)
            leaves = after is SuppressionState.NONE
            # The end of a reason was said by who acts now; what takes its place was said earlier, and is the engine's.
            who = actor if leaves or len(reasons) == 1 or before is SuppressionState.NONE else ENGINE
            held = self._reason(after, quiets)
            self._state(at_ms, event, self.suppression_state, after, who, note if leaves else note or held or "")
            self.suppression_state = after
        self.hold_reason = self._reason(self.suppression_state, quiets)
        if before is self.suppression_state:
            return False
        if self.suppression_state is SuppressionState.NONE:
            again = resume(self.process_state)
            if again is not None:
                self._write(at_ms, again, ENGINE)
                self.re_alarm_ms = None
            self._called(at_ms if called_ms is None else called_ms)
        return True

    def _reason(self, state: SuppressionState, quiets: tuple[Quiet, ...]) -> str | None:
        if state is SuppressionState.SUPPRESSED_BY_DESIGN:
            if self.explained_by is not None:
                return Hold.EXPLAINED.value
            if self.plant_hold is not None:
                return self.plant_hold.value
        return next((each.reason for each in quiets if each.state is state), None)

    def _called(self, at_ms: int) -> None:
        if self.called_ms is None and calls(self.process_state, self.suppression_state):
            self.called_ms = at_ms

    def _write(self, at_ms: int, event: Event, actor: str, value: float | None = None, note: str = "") -> bool:
        after = process(self.process_state, event)
        if after is self.process_state:
            return False
        self._state(at_ms, event, self.process_state, after, actor, note, value)
        self.process_state = after
        if after is not ProcessState.ACKNOWLEDGED:
            self.re_alarm_ms = None
        return True

    def _note(self, at_ms: int, event: str, actor: str, *, note: str = "") -> None:
        self._state(at_ms, event, self.process_state, self.process_state, actor, note)

    def _state(
        self, at_ms: int, event: str, before: str, after: str, actor: str, note: str, value: float | None = None
    ) -> None:
        self.version += 1
        self.entries.append(Entry(self.version, at_ms, str(event), str(before), str(after), actor, value, note))
