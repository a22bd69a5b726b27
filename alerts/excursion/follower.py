"""The follower: every alarm of a limit gets its account, and every account stays true.

Three things make it look:

* the journal says that an alarm was raised, returned, or corrected (`alerts.journal_feed`, by a cursor);
* readings arrived that belong into what was reported (`telemetry.arrival_feed`, by a cursor): into the excursion, a day
  before it, or the thirty days of its mean kinetic temperature. This does not wait for the alarm engine to find that a
  peak has changed, so that a late reading below the peak corrects degree-minutes as well;
* a standing excursion's figures have grown old: a minute, or a hundredth of its length.

Whatever made it look, it counts anew from the readings and compares with what it had said. Of a standing excursion it
counts again what it knew *then*, up to the newest reading it had used: when the digest of those readings is another
one, something came late, and that is a correction; the rest is growth. So looking twice, in any order, after any kill,
changes nothing a second time: the cursors move after the accounts are written, and an account that says the same is not
written as a correction.

Readings that retention has deleted correct nothing: an account that finds fewer readings than it was made of stays.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Final

from hanlu.alerts.excursion.figures import DAY_MS, Figures, Reading, account, fingerprint
from hanlu.alerts.excursion.store import CELSIUS, AlarmFacts, Position, Row, Store, Windows
from hanlu.alerts.kind import LIMIT_KINDS
from hanlu.core.clock import Clock, SystemClock
from hanlu.core.errors import ConflictError, TransientError
from hanlu.core.observe import log
from hanlu.db.pool import Connection, connect, translated

__all__ = ["Follower", "run"]

POLL_S: Final = 2.0
"""Seconds without a notification after which the follower looks anyway."""
RETRY_S: Final = 5.0
ARRIVALS_EVERY_S: Final = 5.0
"""Seconds between two looks at the arrivals, while there are not more than a page of them."""
REFRESH_S: Final = 60.0
"""A standing excursion's figures are at most that old, or a hundredth of its length."""
GREW_EVERY_MS: Final = 3_600_000
"""Milliseconds between two entries that say nothing but that an excursion goes on."""
_JOURNAL_PAGE: Final = 200
_ARRIVALS_PAGE: Final = 1000
_STANDING_PAGE: Final = 20
_WINDOWS_PAGE: Final = 2
_LOGGER = logging.getLogger(__name__)
_ROUNDING_MINUTES: Final = 1e-6
_NO_WINDOWS: Final = Windows(None, None, None, None)


def run(database_url: str, stop: threading.Event, clock: Clock | None = None) -> None:
    """Keep the accounts until `stop` is set; one follower serves a database, another one stands by.

    Args:
        database_url: libpq URL; it acts as hanlu_alerts.
        stop: obeyed within `POLL_S` and the account under way.
        clock: the platform's time.
    """
    while not stop.is_set():
        try:
            with (
                translated(),
                closing(connect(database_url, "hanlu_alerts", name="hanlu excursions", autocommit=True)) as connection,
            ):
                _serve(connection, stop, clock or SystemClock())
        except (TransientError, ConflictError) as error:
            log(_LOGGER, logging.WARNING, "alerts.excursion.lost", f"{error}; trying again", retry_s=RETRY_S)
            stop.wait(RETRY_S)


def _serve(connection: Connection, stop: threading.Event, clock: Clock) -> None:
    store = Store(connection)
    while not store.lock():
        if stop.wait(RETRY_S):
            return
    connection.execute("LISTEN hanlu_alarm")
    follower = Follower(store, clock)
    log(_LOGGER, logging.INFO, "alerts.excursion.start", "keeping the accounts of excursions")
    while not stop.is_set():
        if follower.turn(stop.is_set) == 0:
            for _ in connection.notifies(timeout=POLL_S, stop_after=1):
                pass


