"""The rows of the spool beside the state: messages, what was dropped, what was answered, what is held.

Plain functions on a connection whose transaction the caller holds; no decisions here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from hanlu.gateway.item import Answered, Drop, Held, Kind, KnownTime, Stored

__all__ = [
    "ANSWERS_KEPT",
    "delete_held",
    "delete_messages",
    "forget_drops",
    "insert_answers",
    "insert_held",
    "insert_messages",
    "read_answers",
    "read_drops",
    "read_held",
    "read_known_time",
    "read_messages",
    "write_drops",
    "write_known_time",
]

ANSWERS_KEPT: Final = 4_096
"""Answers remembered for devices that did not hear them; the oldest are forgotten first."""


def read_messages(db: sqlite3.Connection, after: int, limit: int) -> list[Stored]:
    """Return up to `limit` messages with seqs above `after`, lowest first."""
    cursor = db.execute(
        "SELECT seq, kind, created_ms, raw FROM message WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
    )
    return [Stored(seq, Kind(kind), created_ms, raw) for seq, kind, created_ms, raw in cursor]


def insert_messages(db: sqlite3.Connection, rows: Sequence[Stored]) -> None:
    """Add messages."""
    db.executemany(
        "INSERT INTO message (seq, kind, created_ms, raw) VALUES (?, ?, ?, ?)",
        [(row.seq, row.kind.value, row.created_ms, row.raw) for row in rows],
    )


def delete_messages(db: sqlite3.Connection, upto: int) -> int:
    """Delete the messages up to and with `upto` and return their size in bytes."""
    (size,) = db.execute("SELECT COALESCE(SUM(LENGTH(raw)), 0) FROM message WHERE seq <= ?", (upto,)).fetchone()
    db.execute("DELETE FROM message WHERE seq <= ?", (upto,))
    return int(size)


def read_drops(db: sqlite3.Connection) -> dict[tuple[str, str], Drop]:
    """Return what was dropped and not declared yet, by reason and channel."""
    rows = db.execute("SELECT reason, channel, count, from_ms, to_ms FROM dropped ORDER BY reason, channel")
    return {(row[0], row[1]): Drop(*row) for row in rows}


def write_drops(db: sqlite3.Connection, drops: Iterable[Drop]) -> None:
    """Put the totals of some reasons and channels in the place of the earlier ones."""
    db.executemany(
        "INSERT OR REPLACE INTO dropped (reason, channel, count, from_ms, to_ms) VALUES (?, ?, ?, ?, ?)",
        [(drop.reason, drop.channel, drop.count, drop.from_ms, drop.to_ms) for drop in drops],
    )


def forget_drops(db: sqlite3.Connection, drops: Iterable[Drop]) -> None:
    """Delete totals that are declared in the same transaction."""
    db.executemany(
        "DELETE FROM dropped WHERE reason = ? AND channel = ?", [(drop.reason, drop.channel) for drop in drops]
    )


def read_answers(db: sqlite3.Connection) -> dict[bytes, bool]:
    """Return the answers on record: batch to whether it was kept."""
    return {key: bool(kept) for key, kept in db.execute("SELECT key, kept FROM answered ORDER BY id")}


def insert_answers(db: sqlite3.Connection, answers: Iterable[Answered]) -> None:
    """Add answers, forgetting the oldest beyond what is kept."""
    db.executemany(
        "INSERT OR IGNORE INTO answered (key, kept) VALUES (?, ?)", [(each.key, int(each.kept)) for each in answers]
    )
    db.execute("DELETE FROM answered WHERE id <= (SELECT MAX(id) FROM answered) - ?", (ANSWERS_KEPT,))


def read_held(db: sqlite3.Connection, boot: str, after_id: int, limit: int) -> list[tuple[int, Held]]:
    """Return up to `limit` held batches of one run of the machine with their ids, oldest first."""
    rows = db.execute(
        "SELECT id, boot, at_ms, body FROM held WHERE boot = ? AND id > ? ORDER BY id LIMIT ?", (boot, after_id, limit)
    )
    return [(row[0], Held(*row[1:])) for row in rows]


def insert_held(db: sqlite3.Connection, held: Sequence[Held]) -> None:
    """Add held batches."""
    db.executemany(
        "INSERT INTO held (boot, at_ms, body) VALUES (?, ?, ?)", [(each.boot, each.at_ms, each.body) for each in held]
    )


def delete_held(db: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Delete held batches that have become messages in the same transaction."""
    db.executemany("DELETE FROM held WHERE id = ?", [(each,) for each in ids])


def read_known_time(db: sqlite3.Connection) -> KnownTime | None:
    """Return when the platform's time was last known; None if it never was."""
    row = db.execute("SELECT ms, at_ms, boot FROM known_time").fetchone()
    return None if row is None else KnownTime(*row)


def write_known_time(db: sqlite3.Connection, known: KnownTime) -> None:
    """Replace it."""
    db.execute(
        "INSERT OR REPLACE INTO known_time (id, ms, at_ms, boot) VALUES (1, ?, ?, ?)",
        (known.ms, known.at_ms, known.boot),
    )
