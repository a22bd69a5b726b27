"""How the columns of an export become channels: data, kept as TOML beside the file.

    delimiter = ";"
    decimal = ","
    missing = ["", "---"]
    order = "ascending"

    [time]
    column = "Data"
    format = "%Y-%m-%d %H:%M:%S.%f"
    zone = "-03:00"            # or an IANA name; left out where the format has %z

    [[column]]
    column = "Temp ambiente"
    device = "room-1"
    metric = "air_temperature"
    unit = "Cel"

    [[ignore]]
    column = "State"

Every column of the file is either mapped or ignored by name, so that a new one cannot slip by unseen.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta, timezone, tzinfo
from enum import StrEnum
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hanlu.core.errors import UsageError
from hanlu.core.limits import CODE_PATTERN, PHYSICAL_RANGE

__all__ = ["Column", "Kind", "Mapping", "Order", "Place", "from_toml", "to_toml", "zone_of"]

_E = TypeVar("_E", bound=StrEnum)
_METRIC: Final = r"[a-z][a-z0-9_]{0,59}"
_UNIX: Final = frozenset({"unix", "unix_ms"})
"""Time formats that are numbers: seconds or milliseconds since 1970 UTC."""


class Kind(StrEnum):
    """What a cell holds."""

    NUMBER = "number"
    BOOLEAN = "boolean"


class Order(StrEnum):
    """What the file promises about its times."""

    ASCENDING = "ascending"
    """A time before an earlier row's is a clock that went back: its cells are invalid."""
    ANY = "any"
    """Rows come in any order."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which column of the file: its header without outer blanks, and its position (from 1) where headers repeat."""

    header: str
    position: int | None = None

    def find(self, headers: Sequence[str]) -> int:
        """Return the index (from 0) in `headers`.

        Raises:
            UsageError: there is no such column, or several and no position.
        """
        if self.position is not None:
            index = self.position - 1
            if index < len(headers) and headers[index].strip() == self.header:
                return index
            raise UsageError(f"column {self.position} of the file is not {self.header!r}")
        found = [index for index, header in enumerate(headers) if header.strip() == self.header]
        if len(found) != 1:
            raise UsageError(f"{len(found)} columns are called {self.header!r}; give `position` for the right one")
        return found[0]


@dataclass(frozen=True, slots=True)
class Column:
    """A column that becomes a channel.

    Attributes:
        place: which column.
        device: code of the device.
        metric: name of the channel in the device.
        unit: SenML unit, "" for booleans.
        kind: number or boolean.
        scale: factor from the file's unit to `unit`.
        low: least possible value in `unit`; None takes the unit's physical range.
        high: greatest possible value in `unit`.
    """

    place: Place
    device: str
    metric: str
    unit: str = ""
    kind: Kind = Kind.NUMBER
    scale: float = 1.0
    low: float | None = None
    high: float | None = None

    @property
    def channel(self) -> str:
        """The wire name, `device/metric`."""
        return f"{self.device}/{self.metric}"

    def limits(self) -> tuple[float, float]:
        """Return the range a working instrument can show, inclusive."""
        low, high = PHYSICAL_RANGE.get(self.unit, (-math.inf, math.inf))
        return (low if self.low is None else self.low, high if self.high is None else self.high)


@dataclass(frozen=True, slots=True)
class Mapping:
    """An export's shape.

    Attributes:
        time: the column with the row's time.
        time_format: for `strptime`, or `unix`, or `unix_ms`.
        columns: what becomes channels.
        ignored: what does not, on purpose.
        delimiter: between cells.
        decimal: decimal mark.
        time_zone: IANA name or offset of times without one; None where the format carries it.
        missing: texts that say "no value".
        true: texts of a boolean that mean yes.
        false: texts of a boolean that mean no.
        order: of the rows.

    Raises:
        UsageError: the parts contradict one another.
    """

    time: Place
    time_format: str
    columns: tuple[Column, ...]
    ignored: tuple[Place, ...] = ()
    delimiter: str = ","
    decimal: str = "."
    time_zone: str | None = None
    missing: tuple[str, ...] = ("", "---")
    true: tuple[str, ...] = ("1", "1.0")
    false: tuple[str, ...] = ("0", "0.0")
    order: Order = Order.ASCENDING

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for problem in self._problems():
            raise UsageError(problem)

    @property
    def carries_zone(self) -> bool:
        """Tell whether the times themselves say their offset."""
        return "%z" in self.time_format or self.time_format in _UNIX

    def _problems(self) -> Iterable[str]:
        if len(self.delimiter) != 1 or self.decimal not in {".", ","} or self.delimiter == self.decimal:
            yield f"delimiter {self.delimiter!r} and decimal mark {self.decimal!r} do not go together"
        if not self.columns:
            yield "no column becomes a channel"
        channels = [column.channel for column in self.columns]
        yield from (f"two columns become {name}" for name in channels if channels.count(name) > 1)
        for column in self.columns:
            if not re.fullmatch(CODE_PATTERN, column.device) or not re.fullmatch(_METRIC, column.metric):
                yield f"{column.channel!r} is not a channel's name (device {CODE_PATTERN}, metric {_METRIC})"
            if not math.isfinite(column.scale) or column.scale == 0:
                yield f"scale {column.scale} of {column.channel} is not a factor"
            low, high = column.limits()
            if not low < high:
                yield f"limits of {column.channel} leave nothing between {low} and {high}"
        if self.carries_zone and self.time_zone is not None:
            yield "the times carry their own offset; a time zone beside it would be ambiguous"
        if self.time_zone is not None:
            zone_of(self.time_zone)
        if set(self.true) & set(self.false):
            yield "a text cannot mean both yes and no"


