"""What is taken in while the spool fills up; pure.

Theory of operation. Every channel has a priority. As the spool fills, stages follow one another: channels of low
priority are thinned, then stopped, then those of normal priority are thinned, and when the spool is full no reading is
taken any more; a reserve beyond that is for events, births and declared losses. A stage is left only when the spool has
emptied a margin below where it was entered, so that it does not flicker.

    fill    0.80      0.90      0.95          1.00       1.10
    low     thinned   stopped   stopped       stopped    stopped
    normal  kept      kept      thinned       stopped    stopped
    high    kept      kept      kept          stopped    stopped
    events  kept      kept      kept          kept       refused

Thinned means by time, not by number: the first reading of a channel in each ten minutes is kept, the interval a
refrigerated transport's record must not exceed. Whatever is not taken is counted by reason and channel with the range
it covers, and declared.
Source: GB 29753-2013 (recording interval of refrigerated transport, at most 10 min).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from fnmatch import fnmatchcase
from typing import Final

from hanlu.core.reading import Reading
from hanlu.gateway.item import Drop

__all__ = [
    "DECIMATED",
    "DISK_FULL",
    "SPOOL_FULL",
    "Admission",
    "Priorities",
    "Priority",
    "Stage",
    "gathered",
    "stage_after",
]

DECIMATED: Final = "decimated"
SPOOL_FULL: Final = "spool_full"
DISK_FULL: Final = "disk_full"
"""Reasons of declared losses."""

_THIN_MS: Final = 600_000
"""One reading of a thinned channel in so many milliseconds."""
_MARGIN: Final = 0.05
"""Share of the spool that must be free below a stage's entry before it is left."""
_MAX_NAMES: Final = 20_000
"""Channel names remembered at once; beyond that all are forgotten, which costs time and a reading in ten minutes."""


class Priority(StrEnum):
    """How much a channel matters when there is no room for all."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


_LOW_BY_DEFAULT: Final = ("gateway/*", "*/battery", "*/battery_*", "*/rssi", "*/snr")
"""How gateways and radios are; temperatures, doors and all the rest are normal."""


class Stage(IntEnum):
    """How far the spool has filled."""

    OPEN = 0
    THIN_LOW = 1
    STOP_LOW = 2
    THIN_NORMAL = 3
    FULL = 4
    SHUT = 5


_ENTRY: Final = {
    Stage.THIN_LOW: 0.80,
    Stage.STOP_LOW: 0.90,
    Stage.THIN_NORMAL: 0.95,
    Stage.FULL: 1.00,
    Stage.SHUT: 1.10,
}


class _Rule(IntEnum):
    KEEP = 0
    THIN = 1
    STOP = 2


_RULES: Final[Mapping[Stage, Mapping[Priority, _Rule]]] = {
    Stage.THIN_LOW: {Priority.HIGH: _Rule.KEEP, Priority.NORMAL: _Rule.KEEP, Priority.LOW: _Rule.THIN},
    Stage.STOP_LOW: {Priority.HIGH: _Rule.KEEP, Priority.NORMAL: _Rule.KEEP, Priority.LOW: _Rule.STOP},
    Stage.THIN_NORMAL: {Priority.HIGH: _Rule.KEEP, Priority.NORMAL: _Rule.THIN, Priority.LOW: _Rule.STOP},
    Stage.FULL: dict.fromkeys(Priority, _Rule.STOP),
    Stage.SHUT: dict.fromkeys(Priority, _Rule.STOP),
}


def stage_after(stage: Stage, fill: float) -> Stage:
    """Return the stage that follows `stage` at `fill` (pending bytes over capacity, from 0)."""
    entered = max((each for each, entry in _ENTRY.items() if fill >= entry), default=Stage.OPEN)
    if entered >= stage:
        return entered
    while stage > entered and fill < _ENTRY[stage] - _MARGIN:
        stage = Stage(stage - 1)
    return stage


@dataclass(frozen=True, slots=True)
class Priorities:
    """Priorities by patterns of channel names (`*` and `?` as in file names).

    Attributes:
        high: patterns asked first.
        normal: asked next.
        low: asked last, before the defaults.
    """

    high: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()
    low: tuple[str, ...] = ()

    def of(self, name: str) -> Priority:
        """Return the priority of a channel."""
        for priority, patterns in (
            (Priority.HIGH, self.high),
            (Priority.NORMAL, self.normal),
            (Priority.LOW, (*self.low, *_LOW_BY_DEFAULT)),
        ):
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                return priority
        return Priority.NORMAL


class Admission:
    """Decides which readings are taken; remembers when each thinned channel last had one kept."""

    def __init__(self, priorities: Priorities) -> None:
        """Start with nothing kept: the first reading of every thinned channel is."""
        self._priorities = priorities
        self._known: dict[str, Priority] = {}
        self._slots: dict[str, int] = {}
        self._fresh: dict[str, int] = {}  # of the transaction under way

    def settle(self) -> None:
        """Note that what was admitted since the last call is on the disk."""
        if len(self._slots) + len(self._fresh) > _MAX_NAMES:
            self._slots.clear()
        self._slots |= self._fresh
        self._fresh.clear()

    def forget(self) -> None:
        """Note that it is not: it will be offered again."""
        self._fresh.clear()

    def admit(self, readings: Sequence[Reading], stage: Stage, why_full: str) -> tuple[tuple[Reading, ...], list[Drop]]:
        """Return the readings to keep, in their order, and what is dropped of the others.

        Args:
            readings: offered.
            stage: of the spool.
            why_full: reason of what is stopped, `spool_full` or `disk_full`.
        """
        if stage is Stage.OPEN:
            return tuple(readings), []
        rules = _RULES[stage]
        kept: list[Reading] = []
        drops: list[Drop] = []
        for reading in readings:
            rule = rules[self._priority(reading.name)]
            if rule is _Rule.KEEP or (rule is _Rule.THIN and self._is_first(reading)):
                kept.append(reading)
            else:
                reason = DECIMATED if rule is _Rule.THIN else why_full
                drops.append(Drop(reason, reading.name, 1, reading.observed_ms, reading.observed_ms))
        return tuple(kept), drops

    def _priority(self, name: str) -> Priority:
        priority = self._known.get(name)
        if priority is None:
            if len(self._known) >= _MAX_NAMES:
                self._known.clear()
            priority = self._known[name] = self._priorities.of(name)
        return priority

    def _is_first(self, reading: Reading) -> bool:
        slot = reading.observed_ms // _THIN_MS
        if self._fresh.get(reading.name, self._slots.get(reading.name)) == slot:
            return False
        self._fresh[reading.name] = slot
        return True


def gathered(drops: Iterable[Drop]) -> dict[tuple[str, str], Drop]:
    """Return one drop for each reason and channel."""
    found: dict[tuple[str, str], Drop] = {}
    for drop in drops:
        key = (drop.reason, drop.channel)
        found[key] = found[key] + drop if key in found else drop
    return found
