"""Forward-only, checksummed migrations and repeatable SQL.

A room keeps `sql/migrations/NNNN_{pre|post}_words.sql`, each run once in one transaction and frozen afterwards (a
changed checksum is refused), and `sql/repeatable/NNNN_words.sql` (views, conditional TimescaleDB statements, grants),
run at every migration and safe to repeat. `pre` runs before new code starts, `post` after old code is gone; `up` runs
both in order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import psycopg

from hanlu.core.errors import FatalError
from hanlu.db.pool import Connection

__all__ = ["ROOMS", "Migration", "discover", "migrate"]

ROOMS = ("db", "registry", "ingest", "alerts", "trace")
"""Rooms with SQL, in the order their schemas build on one another."""

_FILE = re.compile(r"(\d{4})_(pre|post)_[a-z0-9_]+\.sql")
_LOCK_KEY = 0x48414E4C55  # "HANLU": one migrator at a time in a database


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file.

    Attributes:
        room: the room it belongs to.
        name: file name.
        text: the SQL.
        checksum: SHA-256 of the text, hex.
    """

    room: str
    name: str
    text: str
    checksum: str


def discover(room: str, kind: str = "migrations") -> list[Migration]:
    """Return the files of `room` in order; a badly named one or a serial used twice is a FatalError."""
    folder = files(f"hanlu.{room}").joinpath("sql", kind)
    if not folder.is_dir():
        return []
    found = []
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if kind == "migrations" and not _FILE.fullmatch(entry.name):
            raise FatalError(f"{room}/sql/{kind}/{entry.name}: name it NNNN_pre_words.sql or NNNN_post_words.sql")
        text = entry.read_text(encoding="utf-8")
        found.append(Migration(room, entry.name, text, hashlib.sha256(text.encode()).hexdigest()))
    serials = [each.name[:4] for each in found]
    if len(set(serials)) != len(serials):
        raise FatalError(f"{room}/sql/{kind}: a serial number stands twice")
    return found


def migrate(url: str, rooms: Sequence[str] = ROOMS) -> list[str]:
    """Bring the database at `url` up to date and return what was newly applied, as `room/file`.

    The TimescaleDB extension is created where the server offers it. Runs as the installing user, under a lock.

    Raises:
        FatalError: an applied migration was edited or is missing from this version, or the database is a dump restored
            into a cluster that has not counted its transactions.
    """
    with psycopg.connect(url, application_name="hanlu migrate", autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK_KEY,))
        try:
            connection.execute("SET client_min_messages = warning")
            _extension(connection)
            _ledger(connection)
            applied = _apply_new(connection, rooms)
            _refuse_uncounted(connection)
            _repeat(connection, rooms)
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK_KEY,))
    return applied


def _extension(connection: Connection) -> None:
    offered = connection.execute("SELECT FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
    if offered is not None:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")


def _ledger(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA IF NOT EXISTS hanlu")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS hanlu.migration (room text, name text, checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (room, name))"
    )


def _apply_new(connection: Connection, rooms: Sequence[str]) -> list[str]:
    rows = connection.execute("SELECT room, name, checksum FROM hanlu.migration").fetchall()
    done = {(room, name): checksum for room, name, checksum in rows}
    files_here = [each for room in rooms for each in discover(room)]
    absent = {key for key in done if key[0] in rooms} - {(each.room, each.name) for each in files_here}
    if absent:
        raise FatalError(
            f"the database is newer than this program: it holds {sorted(absent)}; install the newer version"
        )
    applied = []
    for each in files_here:
        known = done.get((each.room, each.name))
        if known == each.checksum:
            continue
        if known is not None:
            raise FatalError(f"{each.room}/{each.name} was edited after it was applied; write a new migration instead")
        with connection.transaction():
            connection.execute(each.text)
            connection.execute(
                "INSERT INTO hanlu.migration (room, name, checksum) VALUES (%s, %s, %s)",
                (each.room, each.name, each.checksum),
            )
        applied.append(f"{each.room}/{each.name}")
    return applied


def _refuse_uncounted(connection: Connection) -> None:
    """Refuse rows of transactions that this cluster has still to begin.

    The followers' feeds are ordered by transaction. A dump keeps the numbers and not the counter: in a new cluster the
    restored rows would stay hidden, and new ones would come before every follower's cursor and never be looked at.
    """
    if connection.execute("SELECT to_regclass('telemetry.arrival') IS NULL").fetchone() == (True,):
        return
    ahead = connection.execute(
        "SELECT txid::text::numeric::bigint >> 32 FROM telemetry.arrival"
        " WHERE txid >= pg_snapshot_xmax(pg_current_snapshot()) ORDER BY txid DESC LIMIT 1"
    ).fetchone()
    if ahead is not None:
        raise FatalError(
            "this database was restored from a dump into a new cluster, whose transactions count from the beginning:"
            f" stop that server, run `pg_resetwal --epoch={ahead[0] + 1} -D <its folder>` once, and start it again"
        )


def _repeat(connection: Connection, rooms: Sequence[str]) -> None:
    with connection.transaction():
        for room in rooms:
            for each in discover(room, "repeatable"):
                connection.execute(each.text)
