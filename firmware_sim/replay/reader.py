"""Rows of an export to values and invalid cells; pure, one row at a time.

Every mapped cell of every row becomes exactly one of two things: a `Value`, or an `Invalid` that says why. Nothing is
guessed: a comma where a point was agreed, a text, a value no instrument can show, a time that cannot be: all are
counted under their reason.

Which reason, when several apply: what is wrong with the whole row (its shape, its time) before what is wrong with the
cell; what is wrong with the cell before what is wrong with its place. A second row of the same time is not wrong in
itself: its cell is `duplicate_timestamp` only where the channel already has a value at that time, equal or not, because
a channel has one value at one time. Where the first row had none, the second row's value counts.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import Final, NamedTuple

from hanlu.core.clock import to_ms
from hanlu.core.errors import RemoteError, UsageError
from hanlu.core.limits import EARLIEST_OBSERVED_MS, MAX_FUTURE_MS
from hanlu.firmware_sim.replay.mapping import Column, Kind, Mapping, Order, zone_of

__all__ = ["Invalid", "Reason", "Row", "Value", "read"]

_NUMBERS: Final = {mark: re.compile(rf"[+-]?\d+(?:{re.escape(mark)}\d+)?(?:[eE][+-]?\d+)?", re.ASCII) for mark in ".,"}
_TEXT_KEPT: Final = 40
"""Characters of an invalid cell that are quoted."""


class Reason(StrEnum):
    """Why a cell holds no value; the names travel in declared losses."""

    NO_VALUE = "no_value"
    NOT_A_NUMBER = "not_a_number"
    OUT_OF_PHYSICAL_RANGE = "out_of_physical_range"
    BAD_TIMESTAMP = "bad_timestamp"
    DUPLICATE_TIMESTAMP = "duplicate_timestamp"
    CLOCK_BACKWARDS = "clock_backwards"
    RAGGED_ROW = "ragged_row"
    """More or fewer cells than the header: nobody knows which is which."""


class Value(NamedTuple):
    """A cell that can be stored: of `column`, in its unit."""

    column: Column
    value: float


class Invalid(NamedTuple):
    """A cell that cannot: of `column`, why, and its text (cut short)."""

    column: Column
    reason: Reason
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        number: in the file, the header being 1.
        observed_ms: its time, Unix milliseconds UTC; None where it has none.
        cells: one a mapped column, in the mapping's order.
        beside: cells with a text in columns that are not mapped.
    """

    number: int
    observed_ms: int | None
    cells: tuple[Value | Invalid, ...]
    beside: int = 0


def read(lines: Iterable[str], mapping: Mapping, now_ms: int) -> Iterator[Row]:
    """Yield the rows of an export; blank rows have no cells and are left out.

    Args:
        lines: of the file, header first.
        mapping: its shape.
        now_ms: the present, Unix milliseconds: later times cannot have been observed.

    Raises:
        UsageError: the file has no header, or its columns are not the mapping's.
        RemoteError: the file is not CSV at all.
    """
    rows = csv.reader(lines, delimiter=mapping.delimiter)
    try:
        header = next(rows, None)
        if header is None:
            raise UsageError("the file is empty")
        reading = _Reading(mapping, header, now_ms)
        for number, cells in enumerate(rows, start=2):
            if any(cell.strip() for cell in cells):
                yield reading.row(number, cells)
    except csv.Error as error:
        raise RemoteError(f"row {rows.line_num} is not CSV: {error}") from error


