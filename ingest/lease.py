"""Which worker holds which MQTT session: leases in the database, on a connection of their own.

A lease is free when it was handed back, when its holder has not renewed it in time, or at once when the holder's
connection is gone from the server: a killed process is followed within a second, a frozen or cut-off one after the
lease's time. All times are the database's; no clock of a worker is asked.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from hanlu.db.pool import Connection, connect, translated
from hanlu.db.queries import load_queries

__all__ = ["Leases", "Standing", "sessions_of"]


def sessions_of(client_id: str, partitions: Sequence[int], count: int) -> dict[str, tuple[int, ...]]:
    """Return the sessions that share the partitions: client id to its partitions, all of them in one, none twice.

    Args:
        client_id: the only one's name, and what the names of several begin with.
        partitions: to be shared out.
        count: sessions at most; none is without a partition.
    """
    count = min(count, len(partitions))
    if count == 1:
        return {client_id: tuple(partitions)}
    return {f"{client_id}-{n + 1}of{count}": tuple(partitions[n::count]) for n in range(count)}


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand after a renewal.

    Attributes:
        held: client ids of the sessions this worker holds.
        workers: workers that live, this one included.
    """

    held: frozenset[str]
    workers: int


class Leases:
    """A worker's leases; opens its connection when first needed and again after it broke. Not for several threads."""

    def __init__(self, database_url: str, sessions: Mapping[str, Sequence[int]], lease_s: float) -> None:
        """Hold nothing yet.

        Args:
            database_url: libpq URL; never logged.
            sessions: client id to partitions, of all sessions there are to be shared out.
            lease_s: seconds a lease lasts without being renewed.
        """
        self._url = database_url
        self._sessions = dict(sessions)
        self._lease_s = lease_s
        self._queries = load_queries("hanlu.ingest")
        self._connection: Connection | None = None
        self.worker: UUID = uuid4()

    def renew(self, held: Iterable[str]) -> Standing:
        """Say that the worker lives, and hold on what it holds.

        Raises:
            TransientError: the database is away; what was held is held until its time is over.
        """
        with translated():
            connection = self._opened()
            mine = {"worker": self.worker, "lease_s": self._lease_s}
            connection.execute(self._queries["greet"], mine | {"name": f"{socket.gethostname()}:{os.getpid()}"})
            rows = connection.execute(self._queries["renew_sessions"], mine | {"client_ids": list(held)})
            kept = frozenset(client_id for (client_id,) in rows)
            (workers,) = connection.execute(self._queries["count_workers"]).fetchone() or (1,)
        return Standing(kept, max(1, workers))

    def claim(self) -> str | None:
        """Take a session that nobody holds and return its client id, None when there is none.

        Raises:
            TransientError: the database is away.
        """
        values = {"worker": self.worker, "lease_s": self._lease_s, "client_ids": list(self._sessions)}
        with translated():
            row = self._opened().execute(self._queries["claim_session"], values).fetchone()
        return str(row[0]) if row else None

    def hand_back(self, client_ids: Iterable[str]) -> None:
        """Let others have these sessions.

        Raises:
            TransientError: the database is away; the leases run out.
        """
        with translated():
            values = {"worker": self.worker, "client_ids": list(client_ids)}
            self._opened().execute(self._queries["hand_back_sessions"], values)

    def leave(self) -> None:
        """Hand everything back and let the connection go.

        Raises:
            TransientError: the database is away; the leases run out.
        """
        try:
            self.hand_back(self._sessions)
            with translated():
                self._opened().execute(self._queries["take_leave"], {"worker": self.worker})
        finally:
            self.close()

    def close(self) -> None:
        """Let the connection go; others see at once that it is gone."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> Connection:
        if self._connection is None or self._connection.closed or self._connection.broken:
            # claim_session and count_workers know a live worker by this name.
            self._connection = connect(self._url, "hanlu_ingest", name=f"hanlu ingest {self.worker}", autocommit=True)
            for client_id, partitions in self._sessions.items():
                values = {"client_id": client_id, "partitions": list(partitions)}
                self._connection.execute(self._queries["add_session"], values)
        return self._connection
