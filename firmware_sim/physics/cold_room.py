"""A cold room: two thermal masses, a compressor, a defrost schedule, a door, weather, and the probes that see it.

What goes wrong with its machine (`Ailments`) happens in the room: a dead compressor, a coil that ices up, no mains. The
instruments show the consequences and nothing else.

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
from hanlu.firmware_sim.physics.chance import generator
from hanlu.firmware_sim.physics.schedule import DAY_MS, Never, Schedule
from hanlu.firmware_sim.physics.sensor import Sensor, SensorSpec, quantise
from hanlu.firmware_sim.physics.stepped import Stepped

__all__ = ["HEALTHY", "Ailments", "ColdRoom", "ColdRoomSpec", "DefrostSpec", "Eddies", "EddySpec", "Frost"]

_COIL_WARMS_S: Final = 150.0
"""Until the heater has melted its way to the air: time constant of the heat that leaks into the room."""
_CAPACITY_PER_K: Final = 0.015
"""A coil takes 1.5 % more for every kelvin the air is above its set temperature."""
_LIFT_K: Final = 9.0
"""Air above evaporating temperature with a clean coil; -28 to -31 were measured under air at -20."""
_ICED_LIFT_K: Final = 25.0
"""A coil that lets no heat through any more would stand so much lower; -69 was measured at worst."""
_COIL_S: Final = 120.0
"""Time constant of the coil's temperature, running and resting."""
_HEATED_C: Final = 10.0
"""At which the thermostat of a defrost's heater ends it."""
_HEATED_S: Final = 900.0
_LEAST_SHARE: Final = 0.3
"""Air finds its way around the worst block of ice."""


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
class Frost:
    """Ice that grows on the coil and that defrosts no longer clear: a broken heater, a blocked drain, a wet door.

    Attributes:
        from_ms: when it begins to stay, Unix milliseconds.
        days: until the coil takes half of what it did, > 0.
        to_ms: somebody has thawed it by hand.
    """

    from_ms: int
    days: float
    to_ms: int = 2**62

    def share(self, at_ms: int) -> float:
        """Return the share of its capacity that the coil still has, 0.3 to 1."""
        if not self.from_ms <= at_ms < self.to_ms:
            return 1.0
        return max(_LEAST_SHARE, 1.0 - 0.5 * (at_ms - self.from_ms) / (self.days * DAY_MS))


@dataclass(frozen=True, slots=True)
class Ailments:
    """What is wrong with a room's machine, and when.

    Attributes:
        compressor: when it does not start although the thermostat asks for it.
        mains: when they are gone; the controller goes on by its battery.
        frost: ice on the coil.
    """

    compressor: Schedule = field(default_factory=Never)
    mains: Schedule = field(default_factory=Never)
    frost: tuple[Frost, ...] = ()

    def coil(self, at_ms: int) -> float:
        """Return the share of its capacity that the coil still has."""
        return min((each.share(at_ms) for each in self.frost), default=1.0)


HEALTHY: Final = Ailments()


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
        coil_sensor: of the evaporating temperature.
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
    coil_sensor: SensorSpec = field(default_factory=lambda: SensorSpec(lag_s=20.0, noise_sd=0.15))
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
        ailments: Ailments = HEALTHY,
    ) -> None:
        """Begin at the set temperature.

        Args:
            spec: the room.
            start_ms: Unix milliseconds.
            rng: the room's own chance.
            traffic: when people pass the door, curtain down.
            propped: when the door stands open with the curtain tied up.
            ailments: what is wrong with the machine.
        """
        super().__init__(start_ms)
        target = spec.thermostat.setpoint_c
        self._spec = spec
        self._rng = rng
        self._traffic: Schedule = traffic or Never()
        self._propped: Schedule = propped or Never()
        self._ailments = ailments
        self._thermostat = Thermostat(spec.thermostat)
        self._eddies = Eddies(spec.eddies, rng)
        self.box = Box(spec.box, target)
        self._air = Sensor(spec.air_sensor, rng, target)
        self._product = Sensor(spec.product_sensor, rng, target)
        self._humidity = Sensor(spec.humidity_sensor, rng, self.box.humidity)
        # Chance of its own, so that the other instruments show what they showed before there was this one.
        self._coil = Sensor(spec.coil_sensor, generator("coil", start_ms, target), target)
        self._coil_c = target
        self._mains = True
        self._defrosting = False
        self._open = False
        self._watts = spec.standby_w

    def step(self, at_ms: int, seconds: float) -> None:
        """Move on by one step ending at `at_ms`."""
        spec, box = self._spec, self.box
        self._mains = not self._ailments.mains.active(at_ms)
        defrost_s = spec.defrost.seconds_in(at_ms) if self._mains else None
        self._defrosting = defrost_s is not None
        propped = self._propped.active(at_ms)
        self._open = propped or self._traffic.active(at_ms)
        outside = spec.weather.temperature(at_ms) - spec.indoors_k
        flow = door_flow(spec.door, box.air_c, outside, curtain_down=not propped) if self._open else 0.0
        heater = spec.defrost.heater_w if defrost_s is not None and defrost_s < spec.defrost.heat_s else 0.0
        leak = (
            0.0 if defrost_s is None else heater * spec.defrost.air_share * (1 - math.exp(-defrost_s / _COIL_WARMS_S))
        )
        able = self._mains and not self._defrosting and not self._ailments.compressor.active(at_ms)
        running = self._thermostat.step(self._air.read(), seconds, allowed=able)
        coil = self._ailments.coil(at_ms)
        share = coil * self._capacity(box.air_c) if running else 0.0
        box.step(seconds, Inflow(outside, spec.weather.water_ratio(), flow, leak), share)
        self._air.step(box.air_c + self._eddies.step(seconds), seconds)
        self._product.step(box.product_c, seconds)
        self._humidity.step(box.humidity, seconds)
        self._move_coil(seconds, coil, running=running, heated=heater > 0)
        compressor_w = share * spec.box.cooling_w / spec.cop
        watts = spec.standby_w + spec.box.idle_w * 0.6 + compressor_w + heater if self._mains else 0.0
        self._watts = watts * self._rng.gauss(1.0, 0.008)

    def _move_coil(self, seconds: float, share: float, *, running: bool, heated: bool) -> None:
        """Move the evaporating temperature: below the air while it takes heat, the more so the less gets through."""
        if running:
            toward, tau = self.box.air_c - _LIFT_K - _ICED_LIFT_K * (1.0 - share), _COIL_S
        elif heated:
            toward, tau = max(_HEATED_C, self.box.air_c), _HEATED_S
        else:
            toward, tau = self.box.air_c, _COIL_S
        self._coil_c += (toward - self._coil_c) * (1.0 - math.exp(-seconds / tau))
        self._coil.step(self._coil_c, seconds)

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
            "evaporator_temperature": self._coil.read(),
            "mains": float(self._mains),
            "setpoint": self._spec.thermostat.setpoint_c,
        }
