"""A simulated cold room before the judges: rows by the minute, faults in room and on the wire, the alarms that come.

The rules are the shipped ones as they would be assigned to the demo county's rooms; nothing is tuned to a fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from hanlu.alerts.judge.contract import Move
from hanlu.alerts.judge.room import Assigned, ChannelPlan, Memory, Room
from hanlu.alerts.kind import Cause, Hold, Kind
from hanlu.alerts.rules.assign import Assigner, ChannelFacts, Versioned
from hanlu.alerts.rules.store import shipped_rules
from hanlu.firmware_sim.faults import Fault, FaultLine, RoomFault, ailments, propped_doors
from hanlu.firmware_sim.physics.chance import generator
from hanlu.firmware_sim.physics.cold_room import ColdRoom, ColdRoomSpec
from hanlu.firmware_sim.physics.schedule import DAY_MS, Traffic
from hanlu.firmware_sim.plant import FROZEN, PEACHES
from hanlu.firmware_sim.sample import Sample

START = 1_752_508_800_000  # 2025-07-14T16:00:00Z, midnight in China
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = DAY_MS
DEVICE = "room"
UNITS = {
    "air_temperature": "Cel",
    "product_temperature": "Cel",
    "relative_humidity": "%RH",
    "door_open": "",
    "defrost": "",
    "compressor": "",
    "power": "W",
    "setpoint": "Cel",
    "evaporator_temperature": "Cel",
    "mains": "",
}
"""What a room's controller sends, in the order it sends it."""
AIR_LAST = tuple(sorted(UNITS, key=lambda metric: metric == "air_temperature"))
"""The air as the last word of a minute, as a supervisor's row is taken."""


@dataclass(frozen=True)
class Kept:
    """A kind of room with the limit profile that judges it in the demo county."""

    name: str
    spec: ColdRoomSpec
    profile: str
    low: float | None
    high: float
    deadband: float
    on_delay_s: int
    off_delay_s: int
    no_data_s: int
    priority: int


FROZEN_ROOM = Kept("frozen", FROZEN, "frozen", None, -15.0, 1.0, 3_600, 300, 300, 1)
CHILLED_ROOM = Kept("chilled", PEACHES, "peach", -1.0, 3.0, 0.5, 60, 120, 300, 2)


@dataclass
class Raised:
    """One alarm from its beginning to its end.

    Attributes:
        kind: of it.
        metric: of its channel.
        priority: 1 to 3.
        raised_ms: when it came.
        called_ms: when it first called somebody, None while it is held by design.
        returned_ms: when its condition ended.
        cause: named when it called.
        hold: why it was held at first.
    """

    kind: Kind
    metric: str
    priority: int
    raised_ms: int
    called_ms: int | None
    cause: Cause
    hold: Hold | None = None
    returned_ms: int | None = None


@lru_cache(maxsize=1)
def _assigner() -> Assigner:
    return Assigner([Versioned(rule, 1) for rule in shipped_rules()])


def assigned(kept: Kept, metric: str, unit: str) -> tuple[Assigned, ...]:
    """Return the shipped rules on a channel of such a room."""
    judged = metric == "air_temperature"
    facts = ChannelFacts(1, f"gw/{DEVICE}/{metric}", metric, unit, 60.0, "cold_room", no_data_s=kept.no_data_s)
    if judged:
        facts = replace(
            facts,
            limit_profile=kept.profile,
            low=kept.low,
            high=kept.high,
            deadband=kept.deadband,
            on_delay_s=kept.on_delay_s,
            off_delay_s=kept.off_delay_s,
            priority=kept.priority,
        )
    return _assigner().assign(facts).assigned


def watched(kept: Kept, metrics: Iterable[str] = tuple(UNITS)) -> Room:
    """Return such a room before its first reading."""
    plans = [
        ChannelPlan(number, metric, UNITS[metric], kept.no_data_s * 1000, assigned(kept, metric, UNITS[metric]))
        for number, metric in enumerate(UNITS)
        if metric in set(metrics)
    ]
    return Room(plans, {})


