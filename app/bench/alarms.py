"""Recorded rooms through the alarm rules: how often people would have been called, and what would have been missed.

Every recording is one room, judged by the very `Room` the alarm engine judges with, under the rules that come with
Hanlu. In the same pass two baselines judge the air: the plain threshold, and a delay with a deadband.

Counted is what calls a person: an alarm that is raised, or released from a hold. An alarm that is held by design is
counted apart. Kinds that the platform's clock judges (silence, gaps, calibration) and the goods' own are not part of
it: a recording says nothing of when its rows arrived.

An excursion is a run of readings above the limit without a gap of more than 30 min between two of them; a long one
lasts three hours and more. It is caught when an alarm that tells of warmth is active at some moment of it; its delay is
the time from its start to the first such moment, 0 when an alarm stood already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from typing import Any, Final, NamedTuple

from hanlu.alerts.judge.contract import NO_SIGNALS, Judge, Move, Verdict
from hanlu.alerts.judge.limit import LIMIT_JUDGES
from hanlu.alerts.judge.room import Assigned, ChannelPlan, Room
from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.assign import ChannelFacts, Versioned, assign
from hanlu.alerts.rules.parameters import LimitParameters
from hanlu.app.bench.recordings import AIR, Recording
from hanlu.registry.records import LimitProfile

__all__ = ["Excursion", "Figures", "RoomFigures", "Span", "excursions", "judged", "total"]

_MINUTE: Final = 60_000
_DAY_MS: Final = 1_440 * _MINUTE
BRIDGE_MS: Final = 30 * _MINUTE
"""Longest gap inside an excursion, and between readings that count as watched."""
LONG_MS: Final = 180 * _MINUTE
CHATTER: Final = 3
"""So many alarms of a kind within a minute are chattering (ANSI/ISA-18.2-2016)."""
REPEAT_MS: Final = 10 * _MINUTE
"""An alarm so soon after the same one returned is a repeat."""
TELLING: Final = frozenset({Kind.HIGH, Kind.HIGH_HIGH, Kind.DOSE, Kind.OUT_OF_RANGE})
"""Kinds that tell a person of a room that is too warm."""
_GAPS: Final = 3
"""A gap is longer than so many periods, where the profile allows less."""


class Excursion(NamedTuple):
    """A run of readings above the limit: first and last, Unix milliseconds, and the highest."""

    first_ms: int
    last_ms: int
    peak: float


class Span(NamedTuple):
    """An alarm that called: from when it did until it returned, None while it stands at the end."""

    kind: str
    from_ms: int
    until_ms: int | None


@dataclass(slots=True)
class Figures:
    """What one logic makes of one room, or of all.

    Attributes:
        room_days: time watched, days; gaps do not count.
        by_kind: alarms that call.
        held: alarms held by design.
        long: excursions of three hours and more.
        caught: of those, with an alarm active in them.
        delays_min: of the caught ones, minutes.
        missed: starts of the others.
        chattering: alarms that come three a minute.
        repeats: alarms within ten minutes after the same one returned.
        standing_h: hours in which an alarm that tells of warmth stands.
    """

    room_days: float = 0.0
    by_kind: Counter[str] = field(default_factory=Counter)
    held: int = 0
    long: int = 0
    caught: int = 0
    delays_min: list[float] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    chattering: int = 0
    repeats: int = 0
    standing_h: float = 0.0

    @property
    def alarms(self) -> int:
        """Alarms that call."""
        return self.by_kind.total()

    @property
    def per_room_day(self) -> float:
        """Alarms that call, a room and day."""
        return self.alarms / self.room_days if self.room_days else 0.0

    def percentile(self, share: float) -> float | None:
        """Return a percentile of the delays in minutes by nearest rank: the shortest that so large a share of them does
        not exceed, which is always one that was observed; None when nothing was caught."""
        ranked = sorted(self.delays_min)
        return ranked[max(0, ceil(len(ranked) * share) - 1)] if ranked else None

    def add(self, other: Figures) -> None:
        """Take in another room's figures."""
        self.room_days += other.room_days
        self.by_kind += other.by_kind
        self.held += other.held
        self.long += other.long
        self.caught += other.caught
        self.delays_min += other.delays_min
        self.missed += other.missed
        self.chattering += other.chattering
        self.repeats += other.repeats
        self.standing_h += other.standing_h

    def as_json(self) -> dict[str, Any]:
        """Return the figures for machines."""
        p50, p95 = self.percentile(0.5), self.percentile(0.95)
        return {
            "alarms": self.alarms,
            "alarms_per_room_day": round(self.per_room_day, 3),
            "by_kind": dict(sorted(self.by_kind.items())),
            "held_by_design": self.held,
            "long_excursions": self.long,
            "long_excursions_caught": self.caught,
            "long_excursions_missed_at_ms": self.missed,
            "detection_delay_min": {
                "p50": None if p50 is None else round(p50, 1),
                "p95": None if p95 is None else round(p95, 1),
            },
            "chattering": self.chattering,
            "repeats_within_10_min": self.repeats,
            "standing_h_per_room_day": round(self.standing_h / self.room_days, 2) if self.room_days else 0.0,
        }