def zone_of(name: str) -> tzinfo:
    """Return the zone of an IANA name or an offset such as `-03:00`.

    Raises:
        UsageError: there is no such zone on this machine.
    """
    match = re.fullmatch(r"([+-])(\d\d):?([0-5]\d)", name)
    if match:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        if offset >= timedelta(hours=24):
            raise UsageError(f"{name!r} is not an offset from UTC")
        return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"this machine knows no time zone {name!r}; give an offset such as -03:00") from error


_TOP: Final = {"delimiter", "decimal", "missing", "true", "false", "order", "time", "column", "ignore"}
_TIME: Final = {"column", "position", "format", "zone"}
_COLUMN: Final = {"column", "position", "device", "metric", "unit", "kind", "scale", "low", "high"}


def from_toml(text: str) -> Mapping:
    """Return the mapping in `text`.

    Raises:
        UsageError: it is not TOML, holds an unknown or missing key, or contradicts itself; the message says where.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the mapping is not TOML: {error}") from error
    _known(data, _TOP, "the mapping")
    time = _table(data.get("time", {}), _TIME, "[time]")
    columns = tuple(_column(each) for each in _tables(data, "column"))
    ignored = tuple(_place(_table(each, {"column", "position"}, "[[ignore]]")) for each in _tables(data, "ignore"))
    return Mapping(
        time=_place(time),
        time_format=_text(time, "format"),
        columns=columns,
        ignored=ignored,
        delimiter=_text(data, "delimiter", ","),
        decimal=_text(data, "decimal", "."),
        time_zone=_text(time, "zone") if "zone" in time else None,
        missing=_texts(data, "missing", ("", "---")),
        true=_texts(data, "true", ("1", "1.0")),
        false=_texts(data, "false", ("0", "0.0")),
        order=_choice(Order, _text(data, "order", Order.ASCENDING.value)),
    )


def to_toml(mapping: Mapping) -> str:
    """Return `mapping` as TOML that `from_toml` reads back to an equal value."""
    lines = [f"{key} = {json.dumps(getattr(mapping, key), ensure_ascii=False)}" for key in ("delimiter", "decimal")]
    marks = {"missing": mapping.missing, "true": mapping.true, "false": mapping.false}
    lines += [f"{key} = {json.dumps(list(texts), ensure_ascii=False)}" for key, texts in marks.items()]
    lines.append(f'order = "{mapping.order.value}"')
    lines += ["", "[time]", *_place_lines(mapping.time), f"format = {json.dumps(mapping.time_format)}"]
    if mapping.time_zone is not None:
        lines.append(f"zone = {json.dumps(mapping.time_zone)}")
    for column in mapping.columns:
        lines += ["", "[[column]]", *_place_lines(column.place)]
        lines += [f"{key} = {json.dumps(getattr(column, key))}" for key in ("device", "metric", "unit")]
        if column.kind is not Kind.NUMBER:
            lines.append(f'kind = "{column.kind.value}"')
        if column.scale != 1.0:
            lines.append(f"scale = {float(column.scale)!r}")
        limits = {"low": column.low, "high": column.high}
        lines += [f"{key} = {float(value)!r}" for key, value in limits.items() if value is not None]
    for place in mapping.ignored:
        lines += ["", "[[ignore]]", *_place_lines(place)]
    return "\n".join(lines) + "\n"


def _place_lines(place: Place) -> list[str]:
    lines = [f"column = {json.dumps(place.header, ensure_ascii=False)}"]
    return lines if place.position is None else [*lines, f"position = {place.position}"]


def _column(value: Any) -> Column:
    table = _table(value, _COLUMN, "[[column]]")
    return Column(
        place=_place(table),
        device=_text(table, "device"),
        metric=_text(table, "metric"),
        unit=_text(table, "unit", ""),
        kind=_choice(Kind, _text(table, "kind", Kind.NUMBER.value)),
        scale=_number(table, "scale", 1.0),
        low=_number(table, "low") if "low" in table else None,
        high=_number(table, "high") if "high" in table else None,
    )


def _place(table: dict[str, Any]) -> Place:
    position = table.get("position")
    if position is not None and (type(position) is not int or position < 1):
        raise UsageError(f"position {position!r} is not a column number from 1")
    return Place(_text(table, "column").strip(), position)


def _known(table: dict[str, Any], keys: set[str], where: str) -> None:
    unknown = sorted(set(table) - keys)
    if unknown:
        raise UsageError(f"{where} has unknown keys: {', '.join(unknown)}")


def _table(value: Any, keys: set[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} is not a table")
    _known(value, keys, where)
    return value


def _tables(data: dict[str, Any], key: str) -> list[Any]:
    value = data.get(key, [])
    if not isinstance(value, list):
        raise UsageError(f"write [[{key}]], with two brackets")
    return value


def _text(table: dict[str, Any], key: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise UsageError(f"`{key}` is missing" if value is None else f"`{key}` is not a text: {value!r}")
    return value


def _texts(table: dict[str, Any], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = table.get(key, list(default))
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"`{key}` is not a list of texts: {value!r}")
    return tuple(value)


def _number(table: dict[str, Any], key: str, default: float | None = None) -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"`{key}` is not a number: {value!r}")
    return float(value)


def _choice(kind: type[_E], text: str) -> _E:
    try:
        return kind(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is none of {', '.join(kind)}") from error
