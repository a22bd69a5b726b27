"""How the figures of an excursion are written for people, on pages and on paper alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from hanlu.alerts.excursion.read import Excursion
from hanlu.alerts.excursion.store import CELSIUS
from hanlu.alerts.wording import unit_label, words

__all__ = ["Say"]

_CHINA: Final = timezone(timedelta(hours=8))
_ABSENT: Final = "—"
_DAY_MINUTES: Final = 1440.0
_MONTH_MINUTES: Final = 30 * _DAY_MINUTES


class Say:
    """The figures of excursions in one language."""

    def __init__(self, lang: str) -> None:
        """Speak `lang`, "zh" or "en"."""
        self.lang = lang
        self._words: Callable[[str], str] = words(lang)

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of `excursion.{key}` with its places filled."""
        text = self._words(f"excursion.{key}")
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def time(self, ms: float | None, *, seconds: bool = False) -> str:
        """Return an instant in China's time, 24 h."""
        if ms is None:
            return _ABSENT
        moment = datetime.fromtimestamp(ms / 1000, tz=UTC).astimezone(_CHINA)
        return moment.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")

    def value(self, value: float | None, unit: str, digits: int = 1) -> str:
        """Return a value with its SenML unit, with a true minus sign."""
        if value is None:
            return _ABSENT
        number = f"{value:,.{digits}f}".replace("-", "−")
        if set(number) <= set("−0.,"):
            number = number.removeprefix("−")
        label = unit_label(unit)
        return f"{number} {label}" if label else number

    def duration(self, minutes: float | None) -> str:
        """Return a length of time: minutes, from two hours on hours and minutes."""
        if minutes is None:
            return _ABSENT
        if minutes < 120:
            return self("duration.minutes", minutes=f"{minutes:.1f}".removesuffix(".0"))
        hours, rest = divmod(round(minutes), 60)
        return self("duration.hours", hours=f"{hours:,}", minutes=rest)

    def degree_minutes(self, one: Excursion) -> str:
        """Return how far times how long."""
        return self.value(one.degree_minutes, one.degree_unit)

    def kinetic(self, one: Excursion) -> str:
        """Return the mean kinetic temperature, to a hundredth: it is compared with limits."""
        return self.value(one.kinetic, CELSIUS, 2) if one.unit == CELSIUS else _ABSENT

    def window(self, one: Excursion, *, month: bool = False) -> str:
        """Return the mean kinetic temperature of a window, with how much of it is known."""
        if one.unit != CELSIUS:
            return _ABSENT
        if one.windows_ms is None:
            return self("pending")
        kinetic, known, whole = (
            (one.kinetic_month, one.known_month, _MONTH_MINUTES)
            if month
            else (one.kinetic_day, one.known_day, _DAY_MINUTES)
        )
        if kinetic is None:
            return _ABSENT
        share = min(1.0, (known or 0.0) / whole)
        # Not all is never called all.
        told = "100%" if share > 0.99999 else f"{min(share, 0.999):.1%}"
        return f"{self.value(kinetic, CELSIUS, 2)} ({self('known', share=told)})"

    def limit(self, one: Excursion) -> str:
        """Return the limit with its side."""
        return f"{self('limit.' + one.side)} {self.value(one.limit_value, one.unit)}"

    def hold(self, reason: str) -> str:
        """Return why an alarm called nobody; a person's own words are shown as they are."""
        try:
            return self._words(f"alerts.hold.{reason}")
        except KeyError:
            return reason

    def figure(self, one: Excursion, name: str, value: Any) -> str:
        """Return a figure of a version by its name."""
        if value is None:
            return _ABSENT
        if name.endswith("_ms"):
            return self.time(value, seconds=True)
        if name in {"minutes", "unknown_minutes"}:
            return self.duration(value)
        if name == "degree_minutes":
            return self.value(value, one.degree_unit)
        if name == "readings":
            return f"{value:,}"
        return self.value(value, one.unit, 2)

    def figure_name(self, name: str) -> str:
        """Return what a figure of a version is called."""
        return self(_NAMES[name])


_NAMES: Final = {
    "from_ms": "from", "to_ms": "to", "minutes": "minutes", "unknown_minutes": "unknown",
    "degree_minutes": "degree_minutes", "peak": "peak", "kinetic": "kinetic", "kinetic_day": "kinetic_day",
    "kinetic_month": "kinetic_month", "limit_value": "limit", "readings": "readings",
}  # fmt: skip
