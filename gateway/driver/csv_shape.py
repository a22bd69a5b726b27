"""What an export of a logger looks like: its text, its header, its times, its columns. Data and pure functions."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from datetime import timedelta, timezone, tzinfo
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from hanlu.core.errors import UsageError
from hanlu.core.limits import CODE_PATTERN
from hanlu.gateway.driver.mapping import ChannelRule, Section
from hanlu.gateway.driver.units import Conversion, conversion

__all__ = ["CsvColumn", "CsvShape", "DeviceFrom", "TimeShape", "column_of", "sniff_encoding", "unit_of", "zone_of"]

_OFFSET: Final = re.compile(r"([+-])(\d{2}):?(\d{2})")
_SPACES: Final = re.compile(r"\s+")
_SIGNS: Final = str.maketrans({"º": "°", "˚": "°", "（": "(", "）": ")", "％": "%", "\u00a0": " "})
"""Characters that loggers use for others; ordinal indicator and ring above are meant as degree signs."""
_LETTERS: Final = {"℉": "°F", "℃": "°C"}
_UNIT: Final = re.compile(r"[\s,;:/_-]*[(\[]?\s*([^\s()\[\]]{1,12})\s*[)\]]?")
"""What may follow a name in a header: a unit, in brackets or behind a space, comma, slash or underscore."""


class TimeShape(Section):
    """Where the time of a row stands, and how it is written."""

    columns: tuple[str, ...] = Field(
        min_length=1, max_length=2, description="header of the time column; of date and time where they are two"
    )
    format: str = Field(
        min_length=2,
        max_length=80,
        description="as for strptime, e.g. %Y-%m-%d %H:%M:%S (two columns: joined by a blank); iso; unix; unix_ms",
    )
    zone: str | None = Field(
        default=None, description="time zone of the logger's clock: Asia/Shanghai or +08:00; never guessed"
    )

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str | None) -> str | None:
        if zone is not None:
            zone_of(zone)
        return zone

    @model_validator(mode="after")
    def _an_instant(self) -> TimeShape:
        if not self.carries_zone and self.format != "iso" and self.zone is None:
            raise ValueError(
                f'times written as {self.format!r} do not say in which time zone: add e.g. zone = "Asia/Shanghai"'
                ' or zone = "+08:00" to [drivers.time]'
            )
        return self

    @property
    def carries_zone(self) -> bool:
        """Tell whether the times themselves say their offset."""
        return "%z" in self.format or self.format in {"unix", "unix_ms"}


class CsvColumn(ChannelRule):
    """A column that becomes a channel; `source` is its header."""

    unit_in_header: bool = Field(
        default=False,
        description="the header goes on with the unit, e.g. Temperature (°F): it is converted to `to`",
    )

    def model_post_init(self, context: object, /) -> None:
        """Refuse units without a conversion; one in the header is known only when a file comes."""
        if not self.unit_in_header:
            super().model_post_init(context)

    @model_validator(mode="after")
    def _one_unit(self) -> CsvColumn:
        if self.unit_in_header and (self.unit or self.to is None):
            raise ValueError(f"{self.source}: with unit_in_header give `to`, the unit of the channel, and no `unit`")
        return self

    @property
    def senml_unit(self) -> str:
        """Return the SenML unit of the channel."""
        return self.to or "" if self.unit_in_header else conversion(self.unit, self.to).unit


class DeviceFrom(Section):
    """What `{device}` stands for in the columns' rules: exactly one of these."""

    code: str | None = Field(default=None, pattern=rf"^{CODE_PATTERN}$", description="always this device code")
    file_name: str | None = Field(
        default=None, max_length=200, description="pattern with one group, searched in the file's name"
    )
    column: str | None = Field(default=None, description="header of a column with the device's id")
    label: str | None = Field(
        default=None, description="text of a cell above the header; the id is in the next cell, e.g. Serial No."
    )

    @model_validator(mode="after")
    def _one(self) -> DeviceFrom:
        if sum(each is not None for each in (self.code, self.file_name, self.column, self.label)) != 1:
            raise ValueError("give one of code, file_name, column, label")
        if self.file_name is not None:
            try:
                groups = re.compile(self.file_name).groups
            except re.error as error:
                raise ValueError(f"file_name is no pattern: {error}") from error
            if groups != 1:
                raise ValueError("file_name needs exactly one group, e.g. ^RC5-(\\d+)_")
        return self