def rows(
    kept: Kept,
    days: float,
    *,
    seed: int = 1,
    scenario: Sequence[RoomFault] = (),
    step_s: int = 60,
    traffic: int = 3,
) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield (observed_ms, metric -> value) by the minute, with defrosts, and doors in working hours, going on.

    The model is stepped by the minute instead of every five seconds: its air moves within ten minutes.
    """
    spec = replace(kept.spec, defrost=replace(kept.spec.defrost, offset_s=(seed * 4_200) % 28_800))
    passing = Traffic(f"{kept.name}-{seed}", traffic, 60.0)
    model = ColdRoom(
        spec,
        START - 6 * HOUR,
        generator(seed, kept.name),
        traffic=passing,
        propped=propped_doors(DEVICE, scenario),
        ailments=ailments(DEVICE, scenario),
    )
    at_ms = START - 6 * HOUR
    while at_ms < START + days * DAY:
        at_ms += step_s * 1000
        model.step(at_ms, float(step_s))
        if at_ms > START and at_ms % MINUTE == 0:
            yield at_ms, model.read()


def on_the_wire(
    measured: Iterable[tuple[int, dict[str, float]]], faults: Sequence[Fault], metrics: Sequence[str] = tuple(UNITS)
) -> Iterator[Sample]:
    """Yield what arrives of a room's rows under `faults`."""
    line = FaultLine(faults, generator("wire"))
    for at_ms, shown in measured:
        for metric in metrics:
            yield from line.push(Sample("gw", DEVICE, metric, UNITS[metric], at_ms, shown[metric]))


def alarms(room: Room, samples: Iterable[Sample]) -> list[Raised]:
    """Let the room judge `samples` and return its alarms in the order they came."""
    ids = {plan.metric: channel_id for channel_id, plan in room.channels.items()}
    names = {channel_id: metric for metric, channel_id in ids.items()}
    standing: dict[tuple[int, Kind], Raised] = {}
    found: list[Raised] = []
    for sample in samples:
        channel_id = ids[sample.metric]
        taken = room.take(channel_id, sample.observed_ms, sample.value)
        for where, rule, verdict in (
            *taken.elsewhere,
            *((channel_id, rule, verdict) for rule, verdict in taken.verdicts),
        ):
            key = (where, verdict.kind)
            if verdict.move is Move.RAISE:
                assert key not in standing, f"{key} is raised twice"
                called = None if verdict.hold else verdict.at_ms
                alarm = Raised(
                    verdict.kind, names[where], rule.priority, verdict.at_ms, called, verdict.cause, verdict.hold
                )
                standing[key] = alarm
                found.append(alarm)
            elif verdict.move is Move.RELEASE:
                standing[key].called_ms, standing[key].cause = verdict.at_ms, verdict.cause
            elif verdict.move is Move.RETURN:
                standing.pop(key).returned_ms = verdict.at_ms
    return found


def judged(
    kept: Kept,
    days: float,
    *,
    seed: int = 1,
    scenario: Sequence[RoomFault] = (),
    faults: Sequence[Fault] = (),
    metrics: Sequence[str] = tuple(UNITS),
) -> list[Raised]:
    """Return the alarms of a simulated room, beginning with nothing known of it."""
    samples = on_the_wire(rows(kept, days, seed=seed, scenario=scenario), faults, metrics)
    return alarms(watched(kept, metrics), samples)


def calling(found: Iterable[Raised]) -> list[Raised]:
    """Return the alarms that called somebody."""
    return [alarm for alarm in found if alarm.called_ms is not None]


def fresh(metrics: Iterable[str] = tuple(UNITS)) -> dict[int, Memory]:
    """Return empty memories, for rooms that are built by hand."""
    return {number: Memory() for number, metric in enumerate(UNITS) if metric in set(metrics)}
