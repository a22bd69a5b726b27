"""The notifier's thread: plans and sends until it is stopped, one in a database at a time.

It holds an advisory lock for the life of its connection; a second one waits for it. When the database goes away, what
is under way is waited for, and everything begins anew from what is on record.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final

from psycopg.rows import scalar_row

from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.planner import Planner
from hanlu.alerts.people.sender import Sender
from hanlu.core.clock import Clock, SystemClock, from_ms
from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.db.pool import Connection, Pool, connect, open_pool, translated
from hanlu.db.queries import load_queries

__all__ = ["run"]

_LOCK_KEY: Final = 0x48_50_45_4F_50
_RETRY_S: Final = 2.0
_KEEP_LINKS_MS: Final = 30 * 86_400_000
"""Expired links are known so long, so that who opens one learns that it expired."""
_ROLE: Final = "hanlu_alerts"

_QUERIES = load_queries("hanlu.alerts.people")
_LOGGER = logging.getLogger(__name__)


def run(
    config: NotifyConfig,
    database_url: str,
    stop: threading.Event,
    *,
    public_url: str | None = None,
    clock: Clock | None = None,
) -> None:
    """Tell people of alarms until `stop` is set.

    Args:
        config: its settings.
        database_url: libpq URL; it acts as hanlu_alerts.
        stop: obeyed within `config.poll_s` and the messages under way.
        public_url: where people reach the console, without a trailing slash; None when only this machine does.
        clock: the platform's time.
    """
    if not config.enabled:
        log(_LOGGER, logging.WARNING, "alerts.notifier.off", "notify.enabled is false: nobody is told of alarms")
        stop.wait()
        return
    with open_pool(database_url, _ROLE, name="hanlu notify workers", max_size=config.workers) as pool:
        while not stop.is_set():
            try:
                with (
                    translated(),
                    closing(connect(database_url, _ROLE, name="hanlu notify", autocommit=True)) as connection,
                ):
                    _serve(config, connection, pool, stop, public_url, clock or SystemClock())
            except TransientError as error:
                log(_LOGGER, logging.WARNING, "alerts.notifier.lost", f"{error}; trying again", retry_s=_RETRY_S)
                stop.wait(_RETRY_S)


def _serve(
    config: NotifyConfig,
    connection: Connection,
    pool: Pool,
    stop: threading.Event,
    public_url: str | None,
    clock: Clock,
) -> None:
    """Serve on one connection until it is lost or `stop` is set."""
    while not _locked(connection):
        log(_LOGGER, logging.INFO, "alerts.notifier.wait", "another notifier is at work; standing by")
        if stop.wait(_RETRY_S):
            return
    connection.execute("LISTEN hanlu_alarm")
    connection.execute("LISTEN hanlu_people")
    with ThreadPoolExecutor(config.workers, thread_name_prefix="notify") as executor:
        planner = Planner(config, connection, clock)
        sender = Sender(config, connection, pool, executor, clock, public_url=public_url)
        interrupted = sender.recover()
        connection.execute(_QUERIES["link_forget"], {"before": from_ms(clock.now_ms() - _KEEP_LINKS_MS)})
        log(_LOGGER, logging.INFO, "alerts.notifier.start", "following the journal", interrupted=interrupted)
        while not stop.is_set():
            if planner.turn() + sender.turn() == 0:
                # A notification wakes; when none comes, the poll decides.
                for _ in connection.notifies(timeout=config.poll_s, stop_after=1):
                    pass
        sender.finish()


def _locked(connection: Connection) -> bool:
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(_QUERIES["people_lock"], {"key": _LOCK_KEY}).fetchone())
