"""How well each gateway is heard, hour by hour: a fold over the arrivals for the data-quality page.

Any number of workers may run it: whoever holds the follower's row adds up the next arrivals, and the row moves in the
same transaction, so that every arrival counts once whatever is killed.
"""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from typing import Final

from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.db.pool import Connection, connect, translated
from hanlu.db.queries import load_queries

__all__ = ["KEPT_DAYS", "add_up", "run"]

KEPT_DAYS: Final = 400
"""Days an hour's figures are kept."""

PAGE_ARRIVALS: Final = 50_000
"""Arrivals added up in one transaction at most."""

_EVERY_S: Final = 5.0
_RETRY_S: Final = 5.0
_FORGET_EVERY: Final = 720
"""Turns between two looks for figures that are too old: an hour at one turn in five seconds."""

_QUERIES = load_queries("hanlu.ingest")
_log = logging.getLogger(__name__)


def run(database_url: str, stop: threading.Event) -> None:
    """Keep the figures until `stop` is set; a database that is away is waited for.

    Args:
        database_url: libpq URL; never logged.
        stop: obeyed between two transactions.
    """
    while not stop.is_set():
        try:
            with translated(), closing(connect(database_url, "hanlu_ingest", name="hanlu quality")) as connection:
                connection.autocommit = True
                _serve(connection, stop)
        except TransientError as away:
            log(_log, logging.WARNING, "ingest.quality.away", str(away), retry_s=_RETRY_S)
            stop.wait(_RETRY_S)


def add_up(connection: Connection, most: int = PAGE_ARRIVALS) -> int:
    """Add the next arrivals to their gateways' hours and return how many there were.

    Args:
        connection: in autocommit.
        most: arrivals in this transaction at most.

    Returns:
        Arrivals added; 0 when there is none yet, or another worker is at it.
    """
    with connection.transaction():
        place = connection.execute(_QUERIES["lock_quality"]).fetchone()
        if place is None:
            return 0
        end = connection.execute(
            _QUERIES["end_of_quality_page"], {"txid": place[0], "arrival_id": place[1], "most": most}
        ).fetchone()
        if end is None:
            return 0
        bounds = {"txid": place[0], "arrival_id": place[1], "end_txid": end[0], "end_arrival_id": end[1]}
        connection.execute(_QUERIES["add_gateway_hours"], bounds)
        connection.execute(_QUERIES["move_quality"], bounds)
        return int(end[2])


def _serve(connection: Connection, stop: threading.Event) -> None:
    connection.execute(_QUERIES["begin_quality"])
    turns = 0
    while not stop.is_set():
        while add_up(connection) == PAGE_ARRIVALS and not stop.is_set():
            pass
        if turns % _FORGET_EVERY == 0:
            connection.execute(_QUERIES["forget_gateway_hours"], {"days": KEPT_DAYS})
        turns += 1
        stop.wait(_EVERY_S)
