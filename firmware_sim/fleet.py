"""All devices of a county as one stream of samples in time order, with faults and scenarios worked in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from hanlu.firmware_sim.county import Channel, County, Device
from hanlu.firmware_sim.faults import DoorOpen, Fault, FaultLine, RoomFault, ailments, propped_doors
from hanlu.firmware_sim.physics.chance import generator
from hanlu.firmware_sim.physics.schedule import HOUR_MS
from hanlu.firmware_sim.physics.stepped import STEP_MS, Stepped
from hanlu.firmware_sim.plant import build
from hanlu.firmware_sim.sample import Sample

__all__ = ["Fleet", "door_left_open", "history"]

WARM_UP_MS: Final = 3 * HOUR_MS
"""Models run so long before their first sample, so that nothing of the start shows."""
ON_THE_WAY: Final = frozenset({"precooler-1", "hall-1", "room-1", "reefer-1", "locker-1"})
"""Devices of the zones a lot passes: their history is kept by the minute."""
_HISTORY_MS: Final = 60_000
_HISTORY_ELSEWHERE_MS: Final = 120_000
_DOOR_AFTER_MS: Final = -120_000
_DOOR_FOR_MS: Final = 10 * 60_000
_DOOR_EVERY_MS: Final = 30 * 60_000


class _Unit(NamedTuple):
    device: Device
    model: Stepped


class Fleet:
    """The county's devices, running.

    The stream depends on the county, `seed`, `start_ms`, the scenario and the faults, and on nothing else.
    """

    def __init__(
        self,
        county: County,
        start_ms: int,
        *,
        seed: int = 1,
        scenario: Sequence[RoomFault] = (),
        faults: Sequence[Fault] = (),
    ) -> None:
        """Warm the models up to `start_ms` (Unix milliseconds).

        Args:
            county: whose devices.
            start_ms: samples come after it.
            seed: of all chance.
            scenario: what happens in the rooms: doors left open, machines that fail.
            faults: what happens to samples on their way, in order.
        """
        self.county = county
        self._at_ms = start_ms - start_ms % STEP_MS
        self._line = FaultLine(faults, generator(seed, "faults"))
        begin = self._at_ms - WARM_UP_MS
        self._units: list[_Unit] = []
        for device in county.devices:
            rng = generator(seed, device.gateway, device.code)
            model = build(device, begin, rng, propped_doors(device.code, scenario), ailments(device.code, scenario))
            if model is not None:
                model.advance(self._at_ms)
                self._units.append(_Unit(device, model))

    @property
    def at_ms(self) -> int:
        """The last instant sampled."""
        return self._at_ms

    @property
    def next_ms(self) -> int:
        """The next instant there may be samples at."""
        return self._at_ms + STEP_MS

    def tick(self, *, live: bool) -> list[Sample]:
        """Move on to `next_ms` and return what the wire carries then; `live` False samples as a history is kept."""
        self._at_ms += STEP_MS
        measured: list[Sample] = []
        for device, model in self._units:
            model.advance(self._at_ms)
            due = [channel for channel in device.channels if self._at_ms % _period_ms(device, channel, live=live) == 0]
            if due:
                shown = model.read()
                measured += (
                    Sample(
                        device.gateway, device.code, channel.metric, channel.unit, self._at_ms, shown[channel.metric]
                    )
                    for channel in due
                )
        return [sent for sample in measured for sent in self._line.push(sample)]


def history(county: County, from_ms: int, to_ms: int, *, seed: int = 1) -> Iterator[Sample]:
    """Yield what the county measured after `from_ms` and not after `to_ms`, in time order.

    By the minute in the zones a lot passes, every five minutes elsewhere.
    """
    fleet = Fleet(county, from_ms, seed=seed)
    while fleet.next_ms <= to_ms:
        yield from fleet.tick(live=False)


def door_left_open(live_ms: int, device: str = "room-3") -> DoorOpen:
    """Return the scenario of the tour: 2 min before `live_ms` a door was left open for 10 min, and so every 30 min.

    Who starts the county and looks sees the room warming and the alarm within a few minutes.
    """
    opened = live_ms + _DOOR_AFTER_MS
    return DoorOpen(device=device, from_ms=opened, to_ms=opened + _DOOR_FOR_MS, every_ms=_DOOR_EVERY_MS)


def _period_ms(device: Device, channel: Channel, *, live: bool) -> int:
    if live:
        return max(STEP_MS, round(channel.period_s * 1000))
    return _HISTORY_MS if device.code in ON_THE_WAY else _HISTORY_ELSEWHERE_MS
