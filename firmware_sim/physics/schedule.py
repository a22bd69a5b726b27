"""When things happen: doors, defrosts, trips and loads as values that answer "is it so at this instant?".

Pure functions of absolute time, so that a model restarted in the middle of the day finds the same day. Times of day
are China's (UTC+8 all year, no daylight saving).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from hanlu.firmware_sim.physics.chance import generator

__all__ = ["CHINA_OFFSET_MS", "DAY_MS", "HOUR_MS", "Daily", "Every", "Never", "Once", "Schedule", "Traffic", "any_of"]

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
CHINA_OFFSET_MS: Final = 8 * HOUR_MS
"""UTC+8, in force all year since 1992."""


class Schedule(Protocol):
    """Something that is either on or off at any instant."""

    def active(self, at_ms: int) -> bool:
        """Tell whether it is on at `at_ms` (Unix milliseconds)."""
        ...


@dataclass(frozen=True, slots=True)
class Never:
    """Always off."""

    def active(self, at_ms: int) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True, slots=True)
class Once:
    """On from `from_ms` (inclusive) to `to_ms` (exclusive)."""

    from_ms: int
    to_ms: int

    def active(self, at_ms: int) -> bool:
        """Tell whether `at_ms` lies within."""
        return self.from_ms <= at_ms < self.to_ms


@dataclass(frozen=True, slots=True)
class Every:
    """On for `for_ms`, again every `every_ms`, the first time at `first_ms` and never before it."""

    first_ms: int
    every_ms: int
    for_ms: int

    def active(self, at_ms: int) -> bool:
        """Tell whether `at_ms` lies in one of the repetitions."""
        since = at_ms - self.first_ms
        return since >= 0 and since % self.every_ms < self.for_ms


@dataclass(frozen=True, slots=True)
class Daily:
    """On every day from `from_s` (inclusive) to `to_s` (exclusive), seconds after local midnight, 0 to 86,400.

    `from_s` later than `to_s` spans midnight.
    """

    from_s: int
    to_s: int

    def active(self, at_ms: int) -> bool:
        """Tell whether the local time of day lies within."""
        now = (at_ms + CHINA_OFFSET_MS) % DAY_MS
        start, end = self.from_s * 1000, self.to_s * 1000
        return start <= now < end if start <= end else now >= start or now < end


@dataclass(frozen=True, slots=True)
class Traffic:
    """Openings of a door at seeded, irregular minutes during working hours.

    Attributes:
        name: seed; each door has its own.
        per_hour: openings in a working hour, 0 to 60.
        open_s: mean seconds open; each opening takes half to one and a half times as long.
        from_hour: first working hour, local, 0 to 23.
        to_hour: hour after the last one, 1 to 24.
    """

    name: str
    per_hour: int
    open_s: float
    from_hour: int = 6
    to_hour: int = 20

    def active(self, at_ms: int) -> bool:
        """Tell whether the door is open at `at_ms`."""
        hour = at_ms // HOUR_MS
        if not self.from_hour <= (at_ms + CHINA_OFFSET_MS) % DAY_MS // HOUR_MS < self.to_hour:
            return False
        within = at_ms - hour * HOUR_MS
        return any(start <= within < end for start, end in _openings(self.name, hour, self.per_hour, self.open_s))

    def opened(self, from_ms: int, to_ms: int) -> int:
        """Return how many openings begin after `from_ms` and not after `to_ms` (at most an hour apart)."""
        count = 0
        for hour in range(from_ms // HOUR_MS, to_ms // HOUR_MS + 1):
            if self.from_hour <= (hour * HOUR_MS + CHINA_OFFSET_MS) % DAY_MS // HOUR_MS < self.to_hour:
                starts = (start + hour * HOUR_MS for start, _ in _openings(self.name, hour, self.per_hour, self.open_s))
                count += sum(from_ms < start <= to_ms for start in starts)
        return count


@dataclass(frozen=True, slots=True)
class _AnyOf:
    members: tuple[Schedule, ...]

    def active(self, at_ms: int) -> bool:
        return any(member.active(at_ms) for member in self.members)


def any_of(schedules: Iterable[Schedule]) -> Schedule:
    """Return the schedule that is on when one of `schedules` is."""
    members = tuple(schedules)
    return _AnyOf(members) if members else Never()


@lru_cache(maxsize=512)
def _openings(name: str, hour: int, per_hour: int, open_s: float) -> tuple[tuple[int, int], ...]:
    """Return the openings of one hour as (start, end) in milliseconds within it, in order."""
    rng = generator("traffic", name, hour)
    starts = sorted(rng.randrange(0, HOUR_MS, 1000) for _ in range(per_hour))
    return tuple((start, start + int(open_s * 1000 * rng.uniform(0.5, 1.5))) for start in starts)
