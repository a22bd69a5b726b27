"""What people read: translations of all rooms, and numbers, times and units as an operator in China writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final, Literal

from hanlu.core.errors import FatalError

__all__ = ["LANGUAGES", "Wording", "fmt_age", "fmt_time", "fmt_value", "preferred_language"]

LANGUAGES: Final = ("zh", "en")
"""Chinese first: the users' language, and what is shown when nothing else is asked for."""

ABSENT: Final = "—"
"""Shown where there is no value; never a zero, never an empty place."""

TimeStyle = Literal["minute", "second", "date", "clock"]

_CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")  # one zone, no summer time since 1991
_PATTERNS: Final[dict[TimeStyle, str]] = {
    "minute": "%Y-%m-%d %H:%M",
    "second": "%Y-%m-%d %H:%M:%S",
    "date": "%Y-%m-%d",
    "clock": "%H:%M",
}
_UNITS: Final[dict[str, tuple[str, int]]] = {
    # SenML unit (RFC 8428 12.1) -> what is shown, decimals
    "Cel": ("°C", 1),
    "%RH": ("%", 0),
    "%EL": ("%", 0),
    "kg": ("kg", 1),
    "W": ("W", 0),
    "m/s": ("m/s", 1),
    "l/s": ("L/s", 2),
    "l": ("L", 1),
    "lat": ("°", 5),
    "lon": ("°", 5),
    "/": ("", 2),
}
_AGES: Final = (
    # below this many seconds, divided by, zh, en
    (90, 1, "{} 秒前", "{} s ago"),
    (90 * 60, 60, "{} 分钟前", "{} min ago"),
    (36 * 3600, 3600, "{} 小时前", "{} h ago"),
    (float("inf"), 86400, "{} 天前", "{} d ago"),
)


class Wording:
    """The texts of all rooms in both languages."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Join the `i18n.json` files: `{"room.key": {"zh": "…", "en": "…"}}`; absent files are rooms without pages.

        Raises:
            FatalError: a key stands in two files or lacks a language.
        """
        self._texts: dict[str, Mapping[str, str]] = {}
        for path in files:
            if not path.is_file():
                continue
            for key, texts in json.loads(path.read_text(encoding="utf-8")).items():
                if key in self._texts:
                    raise FatalError(f"{path}: the text {key} stands in another room as well")
                if any(not texts.get(language) for language in LANGUAGES):
                    raise FatalError(f"{path}: the text {key} is not there in both zh and en")
                self._texts[key] = texts

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a text for `key`."""
        return key in self._texts

    def text(self, language: str, key: str, **values: object) -> str:
        """Return the text of `key`, with `{name}` places filled from `values`.

        Raises:
            FatalError: there is no such text.
        """
        texts = self._texts.get(key)
        if texts is None:
            raise FatalError(f"no text {key!r} in any i18n.json")
        return texts[language].format(**values) if values else texts[language]


def preferred_language(accept_language: str) -> str:
    """Return "zh" or "en", whichever an Accept-Language header ranks first, else zh (RFC 9110 12.5.4)."""
    best, best_weight = LANGUAGES[0], 0.0
    for each in accept_language.lower().split(","):
        tag, _, parameter = each.strip().partition(";")
        language = tag.strip().split("-", 1)[0]
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            continue
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best


def fmt_time(ms: int | datetime | None, style: TimeStyle = "minute") -> str:
    """Write an instant in China's time, 24 h: `2026-11-20 14:03`.

    Args:
        ms: Unix milliseconds UTC, or an aware datetime as the database gives it; None is shown as a dash.
        style: "minute", "second" (with seconds), "date", or "clock" (hours and minutes only).
    """
    if ms is None:
        return ABSENT
    moment = ms if isinstance(ms, datetime) else datetime.fromtimestamp(ms / 1000, tz=UTC)
    return moment.astimezone(_CHINA).strftime(_PATTERNS[style])


def fmt_value(value: float | None, unit: str = "", decimals: int | None = None) -> str:
    """Write a measured value with its unit: `−18.2 °C`, `85 %`; a true minus sign, None as a dash.

    Args:
        value: the number.
        unit: SenML unit; one not in the table is shown as it is.
        decimals: digits after the point; None takes the unit's usual.
    """
    if value is None:
        return ABSENT
    label, usual = _UNITS.get(unit, (unit, 1))
    number = f"{value:,.{usual if decimals is None else decimals}f}".replace("-", "−")
    if set(number) <= set("−0."):
        number = number.removeprefix("−")
    return f"{number}\u202f{label}" if label else number


def fmt_age(ms: int | datetime | None, now_ms: int, language: str) -> str:
    """Write how long ago `ms` (Unix milliseconds or aware datetime) was, seen from `now_ms`: `3 分钟前`."""
    if ms is None:
        return ABSENT
    then_ms = round(ms.timestamp() * 1000) if isinstance(ms, datetime) else ms
    seconds = max(0, (now_ms - then_ms) // 1000)
    for below, divisor, zh, en in _AGES:
        if seconds < below:
            return (zh if language == "zh" else en).format(seconds // divisor)
    raise AssertionError("the last age has no upper end")
