"""Occurrences and points as rows: loaded and locked, moved in memory, and written at once.

    with connection.transaction():
        ledger = Ledger(connection)          # waits for its turn: one writer of alarms at a time
        for each in ledger.load(alarm_ids): ...
        ledger.flush()

One writer at a time (an advisory lock until the transaction ends) makes two things simple that would otherwise be
subtle: an alarm that is raised while its point is being shelved is born shelved, and no two transactions wait for one
another's rows. The transactions are short; alarms are few beside readings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from psycopg.rows import dict_row, scalar_row

from hanlu.alerts.alarm import ProcessState, SuppressionState
from hanlu.alerts.kind import Cause, Hold, Kind
from hanlu.alerts.occurrence import EVERY_KIND, Occurrence, Quiet, Subject
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["Ledger", "Quiets"]

_LOCK_KEY: Final = 0x414C41524D53
_QUERIES = load_queries("hanlu.alerts")

_INSERTED: Final = (
    "channel_id", "kind", "site_id", "item", "item_zh", "item_en", "priority", "process_state", "suppression_state",
    "version", "limit_value", "unit", "exceeded_ms", "raised_ms", "detected_ms", "returned_ms", "peak", "peak_ms",
    "replayed", "rule_code", "rule_version", "cause", "plant_hold", "hold_reason", "explained_by", "latches",
    "called_ms", "respond_s", "re_alarm_s",
)  # fmt: skip
_UPDATED: Final = (
    "alarm_id", "process_state", "suppression_state", "version", "returned_ms", "acknowledged_ms", "acknowledged_by",
    "note", "cause", "plant_hold", "hold_reason", "explained_by", "called_ms", "re_alarm_ms", "assignee",
)  # fmt: skip
_LOADED: Final = (
    "alarm_id", "version", "limit_value", "unit", "peak", "replayed", "rule_code", "rule_version", "hold_reason",
    "explained_by", "latches", "respond_s", "re_alarm_s", "assignee", "acknowledged_by", "note", "exceeded_ms",
    "raised_ms", "detected_ms", "returned_ms", "acknowledged_ms", "peak_ms", "called_ms", "re_alarm_ms", "priority",
    "item_zh", "item_en",
)  # fmt: skip


class Quiets:
    """What people have said of the points of some channels."""

    def __init__(self, rows: Iterable[tuple[int, str, str, str, str]] = ()) -> None:
        """Keep rows of (channel_id, kind or EVERY_KIND, state, reason, actor)."""
        self._said: dict[tuple[int, str], Quiet] = {
            (channel_id, kind): Quiet(SuppressionState(state), reason, actor)
            for channel_id, kind, state, reason, actor in rows
        }

    def of(self, subject: Subject) -> list[Quiet]:
        """Return what holds for an alarm: what was said of its kind, and of every kind of its channel."""
        if subject.channel_id is None:
            return []
        found = (self._said.get((subject.channel_id, kind)) for kind in (subject.kind.value, EVERY_KIND))
        return [each for each in found if each is not None]


class Ledger:
    """The occurrences of one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Become the only writer until the caller's transaction ends."""
        self._connection = connection
        self._held: dict[int, Occurrence] = {}
        self._written: dict[int, tuple[object, ...]] = {}
        self._born: list[Occurrence] = []
        connection.execute(_QUERIES["ledger_lock"], {"key": _LOCK_KEY})

    def load(self, alarm_ids: Collection[int]) -> dict[int, Occurrence]:
        """Return alarms by key; unknown ones are left out."""
        wanted = [each for each in alarm_ids if each not in self._held]
        if wanted:
            with self._connection.cursor(row_factory=dict_row) as cursor:
                for row in cursor.execute(_QUERIES["ledger_load"], {"alarm_ids": sorted(wanted)}):
                    self._held[row["alarm_id"]] = found = _occurrence(row)
                    self._written[row["alarm_id"]] = _reasons(found)
        return {each: self._held[each] for each in alarm_ids if each in self._held}

    def of_channels(self, channel_ids: Collection[int]) -> list[Occurrence]:
        """Return the alarms of some channels that are not over, oldest first."""
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            found = cursor.execute(_QUERIES["ledger_of_channels"], {"channel_ids": list(channel_ids)}).fetchall()
        return list(self.load(sorted(found)).values())

    def quiets(self, channel_ids: Collection[int]) -> Quiets:
        """Return what people have said of the points of some channels."""
        if not channel_ids:
            return Quiets()
        return Quiets(self._connection.execute(_QUERIES["ledger_quiets"], {"channel_ids": list(channel_ids)}))

    def add(self, occurrence: Occurrence) -> None:
        """Take up a new occurrence."""
        self._born.append(occurrence)

    def flush(self) -> int:
        """Write what has moved and what the journal says of it; return the number of journal entries."""
        # A reason to keep quiet may end behind another one: nothing is told, and yet it must not be there afterwards.
        moved = [each for key, each in self._held.items() if each.entries or _reasons(each) != self._written[key]]
        # What has returned makes room for a new occurrence of the same subject; what a new one explains comes after it.
        later = [each for each in moved if _waits(each)]
        first = [each for each in moved if each not in later]
        self._update(first)
        # A parent's key must be there before its children name it, and a child may be a parent.
        born, waiting = self._born, self._born
        while waiting:
            ready = [each for each in waiting if not _waits(each)]
            assert ready, "no alarm explains itself"
            waiting = [each for each in waiting if _waits(each)]
            self._insert(ready)
        self._born = []
        self._update(later)
        told = [(each.alarm_id, *entry) for each in (*first, *born, *later) for entry in each.entries]
        if told:
            names = ("alarm_id", "version", "at_ms", "event", "from_state", "to_state", "actor", "value", "note")
            columns = [list(column) for column in zip(*told, strict=True)]
            self._connection.execute(_QUERIES["ledger_journal"], dict(zip(names, columns, strict=True)))
        for each in (*born, *moved):
            each.entries.clear()
            assert each.alarm_id is not None, "written"
            self._written[each.alarm_id] = _reasons(each)
        return len(told)

    def _update(self, moved: Sequence[Occurrence]) -> None:
        if moved:
            self._connection.execute(_QUERIES["ledger_update"], _columns(moved, _UPDATED))

    def _insert(self, born: Sequence[Occurrence]) -> None:
        if not born:
            return
        by_key = {(*each.subject, each.raised_ms): each for each in born}
        assert len(by_key) == len(born), "one subject raises once an instant"
        for row in self._connection.execute(_QUERIES["ledger_insert"], _columns(born, _INSERTED)):
            alarm_id, channel_id, kind, site_id, item, raised_ms = row
            made = by_key[channel_id, Kind(kind), site_id, item, raised_ms]
            made.alarm_id = alarm_id
            self._held[alarm_id] = made


