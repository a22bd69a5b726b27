"""What time it is, when a gateway cannot be sure; pure but for `GatewayClock`, which looks at the machine's clocks.

Four clocks: the device's, the gateway's wall clock, its monotonic clock, and the platform's, heard in receipts. The
monotonic clock is right about durations and nothing else; the wall clock may be unset, wrong, or set at any moment; the
platform's is believed.

A receipt tells the platform's time at commit and reaches us later, never earlier: the largest difference to the
monotonic clock within some minutes is the one least delayed, and is taken. Only receipts for what this connection sent
count: a broker may hand out one that waited there for days.

The wall clock is used as long as it is after 2024 and after any moment the platform has confirmed, and no more than a
minute off the platform's. Otherwise the time is the platform's, carried on by the monotonic clock, across restarts of
the process within one run of the machine. Where neither is known there is no time, and what needs one waits.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from hanlu.core.clock import Clock, SystemClock
from hanlu.core.observe import log
from hanlu.gateway.item import KnownTime

__all__ = ["EARLIEST_MS", "ClockReport", "ClockWatch", "GatewayClock", "MachineClock", "Source", "boot_identity"]

_logger = logging.getLogger(__name__)

EARLIEST_MS: Final = 1_704_067_200_000
"""2024-01-01T00:00:00Z: older than this software; a clock before it was never set."""
_TOLERATED_MS: Final = 60_000
"""Difference to the platform up to which the gateway's own wall clock is used."""
_STEP_MS: Final = 1_000
"""A change of the wall clock against the monotonic one, between two looks, that is a step and no slewing."""
_BUCKET_S: Final = 300.0
"""The least delayed receipt of this and the previous stretch of so many seconds is believed."""
_DRIFT_AFTER_S: Final = 3_600.0
"""Seconds between two estimates from which a drift can be told: 50 ms of delay are 14 ppm of an hour."""


_SINCE_BOOT: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Source(Enum):
    """Where the time comes from."""

    WALL = "wall"
    PLATFORM = "platform"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ClockReport:
    """The clocks at one moment.

    Attributes:
        source: where the time comes from.
        offset_ms: the platform's clock minus the gateway's wall clock; None while it is not known.
        drift_ppm: how much too slow the gateway's clock runs; None before an hour of receipts.
        steps: times the wall clock was set since the start.
    """

    source: str
    offset_ms: int | None
    drift_ppm: float | None
    steps: int


class ClockWatch:
    """Judges the clocks; knows no clock itself: wall milliseconds and monotonic seconds are arguments."""

    def __init__(self, wall_ms: int, mono_s: float, boot: str, known: KnownTime | None = None) -> None:
        """Start.

        Args:
            wall_ms: the wall clock now.
            mono_s: the monotonic clock now.
            boot: identity of this run of the machine.
            known: when the platform's time was last known, by an earlier process.
        """
        self._boot = boot
        self._floor_ms = max(EARLIEST_MS, known.ms if known else 0)
        self._ahead: list[tuple[float, float]] = []  # (monotonic s, platform ms minus monotonic ms), of two buckets
        self._anchor: tuple[float, float] | None = None
        self._seen = (wall_ms, mono_s)
        self.drift_ppm: float | None = None
        self.steps = 0
        self.source = Source.NONE
        if known is not None and known.boot == boot:
            self._ahead.append((mono_s, known.ms - known.at_ms))
        self._choose(wall_ms, mono_s)

    @property
    def floor_ms(self) -> int:
        """Return the earliest time it can be: 2024, or what the platform confirmed last."""
        return self._floor_ms

    def now_ms(self, wall_ms: int, mono_s: float) -> int:
        """Return the time; without one, the wall clock's word, which is below `floor_ms` or not to be believed.

        A wall clock that was set a moment ago is not believed until the next look.
        """
        self._choose(wall_ms, mono_s)
        if self.source is Source.PLATFORM:
            return round(self._base() + mono_s * 1000)
        return wall_ms

    def offset_ms(self, wall_ms: int, mono_s: float) -> int | None:
        """Return the platform's clock minus the wall clock; None while it is not known."""
        return round(self._base() + mono_s * 1000 - wall_ms) if self._ahead else None

    def look(self, wall_ms: int, mono_s: float) -> int:
        """Compare the clocks with the last look, to be called every second or so; return the step in ms, 0 for none."""
        wall_before, mono_before = self._seen
        self._seen = (wall_ms, mono_s)
        step = round(wall_ms - wall_before - (mono_s - mono_before) * 1000)
        if abs(step) < _STEP_MS:
            step = 0
        else:
            self.steps += 1
        self._choose(wall_ms, mono_s)
        return step

    def heard(self, platform_ms: int, wall_ms: int, mono_s: float) -> KnownTime:
        """Take in the platform's time from a receipt for something this connection sent; return what is known now."""
        ahead = platform_ms - mono_s * 1000
        recent = [(at, value) for at, value in self._ahead if mono_s - at < 2 * _BUCKET_S]
        current = [value for at, value in recent if mono_s - at < _BUCKET_S]
        if not current or ahead > max(current):
            recent.append((mono_s, ahead))
        self._ahead = recent[-8:] or [(mono_s, ahead)]
        best = self._base()
        self._floor_ms = max(EARLIEST_MS, round(best + mono_s * 1000))
        if self._anchor is None:
            self._anchor = (mono_s, best)
        elif mono_s - self._anchor[0] >= _DRIFT_AFTER_S:
            self.drift_ppm = round((best - self._anchor[1]) / (mono_s - self._anchor[0]) * 1000, 1)
            self._anchor = (mono_s, best)
        self._choose(wall_ms, mono_s)
        return KnownTime(round(best + mono_s * 1000), round(mono_s * 1000), self._boot)

    def _base(self) -> float:
        """Return platform minus monotonic, ms, by the least delayed receipt."""
        return max(value for _, value in self._ahead)

    def _choose(self, wall_ms: int, mono_s: float) -> None:
        offset = self.offset_ms(wall_ms, mono_s)
        if offset is not None:
            tolerable = abs(offset) <= _TOLERATED_MS and wall_ms >= EARLIEST_MS
            self.source = Source.WALL if tolerable else Source.PLATFORM
        else:
            self.source = Source.WALL if wall_ms >= self._floor_ms - _TOLERATED_MS else Source.NONE


