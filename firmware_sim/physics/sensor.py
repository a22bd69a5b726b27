"""What an instrument makes of the truth: lag, noise, bias, range and the steps of its display.

Typical figures: lag 1 to 5 min of a probe in still air, steps of 0.1, 0.5 or 1 degree (supervisors' exports), noise of
a few hundredths of a degree, bias up to 0.5 degrees (digital probe data sheets).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

__all__ = ["Sensor", "SensorSpec", "quantise"]


@dataclass(frozen=True, slots=True)
class SensorSpec:
    """An instrument.

    Attributes:
        lag_s: time constant of its first-order response, seconds; 0 follows at once.
        noise_sd: standard deviation of its own white noise, in the unit measured.
        quantum: smallest difference it shows; 0 shows everything.
        bias: what it reads too much.
        low: least it can show.
        high: most it can show.
    """

    lag_s: float = 90.0
    noise_sd: float = 0.03
    quantum: float = 0.1
    bias: float = 0.0
    low: float = -55.0
    high: float = 125.0


def quantise(value: float, quantum: float) -> float:
    """Return `value` rounded half up to a multiple of `quantum`, free of binary dust; 0 returns it as it is."""
    if quantum <= 0:
        return value
    return round(math.floor(value / quantum + 0.5) * quantum, 9)


class Sensor:
    """An instrument at work; noise is drawn once a step, never by reading."""

    def __init__(self, spec: SensorSpec, rng: random.Random, true: float) -> None:
        """Begin settled at `true`."""
        self._spec = spec
        self._rng = rng
        self._settled = true
        self._noise = 0.0

    def step(self, true: float, seconds: float) -> None:
        """Let the instrument feel `true` for `seconds`."""
        lag = self._spec.lag_s
        self._settled += (true - self._settled) * (1.0 - math.exp(-seconds / lag) if lag > 0 else 1.0)
        self._noise = self._rng.gauss(0.0, self._spec.noise_sd)

    def read(self) -> float:
        """Return what the display shows."""
        spec = self._spec
        shown = self._settled + self._noise + spec.bias
        return quantise(max(spec.low, min(spec.high, shown)), spec.quantum)
