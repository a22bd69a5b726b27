"""How fast a lane may go: a token bucket; pure, time is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Rate"]


@dataclass(slots=True)
class Rate:
    """Allows `per_second` messages on average and one second's worth (at least one) at once.

    Attributes:
        per_second: messages a second, above 0.
    """

    per_second: float
    _level: float = field(init=False)
    _at: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        """Start full: the first messages after a start or a reconnection never wait."""
        self._level = self._capacity

    @property
    def _capacity(self) -> float:
        return max(self.per_second, 1.0)

    def available(self, now: float) -> int:
        """Return how many messages may go at monotonic time `now` (seconds)."""
        if now > self._at:
            elapsed = min(now - self._at, 3_600.0)
            self._level = min(self._capacity, self._level + elapsed * self.per_second)
            self._at = now
        return int(self._level + 1e-9)

    def take(self, count: int) -> None:
        """Account for `count` messages sent."""
        self._level -= count

    def wait_s(self) -> float:
        """Return the seconds from the last `available` until one more message may go; 0 when it may already."""
        return max(0.0, (1.0 - self._level) / self.per_second)
