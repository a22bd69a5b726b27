"""What goes wrong in the field, as values that compose over a stream of samples.

Each fault says which device and metric it strikes (None: every one) and when, by the time the samples carry before any
fault. Faults strike in the order given, each seeing what the ones before left over; so `(WrongClock, Duplicate)` sends
wrong times twice.

`DoorOpen`, `CompressorFailure`, `IceOnEvaporator` and `PowerLoss` are of another kind: they happen in the room, not on
the wire, and are handed to the model, whose instruments show what comes of it.

    faults = (Stuck("room-1", "air_temperature", t0, t1), LinkLoss(gateway="gw-truck-1", from_ms=t2, to_ms=t3))
    delivered = list(apply(faults, samples, generator(seed)))
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Final

from hanlu.firmware_sim.physics.cold_room import Ailments, Frost
from hanlu.firmware_sim.physics.schedule import Every, Once, Schedule, any_of
from hanlu.firmware_sim.sample import Sample

__all__ = [
    "CompressorFailure",
    "DoorOpen",
    "Drift",
    "Duplicate",
    "Fault",
    "FaultLine",
    "IceOnEvaporator",
    "LinkLoss",
    "PowerLoss",
    "Replay",
    "RoomFault",
    "Silence",
    "Stuck",
    "WrongClock",
    "ailments",
    "apply",
    "propped_doors",
]

FOREVER_MS: Final = 2**62
"""An end that never comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strike:
    """Where and when: every field None matches everything; from inclusive, to exclusive, Unix milliseconds."""

    device: str | None = None
    metric: str | None = None
    gateway: str | None = None
    from_ms: int = 0
    to_ms: int = FOREVER_MS

    def hits(self, sample: Sample) -> bool:
        """Tell whether `sample` is struck."""
        return (
            self.from_ms <= sample.observed_ms < self.to_ms
            and self.device in {None, sample.device}
            and self.metric in {None, sample.metric}
            and self.gateway in {None, sample.gateway}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck(_Strike):
    """The value freezes at the first one struck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift(_Strike):
    """The value runs away by `per_hour` (in its unit) from `from_ms` on, so `from_ms` must be given."""

    per_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(_Strike):
    """A share of the samples never comes, 1.0 all of them, without a trace."""

    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongClock(_Strike):
    """The device's clock is off by `offset_ms`, gaining `ppm` millionths of the time since `from_ms` beside it.

    A step is an offset with `from_ms`; a clock that lost its battery is a large negative offset.
    """

    offset_ms: int = 0
    ppm: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(_Strike):
    """A share of the samples is sent twice in a row."""

    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay(_Strike):
    """When the first sample at or after `to_ms` passes, everything struck before is sent once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLoss(_Strike):
    """Samples are held back and come in their order with the first one after `to_ms`.

    `capacity` is what the device can hold; beyond it the oldest are gone for good.
    """

    capacity: int = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorOpen:
    """Somebody ties the curtain up and leaves the door of `device` open, again every `every_ms` if that is given."""

    device: str
    from_ms: int
    to_ms: int
    every_ms: int | None = None

    def schedule(self) -> Schedule:
        """Return when the door stands open."""
        if self.every_ms is None:
            return Once(self.from_ms, self.to_ms)
        return Every(self.from_ms, self.every_ms, self.to_ms - self.from_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressorFailure:
    """The compressor of `device` does not start, whatever the thermostat asks for."""

    device: str
    from_ms: int
    to_ms: int = FOREVER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class IceOnEvaporator:
    """Ice stays on the coil of `device`: its capacity falls, to a half within `days`, and no defrost clears it."""

    device: str
    from_ms: int
    to_ms: int = FOREVER_MS
    days: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLoss:
    """The mains of `device` are gone; its controller and the gateway go on by their batteries."""

    device: str
    from_ms: int
    to_ms: int = FOREVER_MS


RoomFault = DoorOpen | CompressorFailure | IceOnEvaporator | PowerLoss
Fault = Stuck | Drift | Silence | WrongClock | Duplicate | Replay | LinkLoss


def propped_doors(device: str, scenario: Iterable[RoomFault]) -> Schedule:
    """Return when the door of `device` stands open in `scenario`."""
    return any_of(each.schedule() for each in scenario if isinstance(each, DoorOpen) and each.device == device)


def ailments(device: str, scenario: Iterable[RoomFault]) -> Ailments:
    """Return what is wrong with the machine of `device` in `scenario`."""
    here = [each for each in scenario if each.device == device]
    return Ailments(
        compressor=any_of(Once(each.from_ms, each.to_ms) for each in here if isinstance(each, CompressorFailure)),
        mains=any_of(Once(each.from_ms, each.to_ms) for each in here if isinstance(each, PowerLoss)),
        frost=tuple(Frost(each.from_ms, each.days, each.to_ms) for each in here if isinstance(each, IceOnEvaporator)),
    )


@dataclass(slots=True)
class _Memory:
    """What one fault remembers between samples."""

    rng: random.Random
    frozen: dict[tuple[str, str, str], float] = field(default_factory=dict)
    held: deque[Sample] = field(default_factory=deque)


class FaultLine:
    """Faults at work on a stream that has no end."""

    def __init__(self, faults: Sequence[Fault], rng: random.Random) -> None:
        """Line up `faults`; `rng` decides which samples of a share are struck."""
        self._stages = [(fault, _Memory(random.Random(rng.random()))) for fault in faults]  # noqa: S311 - simulation

    def push(self, sample: Sample) -> list[Sample]:
        """Return what the wire carries when `sample` is measured, in order; often just itself."""
        passing = [sample]
        for fault, memory in self._stages:
            passing = [after for before in passing for after in _strike(fault, before, memory)]
        return passing


def apply(faults: Sequence[Fault], samples: Iterable[Sample], rng: random.Random) -> Iterator[Sample]:
    """Yield what arrives of `samples` under `faults`; what is still held back when they end does not arrive."""
    line = FaultLine(faults, rng)
    for sample in samples:
        yield from line.push(sample)


@singledispatch
def _strike(fault: Fault, sample: Sample, memory: _Memory) -> list[Sample]:
    raise TypeError(f"not a fault on the wire: {fault!r}")


@_strike.register
def _(fault: Stuck, sample: Sample, memory: _Memory) -> list[Sample]:
    if not fault.hits(sample):
        return [sample]
    value = memory.frozen.setdefault((sample.gateway, sample.device, sample.metric), sample.value)
    return [sample._replace(value=value)]


@_strike.register
def _(fault: Drift, sample: Sample, memory: _Memory) -> list[Sample]:
    if not fault.hits(sample):
        return [sample]
    hours = (sample.observed_ms - fault.from_ms) / 3_600_000
    return [sample._replace(value=round(sample.value + hours * fault.per_hour, 9))]


@_strike.register
def _(fault: Silence, sample: Sample, memory: _Memory) -> list[Sample]:
    return [] if fault.hits(sample) and memory.rng.random() < fault.share else [sample]


@_strike.register
def _(fault: WrongClock, sample: Sample, memory: _Memory) -> list[Sample]:
    if not fault.hits(sample):
        return [sample]
    gained = round((sample.observed_ms - fault.from_ms) * fault.ppm / 1e6) if fault.ppm else 0
    return [sample._replace(observed_ms=sample.observed_ms + fault.offset_ms + gained)]


@_strike.register
def _(fault: Duplicate, sample: Sample, memory: _Memory) -> list[Sample]:
    return [sample, sample] if fault.hits(sample) and memory.rng.random() < fault.share else [sample]


@_strike.register
def _(fault: Replay, sample: Sample, memory: _Memory) -> list[Sample]:
    if fault.hits(sample):
        memory.held.append(sample)
        return [sample]
    if sample.observed_ms >= fault.to_ms and memory.held:
        again = list(memory.held)
        memory.held.clear()
        return [*again, sample]
    return [sample]


@_strike.register
def _(fault: LinkLoss, sample: Sample, memory: _Memory) -> list[Sample]:
    if fault.hits(sample):
        memory.held.append(sample)
        if len(memory.held) > fault.capacity:
            memory.held.popleft()
        return []
    if sample.observed_ms >= fault.to_ms and memory.held:
        late = list(memory.held)
        memory.held.clear()
        return [*late, sample]
    return [sample]
