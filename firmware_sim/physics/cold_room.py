"""A cold room: two thermal masses, a compressor, a defrost schedule, a door, weather, and the probes that see it.

Measured rooms set the figures the tests hold it to: defrosts of about 50 min that lift the air by 5 to 18.5 K at 0.4 to
0.7 K/min in the first ten minutes and peak at 40 to 46 min; 63 % of the way back in 10 to 15 min; steps of 0.2 to 0.4 K
from one minute to the next in frozen rooms that are in use.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Final

from hanlu.firmware_sim.physics.air import DoorSpec, Weather, door_flow
from hanlu.firmware_sim.physics.box import Box, BoxSpec, Inflow, Thermostat, ThermostatSpec
from hanlu.firmware_sim.physics.schedule import Never, Schedule
from hanlu.firmware_sim.physics.sensor import Sensor, SensorSpec, quantise
from hanlu.firmware_sim.physics.stepped import Stepped

__all__ = ["ColdRoom", "ColdRoomSpec", "DefrostSpec", "Eddies", "EddySpec"]

_COIL_WARMS_S: Final = 150.0
"""Until the heater has melted its way to the air: time constant of the heat that leaks into the room."""
_CAPACITY_PER_K: Final = 0.015
"""A coil takes 1.5 % more for every kelvin the air is above its set temperature."""


@dataclass(frozen=True, slots=True)
class DefrostSpec:
    """Defrosts on a clock.

    Attributes:
        every_s: from one to the next; 4 to 12 h are seen. 0 never defrosts.
        offset_s: of the first after midnight UTC, so that rooms of one store take turns.
        heater_w: electric heater (16.05 kW in the measured rooms); 0 melts with the fans alone.
        heat_s: until the coil's thermostat ends the heating.
        drip_s: fans stay off while water drains.
        air_share: of the heater's power that reaches the room's air.
    """

    every_s: int = 0
    offset_s: int = 0
    heater_w: float = 16_050.0
    heat_s: int = 43 * 60
    drip_s: int = 7 * 60
    air_share: float = 0.3

    def seconds_in(self, at_ms: int) -> float | None:
        """Return seconds since the running defrost began, or None between defrosts."""
        if self.every_s <= 0:
            return None
        phase = (at_ms / 1000 - self.offset_s) % self.every_s
        return phase if phase < self.heat_s + self.drip_s else None


@dataclass(frozen=True, slots=True)
class EddySpec:
    """Swirling air before the probe: standard deviation (kelvin) and how long a swirl lasts (seconds)."""

    sd_k: float = 0.1
    tau_s: float = 150.0


class Eddies:
    """First-order autoregressive noise: the air where the probe hangs is not the room's mean."""

    def __init__(self, spec: EddySpec, rng: random.Random) -> None:
        """Begin calm."""
        self._spec = spec
        self._rng = rng
        self.kelvin = 0.0

    def step(self, seconds: float) -> float:
        """Move on and return the difference to the mean, kelvin."""
        keep = math.exp(-seconds / self._spec.tau_s)
        self.kelvin = keep * self.kelvin + self._rng.gauss(0.0, self._spec.sd_k * math.sqrt(1.0 - keep * keep))
        return self.kelvin


@dataclass(frozen=True, slots=True)
class ColdRoomSpec:
    """A room with its machine and instruments.

    Attributes:
        box: masses and heat flows.
        thermostat: set temperature and band.
        defrost: schedule and heater.
        door: the doorway.
        weather: around the building.
        indoors_k: the anteroom is this much cooler than outdoors.
        eddies: swirling air.
        air_sensor: probe in the return air.
        product_sensor: probe between the goods.
        humidity_sensor: in percent.
        cop: heat moved per electric energy of the compressor.
        standby_w: control and lamps.
    """

    box: BoxSpec
    thermostat: ThermostatSpec
    defrost: DefrostSpec = field(default_factory=DefrostSpec)
    door: DoorSpec = field(default_factory=lambda: DoorSpec(1.8, 2.4))
    weather: Weather = field(default_factory=Weather)
    indoors_k: float = 3.0
    eddies: EddySpec = field(default_factory=EddySpec)
    air_sensor: SensorSpec = field(default_factory=SensorSpec)
    product_sensor: SensorSpec = field(default_factory=lambda: SensorSpec(lag_s=300.0, noise_sd=0.02))
    humidity_sensor: SensorSpec = field(
        default_factory=lambda: SensorSpec(lag_s=120.0, noise_sd=0.4, quantum=0.5, low=0.0, high=100.0)
    )
    cop: float = 2.2
    standby_w: float = 60.0