class _Reading:
    """What has to be remembered from row to row."""

    def __init__(self, mapping: Mapping, header: Sequence[str], now_ms: int) -> None:
        if not mapping.carries_zone and mapping.time_zone is None:
            raise UsageError("the file's times carry no offset: say which time zone they are in")
        self._mapping = mapping
        self._width = len(header)
        self._columns = [(column, column.place.find(header), column.limits()) for column in mapping.columns]
        self._time_at = mapping.time.find(header)
        self._zone = zone_of(mapping.time_zone) if mapping.time_zone is not None else None
        self._latest_ms = now_ms + MAX_FUTURE_MS
        self._newest_ms: int | None = None
        self._valued: dict[int, set[int]] = {}
        used = {self._time_at, *(index for _, index, _ in self._columns)}
        self._beside = [index for index in range(self._width) if index not in used]
        _all_named(mapping, header, used)

    def row(self, number: int, cells: Sequence[str]) -> Row:
        if len(cells) != self._width:
            return self._refused(number, None, cells, Reason.RAGGED_ROW)
        observed_ms = self._instant(cells[self._time_at].strip())
        if observed_ms is None:
            return self._refused(number, None, cells, Reason.BAD_TIMESTAMP)
        if self._mapping.order is Order.ASCENDING:
            if self._newest_ms is not None and observed_ms < self._newest_ms:
                return self._refused(number, observed_ms, cells, Reason.CLOCK_BACKWARDS)
            if observed_ms != self._newest_ms:
                self._valued.clear()  # only rows of the same time can follow
        self._newest_ms = observed_ms
        valued = self._valued.setdefault(observed_ms, set())
        out: list[Value | Invalid] = []
        for column, index, limits in self._columns:
            text = cells[index].strip()
            cell = self._cell(column, text, limits)
            if isinstance(cell, Value):
                if index in valued:
                    cell = Invalid(column, Reason.DUPLICATE_TIMESTAMP, text[:_TEXT_KEPT])
                else:
                    valued.add(index)
            out.append(cell)
        return Row(number, observed_ms, tuple(out), sum(bool(cells[index].strip()) for index in self._beside))

    def _refused(self, number: int, observed_ms: int | None, cells: Sequence[str], reason: Reason) -> Row:
        def text(index: int) -> str:
            return cells[index].strip()[:_TEXT_KEPT] if index < len(cells) else ""

        return Row(
            number, observed_ms, tuple(Invalid(column, reason, text(index)) for column, index, _ in self._columns)
        )

    def _cell(self, column: Column, text: str, limits: tuple[float, float]) -> Value | Invalid:
        mapping = self._mapping
        if text in mapping.missing:
            return Invalid(column, Reason.NO_VALUE, text)
        if column.kind is Kind.BOOLEAN:
            if text in mapping.true:
                return Value(column, 1.0)
            if text in mapping.false:
                return Value(column, 0.0)
            return Invalid(column, Reason.NOT_A_NUMBER, text[:_TEXT_KEPT])
        if not _NUMBERS[mapping.decimal].fullmatch(text):
            return Invalid(column, Reason.NOT_A_NUMBER, text[:_TEXT_KEPT])
        value = float(text.replace(",", "."))
        if column.scale != 1.0:
            value = round(value * column.scale, 9) if math.isfinite(value) else value
        low, high = limits
        if not (math.isfinite(value) and low <= value <= high):
            return Invalid(column, Reason.OUT_OF_PHYSICAL_RANGE, text[:_TEXT_KEPT])
        return Value(column, value)

    def _instant(self, text: str) -> int | None:
        """Return the time in `text`, or None where it is none or cannot be true."""
        moment = _parse(text, self._mapping.time_format)
        if isinstance(moment, datetime):
            if moment.tzinfo is None and self._zone is not None:
                moment = self._local(moment, self._zone)
            moment = to_ms(moment) if moment is not None and moment.tzinfo is not None else None
        if moment is None or not EARLIEST_OBSERVED_MS <= moment <= self._latest_ms:
            return None
        return moment

    def _local(self, naive: datetime, zone: tzinfo) -> datetime | None:
        """Return the instant a wall clock shows: None where it skips it, the one not yet passed where it repeats it."""
        first = naive.replace(tzinfo=zone)
        if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
            return None
        second = first.replace(fold=1)
        if second.utcoffset() != first.utcoffset() and self._newest_ms is not None:
            # The hour runs twice when summer time ends: after a row of the second pass, or a step back into it.
            return second if to_ms(first) < self._newest_ms else first
        return first


def _parse(text: str, time_format: str) -> datetime | int | None:
    try:
        if time_format == "unix":
            return math.floor(float(text) * 1000 + 0.5)
        if time_format == "unix_ms":
            return int(text)
        return datetime.strptime(text, time_format)  # noqa: DTZ007 - a naive time gets the mapping's zone
    except (ValueError, OverflowError):
        return None


def _all_named(mapping: Mapping, header: Sequence[str], mapped: set[int]) -> None:
    """Refuse a file with a named column that is neither mapped nor ignored."""
    ignored = {place.find(header) for place in mapping.ignored}
    unseen = [name.strip() for index, name in enumerate(header) if name.strip() and index not in mapped | ignored]
    if unseen:
        raise UsageError(f"columns neither mapped nor ignored: {', '.join(unseen)}")
