"""The spool's file: layout, opening, checking, setting aside. What is written to it and when is `spool.py`'s business.

Opening checks the pages, that the messages are exactly those the state row speaks of, and that the last one is the
end of the chain; SQLite itself cuts a torn tail off the write-ahead log. A file that does not check is renamed, never
deleted.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hanlu.core.errors import ConflictError, FatalError, TransientError
from hanlu.core.observe import log
from hanlu.core.wire.envelope import NO_PREVIOUS, digest

__all__ = ["FORMAT", "State", "is_out_of_space", "open_or_set_aside", "read_state", "translated", "write_state"]

_logger = logging.getLogger(__name__)

FORMAT: Final = 2
"""Version of the file's layout; an older one is brought up to date, a newer one is refused and never touched."""

_SCHEMA: Final = """
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    format INTEGER NOT NULL,
    epoch BLOB NOT NULL,
    head INTEGER NOT NULL,
    prev BLOB NOT NULL,
    produced INTEGER NOT NULL,
    committed INTEGER NOT NULL,
    pending_bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE message (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    raw BLOB NOT NULL
) STRICT;
"""
_ADDED_IN_2: Final = """
CREATE TABLE dropped (
    reason TEXT NOT NULL,
    channel TEXT NOT NULL,
    count INTEGER NOT NULL,
    from_ms INTEGER,
    to_ms INTEGER,
    PRIMARY KEY (reason, channel)
) STRICT;
CREATE TABLE answered (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    kept INTEGER NOT NULL
) STRICT;
CREATE TABLE held (
    id INTEGER PRIMARY KEY,
    boot TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE known_time (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    ms INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    boot TEXT NOT NULL
) STRICT;
"""
_FROM_1_TO_2: Final = """
INSERT INTO dropped SELECT 'spool_full', '', refused, refused_from_ms, refused_to_ms FROM state WHERE refused > 0;
ALTER TABLE state DROP COLUMN refused;
ALTER TABLE state DROP COLUMN refused_from_ms;
ALTER TABLE state DROP COLUMN refused_to_ms;
UPDATE state SET format = 2;
"""
_TABLES: Final = {
    1: {"state", "message"},
    2: {"state", "message", "dropped", "answered", "held", "known_time"},
}
_STATE_COLUMNS: Final = "epoch, head, prev, produced, committed, pending_bytes"


class _DamagedError(Exception):
    """The file is not a sound spool."""


@dataclass(frozen=True, slots=True)
class State:
    """The one row that changes with every transaction.

    Attributes:
        epoch: identity of the spool, 16 random bytes.
        head: last seq given out.
        prev: SHA-256 of that message.
        produced: readings accounted for in this epoch.
        committed: last seq receipted and deleted.
        pending_bytes: size of the messages kept and of the readings held.
    """

    epoch: bytes
    head: int = 0
    prev: bytes = NO_PREVIOUS
    produced: int = 0
    committed: int = 0
    pending_bytes: int = 0

    def row(self) -> tuple[object, ...]:
        """Return the columns in the table's order."""
        return (self.epoch, self.head, self.prev, self.produced, self.committed, self.pending_bytes)


def open_or_set_aside(path: Path, now_ms: int) -> tuple[sqlite3.Connection, State]:
    """Open the spool in `path`, making it when absent; a damaged one is set aside and a new one made.

    Args:
        path: the file; its folder is there.
        now_ms: wall time for the name of a damaged file, Unix milliseconds.
    """
    try:
        return _open(path)
    except (_DamagedError, sqlite3.DatabaseError) as error:
        if not _means_damage(error):
            raise
        _set_aside(path, error, now_ms)
        return _open(path)


def _open(path: Path) -> tuple[sqlite3.Connection, State]:
    """Return the connection and the state, checked; a new file gets a new epoch."""
    existed = path.exists()
    if not existed:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))  # SQLite's own would be for everybody to read
    db = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA journal_size_limit=16777216")
        # Some systems' SQLite overwrites what is deleted with zeros, in the log too: twice the wear, and no deleting
        # on a full disk.
        db.execute("PRAGMA secure_delete=OFF")
        db.execute("BEGIN EXCLUSIVE")  # takes the lock now, so that a second process hears it at once
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            if existed:
                log(_logger, logging.WARNING, "gateway.spool.empty", f"{path} was empty: it begins a new epoch")
            _create(db, path)
        db.execute("COMMIT")
        if not tables:
            _sync_folder(path.parent)
        else:
            _update_format(db, path, tables)
        return db, _checked(db)
    except BaseException:
        db.close()
        raise


