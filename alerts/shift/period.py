"""The periods the alarm load is told for: China days, up to now. Pure."""

from __future__ import annotations

from typing import Final

from hanlu.alerts.shift.kpi import HOUR_MS, Period

__all__ = ["BUCKET_MS", "PERIODS", "period_until"]

DAY_MS: Final = 24 * HOUR_MS
_CHINA_MS: Final = 8 * HOUR_MS  # UTC+8 without daylight saving since 1991

PERIODS: Final = {"today": 1, "7d": 7, "30d": 30}
"""Names of periods and their length in China days, today included."""

BUCKET_MS: Final = {"today": HOUR_MS, "7d": 4 * HOUR_MS, "30d": DAY_MS}
"""What one bar of the chart stands for, by the name of the period."""


def period_until(name: str, now_ms: int) -> Period:
    """Return the period of that name: from a China midnight until now, at least a second of it.

    Raises:
        KeyError: there is no such period.
    """
    midnight = (now_ms + _CHINA_MS) // DAY_MS * DAY_MS - _CHINA_MS
    return Period(midnight - (PERIODS[name] - 1) * DAY_MS, max(now_ms, midnight + 1000))
