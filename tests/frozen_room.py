"""The real frozen room: three weeks of a supermarket's freezer, one reading a minute, with its known excursions."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta, timezone

from fix_shared import shared_dir

from hanlu.core.clock import to_ms

LOCAL = timezone(timedelta(hours=-3))
"""The export is in local time without an offset."""
MINUTE = 60_000


def local_ms(text: str) -> int:
    """Return Unix milliseconds of a local time written `2025-06-18 06:40`."""
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=LOCAL))


def frozen_room() -> list[tuple[int, float]]:
    """Return (observed_ms, air temperature in °C) of the whole file, in its order."""
    with shared_dir("real_data", "frozen_rooms", "cam_congelados_1min.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [(_moment(row["Data"]), float(row["Ambient Temperature (°C)"])) for row in rows]


def known_excursions() -> list[tuple[int, int, float]]:
    """Return (first, last, peak) of the excursions above -15 °C of half an hour and more, computed by others."""
    with shared_dir("real_data", "frozen_rooms", "excursions_above_-15C.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        return [
            (local_ms(row["start"]), local_ms(row["end"]), float(row["peak_C"]))
            for row in csv.DictReader(file)
            if row["set"] == "cam_congelados_1min"
        ]


def _moment(text: str) -> int:
    return to_ms(datetime.strptime(" ".join(text.split()), "%d/%m/%Y %H:%M:%S").replace(tzinfo=LOCAL))
