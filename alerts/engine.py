"""The alarm engine: follow the arrivals, judge the readings, keep what that means, in one transaction a page.

Memory of the judges, alarms, journal and cursor of a page commit together. A kill before the commit leaves nothing of
the page, a kill after it leaves all of it; either way the next start loads what is there and goes on behind the cursor.
Errors of the database are handled in the same manner: the memory is thrown away and loaded anew.

One engine serves a database: it holds an advisory lock for the life of its connection, and a second one waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from hanlu.alerts.conclude import chores_done, conclude
from hanlu.alerts.config import EngineConfig
from hanlu.alerts.figures import ARRIVALS, CHANGES, PAGE_SECONDS
from hanlu.alerts.judge.contract import Move
from hanlu.alerts.judge.room import Assigned
from hanlu.alerts.kind import LIMIT_KINDS, Hold, Kind
from hanlu.alerts.ledger import Ledger
from hanlu.alerts.occurrence import Subject
from hanlu.alerts.operate import expire
from hanlu.alerts.outcome import Change, Outcome, Peak
from hanlu.alerts.plan import Channel, plan
from hanlu.alerts.rules.assign import Assigner, Problem, Versioned
from hanlu.alerts.rules.store import read_facts, rules_in_force, seed_defaults
from hanlu.alerts.silence import Silence
from hanlu.alerts.stock_watch import look
from hanlu.alerts.store import Cursor, Span, Store
from hanlu.alerts.watch import Watch
from hanlu.core.clock import Clock, SystemClock
from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.db.pool import Connection, connect, translated

__all__ = ["LONGEST_PAUSE_MS", "Engine", "run"]

_LOGGER = logging.getLogger(__name__)
_RETRY_S = 2.0
LONGEST_PAUSE_MS: Final = 60_000
"""An engine that is back within so long has listened without a pause, as far as silence goes: restarts excuse none."""
_SPAN_S: Final = 10.0
"""Seconds between two notes that the engine still listens."""
_CHINA: Final = timezone(timedelta(hours=8))
"""Calibrations are due by the day of the place."""


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
    if config.seed_rules:
        written = seed_defaults(connection)
        if written:
            log(_LOGGER, logging.INFO, "alerts.rules.seed", "shipped rules written", versions=written)
    connection.execute("LISTEN hanlu_arrival")
    connection.execute("LISTEN hanlu_rule")
    engine = Engine(config, connection, clock)
    log(_LOGGER, logging.INFO, "alerts.engine.start", "following the arrivals", cursor=str(engine.position))
    ready()
    while not stop.is_set():
        began = clock.monotonic()
        if engine.turn() < config.page_arrivals:
            # What arrives within `gather_s` is judged together; a page costs a commit, however small.
            stop.wait(max(0.0, config.gather_s - (clock.monotonic() - began)))
            # A notification wakes; when none comes, the poll decides.
            woken_by = {notice.channel for notice in connection.notifies(timeout=config.poll_s, stop_after=1)}
            if "hanlu_rule" in woken_by:  # the connection serves nothing else until its notifications are read
                engine.look_at_rules()


class Engine:
    """The engine between start and the first lost connection."""

    def __init__(self, config: EngineConfig, connection: Connection, clock: Clock) -> None:
        """Load the memory through `connection` (autocommit, acting as hanlu_alerts)."""
        self._config = config
        self._connection = connection
        self._clock = clock
        self._store = Store(connection)
        self._rules: list[Versioned] = []
        self._assigner = Assigner(())
        self._registry: int | None = None
        self._replaying: frozenset[str] = frozenset()
        self._problems: frozenset[Problem] = frozenset()
        with connection.transaction():
            self._position = self._store.cursor()
            active = self._store.active()
            self._active = {subject: row.alarm_id for subject, row in active.items()}
            self._span = self._begun(clock.now_ms())
            silent = {
                subject.channel_id: row.explained
                for subject, row in active.items()
                if subject.kind is Kind.NO_DATA and subject.channel_id is not None
            }
            silence = Silence(self._store.heard(), self._store.waited(), silent, self._span.since_ms)
            standing = {subject: row.peak for subject, row in active.items()}
            late = [subject for subject, row in active.items() if row.hold is Hold.LATE]
            self._watch = Watch(self._store.memory(), standing, silence, late)
        now = clock.monotonic()
        self._next_refresh = self._next_tick = self._next_span = self._next_long_look = now
        self._refresh(rules_too=True)

    @property
    def position(self) -> Cursor:
        """Everything up to here has been judged."""
        return self._position

    @property
    def problems(self) -> frozenset[Problem]:
        """Rules that do not hold where they should."""
        return self._problems

    def turn(self) -> int:
        """Judge one page, or look at what time alone decides when there is none; return the arrivals judged."""
        if self._clock.monotonic() >= self._next_refresh:
            self._refresh(rules_too=True)
        arrivals = self._store.page(self._position, self._config.page_arrivals)
        if not self._watch.knows(arrivals):
            self._refresh()  # announced after the last look: its first readings count like any other
        if arrivals:
            with PAGE_SECONDS.time():
                for arrival in arrivals:
                    self._watch.take(arrival)
                self._commit(Cursor(arrivals[-1].txid, arrivals[-1].arrival_id))
            ARRIVALS.inc(len(arrivals))
        if len(arrivals) < self._config.page_arrivals and self._clock.monotonic() >= self._next_tick:
            self._tick()
        return len(arrivals)

    def look_at_rules(self) -> None:
        """The rules have changed: what is in force is judged by them from now on."""
        self._refresh(rules_too=True)

    def _tick(self) -> None:
        """Do what time alone asks for; the feed has been read to its end."""
        now = self._clock.monotonic()
        self._next_tick = now + self._config.silence_check_s
        now_ms = self._clock.now_ms()
        seen_ms = self._seen_until(now_ms)
        self._watch.tick(seen_ms)
        self._watch.compare(Kind.GAP, self._gaps(now_ms), now_ms)
        if now >= self._next_long_look:
            self._next_long_look = now + self._config.long_look_s
            self._watch.compare(Kind.CALIBRATION, self._calibrations(now_ms), now_ms)
            for kind, found in look(self._connection, self._rules, now_ms).items():
                self._watch.compare(kind, found, now_ms)
        self._commit(self._position)
        expire(self._connection, now_ms)
        if chores := self._store.chores(now_ms):
            with self._connection.transaction():
                if chores_done(self._connection, chores, now_ms):
                    self._store.notify()
        if now >= self._next_span and seen_ms > self._span.until_ms:
            self._next_span = now + _SPAN_S
            self._span = self._span._replace(until_ms=seen_ms)
            self._store.keep_span(self._span)

    def _begun(self, now_ms: int) -> Span:
        """Return since when somebody has listened: an engine's restart is no pause."""
        known = self._store.span()
        if known is not None and 0 <= now_ms - known.until_ms <= LONGEST_PAUSE_MS:
            return known
        self._store.keep_span(Span(now_ms, now_ms))
        return Span(now_ms, now_ms)

    def _seen_until(self, now_ms: int) -> int:
        """Return the time up to which silence means silence: what the feed still holds back was not unsaid."""
        held_ms = self._store.horizon()
        return now_ms if held_ms is None else min(now_ms, held_ms)

    def _gaps(self, now_ms: int) -> dict[Subject, Change]:
        """Return the gateways that have had a gap for longer than their rule allows."""
        rules = self._rules_of(Kind.GAP)
        found: dict[Subject, Change] = {}
        for channel_id, since_ms in (self._store.gaps() if rules else {}).items():
            rule = rules.get(channel_id)
            if rule is not None and now_ms - since_ms > rule.parameters.after_s * 1000:
                subject = Subject(channel_id, Kind.GAP)
                found[subject] = Change(subject, Move.RAISE, now_ms, since_ms, rule)
        return found

    def _calibrations(self, now_ms: int) -> dict[Subject, Change]:
        """Return the channels whose calibration is due within the days their rule gives, or past."""
        rules = self._rules_of(Kind.CALIBRATION)
        found: dict[Subject, Change] = {}
        for channel_id, due_on in (self._store.calibrations() if rules else {}).items():
            rule = rules.get(channel_id)
            if rule is None:
                continue
            day = datetime(due_on.year, due_on.month, due_on.day, tzinfo=_CHINA).astimezone(UTC)
            from_ms = round((day - timedelta(days=rule.parameters.days_before)).timestamp() * 1000)
            if from_ms <= now_ms:
                subject = Subject(channel_id, Kind.CALIBRATION)
                found[subject] = Change(subject, Move.RAISE, now_ms, from_ms, rule)
        return found

    def _rules_of(self, kind: Kind) -> dict[int, Assigned]:
        return self._timed.get(kind, {})

    def _refresh(self, *, rules_too: bool = False) -> None:
        """Look what the registry and the rules say; most of the time nothing has changed."""
        self._next_refresh = self._clock.monotonic() + self._config.refresh_s
        registry, replaying = self._store.registry(), self._store.replaying()
        rules = rules_in_force(self._connection) if rules_too else self._rules
        if (registry, replaying) == (self._registry, self._replaying) and rules == self._rules:
            return
        if rules != self._rules:
            self._rules, self._assigner = rules, Assigner(rules)
        # What changes between the two looks is seen at the next one: the number was taken first.
        self._registry, self._replaying = registry, replaying
        facts = read_facts(self._connection)
        channels: list[Channel] = []
        problems: set[Problem] = set()
        for each in facts:
            channel, troubles = plan(each, self._assigner, replaying)
            channels.append(channel)
            problems.update(troubles)
        self._timed: dict[Kind, dict[int, Assigned]] = {}
        for channel in channels:
            for kind, rule in channel.timed.items():
                self._timed.setdefault(kind, {})[channel.plan.channel_id] = rule
        self._watch.use(channels, self._clock.now_ms())
        new = Counter((each.reason, each.code, each.other, each.detail) for each in problems - self._problems)
        for (reason, code, other, detail), count in sorted(new.items()):
            log(
                _LOGGER, logging.WARNING, "alerts.rule.problem", f"rule {code} does not hold on {count} channels",
                reason=reason, code=code, other=other, detail=detail, channels=count,
            )  # fmt: skip
        self._problems = frozenset(problems)

    def _commit(self, position: Cursor) -> None:
        """Keep what the page meant, and that it was judged: one transaction, all or nothing."""
        outcome = self._watch.drain()
        if position == self._position and not (outcome.changes or outcome.kept or outcome.waited):
            return
        with self._connection.transaction():
            told = self._write(outcome)
            self._store.remember(outcome.kept)
            self._store.wait(outcome.waited)
            if position != self._position:
                self._store.move(position)
            if told:
                self._store.notify()
        self._position = position
        for channel_id, rule, error in outcome.failures:
            log(
                _LOGGER, logging.ERROR, "alerts.judge.failed", f"rule {rule.code} failed and begins anew: {error!r}",
                channel_id=channel_id, kind=rule.kind, version=rule.version,
            )  # fmt: skip
        for change in outcome.changes:
            CHANGES.labels(change.move).inc()
            log(
                _LOGGER, logging.INFO, f"alerts.alarm.{change.move}", f"{change.subject.kind} alarm: {change.move}",
                channel_id=change.subject.channel_id, at_ms=change.at_ms, value=change.value, hold=change.hold,
            )  # fmt: skip

    def _write(self, outcome: Outcome) -> bool:
        """Write changes, worst values and corrections; answer whether the journal has grown."""
        if not (outcome.changes or outcome.late or outcome.peaks):
            return False
        peaks: list[tuple[int, Peak]] = []
        if outcome.changes:
            now_ms = self._clock.now_ms()
            self._active, peaks = conclude(self._connection, self._watch, outcome.changes, self._active, now_ms)
        else:
            Ledger(self._connection)  # takes its turn: rows of alarms are written
        peaks += [(self._active[subject], peak) for subject, peak in outcome.peaks.items() if subject in self._active]
        self._store.peaks(peaks)
        # What came too late for the rule to see may be on record already.
        raised = [each for each in outcome.changes if each.move is Move.RAISE and each.subject.kind in LIMIT_KINDS]
        corrected = self._store.look_back([(each.subject, each.start_ms) for each in raised])
        corrected += self._store.correct(outcome.late)
        return bool(outcome.changes) or corrected > 0