@dataclass(frozen=True, slots=True)
class RoomFigures:
    """A room through the rules and both baselines.

    Attributes:
        name: of the recording.
        readings: judged.
        rules: in force on the room's channels.
        defrost_contact: there was one, and it was used.
        figures: by logic: `rules`, `threshold`, `delay`.
        spans: alarms of the rules.
    """

    name: str
    readings: int
    rules: int
    defrost_contact: bool
    figures: dict[str, Figures]
    spans: tuple[Span, ...]


def excursions(readings: Iterable[tuple[int, float]], limit: float) -> Iterator[Excursion]:
    """Yield the runs of (Unix milliseconds, value) above `limit`, bridged over gaps of at most 30 min."""
    current: Excursion | None = None
    newest_ms = 0
    for at_ms, value in readings:
        if current is not None and (value <= limit or at_ms - newest_ms > BRIDGE_MS):
            yield current
            current = None
        if value > limit:
            first, peak = (at_ms, value) if current is None else (current.first_ms, max(current.peak, value))
            current = Excursion(first, at_ms, peak)
        newest_ms = at_ms
    if current is not None:
        yield current


def judged(
    recording: Recording,
    rules: Sequence[Versioned],
    profiles: Sequence[LimitProfile],
    limit: float | None = None,
    *,
    without_defrost: bool = False,
) -> RoomFigures:
    """Judge a recording by the rules and the baselines.

    Args:
        recording: the room.
        rules: with their versions, as they would be in force.
        profiles: of one code, one a metric; that of the air has an upper limit.
        limit: upper limit of the air instead of the profile's.
        without_defrost: withhold the defrost's contact.
    """
    by_metric = {profile.metric: profile for profile in profiles}
    plans: list[ChannelPlan] = []
    for channel in recording.channels:
        if without_defrost and channel.metric == "defrost":
            continue
        facts = _facts(recording, channel.number, by_metric.get(channel.metric), limit)
        plans.append(
            ChannelPlan(
                channel.number, channel.metric, channel.unit, facts.no_data_s * 1000, assign(rules, facts).assigned
            )
        )
    air = recording.air.number
    high = limit if limit is not None else by_metric[AIR].high
    assert high is not None, "the command has looked"
    gap_s = next(plan.gap_ms for plan in plans if plan.channel_id == air) // 1000
    room, watched = Room(plans, {}), {plan.channel_id for plan in plans}
    logics = {
        "rules": _Account(),
        "threshold": _Account(),
        "delay": _Account(),
    }
    baselines = [
        _Baseline(logics["threshold"], _plain(high, 0.0, 0, gap_s)),
        _Baseline(logics["delay"], _plain(high, 1.0, 1_800, gap_s)),
    ]
    for at_ms, number, value in recording.readings:
        if number not in watched:
            continue
        taken = room.take(number, at_ms, value)
        for rule, verdict in taken.verdicts:
            logics["rules"].take(number, rule, verdict)
        for elsewhere, rule, verdict in taken.elsewhere:
            logics["rules"].take(elsewhere, rule, verdict)
        if number == air:
            for baseline in baselines:
                baseline.take(at_ms, value)
    series = [(at_ms, value) for at_ms, number, value in recording.readings if number == air]
    found = [each for each in excursions(series, high) if each.last_ms - each.first_ms >= LONG_MS]
    steps = [later - earlier for (earlier, _), (later, _) in pairwise(series)]
    days = sum(step for step in steps if step <= BRIDGE_MS) / _DAY_MS
    figures = {name: account.figures(found, days, series[-1][0]) for name, account in logics.items()}
    return RoomFigures(
        recording.name,
        sum(number in watched for _, number, _ in recording.readings),
        sum(len(plan.rules) for plan in plans),
        any(plan.metric == "defrost" for plan in plans),
        figures,
        tuple(logics["rules"].spans()),
    )


def total(rooms: Iterable[RoomFigures]) -> dict[str, Figures]:
    """Return the figures of all rooms together, by logic."""
    together = {name: Figures() for name in ("rules", "threshold", "delay")}
    for room in rooms:
        for name, figures in room.figures.items():
            together[name].add(figures)
    return together


