"""Rows of a logger's export to readings and lost cells; pure, one row at a time.

Every cell of a mapped column becomes exactly one of two: a reading, or a loss under its reason. Nothing is guessed: a
comma where a point was agreed, a text, a time the clock on the wall never showed.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Final, NamedTuple

from hanlu.core.clock import to_ms
from hanlu.core.errors import RemoteError, UsageError
from hanlu.core.limits import EARLIEST_OBSERVED_MS, MAX_FUTURE_MS
from hanlu.core.reading import Quality, Reading
from hanlu.gateway.driver.csv_shape import CsvColumn, CsvShape, column_of, unit_of, zone_of
from hanlu.gateway.driver.mapping import code_of
from hanlu.gateway.driver.units import Conversion

__all__ = ["LostCell", "Row", "RowReader", "header_in"]

_NUMBERS: Final = {mark: re.compile(rf"[+-]?\d+(?:{re.escape(mark)}\d+)?(?:[eE][+-]?\d+)?", re.ASCII) for mark in ".,"}
_HEADER_WITHIN: Final = 100
"""Rows of a file among which its header is looked for."""
_DELIMITERS: Final = (",", ";", "\t", "|")
_QUOTED: Final = 40
"""Characters of a cell that are quoted in a loss."""


class LostCell(NamedTuple):
    """A cell without a value: `reason` is what the platform is told; `channel` and `at_ms` where they are known."""

    reason: str
    channel: str | None
    at_ms: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """What one row gives."""

    readings: tuple[Reading, ...] = ()
    lost: tuple[LostCell, ...] = ()


@dataclass(frozen=True, slots=True)
class _Header:
    """Where things are: the header row's number (from 0), its cells, the delimiter it was found with."""

    at: int
    cells: tuple[str, ...]
    delimiter: str
    above: tuple[tuple[str, ...], ...]


def header_in(lines: Sequence[str], shape: CsvShape) -> _Header:
    """Return the first row that has every column the configuration names, among the first lines of a file.

    Raises:
        RemoteError: there is none; the message says which names are missing from the row that comes closest.
    """
    best: tuple[int, tuple[str, ...]] = (-1, ())
    closest = ""
    for delimiter in _DELIMITERS if shape.delimiter == "auto" else (shape.delimiter,):
        rows = _rows(lines[:_HEADER_WITHIN], delimiter)
        for at, cells in enumerate(rows):
            missing = _missing(cells, shape)
            if not missing:
                return _Header(at, cells, delimiter, tuple(rows[:at]))
            found = len(_wanted(shape)) - len(missing)
            if (found, cells) > best and found > best[0]:
                best, closest = (found, cells), ", ".join(repr(name) for name in missing)
    raise RemoteError(
        f"no row has every column; missing once each: {closest or 'all'}; the closest row is {best[1][:20]!r}"
    )


