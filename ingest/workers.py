"""Several ingest workers share the partitions, and take over from one that dies.

What is shared out are MQTT sessions, each with a fixed client id and a fixed set of partitions; a lease (module lease)
says which worker holds which. The session goes with the partitions, because what the broker holds for it does: messages
delivered and not acknowledged, and all that came since. Whoever takes a session over signs in with its client id; the
broker ends the connection of the one before, if there is any left, and delivers again what that one had not
acknowledged. What had been committed already is recognised. So nothing waits in a session that nobody reads, no
partition is subscribed to twice, and the order of a gateway's messages holds.

With one session, the default, one worker works and every further one waits to take over. With more, each live worker
holds its share, one that has too much hands back, and one worker alone holds them all.

A worker that cannot renew its leases goes on with what it has, since the database it cannot reach is the same it would
write to; but it signs in at the broker no more once its time is over, so that it does not fight its successor for the
session. Two that both believe to hold a session do no harm to the record: they cost each other connections.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hanlu.core.clock import Clock
from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.ingest.config import IngestConfig
from hanlu.ingest.lease import Leases, Standing, sessions_of

__all__ = ["MayConnect", "Work", "Workers"]

_log = logging.getLogger(__name__)

_RENEWALS: Final = 5
"""Renewals in the time of a lease, at least."""
_LOOK_S: Final = 1.0
"""Seconds between two looks at most: how long a killed worker's sessions wait for the next one."""

MayConnect = Callable[[], bool]
Work = Callable[[IngestConfig, threading.Event, Callable[[], None], MayConnect], None]
"""Works on one session until the event is set; calls back once it is subscribed; asks whether it may sign in."""


@dataclass(slots=True)
class _Share:
    """One session this worker works on."""

    client_id: str
    stop: threading.Event = field(default_factory=threading.Event)
    ready: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    fault: BaseException | None = None

    def end(self) -> None:
        """Have what was taken brought to its end."""
        self.stop.set()
        if self.thread is not None:
            self.thread.join()


class Workers:
    """This process among the workers."""

    def __init__(self, config: IngestConfig, leases: Leases, clock: Clock, work: Work) -> None:
        """Hold nothing yet.

        Args:
            config: of the whole worker; each session gets its part.
            leases: on the sessions of `config`.
            clock: for the leases' time.
            work: runs one session.
        """
        self._config = config
        self._sessions = sessions_of(config.broker.client_id, config.partitions, config.sessions)
        self._leases = leases
        self._clock = clock
        self._work = work
        self._shares: dict[str, _Share] = {}
        self._renewed_at = float("-inf")
        self._changed = threading.Event()

    def run(self, stop: threading.Event, ready: Callable[[], None]) -> None:
        """Hold this worker's share until `stop`, then hand it back.

        Args:
            stop: ends the work.
            ready: called once, when all sessions held are subscribed, or when others hold them all.

        Raises:
            HanluError: what ended the work on a session.
        """
        waiter = threading.Thread(target=self._wake_at, args=(stop,), name="workers-stop", daemon=True)
        waiter.start()
        announced = False
        try:
            while not stop.is_set():
                known = self._look_after()
                if known and not announced and all(each.ready.is_set() for each in self._shares.values()):
                    announced = True
                    ready()
                self._changed.wait(min(self._config.lease_s / _RENEWALS, _LOOK_S))
                self._changed.clear()
        finally:
            self._end()

    def _wake_at(self, stop: threading.Event) -> None:
        stop.wait()
        self._changed.set()

    def _look_after(self) -> bool:
        """Renew, take and hand back; False when the database is away."""
        for share in self._shares.values():
            if share.fault is not None:
                raise share.fault
        try:
            standing = self._leases.renew(self._shares)
            self._renewed_at = self._clock.monotonic()
            self._let_go(standing)
            self._even_out(standing)
        except TransientError as away:
            log(_log, logging.WARNING, "ingest.lease.away", str(away), sessions=len(self._shares))
            return False
        return True

    def _let_go(self, standing: Standing) -> None:
        """End the work on sessions that another worker has taken over."""
        for client_id in set(self._shares) - standing.held:
            log(_log, logging.WARNING, "ingest.lease.lost", "another worker took it over", session=client_id)
            self._shares.pop(client_id).end()

    def _even_out(self, standing: Standing) -> None:
        """Hold no more than a fair share, and no less if there is anything to take."""
        fair = -(-len(self._sessions) // standing.workers)
        while len(self._shares) > fair:
            client_id = max(self._shares)
            self._shares.pop(client_id).end()
            self._leases.hand_back([client_id])
            log(_log, logging.INFO, "ingest.lease.returned", "handed back", session=client_id)
        while len(self._shares) < fair and (claimed := self._leases.claim()) is not None:
            log(_log, logging.INFO, "ingest.lease.taken", "taken", session=claimed)
            self._begin(claimed)

    def _begin(self, client_id: str) -> None:
        broker = self._config.broker.model_copy(update={"client_id": client_id})
        config = self._config.model_copy(update={"broker": broker, "partitions": self._sessions[client_id]})
        share = _Share(client_id)

        def ready() -> None:
            share.ready.set()
            self._changed.set()

        def work() -> None:
            try:
                self._work(config, share.stop, ready, self._may_connect)
            except BaseException as fault:  # noqa: BLE001 - handed to the worker's own thread
                share.fault = fault
                self._changed.set()

        share.thread = threading.Thread(target=work, name=f"session {client_id}", daemon=True)
        self._shares[client_id] = share
        share.thread.start()

    def _may_connect(self) -> bool:
        return self._clock.monotonic() - self._renewed_at < self._config.lease_s

    def _end(self) -> None:
        for share in self._shares.values():
            share.stop.set()
        for share in self._shares.values():
            share.end()
        self._shares.clear()
        try:
            self._leases.leave()
        except TransientError as away:
            log(_log, logging.WARNING, "ingest.lease.away", f"leaving; {away}")
