"""The trace process: three loops side by side, none of which can hold up another.

* feed: gateways' documents are captured, new readings mark the curves they belong to;
* sequence: what waits becomes leaves and a signed checkpoint;
* anchor: the newest checkpoint goes on the chain.

Each has its own connection and its own thread. A loop that fails notes its trouble in `trace.trouble`, waits, opens a
new connection and goes on; the chain being away never delays the log, and a damaged log never stops capture. LISTEN
wakes, polling decides.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Final

import psycopg

from hanlu.core.clock import Clock, SystemClock, from_ms
from hanlu.core.errors import FatalError, HanluError, NotFoundError, TransientError
from hanlu.core.observe import log
from hanlu.db.pool import Connection, connect
from hanlu.db.queries import load_queries
from hanlu.trace.capture import NOTIFY
from hanlu.trace.config import TraceConfig
from hanlu.trace.feed import follow_arrivals, follow_events
from hanlu.trace.log.inception import log_key
from hanlu.trace.log.sequencer import append

__all__ = ["run"]

_SQL = load_queries("hanlu.trace")
_LOG = logging.getLogger(__name__)
_ROLE: Final = "hanlu_trace"
_FUNDS: Final = 10**20
"""What the account gets on the embedded chain: 100 coins, wei."""

_FEED_LOCK: Final = 0x46454544  # "FEED": one follower in a database
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_STOP_LOOK_S = 0.2

Work = Callable[[Connection], bool]
"""One round; True when there may be more at once."""


class _Loop:
    """One loop: rounds on its own connection, with its trouble told and its pauses growing while it lasts."""

    def __init__(
        self,
        name: str,
        prepare: Callable[[], Work],
        *,
        listen: tuple[str, ...],
        poll_s: float,
        url: str,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._name, self._prepare, self._listen = name, prepare, listen
        self._poll_s, self._url, self._clock, self._stop = poll_s, url, clock, stop
        self._troubled = True  # what an earlier process noted is cleared by the first round that works

    def run(self) -> None:
        """Work until stopped."""
        pause = _FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                with contextlib.closing(
                    connect(self._url, _ROLE, name=f"hanlu trace {self._name}", autocommit=True)
                ) as connection:
                    for channel in self._listen:
                        connection.execute(f"LISTEN {channel}")
                    pause = self._rounds(connection, pause)
            except (psycopg.Error, TransientError) as error:
                log(_LOG, logging.WARNING, f"trace.{self._name}.away", f"the database is away: {error}")
            self._stop.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _rounds(self, connection: Connection, pause: float) -> float:
        """Work on one connection until something fails; return the pause before the next attempt."""
        try:
            work = self._prepare()
            while not self._stop.is_set():
                more = work(connection)
                if self._troubled:
                    connection.execute(_SQL["trouble_clear"], {"name": self._name})
                    self._troubled = False
                pause = _FIRST_PAUSE_S
                if not more:
                    self._sleep(connection)
        except (HanluError, psycopg.Error) as error:
            self._tell(connection, error)
        except Exception as error:  # noqa: BLE001 - a loop outlives what nobody foresaw; it is logged whole and told
            _LOG.exception("unexpected", extra={"action": f"trace.{self._name}.crash", "fields": {}})
            self._tell(connection, error)
        return pause

    def _sleep(self, connection: Connection) -> None:
        """Wait for a notification, the poll, or stop, whichever is first."""
        waited = 0.0
        while waited < self._poll_s and not self._stop.is_set():
            step = min(_STOP_LOOK_S, self._poll_s - waited)
            if self._listen:
                if list(connection.notifies(timeout=step, stop_after=1)):
                    return
            else:
                self._stop.wait(step)
            waited += step

    def _tell(self, connection: Connection, error: Exception) -> None:
        level = logging.ERROR if isinstance(error, FatalError) else logging.WARNING
        log(_LOG, level, f"trace.{self._name}.trouble", str(error))
        self._troubled = True
        with contextlib.suppress(psycopg.Error):
            values = {"name": self._name, "now": from_ms(self._clock.now_ms()), "detail": str(error)[:2000]}
            connection.execute(_SQL["trouble_note"], values)


def run(
    config: TraceConfig,
    database_url: str,
    stop: threading.Event,
    ready: Callable[[], None],
    clock: Clock | None = None,
) -> None:
    """Follow, append and anchor until `stop` is set.

    Args:
        config: Settings.
        database_url: libpq URL; the process steps down to the room's role.
        stop: Set to end; the loops end after the round in hand.
        ready: Called once the loops run.
        clock: The time; the machine's without it.
    """
    now = clock or SystemClock()

    def loop(name: str, prepare: Callable[[], Work], listen: tuple[str, ...], poll_s: float) -> _Loop:
        return _Loop(name, prepare, listen=listen, poll_s=poll_s, url=database_url, clock=now, stop=stop)

    poll = config.follow.poll_s
    loops = [
        loop("feed", lambda: _feed(config, now), ("hanlu_arrival",), poll),
        loop("sequence", lambda: _sequence(config, now), (NOTIFY,), poll),
    ]
    if config.anchor.url is not None:
        loops.append(loop("anchor", lambda: _anchor(config, now), (), min(config.anchor.retry_s, 5.0)))
    threads = [threading.Thread(target=each.run, name=f"trace-{number}") for number, each in enumerate(loops)]
    for thread in threads:
        thread.start()
    ready()
    for thread in threads:
        thread.join()


def _feed(config: TraceConfig, clock: Clock) -> Work:
    alone = False

    def work(connection: Connection) -> bool:
        nonlocal alone
        alone = alone or _locked(connection, _FEED_LOCK)
        if not alone:
            return False
        taken = follow_events(connection, config.follow, config.capture, config.curve, clock)
        seen = follow_arrivals(connection, config.follow, config.curve, clock)
        return taken.documents == config.follow.feed_batch or seen == config.follow.arrival_batch

    return work


def _locked(connection: Connection, key: int) -> bool:
    """Be the only one at some work as long as the connection lasts; False when another is."""
    row = connection.execute(_SQL["writer_lock"], {"key": key}).fetchone()
    return row is not None and bool(row[0])


def _sequence(config: TraceConfig, clock: Clock) -> Work:
    key = None

    def work(connection: Connection) -> bool:
        nonlocal key
        if key is None:
            try:
                key = log_key(config.log_key_file)
            except NotFoundError as error:
                raise FatalError(f"{error}: the log was not created here; `hanlu trace create-log` does it") from None
        done = append(connection, key, config.curve, clock, config.follow.sequence_batch)
        return done is not None and done.leaves >= config.follow.sequence_batch

    return work


def _anchor(config: TraceConfig, clock: Clock) -> Work:
    # web3 takes half a second to load: only the process that anchors pays for it.
    from hanlu.trace.anchor.loop import anchor_round, rules_of
    from hanlu.trace.anchor.sender import Halt
    from hanlu.trace.anchor.store import AnchorStore
    from hanlu.trace.anchor.web3_chain import Web3Chain, load_account

    assert config.anchor.url is not None
    chain = Web3Chain.at(config.anchor.url, load_account(config.anchor_key_file))
    rules = rules_of(config.anchor)
    funded = False

    def work(connection: Connection) -> bool:
        nonlocal funded
        if config.anchor.embedded and not funded:
            chain.fund(_FUNDS)
            funded = True
        done = anchor_round(AnchorStore(connection), chain, rules, config.anchor.finality, clock)
        if isinstance(done, Halt):
            raise FatalError(f"anchoring needs a person: {done.reason}")
        return False

    return work