class MachineClock(SystemClock):
    """The machine's clocks, where durations include the time it slept."""

    def monotonic(self) -> float:
        """Return seconds since the machine was started (`CLOCK_BOOTTIME` where there is one)."""
        return time.clock_gettime(_SINCE_BOOT)


class GatewayClock:
    """The clock everything in a gateway asks: the best time there is. Any thread may ask."""

    def __init__(self, machine: Clock, boot: str, known: KnownTime | None = None) -> None:
        """Watch `machine` in the run `boot` of it, `known` being the last confirmed time on record."""
        self._machine, self.boot = machine, boot
        self._lock = threading.Lock()
        self._watch = ClockWatch(machine.now_ms(), machine.monotonic(), boot, known)
        if self._watch.source is not Source.WALL:
            words = f"the machine's clock says {machine.now_ms()} ms: time comes from {self._watch.source.value}"
            log(_logger, logging.WARNING, "gateway.clock.unset", words)

    @property
    def is_known(self) -> bool:
        """Whether there is any time to stamp with."""
        return self._watch.source is not Source.NONE

    @property
    def floor_ms(self) -> int:
        """Return the earliest time it can be."""
        return self._watch.floor_ms

    def now_ms(self) -> int:
        """Return the time, Unix milliseconds; while `is_known` is False, the machine's wrong one."""
        with self._lock:
            return self._watch.now_ms(self._machine.now_ms(), self._machine.monotonic())

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return self._machine.monotonic()

    def look(self) -> None:
        """Look for a step of the machine's clock; called about once a second."""
        with self._lock:
            before = self._watch.source
            step = self._watch.look(self._machine.now_ms(), self._machine.monotonic())
            after = self._watch.source
        if step:
            words = f"the machine's clock was set by {step / 1000:+.1f} s: time comes from {after.value}"
            log(_logger, logging.WARNING, "gateway.clock.stepped", words)
        elif before is not after:
            self._say_source(after)

    def heard(self, platform_ms: int) -> KnownTime:
        """Take in the platform's time (see `ClockWatch.heard`)."""
        with self._lock:
            before = self._watch.source
            known = self._watch.heard(platform_ms, self._machine.now_ms(), self._machine.monotonic())
            after = self._watch.source
        if before is not after:
            self._say_source(after)
        return known

    def report(self) -> ClockReport:
        """Return the clocks now."""
        with self._lock:
            watch = self._watch
            offset = watch.offset_ms(self._machine.now_ms(), self._machine.monotonic())
            return ClockReport(watch.source.value, offset, watch.drift_ppm, watch.steps)

    def _say_source(self, source: Source) -> None:
        log(_logger, logging.WARNING, "gateway.clock.source", f"time comes from {source.value} now")


def boot_identity() -> str:
    """Return what tells this run of the machine from others; a new one every time where the system has none."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return str(uuid.uuid4())
