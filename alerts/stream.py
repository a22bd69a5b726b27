"""The live stream's machinery: one thread follows the database, many browsers listen.

The follower begins with the first listener and ends a while after the last one. It wakes on notifications and looks at
the feed anyway every `stream_poll_s`; what it finds it encodes once for each distinct viewer. A browser that comes back
with the id of its last event is first given what it missed, read from the feeds up to exactly where the follower stood
when the browser joined, so that nothing is told twice and nothing is left out.

Everything a listener waits for ends within a second of `stopping` being set.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg.rows import class_row, dict_row
from starlette.concurrency import run_in_threadpool

from hanlu.alerts.config import ConsoleConfig
from hanlu.alerts.live import (
    AlarmChange,
    Batch,
    ChannelPlace,
    Position,
    Viewer,
    messages,
    newest,
    reset,
    rows_event,
    tick,
)
from hanlu.alerts.read import Read
from hanlu.core.clock import Clock
from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.db.pool import Connection, Pool, translated
from hanlu.db.queries import load_queries

__all__ = ["Hub", "Listener", "Rows", "head"]

_LOGGER = logging.getLogger(__name__)
_QUERIES = load_queries("hanlu.alerts")
_LINGER_S = 30.0  # the follower outlives the last listener: pages are often merely changed
_PLACES_S = 30.0  # between looks at whose the channels are
_RETRY_S = 1.0
_JOIN_S = 5.0  # wait this long for the follower to find its place
_COUNTS_S = 1.0  # least time between ticks when alarms come in a storm
_STOP_S = 0.5  # how soon a stream sees that everything stops
_HEARTBEAT_S = 15.0  # proxies close what is silent longer
_PAGE = 500
_ROWS = 40  # more alarms than this changing at once are not told row by row: the page asks for its list

Rows = Callable[[Connection, Sequence[int], str], Mapping[int, str]]
"""Makes lines of the alarm list as HTML, by alarm, in a language."""


@dataclass(eq=False, slots=True)
class Listener:
    """One open stream; `offer` may be called from any thread.

    Attributes:
        viewer: who looks at what.
        start: where the follower stood when the listener joined.
    """

    viewer: Viewer
    start: Position
    _loop: asyncio.AbstractEventLoop
    _queue: asyncio.Queue[str | None]
    _full: bool = field(default=False)

    def offer(self, text: str) -> None:
        """Put a message into the listener's queue."""
        self._loop.call_soon_threadsafe(self._put, text)

    def end(self) -> None:
        """End the stream after what is queued; the browser asks anew."""
        self._loop.call_soon_threadsafe(self._put, None)

    async def next(self, timeout_s: float) -> str | None:
        """Return the next message; None when the stream is over.

        Raises:
            TimeoutError: nothing came in time.
        """
        return await asyncio.wait_for(self._queue.get(), timeout_s)

    def _put(self, text: str | None) -> None:
        if self._full:
            return
        if self._queue.full():
            # A browser that does not read: it is let go, and takes up from its last event when it comes back.
            self._full = True
            while not self._queue.empty():
                self._queue.get_nowait()
            text = None
        self._queue.put_nowait(text)


