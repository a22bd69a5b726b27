"""How good the data of each gateway is: uptime, lateness, gaps, clock, store, batteries, radio. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

__all__ = ["GatewayQuality", "Window"]

CLOCK_ERROR_S: Final = 2.0
"""A gateway's clock further off than this is told: readings once a minute would be sorted into wrong minutes soon."""

SPOOL_NEARLY_FULL: Final = 0.8
"""From this part of its store in use a gateway begins to thin out what matters least."""

BATTERY_LOW: Final = 20.0
"""Per cent of charge."""

RADIO_WEAK: Final = -115.0
"""dBm; LoRa receivers lose packets from about here on, Wi-Fi long before."""

_STEPS: Final = ("late_1s", "late_5s", "late_30s", "late_5min")
_MINUTE_MS: Final = 60_000
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """The day and the week the page speaks of: whole hours before, and what has passed of this one.

    Attributes:
        day_from: first hour of the day.
        week_from: first hour of the week.
        now_ms: the end of both, Unix milliseconds UTC.
    """

    day_from: datetime
    week_from: datetime
    now_ms: int

    @classmethod
    def before(cls, now: datetime) -> Window:
        """Return the window that ends `now` (with time zone)."""
        hour = now.replace(minute=0, second=0, microsecond=0)
        return cls(hour - _DAY, hour - 7 * _DAY, round(now.timestamp() * 1000))


@dataclass(frozen=True, slots=True)
class GatewayQuality:
    """One gateway's row of `console_quality`; counts are those of the last day.

    `throttled_ms` is when last in that day it sent more than it may, and was left to send it again.
    """

    code: str
    site: str
    site_zh: str
    site_en: str
    online: bool | None
    replay: bool
    day_heard: int
    week_heard: int
    first_ms: int | None
    messages: int
    backlog_messages: int
    stored: int
    duplicate: int
    lost: int
    dead: int
    live_messages: int
    late_1s: int
    late_5s: int
    late_30s: int
    late_5min: int
    late_most_s: float | None
    gap_messages: int
    gap_since_ms: int | None
    throttled_ms: int | None
    clock_offset_s: float | None
    spool_used: float | None
    battery: float | None
    battery_device: str | None
    rssi: float | None
    rssi_device: str | None

    def site_name(self, lang: str) -> str:
        """Return the site's name."""
        return self.site_zh if lang == "zh" else self.site_en

    def uptime_day(self, window: Window) -> float | None:
        """Return the part of the day's minutes in which it was heard, 0 to 1; None before its first word."""
        return self._uptime(self.day_heard, window.day_from, window.now_ms)

    def uptime_week(self, window: Window) -> float | None:
        """Return the part of the week's minutes in which it was heard, 0 to 1; None before its first word."""
        return self._uptime(self.week_heard, window.week_from, window.now_ms)

    @property
    def lateness(self) -> str | None:
        """Return within which step 95 of 100 live messages came, `late_more` when none holds so many; None: no message.

        A step is the name of a count: late_1s, late_5s, late_30s, late_5min.
        """
        if self.live_messages == 0:
            return None
        return next((step for step in _STEPS if getattr(self, step) >= 0.95 * self.live_messages), "late_more")

    @property
    def duplicates(self) -> float:
        """Return the part of the readings that came more than once, 0 to 1."""
        counted = self.stored + self.duplicate
        return self.duplicate / counted if counted else 0.0

    @property
    def troubles(self) -> tuple[str, ...]:
        """Return what deserves a look, by name: gap, lost, dead, throttled, clock, spool, battery, radio."""
        found = {
            "gap": self.gap_messages > 0,
            "lost": self.lost > 0,
            "dead": self.dead > 0,
            "throttled": self.throttled_ms is not None,
            "clock": self.clock_offset_s is not None and abs(self.clock_offset_s) > CLOCK_ERROR_S,
            "spool": self.spool_used is not None and self.spool_used >= SPOOL_NEARLY_FULL,
            "battery": self.battery is not None and self.battery < BATTERY_LOW,
            "radio": self.rssi is not None and self.rssi < RADIO_WEAK,
        }
        return tuple(name for name, is_so in found.items() if is_so)

    def _uptime(self, heard: int, since: datetime, now_ms: int) -> float | None:
        if self.first_ms is None:
            return None
        first = max(self.first_ms, round(since.timestamp() * 1000)) // _MINUTE_MS
        # The minute under way is not over, and the one before may not be added up yet.
        expected = max(now_ms // _MINUTE_MS - first - 1, 1)
        return min(heard / expected, 1.0)