class CsvShape(Section):
    """The whole export."""

    encoding: str = Field(default="auto", description="auto: UTF-8, UTF-16 or GB18030 by its bytes; or told")
    delimiter: Literal["auto", ",", ";", "\t", "|"] = Field(default="auto", description="auto: the one that fits")
    decimal: Literal[".", ","] = Field(default=".", description="decimal mark")
    time: TimeShape
    columns: tuple[CsvColumn, ...] = Field(min_length=1, max_length=200)
    device: DeviceFrom | None = None
    missing: tuple[str, ...] = Field(
        default=("", "-", "--", "---", "N/A", "NaN", "nan", "null"), description="texts of a cell without a value"
    )
    true: tuple[str, ...] = Field(default=("1", "true", "True", "ON", "on", "open"), description="for unit bool")
    false: tuple[str, ...] = Field(default=("0", "false", "False", "OFF", "off", "closed"), description="for unit bool")
    descending: bool = Field(default=False, description="newest row first")
    no_record: str | None = Field(
        default=None, max_length=200, description="pattern of first cells whose rows are no records, e.g. ^(Max|Min)"
    )

    @field_validator("encoding")
    @classmethod
    def _codec(cls, encoding: str) -> str:
        if encoding != "auto":
            try:
                codecs.lookup(encoding)
            except LookupError as error:
                raise ValueError(
                    f"there is no encoding {encoding!r}; usual are utf-8, gb18030, utf-16, cp1252"
                ) from error
        return encoding

    @field_validator("no_record")
    @classmethod
    def _pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"no_record is no pattern: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _goes_together(self) -> CsvShape:
        if self.decimal == self.delimiter:
            raise ValueError("a comma cannot be both delimiter and decimal mark")
        if self.device is None and any(column.device == "{device}" for column in self.columns):
            raise ValueError("say what {device} is: add [drivers.device], or `device` to every column")
        names = [(column.device, column.metric) for column in self.columns]
        if twice := sorted({"/".join(name) for name in names if names.count(name) > 1}):
            raise ValueError(f"two columns become {', '.join(twice)}")
        return self


def zone_of(text: str) -> tzinfo:
    """Return the time zone called `text`: an IANA name, or an offset such as +08:00.

    Raises:
        UsageError: there is none.
    """
    match = _OFFSET.fullmatch(text)
    if match is not None and int(match[2]) <= 14 and int(match[3]) < 60:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"there is no time zone {text!r}: Asia/Shanghai or +08:00 would be one") from error


def sniff_encoding(beginning: bytes) -> str | None:
    """Return the encoding of a text by its first bytes (64 KiB will do), None where none of the usual ones fits.

    Order: byte order marks; zero bytes at every second place (UTF-16); UTF-8, which other texts are by chance hardly
    ever; GB18030. Single-byte encodings cannot be told from GB18030 and have to be named.
    """
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if beginning.startswith(mark):
            return name
    for name, zeros in (("utf-16-le", beginning[1::2]), ("utf-16-be", beginning[0::2])):
        if zeros and zeros.count(0) > len(zeros) // 2:
            return name
    for name in ("utf-8", "gb18030"):
        try:
            codecs.getincrementaldecoder(name)().decode(beginning, final=False)
        except UnicodeDecodeError:
            continue
        return name
    return None


def column_of(header: Sequence[str], name: str, *, unit_follows: bool = False) -> int | None:
    """Return the index in `header` of the column called `name`; None where there is none, or more than one.

    Args:
        header: cells of the header row.
        name: as in the configuration; blanks are not counted.
        unit_follows: the cell goes on with a unit.
    """
    wanted = _plain(name)
    found = [
        index
        for index, cell in enumerate(map(_plain, header))
        if (_following(cell, wanted) is not None if unit_follows else cell == wanted)
    ]
    return found[0] if len(found) == 1 else None


def unit_of(cell: str, column: CsvColumn) -> Conversion:
    """Return how values of `column` become its channel's, by its header cell.

    Raises:
        UsageError: there is no conversion from the unit in the header.
    """
    if not column.unit_in_header:
        return conversion(column.unit, column.to)
    found = _following(_plain(cell), _plain(column.source)) or ""
    return conversion(_LETTERS.get(found, found), column.to)


def _plain(text: str) -> str:
    return _SPACES.sub(" ", text.translate(_SIGNS)).strip().strip("\ufeff")


def _following(cell: str, name: str) -> str | None:
    if not cell.startswith(name):
        return None
    match = _UNIT.fullmatch(cell, len(name))
    return None if match is None else match[1]