def _facts(recording: Recording, number: int, profile: LimitProfile | None, limit: float | None) -> ChannelFacts:
    channel = next(each for each in recording.channels if each.number == number)
    least_s = max(300, int(10 * channel.period_s)) if profile is None else profile.no_data_s
    high = None if profile is None else profile.high
    return ChannelFacts(
        number,
        f"bench/room/{channel.metric}",
        channel.metric,
        channel.unit,
        channel.period_s,
        "cold_room",
        limit_profile=None if profile is None else profile.code,
        low=None if profile is None else profile.low,
        high=limit if limit is not None and channel.metric == AIR else high,
        deadband=None if profile is None else profile.deadband,
        on_delay_s=None if profile is None else profile.on_delay_s,
        off_delay_s=None if profile is None else profile.off_delay_s,
        no_data_s=max(least_s, int(_GAPS * channel.period_s)),
        priority=3 if profile is None else profile.priority,
    )


def _plain(setpoint: float, deadband: float, on_delay_s: int, gap_s: int) -> LimitParameters:
    return LimitParameters(
        setpoint=setpoint,
        deadband=deadband,
        on_delay_s=on_delay_s,
        off_delay_s=0,
        gap_s=gap_s,
        hold_defrost=False,
    )


class _Baseline:
    """A plain limit rule on the air."""

    def __init__(self, account: _Account, parameters: LimitParameters) -> None:
        self._judge: Judge = LIMIT_JUDGES[Kind.HIGH]
        self._state = self._judge.start
        self._rule = Assigned(Kind.HIGH, "baseline", 1, 1, parameters)
        self._account = account

    def take(self, at_ms: int, value: float) -> None:
        self._state, verdict = self._judge.step(self._state, self._rule.parameters, at_ms, value, NO_SIGNALS)
        if verdict is not None:
            self._account.take(0, self._rule, verdict)


class _Account:
    """The alarms of one logic in one room."""

    def __init__(self) -> None:
        self._standing: dict[tuple[int, Kind], int] = {}
        self._ended: list[tuple[int, Span]] = []
        self.held = 0

    def take(self, number: int, rule: Assigned, verdict: Verdict) -> None:
        key = (number, rule.kind)
        if verdict.move is Move.RAISE and verdict.hold is not None:
            self.held += 1
        elif verdict.move in {Move.RAISE, Move.RELEASE}:
            self._standing.setdefault(key, verdict.at_ms)
        elif verdict.move is Move.RETURN and key in self._standing:
            self._ended.append((number, Span(rule.kind.value, self._standing.pop(key), verdict.at_ms)))

    def _all(self) -> list[tuple[int, Span]]:
        open_ = [(number, Span(kind.value, from_ms, None)) for (number, kind), from_ms in self._standing.items()]
        return sorted([*self._ended, *open_], key=lambda each: each[1].from_ms)

    def spans(self) -> list[Span]:
        return [span for _, span in self._all()]

    def figures(self, found: Sequence[Excursion], days: float, end_ms: int) -> Figures:
        alarms = self._all()
        figures = Figures(days, Counter(span.kind for _, span in alarms), self.held, len(found))
        telling = [span for _, span in alarms if Kind(span.kind) in TELLING]
        for each in found:
            active = [
                max(0, span.from_ms - each.first_ms)
                for span in telling
                if span.from_ms <= each.last_ms and (span.until_ms is None or span.until_ms >= each.first_ms)
            ]
            if active:
                figures.caught += 1
                figures.delays_min.append(min(active) / _MINUTE)
            else:
                figures.missed.append(each.first_ms)
        figures.standing_h = _covered(telling, end_ms) / (60 * _MINUTE)
        by_key: dict[tuple[int, str], list[Span]] = {}
        for number, span in alarms:
            by_key.setdefault((number, span.kind), []).append(span)
        for spans in by_key.values():
            for index, span in enumerate(spans):
                if index >= CHATTER - 1 and span.from_ms - spans[index - CHATTER + 1].from_ms <= _MINUTE:
                    figures.chattering += 1
                before = spans[index - 1].until_ms if index else None
                if before is not None and span.from_ms - before <= REPEAT_MS:
                    figures.repeats += 1
        return figures


def _covered(spans: Sequence[Span], end_ms: int) -> int:
    """Return for how long at least one of the alarms stood, milliseconds."""
    covered, reached = 0, 0
    for span in sorted(spans, key=lambda each: each.from_ms):
        until = end_ms if span.until_ms is None else span.until_ms
        covered += max(0, until - max(span.from_ms, reached))
        reached = max(reached, until)
    return covered
