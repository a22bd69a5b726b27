"""What a folder driver remembers of the files it has seen: a small SQLite file beside them.

A file is what its bytes are: copied again under another name, it is the same file.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from hanlu.core.errors import TransientError

__all__ = ["Memory", "Outcome", "Progress"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS file (
    digest TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, name TEXT NOT NULL, outcome TEXT NOT NULL,
    pieces INTEGER NOT NULL, refused INTEGER NOT NULL, changed_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
    name TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest TEXT NOT NULL
) WITHOUT ROWID;
"""


class Outcome(StrEnum):
    """How far a file has come."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of a file.

    Attributes:
        outcome: how far it has come.
        pieces: batches that have ended, from its beginning.
        refused: readings of them there was no room for.
        fingerprint: of the configuration it was read with; pieces and failure hold for this one only.
    """

    outcome: Outcome = Outcome.OPEN
    pieces: int = 0
    refused: int = 0
    fingerprint: str = ""


class Memory:
    """The memory of one driver; used from one thread."""

    def __init__(self, path: Path) -> None:
        """Open or create it.

        Raises:
            TransientError: the folder cannot be written.
        """
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise TransientError(f"cannot remember files in {path}: {error}") from error

    def progress(self, digest: str) -> Progress | None:
        """Return what is known of the file with this SHA-256 (hex), None where nothing is."""
        row = self._run("SELECT outcome, pieces, refused, fingerprint FROM file WHERE digest = ?", digest).fetchone()
        return None if row is None else Progress(Outcome(row[0]), row[1], row[2], row[3])

    def keep(self, digest: str, name: str, progress: Progress, now_ms: int) -> None:
        """Remember how far a file has come; on disk when it returns."""
        self._run(
            "INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET fingerprint ="
            " excluded.fingerprint, name = excluded.name, outcome = excluded.outcome, pieces = excluded.pieces,"
            " refused = excluded.refused, changed_ms = excluded.changed_ms",
            *(digest, progress.fingerprint, name, progress.outcome.value, progress.pieces, progress.refused, now_ms),
        )

    def forget(self, digest: str) -> None:
        """Forget a file, so that it is read from its beginning when it comes again."""
        self._run("DELETE FROM file WHERE digest = ?", digest)

    def digest_of(self, name: str, size: int, mtime_ns: int) -> str | None:
        """Return the digest a file of this name had, if size (bytes) and time of change are still the same."""
        row = self._run(
            "SELECT digest FROM seen WHERE name = ? AND size = ? AND mtime_ns = ?", name, size, mtime_ns
        ).fetchone()
        return None if row is None else str(row[0])

    def saw(self, name: str, size: int, mtime_ns: int, digest: str) -> None:
        """Remember the digest of a file that stays in its place."""
        self._run("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", name, size, mtime_ns, digest)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _run(self, sql: str, *values: str | int) -> sqlite3.Cursor:
        try:
            return self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise TransientError(f"the folder's memory fails: {error}") from error
