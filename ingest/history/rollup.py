"""Keeps hours and days right: follows the arrivals, notes which hours their readings change, calculates those anew.

Noting and calculating are apart. Every few seconds one statement notes the hours touched since the last look; an hour
under way is touched again and again and noted once. It is calculated when its readings should have come, and again
whenever a late one does: from its readings, never by adding to what stood there, so that it makes no difference how
often or in what order anything arrived. Until then a question to the hour is answered from its readings
(`telemetry.hours`), so nobody has to wait for this follower, and it can be slow on purpose.

One follower serves a database: it holds an advisory lock for the life of its connection, and a second one waits.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from typing import Final

import psycopg
from pydantic import BaseModel, ConfigDict, Field

from hanlu.core.errors import FatalError, TransientError
from hanlu.core.observe import log
from hanlu.db.pool import Connection, connect, translated
from hanlu.db.queries import load_queries

__all__ = ["RollUp", "RollUpConfig", "run"]

_LOGGER = logging.getLogger(__name__)
_QUERIES = load_queries("hanlu.ingest.history")
_LOCK_KEY: Final = 0x48414C524F
_NAME: Final = "rollup"
_RETRY_S: Final = 2.0
_FAILED_RETRY_S: Final = 60.0


class RollUpConfig(BaseModel):
    """How the follower works; every field with its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    poll_s: float = Field(default=5.0, gt=0, le=60, description="seconds between looks at what has arrived")
    page_arrivals: int = Field(default=5_000, ge=1, le=100_000, description="most arrivals looked at in one statement")
    settle_s: float = Field(
        default=60.0, ge=0, le=3_600, description="seconds an hour is left alone after it ended or was first touched"
    )
    batch_hours: int = Field(
        default=1_000, ge=1, le=20_000, description="most hours (of a channel) calculated in one statement"
    )
    share: float = Field(
        default=0.3, gt=0, le=1, description="most of one database process's time spent calculating, 0 to 1"
    )


def run(config: RollUpConfig, database_url: str, stop: threading.Event) -> None:
    """Follow until `stop` is set; a lost connection is opened again.

    Args:
        config: its settings.
        database_url: libpq URL; the follower acts as hanlu_ingest.
        stop: obeyed within `config.poll_s` or the statement under way.
    """
    while not stop.is_set():
        try:
            with (
                translated(),
                closing(connect(database_url, "hanlu_ingest", name="hanlu roll-up", autocommit=True)) as connection,
            ):
                _serve(config, connection, stop)
        except TransientError as error:
            log(_LOGGER, logging.WARNING, "ingest.rollup.lost", f"{error}; trying again", retry_s=_RETRY_S)
            stop.wait(_RETRY_S)
        except (FatalError, psycopg.Error) as error:
            # It runs beside the way in, which must go on whatever happens here; nothing is lost, only later.
            log(_LOGGER, logging.ERROR, "ingest.rollup.fail", f"{error}; trying again", retry_s=_FAILED_RETRY_S)
            stop.wait(_FAILED_RETRY_S)


def _serve(config: RollUpConfig, connection: Connection, stop: threading.Event) -> None:
    while connection.execute(_QUERIES["rollup_lock"], {"key": _LOCK_KEY}).fetchone() != (True,):
        if stop.wait(_RETRY_S):
            return
    rollup = RollUp(connection, config)
    log(_LOGGER, logging.INFO, "ingest.rollup.start", "rolling up hours and days")
    while not stop.is_set():
        begun = time.monotonic()
        followed, calculated = rollup.follow(), rollup.calculate()
        spent = time.monotonic() - begun
        busy = calculated or followed == config.page_arrivals
        stop.wait(spent * (1 / config.share - 1) if busy else config.poll_s)


class RollUp:
    """The follower's work, a step at a time. Not for several threads, and one at a time in a database."""

    def __init__(self, connection: Connection, config: RollUpConfig | None = None) -> None:
        """Load where it stands.

        Args:
            connection: in autocommit, acting as hanlu_ingest.
            config: its settings.
        """
        self._connection = connection
        self._config = config or RollUpConfig()
        row = connection.execute(_QUERIES["rollup_position"], {"name": _NAME}).fetchone()
        self._position: tuple[str, int] = row or ("0", 0)

    def follow(self) -> int:
        """Note what the next arrivals touched; return how many arrivals those were, 0 when there are none."""
        row = self._connection.execute(
            _QUERIES["rollup_mark"],
            {
                "name": _NAME,
                "txid": self._position[0],
                "arrival_id": self._position[1],
                "limit": self._config.page_arrivals,
                "settle_s": self._config.settle_s,
            },
        ).fetchone()
        if row is None:
            return 0
        self._position = (row[0], row[1])
        return int(row[2])

    def calculate(self) -> int:
        """Calculate a batch of hours and days that are due; return how many there were of both."""
        return self._hours() + self._days()

    def _hours(self) -> int:
        # Taken and written in one transaction: a crash in between leaves the marks where they were.
        with self._connection.transaction():
            taken = self._connection.execute(
                _QUERIES["rollup_take_hours"], {"limit": self._config.batch_hours}
            ).fetchall()
            ours = [(channel_id, hour_at) for channel_id, hour_at, is_open in taken if is_open]
            if ours:
                self._connection.execute(
                    _QUERIES["rollup_write_hours"],
                    {
                        "channel_ids": [each[0] for each in ours],
                        "hours": [each[1] for each in ours],
                        "settle_s": self._config.settle_s,
                    },
                )
        return len(taken)

    def _days(self) -> int:
        row = self._connection.execute(_QUERIES["rollup_days"], {"limit": self._config.batch_hours}).fetchone()
        return int(row[0]) if row else 0