def head(connection: Connection) -> Position:
    """Return where the feeds end now; a page that carries this id misses nothing between being made and listening."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_QUERIES["stream_head"]).fetchone()
    assert row is not None
    return Position(int(row["txid"]), row["arrival_id"], int(row["journal_txid"]), row["journal_id"])


class Hub:
    """The follower and its listeners, one a process."""

    def __init__(
        self, pool: Pool, config: ConsoleConfig, clock: Clock, stopping: threading.Event, rows: Rows | None = None
    ) -> None:
        """Follow through connections of `pool`; `stopping` ends everything; `rows` makes lines of the alarm list."""
        self._pool = pool
        self._rows = rows
        self._config = config
        self._clock = clock
        self._stopping = stopping
        # Guards what follows; the follower's thread and the listeners' tasks all pass here.
        self._state = threading.Condition()
        self._listeners: set[Listener] = set()
        self._places: dict[int, ChannelPlace] = {}
        self._position: Position | None = None
        self._thread: threading.Thread | None = None

    async def stream(self, viewer: Viewer, after: str) -> AsyncIterator[str]:
        """Yield the text of a stream; it ends early when the database is away, and the browser asks anew.

        Args:
            viewer: who looks at what.
            after: id of the last event the browser has, "" or nonsense for none.
        """
        yield "retry: 2000\n\n"
        listener: Listener | None = None
        try:
            listener = await run_in_threadpool(self._join, viewer, asyncio.get_running_loop())
            yield await run_in_threadpool(self._beginning, listener, Position.parse(after))
            async for text in self._listen(listener):
                yield text
        except TransientError as error:
            log(_LOGGER, logging.WARNING, "alerts.stream.refused", str(error))
        finally:
            if listener is not None:
                with self._state:
                    self._listeners.discard(listener)

    async def _listen(self, listener: Listener) -> AsyncIterator[str]:
        end = self._clock.monotonic() + self._config.stream_life_s
        said = self._clock.monotonic()
        while not self._stopping.is_set() and self._clock.monotonic() < end:
            try:
                text = await listener.next(_STOP_S)
            except TimeoutError:
                if self._clock.monotonic() - said < _HEARTBEAT_S:
                    continue
                text = ": still here\n\n"
            if text is None:
                return
            said = self._clock.monotonic()
            yield text

    def _join(self, viewer: Viewer, loop: asyncio.AbstractEventLoop) -> Listener:
        """Start the follower where none runs, wait until it stands somewhere, and begin to listen from there."""
        with self._state:
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="hanlu console follower", daemon=True)
                self._thread.start()
            if not self._state.wait_for(lambda: self._position is not None, _JOIN_S):
                raise TransientError("the live stream cannot read the database")
            assert self._position is not None
            listener = Listener(viewer, self._position, loop, asyncio.Queue(self._config.stream_queue))
            self._listeners.add(listener)
        return listener

    def _beginning(self, listener: Listener, after: Position | None) -> str:
        """Return what the browser missed, or that it missed too much, and a first tick."""
        with translated(), self._pool.connection() as connection:
            counts = tick(Read(connection, listener.viewer.scope).counts(), listener.start, self._clock.now_ms())
            if after is None:
                return counts
            missed, more = _batch(connection, after, listener.start, self._config.replay_arrivals)
        if more:
            return reset(listener.start) + counts
        return messages(missed, listener.viewer, self._places, self._clock.now_ms()) + counts

    def _follow(self) -> None:
        """Follow the feeds until nobody has listened for a while; a database that is away is waited for."""
        try:
            while not self._stopping.is_set():
                try:
                    with translated(), self._pool.connection() as connection, _listening(connection):
                        self._turns(connection)
                except TransientError as error:
                    if self._stopping.is_set():
                        return  # the pool is closed under us, as it should
                    log(_LOGGER, logging.WARNING, "alerts.stream.lost", f"{error}; trying again", retry_s=_RETRY_S)
                    self._stopping.wait(_RETRY_S)
                    continue
                with self._state:
                    if not self._listeners:
                        self._thread, self._position = None, None
                        return
        finally:
            # Also when something unforeseen ends the thread: browsers ask anew, and that starts another.
            with self._state:
                if self._thread is threading.current_thread():
                    self._thread, self._position = None, None
                    for listener in self._listeners:
                        listener.end()

    def _turns(self, connection: Connection) -> None:
        """Look for news, tell it, and sleep until there may be more; return when nobody listens any more."""
        next_tick = next_places = 0.0
        ticked = -_COUNTS_S
        heard = self._clock.monotonic()
        while not self._stopping.is_set():
            now = self._clock.monotonic()
            if now >= next_places:
                next_places = now + _PLACES_S
                rows = connection.execute(_QUERIES["stream_channels"])
                self._places = {key: ChannelPlace(path, zone) for key, path, zone in rows}
            more, alarmed = self._turn(connection)
            if alarmed:  # or the counts at the top would contradict the alarm below them until the next tick
                next_tick = min(next_tick, ticked + _COUNTS_S)
            if now >= next_tick:
                ticked, next_tick = now, now + self._config.stream_tick_s
                self._tick(connection)
            if self._listeners:
                heard = now
            elif now - heard > _LINGER_S:
                return
            if not more:
                for _ in connection.notifies(timeout=self._config.stream_poll_s, stop_after=1):
                    pass

    def _turn(self, connection: Connection) -> tuple[bool, bool]:
        """Tell the listeners what is new; return whether there is more at once, and whether alarms were told."""
        if self._position is None:
            position = head(connection)
            with self._state:
                self._position = position
                self._state.notify_all()
            return False, False
        batch, more = _batch(connection, self._position, None, _PAGE)
        texts: dict[Viewer, str] = {}
        now_ms = self._clock.now_ms()
        # Made before the lock is taken: a listener that joins meanwhile begins behind this batch, or gets it whole.
        lines = self._lines(connection, batch)
        with self._state:
            self._position = batch.position
            for listener in self._listeners:
                viewer = listener.viewer
                if viewer not in texts:
                    texts[viewer] = messages(batch, viewer, self._places, now_ms) + _told(batch, viewer, lines)
                if texts[viewer]:
                    listener.offer(texts[viewer])
        return more, bool(batch.alarms)

    def _lines(self, connection: Connection, batch: Batch) -> dict[str, Mapping[int, str]]:
        """Return the changed lines of the list, once for each language somebody reads; none when too many changed."""
        changed = list(dict.fromkeys(each.alarm_id for each in batch.alarms))
        if self._rows is None or not changed or len(changed) > _ROWS:
            return {}
        with self._state:
            languages = {listener.viewer.rows for listener in self._listeners} - {""}
        return {lang: self._rows(connection, changed, lang) for lang in languages}

    def _tick(self, connection: Connection) -> None:
        with self._state:
            scopes = {listener.viewer.scope for listener in self._listeners}
        counts = {scope: Read(connection, scope).counts() for scope in scopes}
        with self._state:
            if self._position is None:
                return
            for listener in self._listeners:
                if listener.viewer.scope in counts:
                    listener.offer(tick(counts[listener.viewer.scope], self._position, self._clock.now_ms()))


def _told(batch: Batch, viewer: Viewer, lines: Mapping[str, Mapping[int, str]]) -> str:
    """Return the text of the changed lines for one viewer, or that its list is to be asked for."""
    mine = dict.fromkeys(each.alarm_id for each in batch.alarms if each.path.startswith(viewer.scope))
    if not viewer.rows or not mine:
        return ""
    made = lines.get(viewer.rows)
    if made is None:
        return rows_event((), batch.position, more=True)
    return rows_event([made[each] for each in mine if each in made], batch.position, more=False)


@contextmanager
def _listening(connection: Connection) -> Iterator[None]:
    """Receive both notifications on a connection of the pool, and leave it as it was found."""
    connection.autocommit = True
    connection.execute("LISTEN hanlu_arrival")
    connection.execute("LISTEN hanlu_alarm")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("UNLISTEN *")
            connection.autocommit = False


def _batch(connection: Connection, after: Position, to: Position | None, limit: int) -> tuple[Batch, bool]:
    """Return what lies between two positions, at most `limit` arrivals and transitions, and whether there is more.

    Args:
        connection: acting as hanlu_alerts.
        after: not included.
        to: included; None for the end of the feeds.
        limit: the first ones are returned.
    """
    with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        arrivals = cursor.execute(
            _QUERIES["stream_arrivals"],
            {
                "txid": str(after.txid),
                "arrival_id": after.arrival_id,
                "to_txid": None if to is None else str(to.txid),
                "to_arrival_id": None if to is None else to.arrival_id,
                "limit": limit + 1,
            },
        ).fetchall()
    with connection.cursor(row_factory=class_row(AlarmChange)) as changes:
        alarms = changes.execute(
            _QUERIES["stream_journal"],
            {
                "txid": str(after.journal_txid),
                "journal_id": after.journal_id,
                "to_txid": None if to is None else str(to.journal_txid),
                "to_journal_id": None if to is None else to.journal_id,
                "limit": limit + 1,
            },
        ).fetchall()
    more = max(len(arrivals), len(alarms)) > limit
    arrivals, alarms = arrivals[:limit], alarms[:limit]
    txid, arrival_id, journal_txid, journal_id = after
    if arrivals:
        txid, arrival_id = int(arrivals[-1]["txid"]), arrivals[-1]["arrival_id"]
    if alarms:
        journal_txid, journal_id = int(alarms[-1].txid), alarms[-1].journal_id
    readings = newest((each["channel_ids"], each["observed_ms"], each["values"]) for each in arrivals)
    position = Position(txid, arrival_id, journal_txid, journal_id)
    return Batch(position if to is None else to, readings, tuple(alarms)), more
