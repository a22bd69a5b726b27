"""A proposal for the mapping of an unknown export, to be read and confirmed by a person.

The proposal rests on the header's words (Portuguese, English, Chinese) and the shape of the first rows. Whatever it is
not sure of stands in its notes; a column it does not recognise is ignored by name, never taken for something.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from hanlu.core.errors import UsageError
from hanlu.core.limits import CODE_PATTERN
from hanlu.firmware_sim.replay.mapping import Column, Kind, Mapping, Order, Place

__all__ = ["Guess", "device_code", "guess_file", "guess_mapping"]

_SAMPLE_ROWS: Final = 200
_TIME_FORMATS: Final = (
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%Y-%m-%d %H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
)
_MISSING: Final = ("", "---", "--", "-", "NaN", "nan", "null", "NULL", "N/A", "n/a", "None")
_GRAVITY: Final = 9.80665
"""m/s2 for a column in g."""


class _Meaning(NamedTuple):
    """What a header's words stand for; `words` is matched against the header in plain lower-case ASCII or Chinese."""

    words: str
    metric: str
    unit: str = ""
    kind: Kind = Kind.NUMBER
    scale: float = 1.0


_BOOLEAN: Final = Kind.BOOLEAN
_MEANINGS: Final = (
    _Meaning(r"defrost activation.*|defrost command", "defrost_command", kind=_BOOLEAN),
    _Meaning(r"defrost temperature.*", "defrost_temperature", "Cel"),
    _Meaning(r"defrost( status)?|degelo|化霜|除霜", "defrost", kind=_BOOLEAN),
    _Meaning(r"evaporator temperature.*|temp(eratura)? evap.*", "evaporator_temperature", "Cel"),
    _Meaning(r"suction temperature.*|temp(eratura)? suc.*", "suction_temperature", "Cel"),
    _Meaning(r"superheat ?(?P<n>\d*)|sh", "superheat", "K"),
    _Meaning(r"comp(ressor)? ?(?P<n>\d*)|压缩机 ?(?P<m>\d*)", "compressor", kind=_BOOLEAN),
    _Meaning(
        r"ambient temperature|temp(eratura)? ambiente|(air )?temperature|temp|库温|温度", "air_temperature", "Cel"
    ),
    _Meaning(r"(relative )?humidity|umidade|湿度", "relative_humidity", "%RH"),
    _Meaning(r"door( open)?|porta|门", "door_open", kind=_BOOLEAN),
    _Meaning(r"pressure", "pressure", "hPa"),
    _Meaning(r"rssi", "rssi", "dBm"),
    _Meaning(r"acceleration (?P<axis>[xyz])", "acceleration", "m/s2", scale=_GRAVITY),
    _Meaning(r"(battery )?voltage", "voltage", "V"),
    _Meaning(r"movement counter", "movements", "count"),
    _Meaning(r"measurement sequence number", "sequence", "count"),
)


@dataclass(frozen=True, slots=True)
class Guess:
    """A proposal.

    Attributes:
        mapping: to be confirmed.
        notes: what a person should look at, one sentence each.
    """

    mapping: Mapping
    notes: tuple[str, ...]


def device_code(text: str) -> str:
    """Return a device code made of `text`, e.g. a file's name; `device` when nothing of it can stand in a code."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    code = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")
    return code if re.fullmatch(CODE_PATTERN, code) else "device"


def guess_file(path: Path, *, device: str | None = None, time_zone: str | None = None) -> Guess:
    """Return a proposal for the file at `path`.

    Args:
        path: a CSV export with a header.
        device: code of the device its columns belong to; None makes one of the file's name.
        time_zone: of times without an offset, IANA name or `-03:00`.

    Raises:
        UsageError: there is no such file, no header, or no column of times.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            head = [line for line, _ in zip(file, range(_SAMPLE_ROWS + 1), strict=False)]
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    delimiter = _delimiter(head)
    rows = list(csv.reader(head, delimiter=delimiter))
    if len(rows) < 2:
        raise UsageError(f"{path.name} has no header and rows")
    code = device or device_code(path.stem)
    return guess_mapping(rows[0], rows[1:], delimiter=delimiter, device=code, time_zone=time_zone)


