"""Connection pools, one per room and process, each stepped down to the room's role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool, PoolTimeout

from hanlu.core.errors import ConflictError, FatalError, TransientError

__all__ = ["Connection", "Pool", "connect", "open_pool", "translated"]

Connection = psycopg.Connection[Any]
Pool = ConnectionPool[Connection]

STATEMENT_TIMEOUT_MS = 30_000
"""No statement of a room runs longer; long work is cut into pages. Nor does a room keep a transaction open so long
without using it: an open one that has written holds every follower of the arrivals up."""

_FLUSH = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
"""What a room has committed it says to others, in receipts above all: it must be flushed by then, whatever the server's
setting. Stricter ones (a standby's word) stay."""


def _step_down(role: str, statement_timeout_ms: int) -> Callable[[Connection], None]:
    def configure(connection: Connection) -> None:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        connection.execute("SET TIME ZONE 'UTC'")
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(sql.SQL("SET {} = {}").format(sql.SQL(setting), sql.Literal(statement_timeout_ms)))
        connection.execute(_FLUSH)
        connection.commit()

    return configure


def open_pool(
    url: str, role: str, *, name: str, max_size: int = 4, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS
) -> Pool:
    """Return an open pool whose connections act as `role`.

    Args:
        url: libpq URL or key=value string; never logged.
        role: the room's database role, e.g. `hanlu_ingest`.
        name: shown in `pg_stat_activity`, e.g. `hanlu ingest`.
        max_size: most connections.
        statement_timeout_ms: milliseconds after which the server gives a statement up, or an unused transaction.
    """
    return ConnectionPool(
        url,
        min_size=1,
        max_size=max_size,
        kwargs={"application_name": name},
        configure=_step_down(role, statement_timeout_ms),
        name=name,
        open=True,
        timeout=10.0,
    )


def connect(
    url: str, role: str, *, name: str, autocommit: bool = False, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS
) -> Connection:
    """Return one connection that acts as `role`, for loops that own theirs (ingest, engines)."""
    with translated():
        connection: Connection = psycopg.connect(url, application_name=name)
        _step_down(role, statement_timeout_ms)(connection)
        connection.autocommit = autocommit
    return connection


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into Hanlu's, by what to do about them; the cause is kept."""
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        raise ConflictError(str(error).splitlines()[0]) from error
    except (psycopg.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout, PoolTimeout) as error:
        raise TransientError(
            f"the database is away: {str(error).splitlines()[0] if str(error) else 'no answer'}"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise FatalError(f"a room reached outside its schema: {str(error).splitlines()[0]}") from error
