"""What rules would have done: the readings on record through the very judges the engine uses, and nothing kept.

A rehearsal starts with an empty memory, so what a judge learns of a room over days (its habits, its defrosts) it
learns anew; give it a few days more than those one asks about. Kinds the engine judges by its clock (silence, missing
messages, calibration, goods) are not rehearsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg.rows import scalar_row

from hanlu.alerts.judge.contract import Move, Verdict
from hanlu.alerts.judge.judges import JUDGES
from hanlu.alerts.judge.room import Assigned, ChannelPlan, Room
from hanlu.alerts.kind import Cause, Hold, Kind
from hanlu.alerts.rules.assign import Assigner, ChannelFacts, Versioned
from hanlu.alerts.rules.store import QUERIES
from hanlu.core.clock import from_ms
from hanlu.db.pool import Connection

__all__ = ["MOST_READINGS", "Would", "newest_reading_ms", "past_readings", "rehearse", "room_of"]

MOST_READINGS: Final = 2_000_000
"""More are not read for one rehearsal: a room with ten channels at a minute has 100,000 a week."""

Reading = tuple[int, int, float]
"""Channel, time of observation in Unix milliseconds, value."""


@dataclass(slots=True)
class Would:
    """An alarm there would have been.

    Attributes:
        channel: its name.
        kind: of alarm.
        code: of the rule.
        priority: 1 critical, 2 high, 3 low.
        start_ms: when the condition began.
        raised_ms: when it became an alarm.
        called_ms: when it asked for a person, None while held by design to its end.
        returned_ms: when it was over, None while it stands.
        peak: worst value.
        hold: why it was held.
        cause: what probably lay behind it.
    """

    channel: str
    kind: Kind
    code: str
    priority: int
    start_ms: int
    raised_ms: int
    called_ms: int | None = None
    returned_ms: int | None = None
    peak: float | None = None
    hold: Hold | None = None
    cause: Cause = Cause.UNKNOWN


def room_of(facts: ChannelFacts, every: Iterable[ChannelFacts]) -> list[ChannelFacts]:
    """Return the channels that are judged together with one: of its zone, or of its device where it stands in none."""
    if facts.zone is not None:
        return [each for each in every if each.zone == facts.zone]
    return [
        each for each in every if each.zone is None and (each.gateway, each.device) == (facts.gateway, facts.device)
    ]


def rehearse(rules: Sequence[Versioned], channels: Sequence[ChannelFacts], readings: Iterable[Reading]) -> list[Would]:
    """Return the alarms a room would have had, in the order they were raised.

    Args:
        rules: to be judged by.
        channels: of one room.
        readings: of these channels, ascending by time.
    """
    assigner = Assigner(rules)
    names = {each.channel_id: each.channel for each in channels}
    plans = [
        ChannelPlan(
            each.channel_id, each.metric, each.unit, each.no_data_s * 1000,
            tuple(rule for rule in assigner.assign(each).assigned if rule.kind in JUDGES),
        )
        for each in channels
    ]  # fmt: skip
    room, account = Room(plans, {}), _Account(names)
    for channel_id, at_ms, value in readings:
        taken = room.take(channel_id, at_ms, value)
        for other, rule, verdict in taken.elsewhere:
            account.note(other, rule, verdict)
        for rule, verdict in taken.verdicts:
            account.note(channel_id, rule, verdict)
    return account.all


def past_readings(connection: Connection, channel_ids: Sequence[int], from_ms_: int, to_ms: int) -> Iterator[Reading]:
    """Yield readings on record, ascending by time, at most `MOST_READINGS`.

    Args:
        connection: acting as hanlu_alerts, in a transaction of the caller's: rows are fetched as they are needed.
        channel_ids: of the room.
        from_ms_: first moment, Unix milliseconds.
        to_ms: last moment.
    """
    wanted = {"channel_ids": list(channel_ids), "from_at": from_ms(from_ms_), "to_at": from_ms(to_ms)}
    with connection.cursor(name="rehearsal") as cursor:
        cursor.itersize = 20_000
        yield from cursor.execute(QUERIES["rules_readings"], wanted | {"most": MOST_READINGS})


def newest_reading_ms(connection: Connection, channel_ids: Sequence[int]) -> int | None:
    """Return when a room was last heard of, by its own clock; None when never."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        found: int | None = cursor.execute(QUERIES["rules_newest"], {"channel_ids": list(channel_ids)}).fetchone()
    return found


class _Account:
    """Makes alarms of verdicts."""

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names
        self._open: dict[tuple[int, Kind], Would] = {}
        self.all: list[Would] = []

    def note(self, channel_id: int, rule: Assigned, verdict: Verdict) -> None:
        """Take one verdict in."""
        key = channel_id, verdict.kind
        if verdict.move is Move.RAISE:
            would = Would(
                self._names[channel_id], verdict.kind, rule.code, rule.priority, verdict.start_ms, verdict.at_ms
            )
            self._open[key] = would
            self.all.append(would)
        elif key not in self._open:
            return
        would = self._open[key]
        would.peak = verdict.peak if verdict.peak is not None else would.peak
        would.hold = verdict.hold or would.hold
        if verdict.cause is not Cause.UNKNOWN:
            would.cause = verdict.cause
        if verdict.move is Move.RETURN:
            would.returned_ms = verdict.at_ms
            del self._open[key]
        elif verdict.move is Move.RELEASE or (verdict.move is Move.RAISE and verdict.hold is None):
            would.called_ms = verdict.at_ms
