"""Which days are worked in China: official holidays and make-up working days, and what a person says otherwise.

The official table is the package `chinesecalendar`'s, made by hand from each year's notice of the State Council; it
ends with the last year announced. Beyond it a day is judged by its weekday, and `Workdays.known` tells so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

import chinese_calendar  # type: ignore[import-untyped]

__all__ = ["CHINA", "Day", "Workdays"]

CHINA: Final = ZoneInfo("Asia/Shanghai")
"""All shifts, quiet hours and holidays are in China time; it has had no summer time since 1991."""

_SATURDAY: Final = 6


@dataclass(frozen=True, slots=True)
class Day:
    """How a day is judged.

    Attributes:
        work: whether it is worked.
        name: of the holiday, "" where there is none.
        source: `override` (a person said so), `official`, or `weekday` (the official table does not reach it).
    """

    work: bool
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Workdays:
    """The calendar with a person's overrides.

    Attributes:
        overrides: day -> (worked, name), stronger than everything.
    """

    overrides: Mapping[date, tuple[bool, str]] = field(default_factory=dict)

    def day(self, day: date) -> Day:
        """Return how `day` (China's date) is judged."""
        if day in self.overrides:
            work, name = self.overrides[day]
            return Day(work, name, "override")
        try:
            free, name = chinese_calendar.get_holiday_detail(day)
        except NotImplementedError:
            return Day(day.isoweekday() < _SATURDAY, "", "weekday")
        return Day(not free, name or "", "official")

    @staticmethod
    def known(year: int) -> bool:
        """Tell whether the official table has a year."""
        try:
            chinese_calendar.is_workday(date(year, 1, 1))
        except NotImplementedError:
            return False
        return True
