"""The alarm engine: follow the arrivals, judge the readings, keep what that means, in one transaction a page.

Rule states, alarms, journal and cursor of a page commit together. A kill before the commit leaves nothing of the page,
a kill after it leaves all of it; either way the next start loads what is there and goes on behind the cursor. Errors of
the database are handled in the same manner: the memory is thrown away and loaded anew.

One engine serves a database: it holds an advisory lock for the life of its connection, and a second one waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import closing

from hanlu.alerts.config import EngineConfig
from hanlu.alerts.figures import ARRIVALS, CHANGES, PAGE_SECONDS
from hanlu.alerts.kind import Kind
from hanlu.alerts.store import Cursor, Store
from hanlu.alerts.watch import Watch
from hanlu.core.clock import Clock, SystemClock
from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.db.pool import Connection, connect, translated

__all__ = ["Engine", "run"]

_LOGGER = logging.getLogger(__name__)
_RETRY_S = 2.0


def run(
    config: EngineConfig,
    database_url: str,
    stop: threading.Event,
    ready: Callable[[], None],
    clock: Clock | None = None,
) -> None:
    """Run the engine until `stop` is set.

    Args:
        config: its settings.
        database_url: libpq URL; the engine acts as hanlu_alerts.
        stop: obeyed within `config.poll_s` and the transaction under way.
        ready: called once the engine is the only one and has loaded its memory.
        clock: the platform's time.
    """
    while not stop.is_set():
        try:
            with translated(), closing(connect(database_url, "hanlu_alerts", name="hanlu alerts")) as connection:
                connection.autocommit = True
                _serve(config, connection, stop, ready, clock or SystemClock())
        except TransientError as error:
            log(_LOGGER, logging.WARNING, "alerts.engine.lost", f"{error}; trying again", retry_s=_RETRY_S)
            stop.wait(_RETRY_S)


def _serve(
    config: EngineConfig, connection: Connection, stop: threading.Event, ready: Callable[[], None], clock: Clock
) -> None:
    """Serve on one connection until it is lost or `stop` is set."""
    store = Store(connection)
    while not store.lock():
        log(_LOGGER, logging.INFO, "alerts.engine.wait", "another engine is at work; standing by")
        if stop.wait(_RETRY_S):
            return
    connection.execute("LISTEN hanlu_arrival")
    engine = Engine(config, connection, clock)
    log(_LOGGER, logging.INFO, "alerts.engine.start", "following the arrivals", cursor=str(engine.position))
    ready()
    while not stop.is_set():
        if engine.turn() == 0:
            # A notification wakes; when none comes, the poll decides.
            for _ in connection.notifies(timeout=config.poll_s, stop_after=1):
                pass


class Engine:
    """The engine between start and the first lost connection."""

    def __init__(self, config: EngineConfig, connection: Connection, clock: Clock) -> None:
        """Load the memory through `connection` (autocommit, acting as hanlu_alerts)."""
        self._config = config
        self._connection = connection
        self._clock = clock
        self._store = Store(connection)
        with connection.transaction():
            self._position = self._store.cursor()
            active = self._store.active()
            silent, holed = (
                [key.channel_id for key in active if key.kind is kind] for kind in (Kind.NO_DATA, Kind.GAP)
            )
            self._watch = Watch(self._store.states(), silent, self._store.heard(), clock.now_ms(), holed)
        self._next_refresh = self._next_tick = clock.monotonic()
        self._refresh()

    @property
    def position(self) -> Cursor:
        """Everything up to here has been judged."""
        return self._position

    def turn(self) -> int:
        """Judge one page, or look for silent channels when there is none; return the number of arrivals judged."""
        if self._clock.monotonic() >= self._next_refresh:
            self._refresh()
        arrivals = self._store.page(self._position, self._config.page_arrivals)
        if not self._watch.knows(arrivals):
            self._refresh()  # announced after the last look: its first readings count like any other
        if arrivals:
            with PAGE_SECONDS.time():
                for arrival in arrivals:
                    self._watch.take(arrival)
                self._commit(Cursor(arrivals[-1].txid, arrivals[-1].arrival_id))
            ARRIVALS.inc(len(arrivals))
        elif self._clock.monotonic() >= self._next_tick:
            self._next_tick = self._clock.monotonic() + self._config.silence_check_s
            self._watch.tick(self._seen_until())
            self._watch.look_at_gaps(self._store.gaps(self._config.gap_s), self._clock.now_ms())
            self._commit(self._position)
        return len(arrivals)

    def _seen_until(self) -> int:
        """Return the time up to which silence means silence: what the feed still holds back was not unsaid."""
        held_ms, now_ms = self._store.horizon(), self._clock.now_ms()
        return now_ms if held_ms is None else min(now_ms, held_ms)

    def _refresh(self) -> None:
        self._next_refresh = self._clock.monotonic() + self._config.refresh_s
        self._watch.use(self._store.channels(), self._clock.now_ms())

    def _commit(self, position: Cursor) -> None:
        """Keep what the page meant, and that it was judged: one transaction, all or nothing."""
        outcome = self._watch.drain()
        if position == self._position and not outcome.changes and not outcome.states:
            return
        with self._connection.transaction():
            self._store.apply(outcome.changes, self._clock.now_ms())
            self._store.keep(outcome.states)
            corrected = self._store.correct(outcome.late)
            if position != self._position:
                self._store.move(position)
            if outcome.changes or corrected:
                self._store.notify()
        self._position = position
        for change in outcome.changes:
            CHANGES.labels(change.event).inc()
            log(
                _LOGGER, logging.INFO, f"alerts.alarm.{change.event}", f"{change.key.kind} alarm: {change.event}",
                channel_id=change.key.channel_id, at_ms=change.at_ms, value=change.value,
            )  # fmt: skip
