"""The room's words where Python needs them: in pictures, and for codes that may be new to us."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

__all__ = ["live_words", "metric_name", "reason_name", "unit_label", "words"]

_UNITS: Final = {"Cel": "°C", "%RH": "%", "%EL": "%", "l/s": "L/s", "l": "L", "lat": "°", "lon": "°", "/": ""}
"""SenML units (RFC 8428 12.1) that are shown otherwise than they are written."""

_LIVE: Final = (
    "live.on", "live.wait", "live.off", "age.seconds", "age.minutes", "age.hours", "age.days",
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


def reason_name(reason: str, lang: str) -> str:
    """Return what a reason for loss or refusal is called; devices may give reasons of their own."""
    return _texts().get(f"alerts.reason.{reason}", {}).get(lang, reason)


def unit_label(unit: str) -> str:
    """Return a SenML unit as people write it."""
    return _UNITS.get(unit, unit)


def live_words(lang: str) -> str:
    """Return the words of the browser's script as JSON."""
    say = words(lang)
    return json.dumps({key: say(f"alerts.{key}") for key in _LIVE}, ensure_ascii=False)