def guess_mapping(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    delimiter: str = ",",
    device: str = "device",
    time_zone: str | None = None,
) -> Guess:
    """Return a proposal from the header and the first rows.

    Raises:
        UsageError: no column holds times in a known format, or none becomes a channel.
    """
    notes: list[str] = []
    sample = [row for row in rows if len(row) == len(header)]
    cells = {index: [row[index].strip() for row in sample] for index in range(len(header))}
    time_at, time_format = _time(header, cells, notes)
    decimal = _decimal([text for index, column in cells.items() if index != time_at for text in column], delimiter)
    carries_zone = "%z" in time_format
    if carries_zone and time_zone is not None:
        notes.append("The times carry their own offset; the time zone given is not needed.")
    if not carries_zone and time_zone is None:
        notes.append("The times carry no offset: the time zone must be given.")
    columns, ignored = _columns(header, time_at, device, notes)
    mapping = Mapping(
        time=_place(header, time_at),
        time_format=time_format,
        columns=columns,
        ignored=ignored,
        delimiter=delimiter,
        decimal=decimal,
        time_zone=None if carries_zone else time_zone,
        missing=_missing(cells),
        order=_order(cells[time_at], time_format, notes),
    )
    return Guess(mapping, tuple(notes))


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that cuts most lines into the same, largest number of cells."""

    def score(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        if not widths or widths[0] < 2:
            return (0, 0)
        return (sum(width == widths[0] for width in widths), widths[0])

    return max(",;\t|", key=score)


def _time(header: Sequence[str], cells: dict[int, list[str]], notes: list[str]) -> tuple[int, str]:
    for index, column in cells.items():
        texts = [text for text in column if text]
        fitting = [fmt for fmt in _TIME_FORMATS if texts and all(_parses(text, fmt) for text in texts)]
        if fitting:
            if fitting[0].startswith("%d/%m") and any(fmt.startswith("%m/%d") for fmt in fitting):
                notes.append(f"{header[index].strip()!r} is read as day/month; the first rows fit month/day as well.")
            return index, fitting[0]
    raise UsageError("no column holds times in a format known here; write the mapping by hand")


def _parses(text: str, time_format: str) -> bool:
    try:
        datetime.strptime(text, time_format)  # noqa: DTZ007 - only the shape is asked for
    except ValueError:
        return False
    return True


def _decimal(texts: Sequence[str], delimiter: str) -> str:
    with_comma = sum(bool(re.fullmatch(r"[+-]?\d+,\d+", text)) for text in texts)
    with_point = sum(bool(re.fullmatch(r"[+-]?\d+\.\d+", text)) for text in texts)
    return "," if delimiter != "," and with_comma > with_point else "."


def _missing(cells: dict[int, list[str]]) -> tuple[str, ...]:
    seen = {text for column in cells.values() for text in column}
    return tuple(mark for mark in _MISSING if mark in {"", "---"} or mark in seen)


def _order(texts: Sequence[str], time_format: str, notes: list[str]) -> Order:
    times = [datetime.strptime(text, time_format) for text in texts if text]  # noqa: DTZ007 - compared among themselves
    falling = sum(later < earlier for earlier, later in pairwise(times))
    if falling * 2 > len(times):
        notes.append("The newest row comes first: rows are taken in any order.")
        return Order.ANY
    return Order.ASCENDING


def _columns(
    header: Sequence[str], time_at: int, device: str, notes: list[str]
) -> tuple[tuple[Column, ...], tuple[Place, ...]]:
    columns: list[Column] = []
    ignored: list[Place] = []
    taken: set[str] = set()
    for index, name in enumerate(header):
        if index == time_at:
            continue
        meaning = _meaning(name)
        if meaning is not None and meaning.metric not in taken:
            taken.add(meaning.metric)
            place = _place(header, index)
            columns.append(Column(place, device, meaning.metric, meaning.unit, meaning.kind, meaning.scale))
        elif name.strip():
            ignored.append(_place(header, index))
            notes.append(f"Column {name.strip()!r} is ignored: its meaning is not known here.")
        else:
            notes.append(f"Column {index + 1} has no name and is ignored.")
    return tuple(columns), tuple(ignored)


def _meaning(name: str) -> _Meaning | None:
    """Return the meaning of a header; units in brackets are cut off, numbers and axes become part of the metric."""
    plain = re.sub(r"\(.*?\)", "", name)
    plain = re.sub(r"[\s_]+", " ", plain).strip().lower()
    for meaning in _MEANINGS:
        match = re.fullmatch(meaning.words, plain)
        if match:
            suffix = next((part for part in match.groupdict().values() if part), "")
            return meaning._replace(metric=f"{meaning.metric}_{suffix}" if suffix else meaning.metric)
    return None


def _place(header: Sequence[str], index: int) -> Place:
    name = header[index].strip()
    repeated = sum(other.strip() == name for other in header) > 1
    return Place(name, index + 1 if repeated else None)