def _waits(occurrence: Occurrence) -> bool:
    """Tell whether what explains an alarm has no key yet."""
    parent = occurrence.explained_by
    return isinstance(parent, Occurrence) and parent.alarm_id is None


def _reasons(occurrence: Occurrence) -> tuple[object, ...]:
    """Return why an alarm keeps quiet, the parent by its key."""
    parent = occurrence.explained_by
    key = parent.alarm_id if isinstance(parent, Occurrence) else parent
    return occurrence.plant_hold, key, occurrence.hold_reason


def _columns(rows: Sequence[Occurrence], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [_value(each, name) for each in rows] for name in names}


def _value(occurrence: Occurrence, name: str) -> Any:
    value = getattr(occurrence.subject if name in Subject._fields else occurrence, name)
    if isinstance(value, Occurrence):
        assert value.alarm_id is not None, "a parent is written before its children"
        return value.alarm_id
    return str(value) if isinstance(value, str) else value


def _occurrence(row: Mapping[str, Any]) -> Occurrence:
    return Occurrence(
        Subject(row["channel_id"], Kind(row["kind"]), row["site_id"], row["item"]),
        process_state=ProcessState(row["process_state"]),
        suppression_state=SuppressionState(row["suppression_state"]),
        cause=Cause(row["cause"]),
        plant_hold=None if row["plant_hold"] is None else Hold(row["plant_hold"]),
        **{name: row[name] for name in _LOADED},
    )
