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

from hanlu.alerts.judge import cycle
from hanlu.alerts.judge.contract import Signals, Switch, Verdict
from hanlu.alerts.judge.judges import JUDGES
from hanlu.alerts.kind import Kind

__all__ = ["Assigned", "ChannelPlan", "Memory", "Room", "Taken", "pack", "unpack"]

TRACKED: Final = frozenset({"air_temperature"})
"""Metrics whose curve shows the defrost cycle."""
_SIGNALS: Final = {"defrost": "defrost", "door_open": "door", "compressor": "compressor", "mains": "power"}
_METER: Final = "power"
_VALUES: Final = {"evaporator_temperature": "evaporator", "product_temperature": "product"}


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
        states: of the judges, by kind.
    """

    newest_ms: int | None = None
    value: float | None = None
    switch: Switch | None = None
    cycle: cycle.CycleState = cycle.START
    states: dict[Kind, Any] = field(default_factory=dict)


class Taken(NamedTuple):
    """What a reading has brought.

    Attributes:
        verdicts: with the rule behind each, in the order of the rules.
        late: rules that a late reading contradicts; their records may need correcting.
    """

    verdicts: tuple[tuple[Assigned, Verdict], ...] = ()
    late: tuple[Assigned, ...] = ()


_NOTHING: Final = Taken()


class Room:
    """The channels of one room with their memory."""

    def __init__(self, channels: Iterable[ChannelPlan], memory: Mapping[int, Memory]) -> None:
        """Begin with what is remembered of the channels, by channel_id; unknown ones have seen nothing."""
        self.channels = {each.channel_id: each for each in channels}
        self.memory = {channel_id: memory.get(channel_id) or Memory() for channel_id in self.channels}

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
        elapsed = 0 if newest is None else at_ms - newest
        gap_ms = elapsed if elapsed > plan.gap_ms else 0
        memory.newest_ms, memory.value = at_ms, value
        if plan.metric in _SIGNALS or plan.metric == _METER:
            memory.switch = _switched(memory.switch, at_ms, value > 0, gap_ms)
        if not plan.rules and plan.metric not in TRACKED:
            return _NOTHING
        signals = self._signals(plan, memory, at_ms, value, gap_ms)
        verdicts: list[tuple[Assigned, Verdict]] = []
        for rule in plan.rules:
            judge = JUDGES.get(rule.kind)
            if judge is None:
                continue
            before = memory.states.get(rule.kind, judge.start)
            after, verdict = judge.step(before, rule.parameters, at_ms, value, signals)
            memory.states[rule.kind] = after
            if verdict is not None:
                verdicts.append((rule, verdict))
        return Taken(tuple(verdicts)) if verdicts else _NOTHING

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
        told: dict[str, Any] = {}
        others: list[float] = []
        for channel_id, other in self.channels.items():
            known = self.memory[channel_id]
            if known.newest_ms is None or known.value is None or at_ms - known.newest_ms > other.gap_ms:
                continue
            if other.metric == plan.metric and channel_id != plan.channel_id:
                others.append(known.value)
            name = _SIGNALS.get(other.metric)
            if name is not None and known.switch is not None:
                told[name] = _either(told.get(name), known.switch)
            elif other.metric == _METER and known.switch is not None:
                told.setdefault("power", known.switch)
            elif other.metric in _VALUES:
                told[_VALUES[other.metric]] = known.value
        phase = Signals().phase
        if plan.metric in TRACKED:
            memory.cycle, phase = cycle.track(memory.cycle, at_ms, value, told.get("defrost"), gap_ms)
        return Signals(**told, others=tuple(others), phase=phase, gap_ms=gap_ms)


def _switched(before: Switch | None, at_ms: int, on: bool, gap_ms: int) -> Switch:
    """Return the switch after one more word; what lies before a gap does not count for how long it has been so."""
    if before is None or gap_ms:
        return Switch(on, at_ms, at_ms, None if before is None else before.off_ms)
    if before.on is on:
        return before._replace(seen_ms=at_ms)
    return Switch(on, at_ms, at_ms, before.off_ms if on else at_ms)


def _either(one: Switch | None, other: Switch) -> Switch:
    """Return two switches of the same meaning as one: on when either is, since the earlier."""
    if one is None:
        return other
    if one.on is not other.on:
        return one if one.on else other
    return one if one.since_ms <= other.since_ms else other


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
    switch = raw.get("switch")
    return Memory(
        raw.get("newest_ms"),
        raw.get("value"),
        None if switch is None else msgspec.convert(switch, Switch),
        tracked,
        states,
    )
