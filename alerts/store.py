"""The engine's rows: what it loads at start and what it writes in a page's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import class_row, dict_row, scalar_row

from hanlu.alerts.alarm import Event, ProcessState, process
from hanlu.alerts.judge.limit import Limit, RuleState
from hanlu.alerts.kind import Kind
from hanlu.alerts.watch import Arrival, Change, Channel, Key, Late
from hanlu.core.clock import from_ms
from hanlu.core.errors import NotFoundError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["Cursor", "Locked", "Store", "journal", "lock_alarm"]

ENGINE = "engine"
"""The engine's name as a follower of the feed and as an actor in the journal."""

_LOCK_KEY = 0x48414C524D
_LOOK_BACK_MS = 3_600_000
"""How far before a new alarm readings are looked at that came after later ones, milliseconds."""

_QUERIES = load_queries("hanlu.alerts")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in telemetry.arrival_feed: everything up to it has been judged."""

    txid: str
    arrival_id: int


@dataclass(frozen=True, slots=True)
class Locked:
    """An alarm's state while its row is locked."""

    alarm_id: int
    channel_id: int
    process_state: ProcessState
    version: int


def lock_alarm(connection: Connection, alarm_id: int) -> Locked:
    """Lock an alarm until the transaction ends and return its state.

    Raises:
        NotFoundError: there is no such alarm.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_QUERIES["alarm_lock"], {"alarm_id": alarm_id}).fetchone()
    if row is None:
        raise NotFoundError(f"there is no alarm {alarm_id}")
    return Locked(row["alarm_id"], row["channel_id"], ProcessState(row["process_state"]), row["version"])


def journal(
    connection: Connection,
    before: Locked,
    event: Event,
    after: ProcessState,
    *,
    at_ms: int,
    actor: str,
    value: float | None = None,
    note: str = "",
) -> None:
    """Write one transition into the journal; its version is one above `before`'s."""
    connection.execute(
        _QUERIES["journal_write"],
        {
            "alarm_id": before.alarm_id,
            "version": before.version + 1,
            "at": from_ms(at_ms),
            "event": event,
            "from_state": before.process_state,
            "to_state": after,
            "actor": actor,
            "value": value,
            "note": note,
        },
    )


