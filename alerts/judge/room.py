"""A room judged as one: its channels' readings go in, in event time; verdicts come out.

A room is a zone, or a device that stands in no zone. What one channel says (a defrost, a door, the mains) explains what
another one shows, so the channels of a room are judged together; rooms know nothing of one another.

The memory of a channel is plain data (`pack` and `unpack` carry it to and from JSON), so that a kill loses nothing and
a replay comes to the same verdicts as one that watched live. Late readings, no newer than the newest one judged, never
change it: `take` answers with what they would contradict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from hanlu.alerts.judge import cause, cycle
from hanlu.alerts.judge.contract import Move, Signals, Switch, Verdict
from hanlu.alerts.judge.judges import JUDGES
from hanlu.alerts.kind import Cause, Hold, Kind

__all__ = ["Assigned", "ChannelPlan", "Memory", "Room", "Taken", "pack", "unpack"]

TRACKED: Final = frozenset({"air_temperature"})
"""Metrics whose curve shows the defrost cycle."""
_SIGNALS: Final = {"defrost": "defrost", "door_open": "door", "compressor": "compressor", "mains": "power"}
_METER: Final = "power"
_VALUES: Final = {"evaporator_temperature": "evaporator", "product_temperature": "product"}

EXPLAINED_BY_LIMIT: Final = frozenset(
    {
        Kind.RATE,
        Kind.TIME_TO_LIMIT,
        Kind.OUT_OF_RANGE,
        Kind.COMPRESSOR,
        Kind.DEFROST_LONG,
        Kind.DEFROST_OFTEN,
        Kind.DEFROST_RECOVERY,
    }
)
"""What says no more than why a room is too warm, or that it is: while the room's own HIGH or HIGH_HIGH calls, somebody
is on the way, and these are raised held, to be read and not to be heard."""
EXPLAINED_MS: Final = 3_600_000
"""When that alarm has returned, what it explained has so long to return too; what still stands then calls."""

_GRACE_MS: Final = 30_000
"""Readings of one moment come in any order: so long a channel may still speak for itself before time alone does."""


class Assigned(NamedTuple):
    """A rule in force on a channel.

    Attributes:
        kind: of alarm.
        code: of the rule.
        version: of the rule.
        priority: 1 critical, 2 high, 3 low.
        parameters: of the kind, resolved: no limit or time is None any more.
        latch: the alarm waits for a reset.
        re_alarm_ms: after an acknowledgement, None never.
        respond_ms: time to respond by the rationalization, milliseconds.
    """

    kind: Kind
    code: str
    version: int
    priority: int
    parameters: Any
    latch: bool = False
    re_alarm_ms: int | None = None
    respond_ms: int = 0


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """A channel of a room with its rules.

    Attributes:
        channel_id: key in the registry.
        metric: what it measures.
        unit: SenML unit.
        gap_ms: longest time between two readings that still tells what was between them, milliseconds, > 0.
        rules: in force, at most one a kind.
    """

    channel_id: int
    metric: str
    unit: str
    gap_ms: int
    rules: tuple[Assigned, ...] = ()


@dataclass(slots=True)
class Memory:
    """What is remembered of a channel.

    Attributes:
        newest_ms: newest observation judged.
        value: what it said.
        switch: for channels that say on or off.
        cycle: for the room's air.
        facts: what the room usually does, for the room's air: a cause is told by what has changed.
        states: of the judges, by kind.
        explained: alarms of this channel that its own limit alarm explains, with their start, peak and its time.
        alone_ms: since when no limit alarm stands that explains them, None while one does.
    """

    newest_ms: int | None = None
    value: float | None = None
    switch: Switch | None = None
    cycle: cycle.CycleState = cycle.START
    facts: cause.Facts = cause.START
    states: dict[Kind, Any] = field(default_factory=dict)
    explained: dict[Kind, tuple[int, float | None, int | None]] = field(default_factory=dict)
    alone_ms: int | None = None


class Taken(NamedTuple):
    """What a reading has brought.

    Attributes:
        verdicts: with the rule behind each, in the order of the rules.
        late: rules that a late reading contradicts; their records may need correcting.
        elsewhere: (channel_id, rule, verdict) on other channels of the room: their time has come (`Judge.due`), as this
            reading's time shows. Their memory has changed too.
    """

    verdicts: tuple[tuple[Assigned, Verdict], ...] = ()
    late: tuple[Assigned, ...] = ()
    elsewhere: tuple[tuple[int, Assigned, Verdict], ...] = ()


_NOTHING: Final = Taken()


class Room:
    """The channels of one room with their memory."""

    def __init__(self, channels: Iterable[ChannelPlan], memory: Mapping[int, Memory]) -> None:
        """Begin with what is remembered of the channels, by channel_id; unknown ones have seen nothing."""
        self.channels = {each.channel_id: each for each in channels}
        self.failures: list[tuple[int, Assigned, Exception]] = []
        """Channels whose judges failed since somebody last emptied this; each began anew."""
        self.memory = {channel_id: memory.get(channel_id) or Memory() for channel_id in self.channels}
        self._tellers = tuple(
            (channel_id, each.metric)
            for channel_id, each in self.channels.items()
            if each.metric in _SIGNALS or each.metric == _METER or each.metric in _VALUES
        )
        """Channels whose word is a signal to the others."""
        by_metric: dict[str, list[int]] = {}
        for channel_id, each in self.channels.items():
            by_metric.setdefault(each.metric, []).append(channel_id)
        self._peers = {
            channel_id: tuple(other for other in by_metric[each.metric] if other != channel_id)
            for channel_id, each in self.channels.items()
        }
        self._heeded = frozenset(
            channel_id
            for channel_id, each in self.channels.items()
            if each.metric in TRACKED or any(rule.kind in JUDGES for rule in each.rules)
        )
        """Channels of which something is judged or learned, reading by reading."""
        self._due: dict[int, int] = {}
        for channel_id in self.channels:
            self._note_due(channel_id)

    def take(self, channel_id: int, at_ms: int, value: float) -> Taken:
        """Judge one reading of one of the room's channels.

        Args:
            channel_id: one of `channels`.
            at_ms: time of observation, Unix milliseconds.
            value: finite, in the channel's unit.
        """
        plan, memory = self.channels[channel_id], self.memory[channel_id]
        newest = memory.newest_ms
        if newest is not None and at_ms <= newest:
            return self._late(plan, value)
        elsewhere = self.overdue(at_ms, but=channel_id) if self._due else ()
        elapsed = 0 if newest is None else at_ms - newest
        gap_ms = elapsed if elapsed > plan.gap_ms else 0
        memory.newest_ms, memory.value = at_ms, value
        if plan.metric in _SIGNALS or plan.metric == _METER:
            memory.switch = _switched(memory.switch, at_ms, value > 0, gap_ms)
        if channel_id not in self._heeded:
            return Taken(elsewhere=elsewhere) if elsewhere else _NOTHING
        signals = self._signals(plan, memory, at_ms, value, gap_ms)
        verdicts: list[tuple[Assigned, Verdict]] = []
        for rule in plan.rules:
            verdict = self._judge(memory, rule, at_ms, value, signals)
            if verdict is not None:
                verdicts.append((rule, verdict))
        if memory.explained:
            verdicts.extend(
                (rule, _named(memory, verdict, signals)) for rule, verdict in _released(plan, memory, at_ms, value)
            )
        self._note_due(channel_id)
        return Taken(tuple(verdicts), elsewhere=elsewhere) if verdicts or elsewhere else _NOTHING

    @property
    def due_ms(self) -> int | None:
        """When to call `overdue` next, Unix milliseconds: then an alarm needs no further reading. None for never."""
        return min(self._due.values()) + _GRACE_MS if self._due else None

    def overdue(self, now_ms: int, *, but: int | None = None) -> tuple[tuple[int, Assigned, Verdict], ...]:
        """Judge again what a channel said last, where time alone makes an alarm of it (`Judge.due`).

        Args:
            now_ms: the time it is, Unix milliseconds: of another channel's reading, or of the engine's clock in a room
                where nothing else reports. The clock must be one the room's data keep up with: of a gateway that is
                not heard nobody knows whether the door is still open.
            but: leave out this channel, which speaks for itself.

        Returns:
            Verdicts as in `Taken.elsewhere`. What lies further from the channel's last word than its gap is not
            judged: nobody knows.
        """
        found: list[tuple[int, Assigned, Verdict]] = []
        for channel_id in [key for key, due_ms in self._due.items() if due_ms + _GRACE_MS <= now_ms and key != but]:
            at_ms = self._due.pop(channel_id)
            plan, memory = self.channels[channel_id], self.memory[channel_id]
            if memory.newest_ms is None or memory.value is None or at_ms - memory.newest_ms > plan.gap_ms:
                continue
            signals = self._signals(plan, memory, at_ms, memory.value, 0)
            for rule in plan.rules:
                judge = JUDGES.get(rule.kind)
                if judge is not None and judge.due is not None:
                    verdict = self._judge(memory, rule, at_ms, memory.value, signals)
                    if verdict is not None:
                        found.append((channel_id, rule, verdict))
            self._note_due(channel_id)
        return tuple(found)

    def _judge(self, memory: Memory, rule: Assigned, at_ms: int, value: float, signals: Signals) -> Verdict | None:
        """Let one rule judge."""
        judge = JUDGES.get(rule.kind)
        if judge is None:
            return None
        before = memory.states.get(rule.kind, judge.start)
        try:
            after, verdict = judge.step(before, rule.parameters, at_ms, value, signals)
        except Exception as error:  # noqa: BLE001 - one judge's fault must not stop all the others for ever
            memory.states[rule.kind] = judge.start
            channel_id = next(key for key, each in self.memory.items() if each is memory)
            self.failures.append((channel_id, rule, error))
            return None
        memory.states[rule.kind] = after
        if verdict is not None and rule.kind in EXPLAINED_BY_LIMIT:
            verdict = _explained(memory, verdict)
        return None if verdict is None else _named(memory, verdict, signals)

    def _note_due(self, channel_id: int) -> None:
        """Keep when a channel's next alarm comes without another word of it."""
        due: int | None = None
        memory = self.memory[channel_id]
        for rule in self.channels[channel_id].rules:
            judge = JUDGES.get(rule.kind)
            if judge is None or judge.due is None or rule.kind not in memory.states:
                continue
            at_ms = judge.due(memory.states[rule.kind], rule.parameters)
            if at_ms is not None and (due is None or at_ms < due):
                due = at_ms
        if due is None:
            self._due.pop(channel_id, None)
        else:
            self._due[channel_id] = due

    def _late(self, plan: ChannelPlan, value: float) -> Taken:
        late = tuple(
            rule
            for rule in plan.rules
            if (judge := JUDGES.get(rule.kind)) is not None
            and judge.late is not None
            and judge.late(rule.parameters, value)
        )
        return Taken(late=late) if late else _NOTHING

    def _signals(self, plan: ChannelPlan, memory: Memory, at_ms: int, value: float, gap_ms: int) -> Signals:
        """Gather what the room's other channels say now; what is older than its own gap says nothing."""
        told = self._told(at_ms)
        others = [
            known.value
            for other in self._peers[plan.channel_id]
            if (known := self._known(other, at_ms)) is not None and known.value is not None
        ]
        phase = Signals().phase
        if plan.metric in TRACKED:
            memory.cycle, phase = cycle.track(memory.cycle, at_ms, value, told.get("defrost"), gap_ms)
        signals = Signals(**told, others=tuple(others), phase=phase, gap_ms=gap_ms)
        if plan.metric in TRACKED:
            memory.facts = cause.observe(memory.facts, at_ms, value, signals)
        return signals

    def _told(self, at_ms: int) -> dict[str, Any]:
        """Return what doors, defrosts, machines and the other probes say, by the names of `Signals`."""
        told: dict[str, Any] = {}
        for channel_id, metric in self._tellers:
            known = self._known(channel_id, at_ms)
            if known is None:
                continue
            name = _SIGNALS.get(metric)
            if name is None and metric != _METER:
                told[_VALUES[metric]] = known.value
            elif known.switch is not None and name is not None:
                told[name] = _either(told.get(name), known.switch)
            elif known.switch is not None:
                told.setdefault("power", known.switch)
        return told

    def _known(self, channel_id: int, at_ms: int) -> Memory | None:
        """Return a channel's memory when its newest word still says something."""
        known = self.memory[channel_id]
        stale = known.newest_ms is None or at_ms - known.newest_ms > self.channels[channel_id].gap_ms
        return None if stale or known.value is None else known


