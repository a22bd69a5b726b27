"""From what the watch has concluded to alarms and journal, in the page's transaction.

Every change goes through `Occurrence`, so what the tables do not allow does not happen. What a raise explains, and what
explains it (`explain.py`), is settled in the same transaction: an alarm never calls for a moment before the one that
explains it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hanlu.alerts.alarm import SuppressionState
from hanlu.alerts.explain import Standing, explains, may_explain, parent_of
from hanlu.alerts.judge.contract import Move
from hanlu.alerts.kind import LIMIT_KINDS, Kind
from hanlu.alerts.ledger import Ledger, Quiets
from hanlu.alerts.occurrence import Occurrence, Subject
from hanlu.alerts.outcome import Change, Peak
from hanlu.alerts.watch import Watch
from hanlu.db.pool import Connection

__all__ = ["Concluded", "chores_done", "conclude"]


class Concluded(NamedTuple):
    """What stands after a page's changes.

    Attributes:
        active: keys of the alarms that stand.
        peaks: worst values of those that returned, by key.
    """

    active: dict[Subject, int]
    peaks: list[tuple[int, Peak]]


def conclude(
    connection: Connection, watch: Watch, changes: Sequence[Change], active: Mapping[Subject, int], now_ms: int
) -> Concluded:
    """Write what `changes` mean.

    Args:
        connection: in the page's transaction.
        watch: knows what stands where, the changes' own alarms among them.
        changes: in order.
        active: keys of the alarms that stood before the page.
        now_ms: the platform's time, Unix milliseconds.

    Returns:
        The keys of the alarms that stand now, and the worst values that returns have told.
    """
    return _Page(connection, watch, changes, active, now_ms).run()


def chores_done(connection: Connection, chores: Sequence[tuple[str, int]], now_ms: int) -> int:
    """Let alarms call again, or stand alone, whose time has come; return the number of journal entries."""
    ledger = Ledger(connection)
    found = ledger.load([alarm_id for _, alarm_id in chores])
    quiets = ledger.quiets(_channel_ids(each.subject for each in found.values()))
    for chore, alarm_id in chores:
        alarm = found[alarm_id]
        if chore == "re_alarm":
            # Looked up before the lock was held: it may have returned since.
            if alarm.re_alarm_ms is not None and alarm.re_alarm_ms <= now_ms:
                alarm.call_again(now_ms)
        elif alarm.explained_by is not None:
            alarm.stand_alone(now_ms, quiets.of(alarm.subject))
    return ledger.flush()


class _Page:
    """One transaction's alarms."""

    def __init__(
        self,
        connection: Connection,
        watch: Watch,
        changes: Sequence[Change],
        active: Mapping[Subject, int],
        now_ms: int,
    ) -> None:
        self._watch = watch
        self._changes = changes
        self._now_ms = now_ms
        self._ledger = Ledger(connection)
        self._ids = dict(active)
        self._open: dict[Subject, Occurrence] = {}
        self._raised: list[Occurrence] = []
        self._peaks: list[tuple[int, Peak]] = []
        self._quiets = Quiets()

    def run(self) -> Concluded:
        """Apply the changes and write them."""
        touched = {each.subject for each in self._changes}
        touched |= {Subject(each.parent, Kind.NO_DATA) for each in self._changes if each.parent is not None}
        raises = [each for each in self._changes if each.move is Move.RAISE]
        family = self._family(raises)
        self._load(touched | family)
        self._quiets = self._ledger.quiets(_channel_ids(touched | family))
        for change in self._changes:
            self._apply(change)
        for alarm in self._raised:
            self._settle_family(alarm)
        self._ledger.flush()
        for alarm in self._raised:
            assert alarm.alarm_id is not None
            if self._open.get(alarm.subject) is alarm:
                self._ids[alarm.subject] = alarm.alarm_id
        return Concluded(self._ids, self._peaks)

    def _load(self, subjects: set[Subject]) -> None:
        ids = {self._ids[each]: each for each in subjects if each in self._ids}
        for alarm_id, alarm in self._ledger.load(sorted(ids)).items():
            if alarm.active:
                self._open[ids[alarm_id]] = alarm

    def _family(self, raises: Sequence[Change]) -> set[Subject]:
        """Return what stands already and may explain what is raised, or be explained by it."""
        sites: dict[str, bool] = {}
        for each in raises:
            place = self._watch.place(each.subject.channel_id)
            if place is not None:
                parent = may_explain(Standing(each.subject, place))
                sites[place.site] = sites.get(place.site, False) or parent
        found: set[Subject] = set()
        for site, parent in sites.items():
            standing = self._watch.at_site(site) if parent else self._watch.parents_at(site)
            found |= {each.subject for each in standing}
        return found

    def _apply(self, change: Change) -> None:
        if change.move is Move.RAISE:
            self._raise(change)
            return
        alarm = self._open.get(change.subject)
        if alarm is None:  # not there any more: somebody's hand in the database
            return
        if change.move is Move.RETURN:
            self._worst(alarm, change)
            alarm.give_back(change.at_ms, value=change.value, note=change.note)
            del self._open[change.subject]
            self._ids.pop(change.subject, None)
            return
        alarm.suspect(change.cause, change.at_ms)
        quiets = self._quiets.of(change.subject)
        if change.move is Move.RELEASE:
            alarm.hold(None, change.at_ms, self._now_ms, quiets)
        elif change.hold is not None and alarm.called_ms is None:
            alarm.hold(change.hold, change.at_ms, self._now_ms, quiets)

    def _raise(self, change: Change) -> None:
        rule = change.rule
        assert rule is not None, "a raise has a rule"
        parent = None if change.parent is None else self._open.get(Subject(change.parent, Kind.NO_DATA))
        if parent is not None and parent.suppression_state is not SuppressionState.NONE:
            parent = None  # nobody is called by it either
        names = change.names or (None, None)
        alarm = Occurrence(
            change.subject,
            rule.priority,
            change.start_ms,
            change.at_ms,
            self._now_ms,
            limit_value=_limit(change),
            unit=change.unit,
            peak=change.peak,
            peak_ms=change.peak_ms,
            replayed=change.replayed,
            rule_code=rule.code,
            rule_version=rule.version,
            cause=change.cause,
            plant_hold=change.hold,
            explained_by=parent,
            latches=rule.latch,
            respond_s=rule.respond_ms // 1000 or None,
            re_alarm_s=None if rule.re_alarm_ms is None else rule.re_alarm_ms // 1000,
            item_zh=names[0],
            item_en=names[1],
        )
        self._explain_at_birth(alarm)
        alarm.begin(change.at_ms, self._now_ms, self._quiets.of(change.subject), value=change.value)
        self._ledger.add(alarm)
        self._open[change.subject] = alarm
        self._raised.append(alarm)

    def _explain_at_birth(self, alarm: Occurrence) -> None:
        place = self._watch.place(alarm.subject.channel_id)
        if place is None or alarm.explained_by is not None:
            return
        child = Standing(alarm.subject, place)
        speaking = [each for each in self._watch.parents_at(place.site) if self._speaks(each)]
        parent = parent_of(child, speaking)
        if parent is not None:
            alarm.explained_by = self._open[parent.subject]

    def _settle_family(self, alarm: Occurrence) -> None:
        """Let a new alarm explain what stood, or was raised, before it."""
        place = self._watch.place(alarm.subject.channel_id)
        if place is None:
            return
        own = Standing(alarm.subject, place)
        if not may_explain(own) or not self._speaks(own) or self._open.get(alarm.subject) is not alarm:
            return
        children = [
            child
            for each in self._watch.at_site(place.site)
            if (child := self._open.get(each.subject)) is not None and child.active and explains(own, each)
        ]
        taken: set[Occurrence | int | None] = set()
        for child in children:
            if child.explained_by is None:
                child.explain(alarm, self._now_ms, self._quiets.of(child.subject))
                taken |= {child, child.alarm_id}
        for child in children:
            # What one of those explained goes on to the one that speaks for them now.
            if child.explained_by is not alarm and child.explained_by in taken:
                child.explain(alarm, self._now_ms, self._quiets.of(child.subject))

    def _speaks(self, standing: Standing) -> bool:
        """Tell whether an alarm may explain others: it stands, and nothing keeps itself quiet."""
        alarm = self._open.get(standing.subject)
        return alarm is not None and alarm.active and alarm.suppression_state is SuppressionState.NONE

    def _worst(self, alarm: Occurrence, change: Change) -> None:
        if change.peak is None or change.peak_ms is None:
            return
        if alarm.alarm_id is None:  # raised in this page: its row is not there yet
            alarm.peak, alarm.peak_ms = change.peak, change.peak_ms
        else:
            self._peaks.append((alarm.alarm_id, Peak(change.peak, change.peak_ms)))


def _limit(change: Change) -> float | None:
    assert change.rule is not None
    value: Any = getattr(change.rule.parameters, "setpoint", None)
    return value if change.subject.kind in LIMIT_KINDS or value is not None else None


def _channel_ids(subjects: Any) -> list[int]:
    return sorted({each.channel_id for each in subjects if each.channel_id is not None})