class Store:
    """The engine's door to the database; the caller holds the transaction."""

    def __init__(self, connection: Connection) -> None:
        """Use `connection`, in autocommit mode and acting as hanlu_alerts."""
        self._connection = connection
        self._active: dict[Key, int] = {}

    def lock(self) -> bool:
        """Try to become the only engine; true when this connection is it."""
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            return bool(cursor.execute(_QUERIES["engine_lock"], {"key": _LOCK_KEY}).fetchone())

    def cursor(self) -> Cursor:
        """Return where the engine stands; before the first arrival when it never ran."""
        with self._connection.cursor(row_factory=class_row(Cursor)) as cursor:
            return cursor.execute(_QUERIES["engine_cursor"], {"name": ENGINE}).fetchone() or Cursor("0", 0)

    def page(self, after: Cursor, limit: int) -> list[Arrival]:
        """Return up to `limit` arrivals after a position, in the order of the feed."""
        with self._connection.cursor(row_factory=class_row(Arrival), binary=True) as cursor:
            parameters = {"txid": after.txid, "arrival_id": after.arrival_id, "limit": limit}
            return cursor.execute(_QUERIES["engine_page"], parameters).fetchall()

    def horizon(self) -> int | None:
        """Return since when arrivals are kept out of the feed, Unix milliseconds; None when none are."""
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            held_ms: int | None = cursor.execute(_QUERIES["engine_horizon"]).fetchone()
        return held_ms

    def channels(self) -> list[Channel]:
        """Return every channel with its limits."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return [_channel(row) for row in cursor.execute(_QUERIES["engine_channels"])]

    def states(self) -> dict[Key, RuleState]:
        """Return the rules' memory."""
        rows = self._connection.execute(_QUERIES["engine_states"])
        return {Key(channel_id, Kind(kind)): RuleState(*rest) for channel_id, kind, *rest in rows}

    def heard(self) -> dict[int, int]:
        """Return when each channel with a limit profile was last heard, Unix milliseconds."""
        return dict(self._connection.execute(_QUERIES["engine_heard"]))

    def gaps(self, longer_than_s: float) -> dict[int, int]:
        """Return the gateways with gaps older than so many seconds, by their health channel: since when, Unix ms."""
        return dict(self._connection.execute(_QUERIES["engine_gaps"], {"longer_than_s": longer_than_s}))

    def active(self) -> set[Key]:
        """Load and return the alarms that stand."""
        rows = self._connection.execute(_QUERIES["engine_active"])
        self._active = {Key(channel_id, Kind(kind)): alarm_id for alarm_id, channel_id, kind in rows}
        return set(self._active)

    def apply(self, changes: Sequence[Change], now_ms: int) -> None:
        """Raise and return alarms, in order."""
        for change in changes:
            if change.event is Event.RAISE:
                self._raise(change, now_ms)
            else:
                self._return(change)
        raised = [each for each in changes if each.event is Event.RAISE and each.limit_value is not None]
        # What came too late for the rule to see may be on record already.
        self._extend([each.key for each in raised], [each.start_ms - _LOOK_BACK_MS for each in raised])

    def keep(self, states: Mapping[Key, RuleState]) -> None:
        """Write changed rule states, and the worst values so far of the alarms that stand."""
        if states:
            columns: list[list[Any]] = [list(each) for each in zip(*states.values(), strict=True)]
            names = ("newest_ms", "start_ms", "raised", "clear_ms", "peak", "peak_ms")
            keys = {"channel_id": [key.channel_id for key in states], "kind": [key.kind.value for key in states]}
            self._connection.execute(_QUERIES["engine_states_keep"], keys | dict(zip(names, columns, strict=True)))
        standing = [
            (self._active[key], state.peak, state.peak_ms)
            for key, state in states.items()
            if state.raised and key in self._active
        ]
        self._peaks(standing)

    def correct(self, late: Iterable[Late]) -> int:
        """Let late readings correct the alarms they belong to; return how many corrections were made.

        One before an excursion may show that it began earlier, one within it that its peak was worse.
        """
        rows = list(late)
        if not rows:
            return 0
        extended = self._extend([each.key for each in rows], [each.observed_ms for each in rows])
        peaks = self._connection.execute(
            _QUERIES["alarm_correct"],
            {
                "channel_id": [each.key.channel_id for each in rows],
                "kind": [each.key.kind.value for each in rows],
                "observed_ms": [each.observed_ms for each in rows],
                "value": [each.value for each in rows],
            },
        )
        return extended + peaks.rowcount

    def move(self, position: Cursor) -> None:
        """Move the cursor."""
        parameters = {"name": ENGINE, "txid": position.txid, "arrival_id": position.arrival_id}
        self._connection.execute(_QUERIES["engine_cursor_move"], parameters)

    def notify(self) -> None:
        """Wake the followers of the journal when the transaction commits."""
        self._connection.execute("NOTIFY hanlu_alarm")

    def _extend(self, keys: Sequence[Key], from_ms: Sequence[int]) -> int:
        """Let alarms begin where the readings on record say, looking back to `from_ms`; return how many did."""
        if not keys:
            return 0
        return self._connection.execute(
            _QUERIES["alarm_extend"],
            {
                "channel_id": [each.channel_id for each in keys],
                "kind": [each.kind.value for each in keys],
                "observed_ms": list(from_ms),
            },
        ).rowcount

    def _raise(self, change: Change, now_ms: int) -> None:
        state = process(ProcessState.NORMAL, Event.RAISE)
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            alarm_id = cursor.execute(
                _QUERIES["alarm_raise"],
                {
                    "channel_id": change.key.channel_id,
                    "kind": change.key.kind,
                    "priority": change.priority,
                    "process_state": state,
                    "limit_value": change.limit_value,
                    "exceeded_at": from_ms(change.start_ms),
                    "raised_at": from_ms(change.at_ms),
                    "detected_at": from_ms(now_ms),
                    "peak": change.peak,
                    "peak_at": None if change.peak_ms is None else from_ms(change.peak_ms),
                    "replayed": change.replayed,
                },
            ).fetchone()
        assert alarm_id is not None
        self._active[change.key] = alarm_id
        before = Locked(alarm_id, change.key.channel_id, ProcessState.NORMAL, 0)
        journal(self._connection, before, change.event, state, at_ms=change.at_ms, actor=ENGINE, value=change.value)

    def _return(self, change: Change) -> None:
        alarm_id = self._active.pop(change.key)
        before = lock_alarm(self._connection, alarm_id)
        after = process(before.process_state, Event.RETURN)
        self._connection.execute(
            _QUERIES["alarm_return"],
            {
                "alarm_id": alarm_id,
                "process_state": after,
                "version": before.version + 1,
                "at": from_ms(change.at_ms),
            },
        )
        self._peaks([(alarm_id, change.peak, change.peak_ms)])
        journal(
            self._connection, before, change.event, after,
            at_ms=change.at_ms, actor=ENGINE, value=change.value, note=change.note,
        )  # fmt: skip

    def _peaks(self, rows: Sequence[tuple[int, float | None, int | None]]) -> None:
        known = [each for each in rows if each[1] is not None]
        if known:
            alarm_ids, peaks, times = zip(*known, strict=True)
            parameters = {"alarm_id": list(alarm_ids), "peak": list(peaks), "peak_ms": list(times)}
            self._connection.execute(_QUERIES["alarm_peaks"], parameters)


def _channel(row: Mapping[str, Any]) -> Channel:
    """Return a channel; one without a limit profile is only recorded and alarms nobody, not even by silence."""
    if row["limit_profile"] is None:
        return Channel(row["channel_id"], (), None, row["priority"], row["replaying"])
    limits = tuple(
        Limit(
            kind, row[kind], row["deadband"], row["on_delay_s"] * 1000, row["off_delay_s"] * 1000,
            row["no_data_s"] * 1000, row["priority"],
        )
        for kind in (Kind.HIGH, Kind.LOW)
        if row[kind] is not None
    )  # fmt: skip
    return Channel(row["channel_id"], limits, row["no_data_s"] * 1000, row["priority"], row["replaying"])
