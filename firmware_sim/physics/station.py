"""Plain thermometers with a hygrometer: a field station under the sky, or an air-conditioned hall."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hanlu.firmware_sim.physics.air import Weather, relative_humidity
from hanlu.firmware_sim.physics.cold_room import Eddies, EddySpec
from hanlu.firmware_sim.physics.sensor import Sensor, SensorSpec
from hanlu.firmware_sim.physics.stepped import Stepped

__all__ = ["Station", "StationSpec"]


@dataclass(frozen=True, slots=True)
class StationSpec:
    """A place with a temperature of its own: `weather`, and how the air there swirls."""

    weather: Weather = field(default_factory=Weather)
    eddies: EddySpec = field(default_factory=lambda: EddySpec(sd_k=0.4, tau_s=600.0))
    air_sensor: SensorSpec = field(default_factory=lambda: SensorSpec(lag_s=60.0))
    humidity_sensor: SensorSpec = field(
        default_factory=lambda: SensorSpec(lag_s=60.0, noise_sd=0.4, quantum=0.5, low=0.0, high=100.0)
    )


class Station(Stepped):
    """The instruments at such a place."""

    def __init__(self, spec: StationSpec, start_ms: int, rng: random.Random) -> None:
        """Begin settled in the weather of `start_ms`."""
        super().__init__(start_ms)
        self._spec = spec
        self._eddies = Eddies(spec.eddies, rng)
        air_c = spec.weather.temperature(start_ms)
        self._air = Sensor(spec.air_sensor, rng, air_c)
        self._humidity = Sensor(spec.humidity_sensor, rng, relative_humidity(spec.weather.water_ratio(), air_c))

    def step(self, at_ms: int, seconds: float) -> None:
        """Move on by one step ending at `at_ms`."""
        air_c = self._spec.weather.temperature(at_ms) + self._eddies.step(seconds)
        self._air.step(air_c, seconds)
        self._humidity.step(relative_humidity(self._spec.weather.water_ratio(), air_c), seconds)

    def read(self) -> dict[str, float]:
        """Return temperature and relative humidity."""
        return {"air_temperature": self._air.read(), "relative_humidity": self._humidity.read()}
