"""The room's words where Python needs them: in pictures, and for codes that may be new to us."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from hanlu.alerts.kind import Kind

__all__ = [
    "SWITCHES",
    "VALUELESS",
    "hold_name",
    "live_words",
    "metric_name",
    "reason_name",
    "span_text",
    "switch_text",
    "time_left",
    "unit_label",
    "words",
]

SWITCHES: Final = ("door_open", "defrost", "compressor", "mains")
"""Metrics that say on or off, in the order they are drawn; as a number they mean nothing to people."""
VALUELESS: Final = frozenset({Kind.NO_DATA, Kind.GAP, Kind.DOOR, Kind.CALIBRATION, Kind.EXPIRY})
"""Kinds whose value says nothing that their name and age do not."""
_ON: Final = 0.5
"""A switch's value from which it is on."""


_UNITS: Final = {"Cel": "°C", "%RH": "%", "%EL": "%", "l/s": "L/s", "l": "L", "lat": "°", "lon": "°", "/": ""}
"""SenML units (RFC 8428 12.1) that are shown otherwise than they are written."""

_LIVE: Final = (
    "live.on", "live.wait", "live.off", "age.seconds", "age.minutes", "age.hours", "age.days", "span.minutes",
    "span.hours", "span.days", "left.left", "left.over",
)  # fmt: skip
"""What the browser's script says by itself."""


@cache
def _texts() -> dict[str, dict[str, str]]:
    room = Path(str(files("hanlu.alerts")))
    texts: dict[str, dict[str, str]] = {}
    for path in sorted(room.rglob("i18n.json")):
        texts |= json.loads(path.read_text(encoding="utf-8"))
    return texts


def words(lang: str) -> Callable[[str], str]:
    """Return the function that gives the text of a key in `lang`; an unknown key raises KeyError."""
    return lambda key: _texts()[key][lang]


def metric_name(metric: str, lang: str) -> str:
    """Return what a metric is called; one we have no word for keeps its own, its underscores read as blanks."""
    return _texts().get(f"alerts.metric.{metric}", {}).get(lang) or metric.replace("_", " ")


def switch_text(metric: str, value: float, lang: str) -> str:
    """Return a switch and how it stands: `门开`, `Mains lost`; "" for a metric that is none."""
    if metric not in SWITCHES:
        return ""
    state = words(lang)(f"alerts.switch.{metric}.{'on' if value >= _ON else 'off'}")
    return f"{metric_name(metric, lang)}{'' if lang == 'zh' else ' '}{state}"


def reason_name(reason: str, lang: str) -> str:
    """Return what a reason for loss or refusal is called; devices may give reasons of their own."""
    return _texts().get(f"alerts.reason.{reason}", {}).get(lang, reason)


def hold_name(reason: str, lang: str) -> str:
    """Return why an alarm is kept quiet: the plant's logic, a reason people choose, or what somebody wrote."""
    texts = _texts()
    for group in ("hold", "shelve.reason"):
        if found := texts.get(f"alerts.{group}.{reason}"):
            return found[lang]
    return reason


def span_text(ms: int, lang: str) -> str:
    """Return a length of time as people say it, by its two greatest parts at most: `2 小时 5 分钟`, `3 天`."""
    say = words(lang)
    minutes = max(0, ms) // 60_000
    if minutes < 60:
        return say("alerts.span.minutes").format(minutes)
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        rest = f" {say('alerts.span.minutes').format(minutes)}" if minutes and hours < 12 else ""
        return say("alerts.span.hours").format(hours) + rest
    return say("alerts.span.days").format(hours // 24)


def time_left(respond_ms: int, now_ms: int, lang: str) -> str:
    """Return how long a person has until `respond_ms`, or since when that is past."""
    say = words(lang)
    key = "alerts.left.left" if respond_ms > now_ms else "alerts.left.over"
    return say(key).format(span_text(abs(respond_ms - now_ms), lang))


def unit_label(unit: str) -> str:
    """Return a SenML unit as people write it."""
    return _UNITS.get(unit, unit)


def live_words(lang: str) -> str:
    """Return the words of the browser's script as JSON."""
    say = words(lang)
    return json.dumps({key: say(f"alerts.{key}") for key in _LIVE}, ensure_ascii=False)
