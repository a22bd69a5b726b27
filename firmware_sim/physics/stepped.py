"""What all models share: time that advances by fixed steps on an absolute grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

__all__ = ["STEP_MS", "Stepped"]

STEP_MS: Final = 5_000
"""Length of a step, milliseconds. The fastest time constant modelled is a cabinet's air, about 60 s."""


class Stepped(ABC):
    """A model with state that moves only by whole steps.

    `advance` may be called often or seldom: the state after it is that of the last grid instant not after the given
    time, and is the same whichever calls led there.
    """

    def __init__(self, start_ms: int) -> None:
        """Begin at the grid instant at or before `start_ms` (Unix milliseconds)."""
        self._at_ms = start_ms - start_ms % STEP_MS

    @property
    def at_ms(self) -> int:
        """The grid instant the state belongs to."""
        return self._at_ms

    def advance(self, to_ms: int) -> None:
        """Step until the next step would pass `to_ms`; a time in the past changes nothing."""
        while self._at_ms + STEP_MS <= to_ms:
            self._at_ms += STEP_MS
            self.step(self._at_ms, STEP_MS / 1000)

    @abstractmethod
    def step(self, at_ms: int, seconds: float) -> None:
        """Move the state by one step of `seconds` that ends at `at_ms`."""

    @abstractmethod
    def read(self) -> dict[str, float]:
        """Return metric -> value as the instruments show it now; booleans are 1.0 and 0.0."""