class ColdRoom(Stepped):
    """A cold room at work."""

    def __init__(
        self,
        spec: ColdRoomSpec,
        start_ms: int,
        rng: random.Random,
        *,
        traffic: Schedule | None = None,
        propped: Schedule | None = None,
    ) -> None:
        """Begin at the set temperature.

        Args:
            spec: the room.
            start_ms: Unix milliseconds.
            rng: the room's own chance.
            traffic: when people pass the door, curtain down.
            propped: when the door stands open with the curtain tied up.
        """
        super().__init__(start_ms)
        target = spec.thermostat.setpoint_c
        self._spec = spec
        self._rng = rng
        self._traffic: Schedule = traffic or Never()
        self._propped: Schedule = propped or Never()
        self._thermostat = Thermostat(spec.thermostat)
        self._eddies = Eddies(spec.eddies, rng)
        self.box = Box(spec.box, target)
        self._air = Sensor(spec.air_sensor, rng, target)
        self._product = Sensor(spec.product_sensor, rng, target)
        self._humidity = Sensor(spec.humidity_sensor, rng, self.box.humidity)
        self._defrosting = False
        self._open = False
        self._watts = spec.standby_w

    def step(self, at_ms: int, seconds: float) -> None:
        """Move on by one step ending at `at_ms`."""
        spec, box = self._spec, self.box
        defrost_s = spec.defrost.seconds_in(at_ms)
        self._defrosting = defrost_s is not None
        propped = self._propped.active(at_ms)
        self._open = propped or self._traffic.active(at_ms)
        outside = spec.weather.temperature(at_ms) - spec.indoors_k
        flow = door_flow(spec.door, box.air_c, outside, curtain_down=not propped) if self._open else 0.0
        heater = spec.defrost.heater_w if defrost_s is not None and defrost_s < spec.defrost.heat_s else 0.0
        leak = (
            0.0 if defrost_s is None else heater * spec.defrost.air_share * (1 - math.exp(-defrost_s / _COIL_WARMS_S))
        )
        running = self._thermostat.step(self._air.read(), seconds, allowed=not self._defrosting)
        share = self._capacity(box.air_c) if running else 0.0
        box.step(seconds, Inflow(outside, spec.weather.water_ratio(), flow, leak), share)
        self._air.step(box.air_c + self._eddies.step(seconds), seconds)
        self._product.step(box.product_c, seconds)
        self._humidity.step(box.humidity, seconds)
        compressor_w = share * spec.box.cooling_w / spec.cop
        self._watts = (spec.standby_w + spec.box.idle_w * 0.6 + compressor_w + heater) * self._rng.gauss(1.0, 0.008)

    def _capacity(self, air_c: float) -> float:
        above = air_c - self._spec.thermostat.setpoint_c
        return max(0.6, min(1.4, 1.0 + _CAPACITY_PER_K * above))

    def read(self) -> dict[str, float]:
        """Return what the room's instruments show."""
        return {
            "air_temperature": self._air.read(),
            "product_temperature": self._product.read(),
            "relative_humidity": self._humidity.read(),
            "door_open": float(self._open),
            "defrost": float(self._defrosting),
            "compressor": float(self._thermostat.running),
            "power": quantise(max(0.0, self._watts), 10.0),
            "setpoint": self._spec.thermostat.setpoint_c,
        }
