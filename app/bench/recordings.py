"""Recorded rooms as the alarm bench reads them: any export the replay understands, its dirt counted and left out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final

from hanlu.core.errors import RemoteError, UsageError
from hanlu.firmware_sim.replay.guess import guess_file
from hanlu.firmware_sim.replay.reader import Value, read

__all__ = ["AIR", "Channel", "Recording", "load"]

AIR: Final = "air_temperature"
_SWITCHES_FIRST: Final = frozenset({"defrost", "door_open", "mains", "compressor"})
"""What a row's contacts say counts for the air of the same row."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A column of the export.

    Attributes:
        number: from 1; the channel's id in the bench.
        metric: what it measures; several compressors are all `compressor`.
        unit: SenML unit.
        period_s: median time between two of its readings, seconds.
    """

    number: int
    metric: str
    unit: str
    period_s: float


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded room.

    Attributes:
        name: of the file.
        channels: one a column; air temperature is among them.
        readings: (Unix milliseconds, channel number, value) in order of time, contacts before measurements.
        invalid: cells that hold no value, by reason.
    """

    name: str
    channels: tuple[Channel, ...]
    readings: tuple[tuple[int, int, float], ...]
    invalid: dict[str, int]

    @property
    def air(self) -> Channel:
        """The channel whose limits are judged."""
        return next(each for each in self.channels if each.metric == AIR)


def load(path: Path, time_zone: str, now_ms: int) -> Recording:
    """Read an export.

    Args:
        path: CSV with a header, of one room.
        time_zone: of times without an offset, IANA name or `-03:00`.
        now_ms: the present, Unix milliseconds; later times are no observations.

    Raises:
        UsageError: there is no such file, it is no such export, or holds no air temperature; the message says what to
            do.
    """
    try:
        mapping = guess_file(path, time_zone=time_zone).mapping
        if mapping.carries_zone is False and mapping.time_zone is None:
            raise UsageError("its times carry no offset; give --time-zone")
        places = {column: number for number, column in enumerate(mapping.columns, start=1)}
        metrics = {number: re.sub(r"_\d+$", "", column.metric) for column, number in places.items()}
        if AIR not in metrics.values():
            found = ", ".join(column.place.header for column in mapping.columns) or "none that is known"
            raise UsageError(f"it has no column of air temperature (columns understood: {found})")
        invalid: Counter[str] = Counter()
        readings: list[tuple[int, int, float]] = []
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
            for row in read(lines, mapping, now_ms):
                for cell in row.cells:
                    if isinstance(cell, Value) and row.observed_ms is not None:
                        readings.append((row.observed_ms, places[cell.column], cell.value))
                    elif not isinstance(cell, Value):
                        invalid[cell.reason.value] += 1
    except UsageError as error:
        text = str(error)
        raise UsageError(text if path.name in text else f"{path.name}: {text}") from error
    except (RemoteError, OSError) as error:
        raise UsageError(f"{path.name} cannot be read: {error}") from error
    readings.sort(key=lambda each: (each[0], metrics[each[1]] not in _SWITCHES_FIRST))
    times: dict[int, list[int]] = {}
    for at_ms, number, _ in readings:
        times.setdefault(number, []).append(at_ms)
    channels = tuple(
        Channel(number, metrics[number], column.unit, _period_s(times.get(number, [])))
        for column, number in places.items()
    )
    recording = Recording(path.name, channels, tuple(readings), dict(sorted(invalid.items())))
    if len(times.get(recording.air.number, [])) < 2:
        raise UsageError(f"{path.name}: not two readings of air temperature could be used ({_told(invalid)})")
    return recording


def _period_s(times: list[int]) -> float:
    steps = [(later - earlier) / 1000 for earlier, later in pairwise(times) if later > earlier]
    return median(steps) if steps else 0.0


def _told(invalid: Counter[str]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in invalid.items()) or "the file has no rows"
