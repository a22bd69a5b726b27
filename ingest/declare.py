"""A person's word that what is missing of a gateway will not come: its device burnt, drowned or was stolen.

The platform declares lost by itself only what a newer spool replaced (gaps.py). A gateway that never comes back leaves
its gaps open, and the account unbalanced, until somebody who knows says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row

from hanlu.core.errors import NotFoundError, UsageError
from hanlu.db.pool import Connection, translated
from hanlu.db.queries import load_queries
from hanlu.ingest.gaps import close_epoch

__all__ = ["USUAL_REASON", "MissingSpool", "declare_lost", "missing_spools"]

USUAL_REASON: Final = "gateway_destroyed"
_REASON: Final = re.compile(r"[a-z][a-z0-9_]{0,59}")
_QUERIES = load_queries("hanlu.ingest")


@dataclass(frozen=True, slots=True)
class MissingSpool:
    """A spool of which something has not arrived.

    Attributes:
        epoch: of the spool.
        messages: sequence numbers missing below the highest seen. What the gateway numbered after that nobody knows.
        readings: these must hold by the gateway's own count.
        since_ms: since when something is missing, Unix milliseconds UTC.
        last_ms: when the spool was last heard of, Unix milliseconds UTC.
    """

    epoch: bytes
    messages: int
    readings: int
    since_ms: int
    last_ms: int


def missing_spools(connection: Connection, gateway: str) -> list[MissingSpool]:
    """Return the spools of a gateway of which something is missing, the longest missing first.

    Args:
        connection: in the role of ingest, in autocommit.
        gateway: its code.

    Raises:
        TransientError: the database is away.
    """
    with translated(), connection.cursor(row_factory=class_row(MissingSpool)) as cursor:
        return cursor.execute(_QUERIES["missing_of_gateway"], {"gateway": gateway}).fetchall()


def declare_lost(connection: Connection, gateway: str, reason: str, done_by: str) -> list[MissingSpool]:
    """Declare lost all that is missing of a gateway; return what that was, spool by spool.

    Should some of it come after all, it is stored and the account is corrected.

    Args:
        connection: in the role of ingest, in autocommit.
        gateway: its code.
        reason: why it will not come, snake_case.
        done_by: who says so.

    Raises:
        UsageError: the reason does not fit.
        NotFoundError: there is no such gateway.
        TransientError: the database is away; what was not declared stays missing.
    """
    if not _REASON.fullmatch(reason):
        raise UsageError(f"{reason[:40]!r} is no reason: up to 60 of a-z 0-9 _, such as {USUAL_REASON}")
    with translated():
        known = connection.execute(_QUERIES["gateway_id_of"], {"gateway": gateway}).fetchone()
    if known is None:
        raise NotFoundError(f"there is no gateway {gateway}")
    spools = missing_spools(connection, gateway)
    for each in spools:
        close_epoch(connection, _QUERIES, known[0], each.epoch, reason, done_by)
    return spools
