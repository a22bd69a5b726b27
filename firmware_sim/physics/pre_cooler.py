"""Pre-cooling at the place of harvest: field-warm crates before a fan wall, cooled to storage temperature in hours.

Forced-air cooling follows an exponential: after each half-cooling time half of the difference between fruit and air is
left. While the fruit is hottest the machine cannot hold the air down, so the first half takes longer than later ones.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Protocol

from hanlu.firmware_sim.physics.air import DoorSpec, Weather, door_flow
from hanlu.firmware_sim.physics.box import Box, BoxSpec, Inflow, Thermostat, ThermostatSpec
from hanlu.firmware_sim.physics.schedule import Never, Schedule
from hanlu.firmware_sim.physics.sensor import Sensor, SensorSpec, quantise
from hanlu.firmware_sim.physics.stepped import Stepped

__all__ = ["Batches", "PreCooler", "PreCoolerSpec"]


class Batches(Protocol):
    """When there are goods in the machine."""

    def active(self, at_ms: int) -> bool:
        """Tell whether a batch is inside at `at_ms`."""
        ...


@dataclass(frozen=True, slots=True)
class PreCoolerSpec:
    """A pre-cooling chamber.

    Attributes:
        batch_kg: fruit in a batch.
        half_cooling_s: time in which the fruit loses half of its difference to steady air.
        field_c: fruit as it comes from the tree.
        setpoint_c: air.
        cooling_w: of the machine.
        specific_heat: of the fruit, J/(kg K).
        volume_m3: of the chamber.
        envelope_w_per_k: of its panels.
        air_j_per_k: heat capacity of air and fittings.
        fan_w: the fan wall, all of it becoming heat.
        door: the doorway.
        weather: around it.
        air_sensor: probe in the air.
        core_sensor: needle in a fruit.
        humidity_sensor: percent.
    """

    batch_kg: float = 1_500.0
    half_cooling_s: float = 35 * 60.0
    field_c: float = 27.0
    setpoint_c: float = 0.8
    cooling_w: float = 32_000.0
    specific_heat: float = 3_800.0
    volume_m3: float = 70.0
    envelope_w_per_k: float = 17.0
    air_j_per_k: float = 4.0e5
    fan_w: float = 2_200.0
    door: DoorSpec = field(default_factory=lambda: DoorSpec(1.6, 2.2))
    weather: Weather = field(default_factory=Weather)
    air_sensor: SensorSpec = field(default_factory=lambda: SensorSpec(lag_s=45.0))
    core_sensor: SensorSpec = field(default_factory=lambda: SensorSpec(lag_s=60.0, noise_sd=0.02))
    humidity_sensor: SensorSpec = field(
        default_factory=lambda: SensorSpec(lag_s=120.0, noise_sd=0.4, quantum=0.5, low=0.0, high=100.0)
    )

    def box(self) -> BoxSpec:
        """Return the masses and flows the half-cooling time stands for."""
        capacity = self.batch_kg * self.specific_heat
        return BoxSpec(
            volume_m3=self.volume_m3,
            envelope_w_per_k=self.envelope_w_per_k,
            air_j_per_k=self.air_j_per_k,
            product_j_per_k=capacity,
            product_w_per_k=capacity * math.log(2) / self.half_cooling_s,
            cooling_w=self.cooling_w,
            idle_w=self.fan_w,
        )


class PreCooler(Stepped):
    """A chamber that takes one batch after another."""

    def __init__(
        self,
        spec: PreCoolerSpec,
        start_ms: int,
        rng: random.Random,
        *,
        batches: Batches | None = None,
        doors: Schedule | None = None,
    ) -> None:
        """Begin empty and cold; `batches` says when goods are inside, `doors` when it is open."""
        super().__init__(start_ms)
        self._spec = spec
        self._rng = rng
        self._batches: Batches = batches or Never()
        self._doors: Schedule = doors or Never()
        self._thermostat = Thermostat(ThermostatSpec(spec.setpoint_c, 1.0, rest_s=60.0, run_s=60.0))
        self.box = Box(spec.box(), spec.setpoint_c)
        self._air = Sensor(spec.air_sensor, rng, spec.setpoint_c)
        self._core = Sensor(spec.core_sensor, rng, spec.setpoint_c)
        self._humidity = Sensor(spec.humidity_sensor, rng, self.box.humidity)
        self._loaded = False
        self._open = False
        self._watts = 0.0

    def step(self, at_ms: int, seconds: float) -> None:
        """Move on by one step ending at `at_ms`."""
        spec, box = self._spec, self.box
        loaded = self._batches.active(at_ms)
        if loaded and not self._loaded:
            box.product_c = spec.field_c
        self._loaded = loaded
        self._open = self._doors.active(at_ms)
        outside = spec.weather.temperature(at_ms)
        flow = door_flow(spec.door, box.air_c, outside) if self._open else 0.0
        running = self._thermostat.step(self._air.read(), seconds)
        share = self._capacity(box.air_c) if running else 0.0
        box.step(seconds, Inflow(outside, spec.weather.water_ratio(), flow), share, loaded=loaded)
        if not loaded:
            box.product_c = box.air_c
        self._air.step(box.air_c, seconds)
        self._core.step(box.product_c, seconds)
        self._humidity.step(box.humidity, seconds)
        self._watts = (60.0 + spec.fan_w + share * spec.cooling_w / 2.6) * self._rng.gauss(1.0, 0.008)

    def _capacity(self, air_c: float) -> float:
        """Return the share of the machine at work: all of it 4 K above the set temperature, a fifth at it."""
        return max(0.1, min(1.0, 0.2 + 0.2 * (air_c - self._spec.setpoint_c)))

    def read(self) -> dict[str, float]:
        """Return what the chamber's instruments show; the needle hangs in the air between batches."""
        return {
            "air_temperature": self._air.read(),
            "product_temperature": self._core.read(),
            "relative_humidity": self._humidity.read(),
            "door_open": float(self._open),
            "compressor": float(self._thermostat.running),
            "power": quantise(max(0.0, self._watts), 10.0),
        }
