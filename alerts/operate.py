"""What people do with alarms: see them, put them on the shelf, take their point out of service, reset, take them on.

Each function is one transaction that takes its turn as the only writer of alarms (`ledger.py`), leaves a line in the
journal for every alarm it has moved and one in the journal of points for every point, and wakes who follows them
(NOTIFY hanlu_alarm). The caller has checked that the person may see the alarms and channels named.

A point is `(channel_id, kind)`, or `(channel_id, "*")` for every kind of the channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

from psycopg.rows import scalar_row

from hanlu.alerts.alarm import SuppressionEvent, SuppressionState
from hanlu.alerts.alarm import suppress as stepped
from hanlu.alerts.kind import Hold, Kind
from hanlu.alerts.ledger import Ledger
from hanlu.alerts.occurrence import ENGINE, EVERY_KIND, Occurrence
from hanlu.core.errors import ConflictError, NotFoundError, PermissionDeniedError, UsageError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = [
    "MOST_SHELVED_MS",
    "NOTE_LENGTH",
    "Point",
    "Result",
    "acknowledge",
    "acknowledge_many",
    "assign",
    "expire",
    "record_calibration",
    "remove_from_service",
    "reset",
    "return_to_service",
    "shelve",
    "suppress",
    "unshelve",
    "unsuppress",
]

NOTE_LENGTH: Final = 500
"""Most characters of a note or a reason."""
MOST_SHELVED_MS: Final = 7 * 86_400_000
"""Longest time on the shelf, milliseconds: who needs more takes the point out of service or changes the rule."""

_QUERIES = load_queries("hanlu.alerts")

Point = tuple[int, str]
"""Channel, and a kind of alarm or `EVERY_KIND`."""


class Result(NamedTuple):
    """What came of an act on several things.

    Attributes:
        done: the alarms' keys, or the points, it was done to.
        changed: those that had changed in the meantime or needed no such thing; nothing was done to them.
    """

    done: tuple[int, ...] | tuple[Point, ...]
    changed: tuple[int, ...] | tuple[Point, ...]


def acknowledge(connection: Connection, alarm_id: int, version: int, actor: str, note: str, at_ms: int) -> None:
    """Acknowledge one alarm; see `acknowledge_many`.

    Raises:
        NotFoundError: there is no such alarm.
        ConflictError: the alarm has changed since the person saw it, or needs no acknowledgement.
    """
    if acknowledge_many(connection, [(alarm_id, version)], actor, note, at_ms).changed:
        raise ConflictError("the alarm has changed in the meantime")


def acknowledge_many(
    connection: Connection, alarms: Sequence[tuple[int, int | None]], actor: str, note: str, at_ms: int
) -> Result:
    """Acknowledge alarms with one note.

    Args:
        connection: acting as hanlu_alerts.
        alarms: each with the version the person saw; None whatever it is now (a link in a message).
        actor: the person's login.
        note: what the person found or did, at most `NOTE_LENGTH` characters, may be empty.
        at_ms: the platform's time, Unix milliseconds.

    Raises:
        NotFoundError: one of them does not exist; then none is acknowledged.
        UsageError: the note is too long.
    """
    _short(note)
    done: list[int] = []
    changed: list[int] = []
    with connection.transaction():
        ledger = Ledger(connection)
        found = ledger.load([alarm_id for alarm_id, _ in alarms])
        for alarm_id, version in dict(alarms).items():
            alarm = _known(found, alarm_id)
            same = version is None or version == alarm.version
            (done if same and alarm.acknowledge(at_ms, actor, note) else changed).append(alarm_id)
        _finish(connection, ledger)
    return Result(tuple(done), tuple(changed))


def reset(connection: Connection, alarm_id: int, version: int, actor: str, note: str, at_ms: int) -> None:
    """End a latched alarm; not by the person who acknowledged it, so that two have looked.

    Raises:
        NotFoundError: there is no such alarm.
        PermissionDeniedError: the same person acknowledged it.
        ConflictError: it has changed in the meantime, or waits for no reset.
    """
    _short(note)
    with connection.transaction():
        ledger = Ledger(connection)
        alarm = _known(ledger.load([alarm_id]), alarm_id)
        if alarm.version != version:
            raise ConflictError("the alarm has changed in the meantime")
        if alarm.acknowledged_by == actor:
            raise PermissionDeniedError("a second person resets an alarm, not the one who acknowledged it")
        if not alarm.reset(at_ms, actor, note):
            raise ConflictError("the alarm waits for no reset")
        _finish(connection, ledger)


def assign(connection: Connection, alarm_id: int, version: int, assignee: str, actor: str, at_ms: int) -> None:
    """Say who takes care of an alarm (a login; empty: nobody any more).

    Raises:
        NotFoundError: there is no such alarm.
        ConflictError: it has changed in the meantime, is over, or is that person's already.
    """
    with connection.transaction():
        ledger = Ledger(connection)
        alarm = _known(ledger.load([alarm_id]), alarm_id)
        if alarm.version != version or not alarm.assign(assignee, at_ms, actor):
            raise ConflictError("the alarm has changed in the meantime")
        _finish(connection, ledger)


def shelve(
    connection: Connection, points: Sequence[Point], *, until_ms: int, reason: str, note: str, actor: str, at_ms: int
) -> Result:
    """Put points on the shelf until `until_ms`: their alarms call nobody.

    Raises:
        NotFoundError: one of the channels does not exist; then nothing is done.
        UsageError: no reason, an end that is past or more than `MOST_SHELVED_MS` away, or an unknown kind.
        ConflictError: none of the points could be shelved (they are, or are out of service).
    """
    if not at_ms < until_ms <= at_ms + MOST_SHELVED_MS:
        raise UsageError(f"an alarm is shelved for at most {MOST_SHELVED_MS // 86_400_000} days and not into the past")
    return _act(connection, points, SuppressionEvent.SHELVE, reason, note, actor, at_ms, until_ms)


def unshelve(connection: Connection, points: Sequence[Point], *, note: str, actor: str, at_ms: int) -> Result:
    """Take points off the shelf; what still stands there calls at once. Errors as `shelve`."""
    return _act(connection, points, SuppressionEvent.UNSHELVE, "", note, actor, at_ms)


def remove_from_service(
    connection: Connection,
    points: Sequence[Point],
    *,
    reason: str,
    note: str,
    actor: str,
    at_ms: int,
    until_ms: int | None = None,
) -> Result:
    """Take points out of service for maintenance, until `until_ms` or until they are returned. Errors as `shelve`."""
    if until_ms is not None and until_ms <= at_ms:
        raise UsageError("the end of the maintenance is past")
    return _act(connection, points, SuppressionEvent.REMOVE_FROM_SERVICE, reason, note, actor, at_ms, until_ms)


def return_to_service(connection: Connection, points: Sequence[Point], *, note: str, actor: str, at_ms: int) -> Result:
    """Return points to service; what still stands there calls at once. Errors as `shelve`."""
    return _act(connection, points, SuppressionEvent.RETURN_TO_SERVICE, "", note, actor, at_ms)


def suppress(
    connection: Connection,
    points: Sequence[Point],
    *,
    note: str,
    actor: str,
    at_ms: int,
    until_ms: int | None = None,
    reason: str = Hold.ROOM_EMPTY.value,
) -> Result:
    """Suppress points by design, because nothing stands in the room. Errors as `shelve`."""
    if until_ms is not None and until_ms <= at_ms:
        raise UsageError("the end of the suppression is past")
    return _act(connection, points, SuppressionEvent.SUPPRESS, reason, note, actor, at_ms, until_ms)


def unsuppress(connection: Connection, points: Sequence[Point], *, note: str, actor: str, at_ms: int) -> Result:
    """End what `suppress` began; what still stands there calls at once. Errors as `shelve`."""
    return _act(connection, points, SuppressionEvent.UNSUPPRESS, "", note, actor, at_ms)


def expire(connection: Connection, now_ms: int) -> int:
    """Let every suppression end whose time has come (the engine's clock calls this); return how many points did."""
    parameters = {"now_ms": now_ms}
    if not connection.execute(_QUERIES["point_expired"], parameters).fetchone():
        return 0
    with connection.transaction():
        ledger = Ledger(connection)
        due: list[Point] = list(connection.execute(_QUERIES["point_expired"], parameters))
        if due:
            _move(connection, ledger, due, SuppressionEvent.EXPIRE, "", "", ENGINE, now_ms, None)
            _finish(connection, ledger)
    return len(due)


def record_calibration(connection: Connection, channel_id: int, *, due_on: date, certificate: str, actor: str) -> None:
    """Record that a channel's sensor was calibrated and is due again on `due_on`.

    Raises:
        NotFoundError: there is no such channel.
    """
    _short(certificate)
    with connection.transaction():
        _channels(connection, [(channel_id, EVERY_KIND)])
        connection.execute(
            _QUERIES["calibration_set"],
            {"channel_id": channel_id, "due_on": due_on, "certificate": certificate, "actor": actor},
        )


def _act(
    connection: Connection,
    points: Sequence[Point],
    event: SuppressionEvent,
    reason: str,
    note: str,
    actor: str,
    at_ms: int,
    until_ms: int | None = None,
) -> Result:
    _short(note, reason)
    if event in _BEGINS and not reason.strip():
        raise UsageError("say why: an alarm is not suppressed without a reason")
    with connection.transaction():
        ledger = Ledger(connection)
        _channels(connection, points)
        result = _move(connection, ledger, points, event, reason, note, actor, at_ms, until_ms)
        if not result.done:
            raise ConflictError("nothing was changed: what is shown there has changed in the meantime")
        _finish(connection, ledger)
    return result


_BEGINS: Final = {SuppressionEvent.SHELVE, SuppressionEvent.SUPPRESS, SuppressionEvent.REMOVE_FROM_SERVICE}


def _move(
    connection: Connection,
    ledger: Ledger,
    points: Sequence[Point],
    event: SuppressionEvent,
    reason: str,
    note: str,
    actor: str,
    at_ms: int,
    until_ms: int | None,
) -> Result:
    """Move points, then let the alarms that stand there follow."""
    done: list[Point] = []
    changed: list[Point] = []
    for point in sorted(set(points)):
        key = {"channel_id": point[0], "kind": str(point[1])}
        with connection.cursor(row_factory=scalar_row) as cursor:
            said = cursor.execute(_QUERIES["point_state"], key).fetchone()
        before = SuppressionState.NONE if said is None else SuppressionState(said)
        after = stepped(before, event)
        if after is before:
            changed.append(point)
            continue
        words = {"reason": reason, "note": note, "actor": actor, "at_ms": at_ms, "until_ms": until_ms}
        if after is SuppressionState.NONE:
            connection.execute(_QUERIES["point_clear"], key)
        else:
            connection.execute(_QUERIES["point_set"], key | words | {"state": str(after)})
        states = {"event": str(event), "from_state": str(before), "to_state": str(after)}
        connection.execute(_QUERIES["point_journal"], key | words | states)
        done.append(point)
    channel_ids = sorted({channel_id for channel_id, _ in done})
    quiets = ledger.quiets(channel_ids)
    for alarm in ledger.of_channels(channel_ids) if channel_ids else ():
        alarm.requiet(quiets.of(alarm.subject), at_ms, actor, note or reason, expired=event is SuppressionEvent.EXPIRE)
    return Result(tuple(done), tuple(changed))


def _channels(connection: Connection, points: Sequence[Point]) -> None:
    """Check that points name channels and kinds there are."""
    if not points:
        raise UsageError("name at least one channel")
    for _, kind in points:
        if kind != EVERY_KIND and kind not in set(Kind):
            raise UsageError(f"there is no kind of alarm named {kind!r}")
    wanted = {channel_id for channel_id, _ in points}
    with connection.cursor(row_factory=scalar_row) as cursor:
        there = set(cursor.execute(_QUERIES["point_channels"], {"channel_ids": list(wanted)}))
    if missing := wanted - there:
        raise NotFoundError(f"there is no channel {min(missing)}")


def _known(found: dict[int, Occurrence], alarm_id: int) -> Occurrence:
    alarm = found.get(alarm_id)
    if alarm is None:
        raise NotFoundError(f"there is no alarm {alarm_id}")
    return alarm


def _short(*texts: str) -> None:
    if any(len(text) > NOTE_LENGTH for text in texts):
        raise UsageError(f"at most {NOTE_LENGTH} characters")
    if any("\0" in text for text in texts):
        raise UsageError("a text holds no NUL character")


def _finish(connection: Connection, ledger: Ledger) -> None:
    ledger.flush()
    connection.execute("NOTIFY hanlu_alarm")
