"""One session of an ingest worker: take, decode, gather, commit, receipt, acknowledge.

A batch is what has arrived, without a timer: while one is committed the next one is taken and decoded, so batches grow
with the load and shrink to single messages without it. One batch is being committed and one is being gathered, never
more: what comes beyond them waits in the inbox, and when that is full, in the kernel and at the broker.

What a crash leaves at each step: before the commit nothing, and the broker delivers again; after it the record, and
what is delivered again is recognised; after the receipt the gateway has deleted what the record holds; after the
acknowledgement the broker has forgotten too. A receipt that was not sent is made up for when the gateway asks again.
When the database is away both batches are kept, unacknowledged, and tried again; the socket is read until memory is
full.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from hanlu.core.clock import Clock, SystemClock
from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.core.wire.documents import Receipt
from hanlu.core.wire.topics import Lane, Topic
from hanlu.ingest.admission import Admission
from hanlu.ingest.committer import Committer
from hanlu.ingest.config import IngestConfig
from hanlu.ingest.decode import decode, names_unknown
from hanlu.ingest.directory import Directory, Snapshot
from hanlu.ingest.figures import BATCH_MESSAGES, BATCH_READINGS, HELD_SECONDS, MESSAGES, RETRIES
from hanlu.ingest.keeper import keeping
from hanlu.ingest.lease import Leases, sessions_of
from hanlu.ingest.message import Accepted, Delivery, Outcome
from hanlu.ingest.subscriber import Subscriber
from hanlu.ingest.workers import Workers
from hanlu.ingest.writer import Committed, Writer

__all__ = ["Ingest", "run"]

_log = logging.getLogger(__name__)

_MOST_COMMANDS: Final = 1_000
"""Commands kept while the broker is away, the newest; whoever asked for one that is gone asks again."""
_IDLE_S: Final = 0.25
"""Seconds a round waits at most: what a request to stop may take."""

_MOST_RANGES: Final = 100
"""Missing ranges in one receipt (core.wire.documents.Receipt)."""


def run(
    config: IngestConfig,
    database_url: str,
    stop: threading.Event,
    ready: Callable[[], None] = lambda: None,
    clock: Clock | None = None,
) -> None:
    """Be an ingest worker until `stop` is set.

    Args:
        config: of the worker.
        database_url: libpq URL; never logged.
        stop: ends the work; what was taken is committed and receipted first.
        ready: called once, when the registry is read and the broker has confirmed the subscription, or when other
            workers hold all there is and this one waits to take over.
        clock: the platform's; the machine's when None.

    Raises:
        UsageError: the broker refuses the sign-in or the subscription.
        FatalError: the database is not what this program was made for.
    """
    ours = clock or SystemClock()

    def work(
        session: IngestConfig, end: threading.Event, subscribed: Callable[[], None], may_connect: Callable[[], bool]
    ) -> None:
        with closing(Writer(database_url)) as writer, Subscriber(session, ours) as subscriber:
            ingest = Ingest(session, subscriber, writer, ours, may_connect)
            with keeping(session.keeper, database_url, ours, ingest.post):
                ingest.run(end, subscribed)

    sessions = sessions_of(config.broker.client_id, config.partitions, config.sessions)
    with closing(Leases(database_url, sessions, config.lease_s)) as leases:
        Workers(config, leases, ours, work).run(stop, ready)


@dataclass(slots=True)
class _Batch:
    deliveries: list[Delivery] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    readings: int = 0
    bytes: int = 0

    def add(self, delivery: Delivery, outcome: Outcome) -> None:
        self.deliveries.append(delivery)
        self.outcomes.append(outcome)
        self.bytes += len(delivery.payload)
        if isinstance(outcome, Accepted):
            self.readings += len(outcome.values)

    def count(self, now_ms: int) -> None:
        """Add it, committed, to the figures."""
        for kind, messages in Counter(map(type, self.outcomes)).items():
            MESSAGES.labels(kind.__name__.lower()).inc(messages)
        BATCH_MESSAGES.observe(len(self.outcomes))
        BATCH_READINGS.observe(self.readings)
        HELD_SECONDS.observe(max(now_ms - self.deliveries[0].received_ms, 0) / 1000)


class Ingest:
    """The worker's loop over its subscriber and its writer."""

    def __init__(
        self,
        config: IngestConfig,
        subscriber: Subscriber,
        writer: Writer,
        clock: Clock,
        may_connect: Callable[[], bool] = lambda: True,
    ) -> None:
        """Start with nothing taken and nothing owed.

        Args:
            config: of the session.
            subscriber: of the session.
            writer: this worker's.
            clock: the platform's.
            may_connect: whether the session is this worker's to sign in to.
        """
        self._config = config
        self._subscriber = subscriber
        self._writer = writer
        self._clock = clock
        self._may_connect = may_connect
        self._directory = Directory(clock, config.directory_refresh_s, config.directory_miss_s)
        self._admission = Admission(config.throttle, clock)
        self._batch = _Batch()
        self._committing: _Batch | None = None
        self._committer = Committer(writer, subscriber.wake)
        self._owed: dict[tuple[str, bytes], Committed] = {}
        self._commands: deque[tuple[Topic, bytes]] = deque(maxlen=_MOST_COMMANDS)
        self._receipted_at = float("-inf")
        self._retry_s = config.retry_min_s

    def run(self, stop: threading.Event, ready: Callable[[], None]) -> None:
        """Go round until `stop`, then bring what was taken to its end."""
        announced = False
        with self._committer:
            while not stop.is_set():
                try:
                    self._directory.refresh(self._writer.reader)
                    self._take()
                    self._round()
                except TransientError as away:
                    self._wait_out(away, stop)
                if self._subscriber.ready and not announced:
                    announced = True
                    ready()
            self._finish()

    def post(self, topic: Topic, payload: bytes) -> None:
        """Have a command published in the next round; may be called from any thread."""
        self._commands.append((topic, payload))

    def _round(self) -> None:
        """Bring what is there one step on; what fails on the way is tried again as it is."""
        self._settle()
        self._hand_over()
        self._gather()
        self._hand_over()
        self._receipt()
        while self._commands and self._subscriber.publish(*self._commands[0]):
            self._commands.popleft()

    def _take(self) -> None:
        self._subscriber.turn(0.0 if self._has_work else self._patience(), connect=self._may_connect())

    @property
    def _has_work(self) -> bool:
        """Tell whether a round would do something without new messages."""
        if self._committer.answered or (self._batch.outcomes and not self._committer.busy):
            return True
        return bool(self._subscriber.inbox) and not self._is_full(self._batch)

    def _patience(self) -> float:
        """Return how long to wait for messages: not beyond the time a receipt is due."""
        if not self._owed:
            return _IDLE_S
        due = self._receipted_at + self._config.receipt_interval_s - self._clock.monotonic()
        return min(max(due, 0.0), _IDLE_S)

    def _gather(self) -> None:
        """Decode what is in the inbox until the batch is full."""
        inbox, batch = self._subscriber.inbox, self._batch
        while inbox and not self._is_full(batch):
            outcome = self._decode(inbox[0])  # may fail, when the registry is to be read; so it is taken only then
            batch.add(self._subscriber.take(), outcome)

    def _is_full(self, batch: _Batch) -> bool:
        return (
            len(batch.outcomes) >= self._config.batch_messages
            or batch.readings >= self._config.batch_readings
            or batch.bytes >= self._config.batch_bytes
        )

    def _decode(self, delivery: Delivery) -> Outcome:
        """Decode one message; a name the snapshot lacks is worth a look at a younger one."""
        if self._admission.loud and (beyond := self._admission.judge(delivery)) is not None:
            return beyond
        directory = self._directory
        outcome = _decoded(delivery, directory.snapshot)
        if names_unknown(outcome) and directory.refresh(self._writer.reader, missed=True):
            outcome = _decoded(delivery, directory.snapshot)
        return outcome

    def _hand_over(self) -> None:
        """Have the batch committed when no other one is; one that failed comes first."""
        if self._committer.busy:
            return
        if self._committing is None and self._batch.outcomes:
            self._committing, self._batch = self._batch, _Batch()
            self._admission.spent(self._committing.deliveries, self._committing.outcomes)
        if self._committing is not None:
            self._committer.begin(self._committing.outcomes)

    def _settle(self) -> None:
        """Receipt and acknowledge the batch whose commit has ended; one that failed stays to be committed again."""
        if not self._committer.answered or self._committing is None:
            return
        try:
            finished = self._committer.finish()
        except TransientError:
            RETRIES.inc()
            raise
        for committed in finished:
            self._owed[committed.topic.gateway, committed.epoch] = committed
        self._committing.count(self._clock.now_ms())
        self._retry_s = self._config.retry_min_s
        self._receipt()
        self._subscriber.acknowledge(self._committing.deliveries)
        self._committing = None

    def _receipt(self, *, now: bool = False) -> None:
        """Tell the gateways what is committed: the newest word only, and not more often than is useful."""
        moment = self._clock.monotonic()
        if not now and moment - self._receipted_at < self._config.receipt_interval_s:
            return
        for key, committed in list(self._owed.items()):
            topic = Topic(committed.topic.partition, committed.topic.gateway, Lane.RECEIPT)
            if not self._subscriber.publish(topic, self._words(committed)):
                break
            del self._owed[key]
            self._receipted_at = moment

    def _words(self, committed: Committed) -> bytes:
        standing = committed.standing
        receipt = Receipt(
            epoch=committed.epoch.hex(),
            committed=standing.watermark,
            digest=committed.digest.hex(),
            missing=standing.gaps[:_MOST_RANGES],
            now_ms=self._clock.now_ms(),
        )
        return receipt.model_dump_json().encode()

    def _wait_out(self, away: TransientError, stop: threading.Event) -> None:
        """Let some time pass before the next try, keeping the broker's connection alive."""
        log(_log, logging.WARNING, "ingest.database.away", str(away), retry_s=self._retry_s, held_messages=self._held)
        end = self._clock.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, self._config.retry_max_s)
        while not stop.is_set() and (left := end - self._clock.monotonic()) > 0:
            self._subscriber.turn(min(left, _IDLE_S), connect=False)

    @property
    def _held(self) -> int:
        """Messages in the two batches."""
        return len(self._batch.outcomes) + (len(self._committing.outcomes) if self._committing else 0)

    def _finish(self) -> None:
        """Commit what was taken, unless the database is away; then it stays with the broker."""
        try:
            while self._held or self._subscriber.inbox:
                if self._committer.busy:
                    self._committer.wait(_IDLE_S)
                self._round()
            self._receipt(now=True)
        except TransientError as away:
            left = self._held + len(self._subscriber.inbox)
            log(_log, logging.WARNING, "ingest.database.away", f"stopping; {away}", left_with_broker=left)


def _decoded(delivery: Delivery, snapshot: Snapshot) -> Outcome:
    return decode(delivery.topic, delivery.payload, delivery.received_ms, snapshot, retained=delivery.retained)
