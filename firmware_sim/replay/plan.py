"""What playing an export will do, counted before anything is sent."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final, TextIO

from hanlu.core.clock import Clock, SystemClock
from hanlu.core.errors import ConflictError, UsageError
from hanlu.firmware_sim.replay.mapping import Mapping
from hanlu.firmware_sim.replay.reader import Invalid, Reason, Row, read

__all__ = ["Plan", "plan", "rows_of"]

_DEFAULT_PERIOD_S: Final = 60.0


@dataclass(frozen=True)
class Plan:
    """An export and its mapping, read through once.

    Every mapped cell is counted once: `cells == values + sum of invalid`.

    Attributes:
        path: the file.
        mapping: its shape.
        sha256: of its bytes, hex; the file played must be the file planned.
        now_ms: the present when it was planned: later times are invalid.
        rows: rows with anything in them.
        values: cells that will be stored.
        invalid: cells that will be declared lost, by reason.
        by_channel: the same by wire name and reason.
        beside: cells with a text in columns that are not mapped.
        first_ms: earliest time of a value, None without values.
        last_ms: latest time of a value.
        channels: (wire name, unit, usual period in seconds) of every column, for the gateway's birth.
    """

    path: Path
    mapping: Mapping
    sha256: str
    now_ms: int
    rows: int
    values: int
    invalid: Counter[Reason]
    by_channel: dict[str, Counter[Reason]]
    beside: int
    first_ms: int | None
    last_ms: int | None
    channels: tuple[tuple[str, str, float], ...]

    @property
    def cells(self) -> int:
        """Mapped cells in all rows."""
        return self.values + self.invalid.total()

    @property
    def devices(self) -> tuple[str, ...]:
        """Codes of the devices it speaks for, in the mapping's order."""
        return tuple(dict.fromkeys(column.device for column in self.mapping.columns))


def plan(
    path: Path, mapping: Mapping, *, clock: Clock | None = None, progress: Callable[[int], None] = lambda _: None
) -> Plan:
    """Read the file at `path` through and return what is in it.

    Args:
        path: the export.
        mapping: its shape.
        clock: for times that lie in the future; the system's by default.
        progress: called with the number of rows read since the last call.

    Raises:
        UsageError: the file cannot be read, or its columns are not the mapping's.
        RemoteError: the file is not CSV.
    """
    now_ms = (clock or SystemClock()).now_ms()
    invalid: Counter[Reason] = Counter()
    by_channel: dict[str, Counter[Reason]] = {column.channel: Counter() for column in mapping.columns}
    rows = values = beside = 0
    times: list[int] = []
    for row in rows_of(path, mapping, now_ms):
        rows += 1
        beside += row.beside
        before = values
        for cell in row.cells:
            if isinstance(cell, Invalid):
                invalid[cell.reason] += 1
                by_channel[cell.column.channel][cell.reason] += 1
            else:
                values += 1
        if row.observed_ms is not None and values > before:
            times.append(row.observed_ms)
        progress(1)
    period_s = _period_s(times)
    return Plan(
        path=path,
        mapping=mapping,
        sha256=_digest(path),
        now_ms=now_ms,
        rows=rows,
        values=values,
        invalid=invalid,
        by_channel=by_channel,
        beside=beside,
        first_ms=min(times, default=None),
        last_ms=max(times, default=None),
        channels=tuple((column.channel, column.unit, period_s) for column in mapping.columns),
    )


def rows_of(path: Path, mapping: Mapping, now_ms: int, *, sha256: str | None = None) -> Iterator[Row]:
    """Yield the rows of the file at `path`; a byte that is no UTF-8 spoils its cell, not the file.

    Raises:
        UsageError: the file cannot be read, or its columns are not the mapping's.
        ConflictError: `sha256` is given and the file is another one by now.
    """
    if sha256 is not None and _digest(path) != sha256:
        raise ConflictError(f"{path.name} has changed since it was planned; plan it again")
    with _opened(path) as file:
        yield from read(file, mapping, now_ms)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        file = path.open(encoding="utf-8-sig", errors="replace", newline="")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    with file:
        yield file


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def _period_s(times: list[int]) -> float:
    """Return the usual distance between rows, seconds, 1 to 86,400: outages and jitter do not move a median."""
    ordered = sorted(set(times))
    if len(ordered) < 2:
        return _DEFAULT_PERIOD_S
    steps = (later - earlier for earlier, later in pairwise(ordered))
    return max(1.0, min(86_400.0, median(steps) / 1000))
