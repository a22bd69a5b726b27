"""Time as a parameter: services ask a `Clock`, tests hold a `ManualClock`.

Instants are integers, milliseconds since the Unix epoch in UTC; durations on the monotonic clock are float seconds.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock", "from_ms", "to_ms"]


class Clock(Protocol):
    """Where the time comes from."""

    def now_ms(self) -> int:
        """Return wall time, milliseconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps back; only differences mean anything."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        """Return the machine's wall time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return the machine's monotonic time in seconds."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to, and never backwards unless stepped on purpose."""

    def __init__(self, start_ms: int = 1_750_000_000_000) -> None:
        """Start at `start_ms` (Unix milliseconds, default 2025-06-15T15:06:40Z)."""
        self._ms = start_ms
        self._monotonic = 0.0

    def now_ms(self) -> int:
        """Return the wall time last set."""
        return self._ms

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` (>= 0) pass on both clocks."""
        if seconds < 0:
            raise ValueError("time does not go back; use step() to set the wall clock")
        self._ms += round(seconds * 1000)
        self._monotonic += seconds

    def step(self, ms: int) -> None:
        """Set the wall clock to `ms`, as an operator or NTP would; monotonic time stays."""
        self._ms = ms


def to_ms(moment: datetime) -> int:
    """Return Unix milliseconds of an aware datetime, rounding half up; a naive one raises ValueError."""
    if moment.tzinfo is None:
        raise ValueError("a naive datetime has no instant: give it a time zone")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + (delta.microseconds + 500) // 1000


def from_ms(ms: int) -> datetime:
    """Return the aware UTC datetime of Unix milliseconds."""
    return datetime.fromtimestamp(ms // 1000, tz=UTC).replace(microsecond=ms % 1000 * 1000)
