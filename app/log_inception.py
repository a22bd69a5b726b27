"""The transparency log's beginning: with a new embedded database at once, otherwise only when a person asks.

A log that came into being by itself wherever a database looks empty would start a second history after a restore or a
mistyped URL; so an external database gets its log by `hanlu trace create-log`.
"""

from __future__ import annotations

import logging

from hanlu.app.first_start import Credential
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url, trace_config
from hanlu.core.clock import SystemClock
from hanlu.core.observe import log
from hanlu.db.pool import connect
from hanlu.trace.log.inception import create_log
from hanlu.trace.log.store import LogIdentity, log_identity

__all__ = ["begin_log", "first_start"]

_logger = logging.getLogger(__name__)


def first_start(settings: Settings) -> list[Credential]:
    """Create the log of a new embedded database; makes no password."""
    if not settings.database.embedded:
        return []
    with connect(database_url(settings), "hanlu_trace", name="hanlu setup", autocommit=True) as connection:
        if log_identity(connection) is not None:
            return []
    identity = begin_log(settings, created_by="hanlu up, new embedded database", origin=None)
    log(_logger, logging.INFO, "app.log.created", "the transparency log begins", origin=identity.origin)
    return []


def begin_log(settings: Settings, *, created_by: str, origin: str | None) -> LogIdentity:
    """Create the log of the database in force.

    Raises:
        ConflictError: it has one.
    """
    with connect(database_url(settings), "hanlu_trace", name="hanlu create-log", autocommit=True) as connection:
        return create_log(
            connection,
            trace_config(settings).log_key_file,
            created_by=created_by,
            now_ms=SystemClock().now_ms(),
            origin=origin,
        )