@dataclass(slots=True)
class RowReader:
    """Reads the rows below the header; remembers the time of the row before.

    Attributes:
        shape: of the export.
        header: as found.
        device_id: of the file, None where a column says it for every row.
        now_ms: later times (beyond the usual allowance) cannot have been observed, Unix milliseconds.

    Raises:
        RemoteError: the unit in a header is unknown.
    """

    shape: CsvShape
    header: _Header
    device_id: str | None
    now_ms: int
    _places: list[tuple[CsvColumn, int, Conversion]] = field(default_factory=list)
    _times: list[int] = field(default_factory=list)
    _device_at: int | None = None
    _zone: tzinfo | None = None
    _before_ms: int | None = None

    def __post_init__(self) -> None:
        """Find every column."""
        cells, shape = self.header.cells, self.shape
        for column in shape.columns:
            at = column_of(cells, column.source, unit_follows=column.unit_in_header)
            assert at is not None, "header_in has found it"
            try:
                self._places.append((column, at, unit_of(cells[at], column)))
            except UsageError as error:
                raise RemoteError(f"column {cells[at]!r}: {error}") from error
        self._times = [at for name in shape.time.columns if (at := column_of(cells, name)) is not None]
        if shape.device is not None and shape.device.column is not None:
            self._device_at = column_of(cells, shape.device.column)
        if shape.time.zone is not None:
            self._zone = zone_of(shape.time.zone)

    def read(self, number: int, cells: Sequence[str]) -> Row:
        """Return what row `number` of the file (from 1) gives; nothing for rows that are no records."""
        if not any(cell.strip() for cell in cells):
            return Row()
        if self.shape.no_record is not None and re.search(self.shape.no_record, cells[0].strip()):
            return Row()
        if self._is_ragged(cells):
            return self._all_lost(number, "ragged_row", self.device_id, None, f"{len(cells)} cells")
        device_id = self.device_id if self._device_at is None else cells[self._device_at].strip()
        if not self._is_device(device_id):
            return self._all_lost(number, "no_device", None, None, device_id or "")
        text = " ".join(cells[at].strip() for at in self._times)
        observed = self._instant(text)
        if observed is None:
            return self._all_lost(number, "impossible_time", device_id, None, text)
        observed_ms, quality = observed
        self._before_ms = observed_ms
        readings: list[Reading] = []
        lost: list[LostCell] = []
        for column, at, convert in self._places:
            found = self._number(column, cells[at].strip())
            name = column.channel(device_id or "")
            if isinstance(found, str):
                lost.append(LostCell(found, name, observed_ms, f"row {number}: {cells[at].strip()[:_QUOTED]!r}"))
            else:
                value = convert(found if _is_plain(column) else found * column.scale + column.offset)
                if math.isfinite(value):
                    readings.append(Reading(name, convert.unit, observed_ms, value, quality))
                else:
                    lost.append(
                        LostCell("not_finite", name, observed_ms, f"row {number}: {cells[at].strip()[:_QUOTED]!r}")
                    )
        return Row(tuple(readings), tuple(lost))

    def _is_ragged(self, cells: Sequence[str]) -> bool:
        width = len(self.header.cells)
        needed = max(*(at for _, at, _ in self._places), *self._times, self._device_at or 0)
        return len(cells) <= needed or any(cell.strip() for cell in cells[width:])

    def _is_device(self, device_id: str | None) -> bool:
        if all(column.device != "{device}" for column, _, _ in self._places):
            return True
        try:
            code_of(device_id or "")
        except ValueError:
            return False
        return True

    def _all_lost(self, number: int, reason: str, device_id: str | None, at_ms: int | None, text: str) -> Row:
        detail = f"row {number}: {text[:_QUOTED]!r}"

        def name(column: CsvColumn) -> str | None:
            return None if column.device == "{device}" and device_id is None else column.channel(device_id or "")

        return Row(lost=tuple(LostCell(reason, name(column), at_ms, detail) for column, _, _ in self._places))

    def _number(self, column: CsvColumn, text: str) -> float | str:
        """Return the number in a cell, or the reason why there is none."""
        shape = self.shape
        if text in shape.missing:
            return "no_value"
        if column.unit == "bool":
            if text in shape.true:
                return 1.0
            return 0.0 if text in shape.false else "not_a_number"
        plain = text.replace("\u2212", "-")  # the typographic minus sign
        if not _NUMBERS[shape.decimal].fullmatch(plain):
            return "not_a_number"
        return float(plain.replace(",", "."))

    def _instant(self, text: str) -> tuple[int, Quality] | None:
        """Return the time in `text` and how sure it is, or None where it is none or cannot be true."""
        moment = _parsed(text, self.shape.time.format)
        quality = Quality.GOOD
        if isinstance(moment, datetime) and moment.tzinfo is None:
            if self._zone is None:
                raise RemoteError(f"times such as {text!r} carry no offset: add `zone` to [drivers.time]")
            moment, quality = self._local(moment, self._zone)
        ms = to_ms(moment) if isinstance(moment, datetime) else moment
        if ms is None or not EARLIEST_OBSERVED_MS <= ms <= self.now_ms + MAX_FUTURE_MS:
            return None
        return ms, quality

    def _local(self, naive: datetime, zone: tzinfo) -> tuple[datetime | None, Quality]:
        """Return the instant a clock on the wall shows.

        An hour that summer time skips was never shown. One that runs twice is told apart by the row before: the pass
        that does not step back. Where there is no row before, it is the first pass, and uncertain.
        """
        first, second = naive.replace(tzinfo=zone), naive.replace(tzinfo=zone, fold=1)
        if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
            return None, Quality.GOOD
        if first.utcoffset() == second.utcoffset():
            return first, Quality.GOOD
        if self._before_ms is None:
            return first, Quality.UNCERTAIN
        if self.shape.descending:
            return (second if to_ms(second) <= self._before_ms else first), Quality.GOOD
        return (first if to_ms(first) >= self._before_ms else second), Quality.GOOD


def _is_plain(column: CsvColumn) -> bool:
    return column.scale == 1.0 and column.offset == 0.0


def _parsed(text: str, time_format: str) -> datetime | int | None:
    try:
        if time_format == "unix":
            return math.floor(float(text) * 1000 + 0.5)
        if time_format == "unix_ms":
            return int(text)
        if time_format == "iso":
            return datetime.fromisoformat(text)
        return datetime.strptime(text, time_format)  # noqa: DTZ007 - a naive time gets the configured zone
    except (ValueError, OverflowError):
        return None


def _rows(lines: Sequence[str], delimiter: str) -> list[tuple[str, ...]]:
    rows: Iterator[list[str]] = csv.reader(lines, delimiter=delimiter)
    found: list[tuple[str, ...]] = []
    try:
        found.extend(tuple(row) for row in rows)
    except csv.Error:
        return found
    return found


def _wanted(shape: CsvShape) -> list[tuple[str, bool]]:
    wanted = [(name, False) for name in shape.time.columns]
    wanted += [(column.source, column.unit_in_header) for column in shape.columns]
    if shape.device is not None and shape.device.column is not None:
        wanted.append((shape.device.column, False))
    return wanted


def _missing(cells: Sequence[str], shape: CsvShape) -> list[str]:
    return [name for name, unit in _wanted(shape) if column_of(cells, name, unit_follows=unit) is None]