class Follower:
    """The follower between start and the first lost connection."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Go on where the last one stopped."""
        self._store = store
        self._clock = clock
        self._position: Position = store.begin()
        self._next_arrivals = clock.monotonic()

    def turn(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """Do one round of what there is to do; return how much that was, 0 when nothing waits."""
        done = self._follow_journal(stopped)
        if self._clock.monotonic() >= self._next_arrivals:
            done += self._follow_arrivals(stopped)
        now_ms = self._clock.now_ms()
        for excursion_id in self._store.standing_due(now_ms, REFRESH_S, _STANDING_PAGE):
            if stopped():
                return 0
            self.look(excursion_id)
            done += 1
        if not done:  # what is wanted least urgently: a month of readings for each
            for excursion_id in self._store.windows_due(_WINDOWS_PAGE):
                self.look(excursion_id, windows=True)
                done += 1
        return done

    def look(self, excursion_id: int, *, windows: bool = False) -> None:
        """Count one excursion anew."""
        row = self._store.row(excursion_id)
        if row is not None:
            self._count(row, self._store.alarms_of([excursion_id]), windows=windows)

    def place(self, alarm_id: int) -> None:
        """Give an alarm its account: that of the excursion it belongs to, or one of its own."""
        alarm = self._store.alarm(alarm_id)
        if alarm is None:
            return
        if alarm.excursion_id is not None:
            self.look(alarm.excursion_id)
            return
        rows = self._store.overlapping(alarm.channel_id, alarm.side, alarm.exceeded_ms, alarm.returned_ms)
        if not rows:
            self._count(None, [alarm])
        else:
            self._count(rows[0], [*self._store.alarms_of(each.excursion_id for each in rows), alarm], joined=True)

    def _follow_journal(self, stopped: Callable[[], bool]) -> int:
        page = self._store.journal(self._position, _JOURNAL_PAGE)
        seen: set[int] = set()
        for entry in page:
            if stopped():
                return 0
            # One look serves all entries of a page about one alarm: it counts what is on record, not what they say.
            if entry.kind in LIMIT_KINDS and entry.alarm_id not in seen:
                self.place(entry.alarm_id)
                seen.add(entry.alarm_id)
        if page:
            self._store.journal_done(page[-1])
            self._position = self._position._replace(journal_txid=page[-1].txid, journal_id=page[-1].journal_id)
        return len(page)

    def _follow_arrivals(self, stopped: Callable[[], bool]) -> int:
        page = self._store.arrivals(self._position, _ARRIVALS_PAGE)
        if page.txid is None or page.arrival_id is None:
            self._next_arrivals = self._clock.monotonic() + ARRIVALS_EVERY_S
            return 0
        for excursion_id in page.touched:
            if stopped():
                return 0
            self.look(excursion_id, windows=True)
        self._store.arrivals_done(page)
        self._position = self._position._replace(arrival_txid=page.txid, arrival_id=page.arrival_id)
        if page.arrivals < _ARRIVALS_PAGE:
            self._next_arrivals = self._clock.monotonic() + ARRIVALS_EVERY_S
        return len(page.touched)

    def _count(
        self, row: Row | None, alarms: Sequence[AlarmFacts], *, joined: bool = False, windows: bool = False
    ) -> None:
        """Count an excursion from its alarms and readings, and write what has changed."""
        upward, now_ms = alarms[0].side == "high", self._clock.now_ms()
        begun_ms = min(each.exceeded_ms for each in alarms)
        ended_ms = None if any(each.returned_ms is None for each in alarms) else _last_return(alarms)
        own = row.excursion_id if row is not None else 0
        others = self._store.overlapping(alarms[0].channel_id, alarms[0].side, begun_ms, ended_ms)
        parts = [each.excursion_id for each in others if each.excursion_id != own]
        more = [each for each in self._store.alarms_of(parts) if each.alarm_id not in {one.alarm_id for one in alarms}]
        if more:  # a correction has moved an alarm into another excursion: they are one
            self._count(row, [*alarms, *more], joined=True, windows=windows)
            return
        limit = (min if upward else max)(each.limit_value for each in alarms)
        unit, gap_ms = self._store.channel(alarms[0].channel_id) if row is None else (row.unit, row.gap_ms)

        readings = self._readings(alarms[0].channel_id, begun_ms, ended_ms, gap_ms, limit, upward=upward)
        figures = account(
            readings, limit, upward=upward, gap_ms=gap_ms, begun_ms=begun_ms, ended_ms=ended_ms,
            celsius=unit == CELSIUS,
        )  # fmt: skip
        blank = row or _blank(alarms, limit, begun_ms, now_ms, unit, gap_ms)
        after = replace(
            blank, limit_value=limit, standing=ended_ms is None, span_to_ms=ended_ms, computed_ms=now_ms,
            to_ms=None if ended_ms is None else (blank.to_ms or ended_ms),
        )  # fmt: skip
        late = False
        if row is not None and row.digest is not None and not joined:
            known, then_ended = readings, ended_ms
            if row.standing:
                known, then_ended = [each for each in readings if each.at_ms <= (row.known_until_ms or 0)], None
            then = fingerprint(
                known, row.limit_value, upward=upward, gap_ms=gap_ms, begun_ms=begun_ms, ended_ms=then_ended
            )
            if then is None or then[0] < row.readings:
                figures = None  # its readings are not kept any more: what was said stays said
            else:
                late = then[1] != row.digest
        if figures is not None:
            after = _with(after, figures)
        self._finish(row, after, alarms, parts, late=late, joined=joined, windows=windows, now_ms=now_ms)

    def _finish(
        self,
        row: Row | None,
        after: Row,
        alarms: Sequence[AlarmFacts],
        parts: Sequence[int],
        *,
        late: bool,
        joined: bool,
        windows: bool,
        now_ms: int,
    ) -> None:
        """Say why the figures are others than they were, add the windows where they are wanted, and write."""
        ended = row is not None and row.standing and not after.standing
        hourly = (
            row is not None and after.standing and now_ms - self._store.last_told_ms(row.excursion_id) >= GREW_EVERY_MS
        )
        if row is not None and (late or ended or joined or hourly or windows) and after.readings:
            end_ms = after.to_ms or after.known_until_ms or after.from_ms
            found = _not_less(row, after, self._store.windows(after.channel_id, after.unit, after.gap_ms, end_ms))
            after = replace(after, **found._asdict(), windows_ms=now_ms)
        elif row is not None and not after.readings and row.windows_ms is None:
            after = replace(after, windows_ms=now_ms)  # nothing to make them from, now or later
        corrected = late or (row is not None and row.windows_ms is not None and windows and _other_past(row, after))
        why: str | None = None
        if row is None:
            why = "begun"
        elif joined and _says_else(row, after):
            why = "joined"
        elif corrected or (row.readings == 0 and after.readings):
            why = "late_data"
            after = replace(after, corrections=row.corrections + 1)
        elif ended:
            why = "ended"
        elif hourly and _says_else(row, after):
            why = "grew"
        asked_once = row is not None and not row.standing and not parts and not joined
        if asked_once and why is None and row == replace(after, computed_ms=row.computed_ms if row else 0):
            return  # it says what it said, and the clock will not ask it again
        alarm_ids = [each.alarm_id for each in alarms]
        number = self._store.write(row, after, alarm_ids, parts, why=why, now_ms=now_ms)
        if why is not None and why != "grew":
            log(
                _LOGGER, logging.INFO, f"alerts.excursion.{why}", "the account of an excursion has changed",
                excursion_id=number, channel_id=after.channel_id,
            )  # fmt: skip

    def _readings(
        self, channel_id: int, begun_ms: int, ended_ms: int | None, gap_ms: int, limit: float, *, upward: bool
    ) -> list[Reading]:
        """Return what an account needs, at most a day from before its first alarm began."""
        to_ms = None if ended_ms is None else ended_ms + gap_ms
        readings = self._store.readings(channel_id, begun_ms - 2 * gap_ms, to_ms)
        before = [each for each in readings if each.at_ms < begun_ms]
        if before and all(each.value > limit if upward else each.value < limit for each in before):
            return self._store.readings(channel_id, begun_ms - DAY_MS, to_ms)
        return readings


def _last_return(alarms: Sequence[AlarmFacts]) -> int:
    return max(each.returned_ms or each.exceeded_ms for each in alarms)


def _blank(alarms: Sequence[AlarmFacts], limit: float, begun_ms: int, now_ms: int, unit: str, gap_ms: int) -> Row:
    """Return the account of alarms whose readings are not there: what the alarms themselves say, and no more."""
    upward = alarms[0].side == "high"
    peaks = [(each.peak, each.peak_ms) for each in alarms if each.peak is not None]
    peak, peak_ms = (max if upward else min)(peaks, key=lambda each: each[0], default=(None, None))
    return Row(
        0, alarms[0].channel_id, alarms[0].side, limit, False, begun_ms, None, None, None, None, None, None, peak,
        peak_ms, None, None, 0, None, *_NO_WINDOWS, None, now_ms, 1, 0, unit, gap_ms,
    )  # fmt: skip


def _with(row: Row, figures: Figures) -> Row:
    return replace(
        row, from_ms=figures.from_ms, to_ms=figures.to_ms, known_until_ms=figures.known_until_ms,
        minutes=figures.minutes, unknown_minutes=figures.unknown_minutes, degree_minutes=figures.degree_minutes,
        peak=figures.peak, peak_ms=figures.peak_ms, mean=figures.mean, kinetic=figures.kinetic,
        readings=figures.readings, digest=figures.digest,
    )  # fmt: skip


def _not_less(row: Row, after: Row, found: Windows) -> Windows:
    """Return windows of which no less is known than before: of an ended excursion, readings only ever come; where some
    are gone, retention has deleted them, and what was said stays said."""
    if row.standing or after.standing or row.to_ms != after.to_ms or row.windows_ms is None:
        return found
    if (found.known_day or 0.0) < (row.known_day or 0.0) - _ROUNDING_MINUTES:
        found = found._replace(kinetic_day=row.kinetic_day, known_day=row.known_day)
    if (found.known_month or 0.0) < (row.known_month or 0.0) - _ROUNDING_MINUTES:
        found = found._replace(kinetic_month=row.kinetic_month, known_month=row.known_month)
    return found


def _other_past(row: Row, after: Row) -> bool:
    """Tell whether the windows of an ended excursion say something else; those of a standing one move with it."""
    if row.standing or after.standing:
        return False
    return any(
        (before is None) != (now is None) or (before is not None and now is not None and not _same(before, now))
        for before, now in zip(row.windows, after.windows, strict=True)
    )


def _same(one: float, other: float) -> bool:
    """Tell whether two sums of the same numbers are the same, whatever the order they were added in."""
    return math.isclose(one, other, rel_tol=1e-11, abs_tol=1e-9)


def _says_else(row: Row, after: Row) -> bool:
    """Tell whether anything that was reported is said otherwise; windows said for the first time are not."""
    if row.windows_ms is None:
        after = replace(after, **row.windows._asdict())
    return row.told() != after.told()
