"""A platform scale: empty, then crate after crate while goods are weighed in or out."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hanlu.firmware_sim.physics.schedule import Schedule
from hanlu.firmware_sim.physics.sensor import quantise
from hanlu.firmware_sim.physics.stepped import Stepped

__all__ = ["Scale", "ScaleSpec"]


@dataclass(frozen=True, slots=True)
class ScaleSpec:
    """A scale.

    Attributes:
        crate_kg: mean weight of a crate.
        crate_sd_kg: standard deviation between crates.
        crate_s: seconds a crate takes, half of them on the platform.
        quantum_kg: verification interval it shows.
        noise_sd_kg: of the load cell.
    """

    crate_kg: float = 20.0
    crate_sd_kg: float = 0.7
    crate_s: int = 40
    quantum_kg: float = 0.02
    noise_sd_kg: float = 0.008


class Scale(Stepped):
    """A scale that is used while `sessions` is on."""

    def __init__(self, spec: ScaleSpec, start_ms: int, rng: random.Random, sessions: Schedule) -> None:
        """Begin empty."""
        super().__init__(start_ms)
        self._spec = spec
        self._rng = rng
        self._sessions = sessions
        self._crate = -1
        self._kg = 0.0
        self._noise = 0.0

    def step(self, at_ms: int, seconds: float) -> None:
        """Move on by one step ending at `at_ms`."""
        spec = self._spec
        crate, within_ms = divmod(at_ms, spec.crate_s * 1000)
        on_platform = self._sessions.active(at_ms) and within_ms < spec.crate_s * 500
        if on_platform and crate != self._crate:
            self._crate = crate
            self._kg = max(0.0, self._rng.gauss(spec.crate_kg, spec.crate_sd_kg))
        elif not on_platform:
            self._kg = 0.0
        self._noise = self._rng.gauss(0.0, spec.noise_sd_kg)

    def read(self) -> dict[str, float]:
        """Return the weight shown, kilograms; zero tracking hides the noise of an empty platform."""
        return {"weight": quantise(self._kg + self._noise if self._kg else 0.0, self._spec.quantum_kg)}