def _named(memory: Memory, verdict: Verdict, signals: Signals) -> Verdict:
    """Name what lies behind an alarm that begins to call, where its judge has not."""
    if verdict.cause is Cause.UNKNOWN and verdict.hold is None and verdict.move in {Move.RAISE, Move.RELEASE}:
        found = cause.diagnose(verdict.kind, verdict.start_ms, verdict.at_ms, signals, memory.facts, memory.states)
        return verdict._replace(cause=found)
    return verdict


def _limit_calls(memory: Memory) -> bool:
    """Tell whether the channel's own upper limit has an alarm that calls."""
    states = (memory.states.get(Kind.HIGH), memory.states.get(Kind.HIGH_HIGH))
    return any(state is not None and state.raised and state.held is None for state in states)


def _explained(memory: Memory, verdict: Verdict) -> Verdict:
    """Hold an alarm that only says why the room is too warm, when somebody has been called for that already."""
    if verdict.move is Move.RETURN:
        memory.explained.pop(verdict.kind, None)
    elif verdict.move is Move.RAISE and verdict.hold is None and _limit_calls(memory):
        memory.explained[verdict.kind] = (verdict.start_ms, verdict.peak, verdict.peak_ms)
        memory.alone_ms = None
        return verdict._replace(hold=Hold.EXPLAINED)
    return verdict


