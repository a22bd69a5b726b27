"""Follows the alarms' journal and plans who is to be told: calls begin and end, steps come due, lines join messages.

Each turn is two transactions. The first takes a page of the journal, begins and ends calls (`alerts.summons`) and moves
the cursor with it. The second plans the steps that are due. A kill between them, or anywhere in them, loses nothing:
what is not committed is done again, and the key of `alerts.notification_line` refuses what is planned already. No
message is sent here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.rows import class_row, dict_row, scalar_row

from hanlu.alerts.alarm import Event, ProcessState, SuppressionEvent, SuppressionState, calls
from hanlu.alerts.people import chain
from hanlu.alerts.people.chain import Batch, Dropped, Line
from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.directory import Directory, read_directory
from hanlu.alerts.people.escalation import ladder
from hanlu.alerts.people.facts import AlarmFacts
from hanlu.core.clock import Clock, from_ms
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["CALLING", "Planner", "read_facts"]

PAGE: Final = 500
"""Journal entries, or calls, taken in one transaction at most."""
RECHECK_MS: Final = 600_000
"""So often a call that nobody is named for asks whether somebody is by now, milliseconds."""
STALE_MS: Final = 30 * 60_000
"""An alarm that went back to normal this long ago is news to nobody, milliseconds: where its first call has been due
for as long (no policy yet, or we stood still), it is put on record instead of told. What still stands is told."""
LATE_MS: Final = 60_000
"""A step later than this was held up by ourselves: the steps after it keep their distance instead of coming at once."""

CALLING: Final = tuple(
    each.value
    for each in (
        Event.RAISE,
        Event.RE_ALARM,
        SuppressionEvent.UNSUPPRESS,
        SuppressionEvent.UNSHELVE,
        SuppressionEvent.EXPIRE,
        SuppressionEvent.RETURN_TO_SERVICE,
    )
)
"""Events after which an alarm may ask for a person; whether it does, its row says."""
_ENDING: Final = frozenset(
    {
        Event.ACKNOWLEDGE.value,
        Event.RESET.value,
        Event.CLOSE.value,
        SuppressionEvent.SHELVE.value,
        SuppressionEvent.SUPPRESS.value,
        SuppressionEvent.REMOVE_FROM_SERVICE.value,
    }
)
_NOBODY: Final = frozenset({"nobody_on_call", "unknown_receiver", "receiver_off"})
"""Reasons for which a step reached nobody although it named somebody."""
_RETURNING: Final = frozenset({Event.RETURN.value, Event.LATCH.value})

_QUERIES = load_queries("hanlu.alerts.people")


@dataclass(frozen=True, slots=True)
class _Entry:
    txid: str
    journal_id: int
    alarm_id: int
    version: int
    event: str


@dataclass(frozen=True, slots=True)
class _Summons:
    summons_id: int
    alarm_id: int
    version: int
    next_step: int
    begun_ms: int


def read_facts(connection: Connection, alarm_ids: Iterable[int]) -> dict[int, AlarmFacts]:
    """Return what messages know of alarms, by key; alarms that stand nowhere are left out."""
    with connection.cursor(row_factory=class_row(AlarmFacts)) as cursor:
        cursor.execute(_QUERIES["people_facts"], {"alarm_ids": sorted(set(alarm_ids)), "calling": list(CALLING)})
        return {each.alarm_id: each for each in cursor}


class Planner:
    """The planning half of the notifier."""

    def __init__(self, config: NotifyConfig, connection: Connection, clock: Clock) -> None:
        """Plan through `connection` (autocommit, acting as hanlu_alerts)."""
        self._config = config
        self._connection = connection
        self._clock = clock

    def turn(self) -> int:
        """Take one page of the journal and plan what is due; return how many entries and calls were taken."""
        with self._connection.transaction():
            taken = self._follow()
        with self._connection.transaction():
            stepped = self._step()
        return taken + stepped

    def _follow(self) -> int:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            position = cursor.execute(_QUERIES["people_cursor"]).fetchone() or {"txid": "0", "journal_id": 0}
        with self._connection.cursor(row_factory=class_row(_Entry)) as entries:
            page = entries.execute(_QUERIES["people_page"], position | {"limit": PAGE}).fetchall()
        if not page:
            return 0
        now_ms = self._clock.now_ms()
        facts = read_facts(self._connection, (each.alarm_id for each in page))
        directory: Directory | None = None
        for entry in page:
            alarm = facts.get(entry.alarm_id)
            if alarm is None:
                continue
            if entry.event in CALLING:
                self._begin(alarm, entry, now_ms)
            elif entry.event in _ENDING:
                self._end(entry.alarm_id, entry.event, now_ms)
            elif entry.event in _RETURNING:
                directory = directory or read_directory(self._connection, now_ms)
                self._returned(alarm, entry, directory, now_ms)
        self._connection.execute(
            _QUERIES["people_cursor_move"], {"txid": page[-1].txid, "journal_id": page[-1].journal_id}
        )
        return len(page)

    def _begin(self, alarm: AlarmFacts, entry: _Entry, now_ms: int) -> None:
        """Begin a call if the alarm asks for a person now; history played back calls nobody."""
        if calls(ProcessState(alarm.process_state), SuppressionState(alarm.suppression_state)):
            parameters = {"alarm_id": alarm.alarm_id, "version": entry.version, "now": from_ms(now_ms)}
            self._connection.execute(_QUERIES["summons_begin"], parameters)

    def _end(self, alarm_id: int, event: str, now_ms: int) -> _Summons | None:
        with self._connection.cursor(row_factory=class_row(_Summons)) as cursor:
            parameters = {"alarm_id": alarm_id, "event": event, "now": from_ms(now_ms)}
            return cursor.execute(_QUERIES["summons_end"], parameters).fetchone()

    def _returned(self, alarm: AlarmFacts, entry: _Entry, directory: Directory, now_ms: int) -> None:
        """Stop climbing, and tell those who were told; a call that was not made yet is still made once."""
        with self._connection.cursor(row_factory=class_row(_Summons)) as cursor:
            found = cursor.execute(_QUERIES["summons_of"], {"alarm_id": alarm.alarm_id}).fetchone()
        policies = directory.of(alarm)
        if found is None or not policies:
            return
        nearest = policies[0].policy
        if found.next_step > 0 and not nearest.after_return:
            self._end(alarm.alarm_id, entry.event, now_ms)
        if nearest.tell_return:
            with self._connection.cursor(row_factory=scalar_row) as told:
                codes = told.execute(
                    _QUERIES["line_told"], {"alarm_id": alarm.alarm_id, "version": found.version}
                ).fetchall()
            self._plan(
                [
                    Line(alarm, found.version, "return", 0, code, directory.receivers.get(code), now_ms)
                    for code in codes
                ],
                directory,
                now_ms,
            )

    def _step(self) -> int:
        """Plan the steps that are due."""
        now_ms = self._clock.now_ms()
        with self._connection.cursor(row_factory=class_row(_Summons)) as cursor:
            due = cursor.execute(_QUERIES["summons_due"], {"now": from_ms(now_ms), "limit": PAGE}).fetchall()
        if not due:
            return 0
        facts = read_facts(self._connection, (each.alarm_id for each in due))
        directory = read_directory(self._connection, now_ms)
        lines: list[Line] = []
        can_skip: set[int] = set()
        stale: set[int] = set()
        for summons in due:
            alarm = facts.get(summons.alarm_id)
            if alarm is None:
                self._next(summons, summons.next_step, None)
                continue
            climbed, goes_on = self._climb(summons, alarm, directory, now_ms)
            if summons.next_step == 0 and _is_stale(alarm, directory, now_ms):
                stale.add(alarm.alarm_id)
            lines += climbed
            if goes_on:
                can_skip.add(alarm.alarm_id)
        outcome = self._plan(lines, directory, now_ms, frozenset(stale))
        # A step that found nobody is no reason to wait for an answer: the next one of its round is due at once.
        heard = {each.alarm.alarm_id for each in outcome.lines}
        unheard = {each.line.alarm.alarm_id for each in outcome.dropped if each.reason in _NOBODY} & can_skip - heard
        if unheard:
            parameters = {"alarm_ids": sorted(unheard), "now": from_ms(now_ms)}
            self._connection.execute(_QUERIES["summons_skip"], parameters)
        return len(due)

    def _climb(
        self, summons: _Summons, alarm: AlarmFacts, directory: Directory, now_ms: int
    ) -> tuple[list[Line], bool]:
        """Put on record when the next step is due; return the lines of those that are; does the round go on?"""
        policies = directory.of(alarm)
        steps = ladder(policies, alarm.priority, summons.begun_ms)
        number = summons.next_step
        if not steps:
            self._next(summons, number, now_ms + RECHECK_MS)
            return [Line(alarm, summons.version, "call", number, "-", None, now_ms)], False
        lines: list[Line] = []
        next_ms: int | None = None
        while number < len(steps):
            lines += directory.lines(alarm, summons.version, steps[number], now_ms)
            number += 1
            if number == len(steps):
                next_ms = None
                break
            gap_ms = steps[number].at_ms - steps[number - 1].at_ms
            late = now_ms - steps[number - 1].at_ms > LATE_MS
            next_ms = now_ms + gap_ms if late else steps[number].at_ms
            if next_ms > now_ms:
                break
        self._next(summons, number, next_ms)
        if alarm.returned_ms is not None and not policies[0].policy.after_return:
            self._end(alarm.alarm_id, Event.RETURN.value, now_ms)
        return lines, 0 < number < len(steps) and steps[number].round == steps[number - 1].round

    def _next(self, summons: _Summons, number: int, at_ms: int | None) -> None:
        parameters = {
            "summons_id": summons.summons_id,
            "next_step": number,
            "next_at": None if at_ms is None else from_ms(at_ms),
        }
        self._connection.execute(_QUERIES["summons_step"], parameters)

    def _plan(
        self, lines: Sequence[Line], directory: Directory, now_ms: int, stale: frozenset[int] = frozenset()
    ) -> Batch:
        """Run lines through the planning half of the chain, keep what comes out, and return it."""
        there = self._there(lines)
        fresh = tuple(each for each in lines if _key(each) not in there)
        if not fresh:
            return Batch()
        outcome = chain.run(
            (
                chain.past(stale),
                chain.address,
                chain.quieten,
                chain.mute(directory.mutes, now_ms),
                chain.quiet_hours(directory.policies, now_ms),
                chain.group(self._config, self._last(fresh), now_ms),
            ),
            Batch(fresh),
        )
        for line in outcome.lines:
            self._write(line, self._gather(line, now_ms), "waiting", "", now_ms)
        for dropped in outcome.dropped:
            self._drop(dropped, now_ms)
        return outcome

    def _there(self, lines: Sequence[Line]) -> set[tuple[Any, ...]]:
        parameters = {"alarm_ids": sorted({each.alarm.alarm_id for each in lines})}
        found = {tuple(row) for row in self._connection.execute(_QUERIES["line_there"], parameters)}
        # A call may have become a digest when it was planned.
        return found | {(*each[:2], "call", *each[3:]) for each in found if each[2] == "digest"}

    def _last(self, lines: Sequence[Line]) -> dict[tuple[int, str], int]:
        receivers = sorted({each.receiver.receiver_id for each in lines if each.receiver})
        parameters = {"receiver_ids": receivers, "now": from_ms(self._clock.now_ms())}
        rows = self._connection.execute(_QUERIES["notification_last"], parameters)
        return {(receiver, group): at_ms for receiver, group, at_ms in rows}

    def _gather(self, line: Line, now_ms: int) -> int:
        assert line.receiver is not None, "addressed before"
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            found: int | None = cursor.execute(
                _QUERIES["notification_gather"],
                {
                    "receiver_id": line.receiver.receiver_id,
                    "purpose": line.purpose,
                    "group_key": line.group_key,
                    "priority": line.alarm.priority,
                    "now": from_ms(now_ms),
                    "due_at": from_ms(line.due_ms),
                },
            ).fetchone()
        assert found is not None
        return found

    def _drop(self, dropped: Dropped, now_ms: int) -> None:
        self._write(dropped.line, None, "dropped", dropped.reason, now_ms)

    def _write(self, line: Line, notification_id: int | None, state: str, reason: str, now_ms: int) -> None:
        self._connection.execute(
            _QUERIES["line_write"],
            {
                "alarm_id": line.alarm.alarm_id,
                "version": line.version,
                "purpose": line.purpose,
                "step": line.step,
                "target": line.target,
                "receiver_id": line.receiver.receiver_id if line.receiver else None,
                "notification_id": notification_id,
                "state": state,
                "reason": reason,
                "now": from_ms(now_ms),
            },
        )


def _key(line: Line) -> tuple[Any, ...]:
    return (line.alarm.alarm_id, line.version, line.purpose, line.step, line.target)


def _is_stale(alarm: AlarmFacts, directory: Directory, now_ms: int) -> bool:
    """Tell whether an alarm's first call comes too late to be of use: it is back to normal, and both are long ago.

    What the nearest policy goes on calling for after the return, and what needs a reset, is never too late.
    """
    policies = directory.of(alarm)
    if alarm.process_state != ProcessState.RTN_UNACKNOWLEDGED or not policies or policies[0].policy.after_return:
        return False
    steps = ladder(policies, alarm.priority, alarm.called_ms)
    if not steps or alarm.returned_ms is None:
        return False
    return now_ms - max(alarm.returned_ms, steps[0].at_ms) > STALE_MS
