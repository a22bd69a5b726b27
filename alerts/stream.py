"""The live stream's machinery: one thread follows the database, two more count and make lines, many browsers listen.

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
from contextlib import contextmanager, suppress
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
    placed,
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
_COUNTS_REST = 4.0  # and so many times as long as counting took: a hundred subtrees must not keep the database busy
_PACE_S = 0.00025  # for each listener: readings wait so long for more of them, alarms never do
_PACE_MOST_S = 0.25
_OWED_S = 0.02  # an alarm was announced and is not in the feed yet: an older transaction is still open
_OWED_TRIES = 25
_STOP_S = 0.5  # how soon a stream sees that everything stops
_HEARTBEAT_S = 15.0  # proxies close what is silent longer
_PAGE = 500
_ROWS = 40  # more alarms than this changing at once are not told row by row: the page asks for its list

Rows = Callable[[Connection, Sequence[int], str], Mapping[int, str]]
"""Makes lines of the alarm list as HTML, by alarm, in a language."""


@dataclass(eq=False, slots=True)
class Listener:
    """One open stream.

    Attributes:
        viewer: who looks at what.
        start: where the follower stood when the listener joined.
        loop: the event loop that serves it.
    """

    viewer: Viewer
    start: Position
    loop: asyncio.AbstractEventLoop
    _queue: asyncio.Queue[str | None]
    _full: bool = field(default=False)

    def end(self) -> None:
        """End the stream after what is queued, from any thread; the browser asks anew."""
        self.loop.call_soon_threadsafe(self.put, None)

    async def next(self, timeout_s: float) -> str | None:
        """Return the next message; None when the stream is over.

        Raises:
            TimeoutError: nothing came in time.
        """
        return await asyncio.wait_for(self._queue.get(), timeout_s)

    def put(self, text: str | None) -> None:
        """Put a message into the queue, within the event loop; None ends the stream."""
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
        self._changed: set[str] = set()
        """Subtrees whose counts an alarm has changed since they were told."""
        self._recount = threading.Event()
        self._unlined: list[tuple[Batch, list[Listener]]] = []
        """Batches with alarms whose lines are not told yet, with those who were told the batch."""
        self._lines_due = threading.Event()

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
        readings = placed(missed, self._places)
        return messages(missed, listener.viewer, readings, self._clock.now_ms()) + counts

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
        next_places = 0.0
        owed = 0
        heard = self._clock.monotonic()
        with self._counting():
            while not self._stopping.is_set():
                now = self._clock.monotonic()
                if now >= next_places:
                    next_places = now + _PLACES_S
                    rows = connection.execute(_QUERIES["stream_channels"])
                    self._places = {key: ChannelPlace(path, zone) for key, path, zone in rows}
                more, alarmed = self._turn(connection)
                if self._listeners:
                    heard = now
                elif now - heard > _LINGER_S:
                    return
                if alarmed:
                    owed = 0
                if not more:
                    announced = self._sleep(connection, now, owed=owed > 0)
                    owed = _OWED_TRIES if announced else max(0, owed - 1)

    def _sleep(self, connection: Connection, turned: float, *, owed: bool) -> bool:
        """Wait until there may be news that are due; return whether an alarm was announced.

        Alarms are due at once. Readings wait for more of them when many listen: whoever looks sees no difference
        between ten and four times a second, and each time costs every listener a write.

        Args:
            connection: listening.
            turned: when the last look began, seconds of the monotonic clock.
            owed: an alarm was announced that the last look did not find.
        """
        due = turned + min(_PACE_MOST_S, _PACE_S * len(self._listeners))
        end = max(due, turned + self._config.stream_poll_s)
        if owed:
            end = self._clock.monotonic() + _OWED_S
        waiting = False
        while not self._stopping.is_set():
            left = (min(due, end) if waiting else end) - self._clock.monotonic()
            if left <= 0:
                break
            channels = {notice.channel for notice in connection.notifies(timeout=left, stop_after=1)}
            if "hanlu_alarm" in channels:
                return True
            waiting = waiting or bool(channels)
        return False

    def _turn(self, connection: Connection) -> tuple[bool, bool]:
        """Tell the listeners what is new; return whether there is more at once, and whether alarms were told."""
        if self._position is None:
            position = head(connection)
            with self._state:
                self._position = position
                self._state.notify_all()
            return False, False
        batch, more = _batch(connection, self._position, None, _PAGE)
        now_ms = self._clock.now_ms()
        readings = placed(batch, self._places)
        texts: dict[tuple[str, str | None], str] = {}
        with self._state:
            self._position = batch.position
            listeners = list(self._listeners)
            offers: list[tuple[Listener, str]] = []
            for listener in listeners:
                looks = (listener.viewer.scope, listener.viewer.zone)
                if looks not in texts:
                    texts[looks] = messages(batch, listener.viewer, readings, now_ms)
                if texts[looks]:
                    offers.append((listener, texts[looks]))
            if batch.alarms:
                scopes = {listener.viewer.scope for listener in listeners}
                paths = {each.path for each in batch.alarms}
                self._changed |= {scope for scope in scopes if any(path.startswith(scope) for path in paths)}
                self._unlined.append((batch, listeners))
            _offer(offers)
        if batch.alarms:  # or the counts at the top would contradict the alarm below them until the next tick
            self._recount.set()
            self._lines_due.set()
        return more, bool(batch.alarms)

    def _line(self, stop: threading.Event) -> None:
        """Tell changed lines of the list from a thread of its own, until `stop`: alarms themselves never wait for it.

        What has come while lines were made is told together.
        """
        while not stop.is_set():
            self._lines_due.wait()
            self._lines_due.clear()
            with self._state:
                batches, self._unlined = self._unlined, []
            if not batches or stop.is_set():
                continue
            listeners = {listener for _, of_batch in batches for listener in of_batch}
            last = batches[-1][0]
            batch = Batch(last.position, {}, tuple(change for each, _ in batches for change in each.alarms))
            try:
                with translated(), self._pool.connection() as connection:
                    lines = self._lines(connection, batch)
            except TransientError as error:
                log(_LOGGER, logging.WARNING, "alerts.stream.unlined", str(error))
                lines = {}  # the pages ask for their list
            told: dict[tuple[str, str], str] = {}
            offers = []
            for listener in listeners:
                reads = (listener.viewer.scope, listener.viewer.rows)
                if reads not in told:
                    told[reads] = _told(batch, listener.viewer, lines)
                if told[reads]:
                    offers.append((listener, told[reads]))
            _offer(offers)

    def _lines(self, connection: Connection, batch: Batch) -> dict[str, Mapping[int, str]]:
        """Return the changed lines of the list, once for each language somebody reads; none when too many changed."""
        changed = list(dict.fromkeys(each.alarm_id for each in batch.alarms))
        if self._rows is None or not changed or len(changed) > _ROWS:
            return {}
        with self._state:
            languages = {listener.viewer.rows for listener in self._listeners} - {""}
        return {lang: self._rows(connection, changed, lang) for lang in languages}

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """Tell counts and lines from threads of their own: no alarm waits until a hundred subtrees are counted."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=self._count, args=(stop,), name="hanlu console counts", daemon=True),
            threading.Thread(target=self._line, args=(stop,), name="hanlu console lines", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            self._recount.set()
            self._lines_due.set()
            for thread in threads:
                thread.join()

    def _count(self, stop: threading.Event) -> None:
        """Tell everybody the counts at every tick, and those whose alarms have changed soon after; until `stop`."""
        next_all = next_changed = 0.0
        while not stop.is_set():
            now = self._clock.monotonic()
            self._recount.clear()
            with self._state:
                everybody = {listener.viewer.scope for listener in self._listeners}
                if now >= next_all:
                    due, self._changed = everybody, set()
                elif now >= next_changed:
                    due, self._changed = self._changed & everybody, set()
                else:
                    due = set()
                waits = bool(self._changed)
            if due:
                try:
                    self._tick(due, stop)
                except TransientError as error:
                    log(_LOGGER, logging.WARNING, "alerts.stream.uncounted", str(error))
                took = self._clock.monotonic() - now
                next_changed = now + max(_COUNTS_S, _COUNTS_REST * took)
            if now >= next_all:
                next_all = now + max(self._config.stream_tick_s, _COUNTS_REST * (self._clock.monotonic() - now))
            ends = min(next_all, next_changed) if waits else next_all
            if not waits and self._clock.monotonic() < next_changed:
                # Told a moment ago: what changes now waits its turn.
                stop.wait(max(0.0, min(next_changed, next_all) - self._clock.monotonic()))
            else:
                self._recount.wait(max(0.0, ends - self._clock.monotonic()))

    def _tick(self, scopes: set[str], stop: threading.Event) -> None:
        """Count for `scopes` and tell who looks at them."""
        with translated(), self._pool.connection() as connection:
            for scope in scopes:
                if stop.is_set() or self._stopping.is_set():
                    return
                counts = Read(connection, scope).counts()
                with self._state:
                    if self._position is None:
                        return
                    text = tick(counts, self._position, self._clock.now_ms())
                    _offer([(each, text) for each in self._listeners if each.viewer.scope == scope])


def _offer(offers: Sequence[tuple[Listener, str]]) -> None:
    """Put texts into the queues of listeners, waking each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Listener, str]]] = {}
    for listener, text in offers:
        loops.setdefault(listener.loop, []).append((listener, text))
    for loop, of_loop in loops.items():
        with suppress(RuntimeError):  # the loop has ended, and its streams with it
            loop.call_soon_threadsafe(_put_all, of_loop)


def _put_all(offers: Sequence[tuple[Listener, str]]) -> None:
    for listener, text in offers:
        listener.put(text)


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