def _create(db: sqlite3.Connection, path: Path) -> None:
    _execute_all(db, _SCHEMA + _ADDED_IN_2)
    state = State(epoch=secrets.token_bytes(16))
    db.execute(
        f"INSERT INTO state (id, format, {_STATE_COLUMNS}) VALUES (1, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant
        (FORMAT, *state.row()),
    )
    log(_logger, logging.INFO, "gateway.spool.created", f"new spool {path}, epoch {state.epoch.hex()}")


def _execute_all(db: sqlite3.Connection, statements: str) -> None:
    """Run statements within the transaction at hand; `executescript` would end it."""
    for statement in statements.split(";\n"):
        if statement.strip():
            db.execute(statement)


def _update_format(db: sqlite3.Connection, path: Path, tables: set[str]) -> None:
    """Bring an older layout up to date in one transaction: killed on the way, it is the old one still."""
    row = db.execute("SELECT format FROM state WHERE id = 1").fetchone() if "state" in tables else None
    version = 0 if row is None else row[0]
    if version > FORMAT:
        raise FatalError(f"{path} has format {version}, this Hanlu knows up to {FORMAT}: install the newer one again")
    if tables != _TABLES.get(version):
        raise _DamagedError(f"format {version} with tables {sorted(tables)}")
    if version == 1:
        db.execute("BEGIN EXCLUSIVE")
        _execute_all(db, _ADDED_IN_2 + _FROM_1_TO_2)
        db.execute("COMMIT")
        log(_logger, logging.INFO, "gateway.spool.updated", f"{path}: format {version} is now {FORMAT}")


def write_state(db: sqlite3.Connection, state: State) -> None:
    """Replace the state row; the caller holds the transaction."""
    db.execute(
        "UPDATE state SET epoch = ?, head = ?, prev = ?, produced = ?, committed = ?, pending_bytes = ?",
        state.row(),
    )


def read_state(db: sqlite3.Connection) -> State:
    """Return the state row as the file has it."""
    row = db.execute(f"SELECT {_STATE_COLUMNS} FROM state WHERE id = 1").fetchone()  # noqa: S608 - constant
    if row is None:
        raise _DamagedError("no state row")
    return State(*row)


def _checked(db: sqlite3.Connection) -> State:
    """Return the state after checking the pages, the count and the end of the chain against it."""
    verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _DamagedError(verdict)
    state = read_state(db)
    count, first, last = db.execute("SELECT COUNT(*), MIN(seq), MAX(seq) FROM message").fetchone()
    if count != state.head - state.committed or (count and (first, last) != (state.committed + 1, state.head)):
        raise _DamagedError(
            f"{count} messages, seqs {first} to {last}, where {state.committed + 1} to {state.head} belong"
        )
    if count:
        (raw,) = db.execute("SELECT raw FROM message WHERE seq = ?", (last,)).fetchone()
        if digest(raw) != state.prev:
            raise _DamagedError(f"message {last} is not the one the chain ends with")
    return state


def _set_aside(path: Path, error: BaseException, now_ms: int) -> None:
    """Rename the file and what SQLite keeps beside it; never delete."""
    aside = path.with_name(f"{path.name}.damaged-{now_ms}-{secrets.token_hex(2)}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    _sync_folder(path.parent)
    log(
        _logger,
        logging.ERROR,
        "gateway.spool.damaged",
        f"{path} is damaged ({error}): set aside as {aside.name}, what it held was not sent; a new epoch begins",
    )


def _sync_folder(folder: Path) -> None:
    """Make names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def _means_damage(error: BaseException) -> bool:
    """Tell damage from a passing trouble (busy, full, no rights), by SQLite's primary result code."""
    if isinstance(error, _DamagedError):
        return True
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in _DAMAGE


def is_out_of_space(error: BaseException) -> bool:
    """Tell whether SQLite failed for want of space on the disk."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF == sqlite3.SQLITE_FULL


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's errors into ours; the only place that does."""
    try:
        yield
    except sqlite3.Error as error:
        code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise ConflictError("the spool is open in another process: stop that gateway first") from error
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
            raise TransientError(f"the spool cannot be written: {error}") from error
        raise FatalError(f"the spool is in an unknown state: {error}") from error
    except _DamagedError as error:
        raise FatalError(f"the spool is damaged: {error}") from error
