"""Sends what is planned: takes a message that is due, puts on record that it is being sent, calls the channel, and puts
on record what came of it.

The order of writes is the proof. (1) 'sending' and the attempt 'begun' are committed before the channel is called: a
kill before that leaves a message that waits. (2) The channel is called. A kill now leaves 'sending', and nobody knows
whether it arrived: at the next start it is sent again, marked as a possible repeat, in its text too. (3) What came of
it is committed. Nothing else is ever sent twice: a channel that answered, with yes or no, is believed.

Messages of different lines (a bot's key, an address) do not wait for one another: each goes to a worker, and lines that
did not answer the last time share a few workers only. A line has one message under way at a time, so that its limits
can be kept exactly.
"""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Any, Final

from psycopg.rows import dict_row

from hanlu.alerts.people import chain
from hanlu.alerts.people.chain import Batch, Line, Sent
from hanlu.alerts.people.channels.contract import DETAIL_LENGTH, Letter, Outcome
from hanlu.alerts.people.channels.post import post
from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.directory import Directory, read_directory
from hanlu.alerts.people.endpoint import endpoint_of, token_hash, without_secrets
from hanlu.alerts.people.figures import ATTEMPTS
from hanlu.alerts.people.limits import LIMITS, free_at, longest_window_ms, off_the_hour, pause_s
from hanlu.alerts.people.model import Endpoint, Receiver, ReceiverKind
from hanlu.alerts.people.planner import read_facts
from hanlu.alerts.people.text import compose, letter_of
from hanlu.alerts.wording import words
from hanlu.core.clock import Clock, from_ms
from hanlu.core.observe import log
from hanlu.db.pool import Connection, Pool, translated
from hanlu.db.queries import load_queries

__all__ = ["LINK_PATH", "Sender"]

LINK_PATH: Final = "/alarm/acknowledge"
"""Where links that acknowledge lead; the token is the next part of the path."""
TOKEN_BYTES: Final = 24
"""192 random bits: more than the 128 that nobody guesses."""
_HALT: Final = "stopped while sending"

_QUERIES = load_queries("hanlu.alerts.people")
_LOGGER = logging.getLogger(__name__)

Post = Callable[[NotifyConfig, Endpoint, Letter, str], Outcome]


@dataclass(frozen=True, slots=True)
class Job:
    """A message on its way."""

    notification_id: int
    attempt: int
    receiver: Receiver
    endpoint: Endpoint
    letter: Letter
    due_ms: int


