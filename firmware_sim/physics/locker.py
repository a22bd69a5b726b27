"""A chilled self-service locker: a small cabinet whose doors open for seconds at a time, on a scale.

A door of 15 s exchanges about 0.94 kg of air in a display cabinet, 0.022 kg/s when nobody is there (Månsson).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from hanlu.firmware_sim.physics.air import Weather, density
from hanlu.firmware_sim.physics.box import Box, BoxSpec, Inflow, Thermostat, ThermostatSpec
from hanlu.firmware_sim.physics.schedule import Daily, Traffic
from hanlu.firmware_sim.physics.sensor import Sensor, SensorSpec, quantise
from hanlu.firmware_sim.physics.stepped import Stepped

__all__ = ["Locker", "LockerSpec"]

_OPEN_KG_PER_S: Final = 0.94 / 15.0
_CLOSED_KG_PER_S: Final = 0.0012
"""A gasketed door; the 0.022 kg/s measured belong to an open display."""


@dataclass(frozen=True, slots=True)
class LockerSpec:
    """A cabinet.

    Attributes:
        box: masses and flows.
        thermostat: set temperature and band.
        shop: air around it.
        restock: when it is filled again.
        full_kg: goods after restocking.
        parcel_kg: goods a customer takes.
        buys: share of openings at which something is taken.
        air_sensor: probe in the cabinet.
        weight_quantum_kg: step of the built-in scale.
    """

    box: BoxSpec = field(default_factory=lambda: BoxSpec(1.6, 5.5, 4.2e4, 2.6e5, 30.0, 520.0, 60.0))
    thermostat: ThermostatSpec = field(default_factory=lambda: ThermostatSpec(2.2, 1.6, rest_s=120.0, run_s=60.0))
    shop: Weather = field(default_factory=lambda: Weather(mean_c=24.5, swing_k=1.0, humidity=0.55))
    restock: Daily = field(default_factory=lambda: Daily(9 * 3600 + 600, 9 * 3600 + 1200))
    full_kg: float = 200.0
    parcel_kg: float = 2.5
    buys: float = 0.6
    air_sensor: SensorSpec = field(default_factory=lambda: SensorSpec(lag_s=60.0, quantum=0.1))
    weight_quantum_kg: float = 0.05


class Locker(Stepped):
    """A cabinet in a shop."""

    def __init__(self, spec: LockerSpec, start_ms: int, rng: random.Random, customers: Traffic) -> None:
        """Begin cold and half full."""
        super().__init__(start_ms)
        self._spec = spec
        self._rng = rng
        self._customers = customers
        self._thermostat = Thermostat(spec.thermostat)
        self.box = Box(spec.box, spec.thermostat.setpoint_c)
        self._air = Sensor(spec.air_sensor, rng, spec.thermostat.setpoint_c)
        self._open = False
        self._kg = spec.full_kg / 2

    def step(self, at_ms: int, seconds: float) -> None:
        """Move on by one step ending at `at_ms`."""
        spec, box = self._spec, self.box
        restocking = spec.restock.active(at_ms)
        self._open = restocking or self._customers.active(at_ms)
        if restocking:
            self._kg = spec.full_kg
        for _ in range(self._customers.opened(at_ms - round(seconds * 1000), at_ms)):
            if self._rng.random() < spec.buys and self._kg >= spec.parcel_kg:
                self._kg -= spec.parcel_kg
        around = spec.shop.temperature(at_ms)
        flow = (_OPEN_KG_PER_S if self._open else _CLOSED_KG_PER_S) / density(box.air_c)
        running = self._thermostat.step(self._air.read(), seconds)
        box.step(seconds, Inflow(around, spec.shop.water_ratio(), flow), float(running))
        self._air.step(box.air_c, seconds)

    def read(self) -> dict[str, float]:
        """Return what the cabinet reports."""
        return {
            "air_temperature": self._air.read(),
            "door_open": float(self._open),
            "compressor": float(self._thermostat.running),
            "weight": quantise(self._kg, self._spec.weight_quantum_kg),
        }