def _released(plan: ChannelPlan, memory: Memory, at_ms: int, value: float) -> list[tuple[Assigned, Verdict]]:
    """Let call what still stands an hour after the alarm that explained it has returned."""
    if _limit_calls(memory):
        memory.alone_ms = None
        return []
    if memory.alone_ms is None:
        memory.alone_ms = at_ms
    if at_ms - memory.alone_ms < EXPLAINED_MS:
        return []
    released: list[tuple[Assigned, Verdict]] = []
    for rule in plan.rules:
        # Minutes of the past stay out of range long after the room is well again: no news to anybody.
        if rule.kind in memory.explained and rule.kind is not Kind.OUT_OF_RANGE:
            start_ms, peak, peak_ms = memory.explained.pop(rule.kind)
            released.append((rule, Verdict(rule.kind, Move.RELEASE, at_ms, value, start_ms, peak, peak_ms)))
    return released


def _switched(before: Switch | None, at_ms: int, on: bool, gap_ms: int) -> Switch:
    """Return the switch after one more word; what lies before a gap does not count for how long it has been so."""
    if before is None or gap_ms:
        return Switch(on, at_ms, at_ms, None if before is None else before.off_ms)
    if before.on is on:
        return before._replace(seen_ms=at_ms)
    return Switch(on, at_ms, at_ms, before.off_ms if on else at_ms)