class Sender:
    """The sending half of the notifier."""

    def __init__(
        self,
        config: NotifyConfig,
        connection: Connection,
        pool: Pool,
        executor: Executor,
        clock: Clock,
        *,
        public_url: str | None = None,
        send: Post = post,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Choose through `connection` (autocommit, acting as hanlu_alerts), send in `executor`.

        Args:
            config: limits and times.
            connection: of the notifier's own thread.
            pool: connections for the workers.
            executor: runs the workers.
            clock: the time.
            public_url: where links lead; None makes none.
            send: calls a channel.
            jitter: 0 to 1, for pauses.
        """
        self._config = config
        self._connection = connection
        self._pool = pool
        self._executor = executor
        self._clock = clock
        self._public_url = public_url
        self._send = send
        self._jitter = jitter
        self._under_way: dict[str, Future[Outcome]] = {}
        self._slow: set[str] = set()

    def recover(self) -> int:
        """Let what was being sent when the notifier ended be sent again, marked; return how many messages."""
        now_ms = self._clock.now_ms()
        with self._connection.transaction():
            rows = self._connection.execute(_QUERIES["notification_interrupted"]).fetchall()
            for notification_id, attempt, line in rows:
                self._attempt(self._connection, notification_id, attempt, Outcome("lost", _HALT), now_ms, now_ms, line)
                self._again(self._connection, notification_id, attempt, "lost", now_ms, lost=True)
        return len(rows)

    def turn(self) -> int:
        """Hand what is due to workers; return how many messages were looked at.

        Raises:
            TransientError: a worker could not put on record what came of a message: start anew.
        """
        self._collect()
        now_ms = self._clock.now_ms()
        with self._connection.cursor(row_factory=dict_row) as cursor:
            due = cursor.execute(
                _QUERIES["notification_due"], {"now": from_ms(now_ms), "busy": sorted(self._under_way)}
            ).fetchall()
        if not due:
            return 0
        directory = read_directory(self._connection, now_ms)
        by_id = {each.receiver_id: each for each in directory.receivers.values()}
        looked_at = 0
        for row in sorted(due, key=lambda each: each["priority"]):
            # Of a receiver that cannot be read the message waits: the directory has said so.
            if row["receiver_id"] not in by_id or not self._has_room(row["line"]):
                continue
            looked_at += 1
            with self._connection.transaction():
                job = self._prepare(row["notification_id"], by_id[row["receiver_id"]], directory, now_ms)
            if job is not None:
                self._under_way[row["line"]] = self._executor.submit(self._work, job)
        return looked_at

    def finish(self) -> None:
        """Wait for what is under way: no longer than an attempt may take."""
        for future in list(self._under_way.values()):
            future.exception(timeout=self._config.deadline_s + self._config.connect_s + 10.0)
        self._collect()

    def _collect(self) -> None:
        for line, future in list(self._under_way.items()):
            if future.done():
                del self._under_way[line]
                if future.result().kind in {"lost", "retry"}:
                    self._slow.add(line)
                else:
                    self._slow.discard(line)

    def _has_room(self, line: str) -> bool:
        if line in self._under_way or len(self._under_way) >= self._config.workers:
            return False
        slow = len(self._slow & self._under_way.keys())
        return line not in self._slow or slow < min(self._config.slow_workers, self._config.workers)

    def _prepare(self, notification_id: int, receiver: Receiver, directory: Directory, now_ms: int) -> Job | None:
        """Put a message on record as being sent, or say why it is not; the caller holds the transaction."""
        if not self._is_free(notification_id, receiver, now_ms):
            return None
        with self._connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(_QUERIES["notification_lock"], {"notification_id": notification_id}).fetchone()
        if row is None or row["state"] != "waiting":
            return None
        if row["attempts"] == 0:
            self._merge(notification_id, receiver, row["purpose"], now_ms)
        lines = self._lines(notification_id, receiver, row, directory, now_ms)
        if not lines:
            return None
        return self._begin(row, receiver, lines, now_ms)

    def _is_free(self, notification_id: int, receiver: Receiver, now_ms: int) -> bool:
        """Tell whether the line may be used now; where not, the message waits until it may."""
        since = from_ms(now_ms - longest_window_ms(receiver.kind))
        rows = self._connection.execute(_QUERIES["attempt_ends"], {"line": receiver.line, "since": since}).fetchall()
        at_ms = free_at(LIMITS[receiver.kind], [each[0] for each in rows], now_ms)
        at_ms = max([at_ms, *(each[1] for each in rows if each[1] is not None)])
        if receiver.kind is ReceiverKind.FEISHU:
            at_ms = off_the_hour(at_ms)
        if at_ms > now_ms:
            self._later(notification_id, at_ms)
        return at_ms <= now_ms

    def _later(self, notification_id: int, at_ms: int) -> None:
        self._connection.execute(
            _QUERIES["notification_later"], {"notification_id": notification_id, "due_at": from_ms(at_ms)}
        )

    def _merge(self, into: int, receiver: Receiver, purpose: str, now_ms: int) -> None:
        """Make one message of many that wait for a receiver: a flood is told in one."""
        if purpose != "call":
            return
        rows = self._connection.execute(
            _QUERIES["notification_backlog"], {"receiver_id": receiver.receiver_id, "now": from_ms(now_ms)}
        ).fetchall()
        others = [each[0] for each in rows if each[0] != into]
        if len(others) + 1 < self._config.digest_from:
            return
        self._connection.execute(_QUERIES["line_move"], {"into": into, "others": others})
        self._close(self._connection, others, "dropped", f"merged:{into}", now_ms)

    def _lines(
        self, notification_id: int, receiver: Receiver, row: dict[str, Any], directory: Directory, now_ms: int
    ) -> tuple[Line, ...]:
        """Return what is still to be told, and settle what is not."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            kept = cursor.execute(_QUERIES["line_waiting"], {"notification_id": notification_id}).fetchall()
        alarm_ids = sorted({each["alarm_id"] for each in kept})
        facts = read_facts(self._connection, alarm_ids)
        endings = {
            (alarm_id, version): event
            for alarm_id, version, event in self._connection.execute(
                _QUERIES["summons_endings"], {"alarm_ids": alarm_ids}
            )
        }
        keys: dict[Line, int] = {}
        for each in (each for each in kept if each["alarm_id"] in facts):
            line = Line(
                facts[each["alarm_id"]],
                each["version"],
                each["purpose"],
                each["step"],
                each["target"],
                receiver,
                now_ms,
            )
            keys[line] = each["notification_line_id"]
        stages: list[chain.Stage] = [chain.address, chain.mute(directory.mutes, now_ms), chain.still_true(endings)]
        if row["attempts"] == 0:
            stages.append(chain.deduplicate(self._config, self._sent(notification_id, receiver, now_ms), now_ms))
        outcome = chain.run(stages, Batch(tuple(keys)))
        settled = {keys[each.line]: each.reason for each in outcome.dropped}
        settled |= dict.fromkeys(
            (each["notification_line_id"] for each in kept if each["alarm_id"] not in facts), "place_gone"
        )
        if settled:
            parameters = {"line_id": list(settled), "reason": list(settled.values())}
            self._connection.execute(_QUERIES["line_settle"], parameters)
        if not outcome.lines:
            reason = outcome.dropped[0].reason if outcome.dropped else "nothing_left"
            self._close(self._connection, [notification_id], "dropped", reason, now_ms)
        return outcome.lines

    def _sent(self, notification_id: int, receiver: Receiver, now_ms: int) -> list[Sent]:
        rows = self._connection.execute(
            _QUERIES["notification_sent_lately"],
            {
                "receiver_id": receiver.receiver_id,
                "notification_id": notification_id,
                "since": from_ms(now_ms - round(self._config.repeat_s * 1000)),
            },
        )
        return [Sent(content, at_ms) for content, at_ms in rows]

    def _begin(self, row: dict[str, Any], receiver: Receiver, lines: tuple[Line, ...], now_ms: int) -> Job:
        notification_id, attempt = row["notification_id"], row["attempts"] + 1
        with_link = (
            self._public_url is not None
            and row["purpose"] != "return"
            and receiver.kind not in {ReceiverKind.WEBHOOK, ReceiverKind.SMS}
        )
        composed = compose(
            lines,
            purpose=row["purpose"],
            lang=receiver.lang,
            now_ms=now_ms,
            repeat=row["possible_repeat"],
            public_url=self._public_url,
            link=with_link,
        )
        self._connection.execute(
            _QUERIES["notification_sending"],
            {
                "notification_id": notification_id,
                "attempt": attempt,
                "content": chain.content_of(lines),
                "message": composed.text,
            },
        )
        begun = Outcome("begun", "")
        self._attempt(self._connection, notification_id, attempt, begun, now_ms, None, receiver.line)
        link = self._link(notification_id, receiver, lines, now_ms) if with_link else None
        letter = letter_of(composed, row["uuid"], now_ms, link)
        endpoint = endpoint_of(self._connection, receiver.receiver_id)
        return Job(notification_id, attempt, receiver, endpoint, letter, row["due_ms"])

    def _link(self, notification_id: int, receiver: Receiver, lines: tuple[Line, ...], now_ms: int) -> str:
        """Make a link that acknowledges; only its hash is kept, so every attempt has one of its own."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        versions = {each.alarm.alarm_id: each.version for each in lines}
        self._connection.execute(
            _QUERIES["link_write"],
            {
                "token_sha256": token_hash(token),
                "notification_id": notification_id,
                "receiver_id": receiver.receiver_id,
                "alarm_ids": list(versions),
                "versions": list(versions.values()),
                "now": from_ms(now_ms),
                "expires_at": from_ms(now_ms + round(self._config.link_life_s * 1000)),
            },
        )
        return f"{self._public_url}{LINK_PATH}/{token}"

    def _work(self, job: Job) -> Outcome:
        """Call the channel and put on record what came of it; runs in a worker."""
        try:
            # Signatures carry the time of this very moment: the message may have waited for a worker.
            letter = replace(job.letter, now_ms=self._clock.now_ms())
            outcome = self._send(self._config, job.endpoint, letter, words(job.receiver.lang)("people.text.cut"))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the others' messages
            log(_LOGGER, logging.ERROR, "alerts.notification.crash", f"{type(error).__name__}: not sent")
            outcome = Outcome("permanent", f"{type(error).__name__} within Hanlu")
        outcome = replace(outcome, detail=without_secrets(job.endpoint, outcome.detail))
        with translated(), self._pool.connection() as connection, connection.transaction():
            self._settle(connection, job, outcome)
            connection.execute("NOTIFY hanlu_people")
        ATTEMPTS.labels(job.receiver.kind.value, outcome.kind).inc()
        log(
            _LOGGER, logging.INFO if outcome.kind == "sent" else logging.WARNING, f"alerts.notification.{outcome.kind}",
            f"message {job.notification_id} to {job.receiver.code}: {outcome.kind}",
            attempt=job.attempt, detail=outcome.detail[:DETAIL_LENGTH],
        )  # fmt: skip
        return outcome

    def _settle(self, connection: Connection, job: Job, outcome: Outcome) -> None:
        now_ms = self._clock.now_ms()
        over = outcome.kind in {"sent", "permanent"}
        retry_ms: int | None = None
        if not over:
            pause = pause_s(self._config, job.attempt, self._jitter(), outcome.retry_after_s)
            retry_ms = now_ms + round(pause * 1000)
            over = job.attempt >= self._config.attempts or retry_ms - job.due_ms > self._config.give_up_s * 1000
        self._attempt(connection, job.notification_id, job.attempt, outcome, now_ms, retry_ms, job.receiver.line)
        if not over:
            assert retry_ms is not None
            self._again(
                connection, job.notification_id, job.attempt, outcome.kind, retry_ms, lost=outcome.kind == "lost"
            )
            return
        sent = outcome.kind == "sent"
        reason = "" if sent else f"{'refused' if outcome.kind == 'permanent' else 'gave_up'}:{outcome.detail}"
        reason = reason[:DETAIL_LENGTH]
        self._close(connection, [job.notification_id], "sent" if sent else "failed", reason, now_ms)
        connection.execute(
            _QUERIES["line_settle_all"],
            {"notification_id": job.notification_id, "state": "told" if sent else "failed", "reason": ""},
        )
        if not sent:
            parameters = {"notification_id": job.notification_id, "now": from_ms(now_ms)}
            connection.execute(_QUERIES["summons_hasten"], parameters)

    @staticmethod
    def _again(
        connection: Connection, notification_id: int, attempt: int, reason: str, due_ms: int, *, lost: bool
    ) -> None:
        parameters = {"notification_id": notification_id, "attempt": attempt, "lost": lost, "reason": reason}
        connection.execute(_QUERIES["notification_again"], parameters | {"due_at": from_ms(due_ms)})

    @staticmethod
    def _attempt(
        connection: Connection,
        notification_id: int,
        number: int,
        outcome: Outcome,
        now_ms: int,
        retry_ms: int | None,
        line: str,
    ) -> None:
        connection.execute(
            _QUERIES["attempt_write"],
            {
                "notification_id": notification_id,
                "number": number,
                "now": from_ms(now_ms),
                "outcome": outcome.kind,
                "detail": outcome.detail[:DETAIL_LENGTH],
                "retry_at": None if retry_ms is None else from_ms(retry_ms),
                "line": line,
            },
        )

    @staticmethod
    def _close(connection: Connection, notification_ids: list[int], state: str, reason: str, now_ms: int) -> None:
        parameters = {"notification_ids": notification_ids, "state": state, "reason": reason, "now": from_ms(now_ms)}
        connection.execute(_QUERIES["notification_finish"], parameters)