def _either(one: Switch | None, other: Switch) -> Switch:
    """Return two switches of the same meaning as one: on when either is, since the earlier; off since the later."""
    if one is None:
        return other
    if one.on is not other.on:
        return one if one.on else other
    if one.on:
        return one if one.since_ms <= other.since_ms else other
    return one if one.since_ms >= other.since_ms else other


def pack(memory: Memory) -> str:
    """Return a channel's memory as JSON."""
    return msgspec.json.encode(memory).decode()


def unpack(text: str) -> Memory:
    """Return a channel's memory from JSON; the state of a judge that has changed its shape begins anew."""
    raw = msgspec.json.decode(text)
    states: dict[Kind, Any] = {}
    for name, state in raw.get("states", {}).items():
        judge = JUDGES.get(Kind(name)) if name in set(Kind) else None
        if judge is not None:
            try:
                states[judge.kind] = msgspec.convert(state, type(judge.start))
            except msgspec.ValidationError:
                continue
    try:
        tracked = msgspec.convert(raw.get("cycle"), cycle.CycleState)
    except msgspec.ValidationError:
        tracked = cycle.START
    try:
        facts = msgspec.convert(raw.get("facts"), cause.Facts)
    except msgspec.ValidationError:
        facts = cause.START
    switch = raw.get("switch")
    return Memory(
        raw.get("newest_ms"),
        raw.get("value"),
        None if switch is None else msgspec.convert(switch, Switch),
        tracked,
        facts,
        states,
        {
            Kind(name): (start_ms, peak, peak_ms)
            for name, (start_ms, peak, peak_ms) in raw.get("explained", {}).items()
            if name in set(Kind)
        },
        raw.get("alone_ms"),
    )
