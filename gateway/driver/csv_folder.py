"""Loggers that are read out at hand-over: their exports, dropped into a folder, become readings.

The text is streamed: of a file of any length a few thousand rows are in memory. What a cell or a row could not give is
declared lost once a file, by reason and channel, under the digest of the file, so that reading it again adds nothing.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import IO, Final, Literal

from hanlu.core.clock import Clock
from hanlu.core.errors import RemoteError
from hanlu.core.reading import Reading
from hanlu.core.wire.documents import BirthChannel, Loss
from hanlu.gateway.driver.contract import Batch, Intake
from hanlu.gateway.driver.csv_rows import LostCell, RowReader, header_in
from hanlu.gateway.driver.csv_shape import CsvShape, DeviceFrom, sniff_encoding
from hanlu.gateway.driver.folder import FileFacts, FolderConfig, FolderDriver
from hanlu.gateway.driver.mapping import DriverConfig

__all__ = ["CsvFolderConfig", "CsvImporter"]

_SNIFFED: Final = 64 * 1024
"""Bytes by which the encoding is told."""
_HEAD_LINES: Final = 100
"""Lines among which the header is looked for."""
_MAX_LINE: Final = 64 * 1024
"""Longest line, characters."""
_CELLS: Final = 4_000
"""Cells of mapped columns in one piece."""
_MAX_LOSSES: Final = 2_000
"""Most losses a file may declare one by one; the rest are declared without naming channels."""
_EXAMPLES: Final = 3
"""Cells quoted in a declared loss."""


class CsvFolderConfig(CsvShape, DriverConfig):
    """A folder of exports of one shape; several shapes are several drivers, each with a pattern of its own."""

    kind: Literal["csv_folder"] = "csv_folder"
    folder: FolderConfig

    def build(self, intake: Intake, clock: Clock) -> FolderDriver:
        """Return the driver.

        Raises:
            UsageError: there is no such folder.
        """
        return FolderDriver(self, self.folder, CsvImporter(self, clock), intake, clock)


@dataclass(slots=True)
class _LossAccount:
    """Lost cells of one file, by reason and channel."""

    digest: str
    _lost: defaultdict[tuple[str, str | None], list[LostCell]] = field(default_factory=lambda: defaultdict(list))
    _counts: defaultdict[tuple[str, str | None], int] = field(default_factory=lambda: defaultdict(int))
    _ranges: dict[tuple[str, str | None], tuple[int, int]] = field(default_factory=dict)

    def add(self, cells: Iterable[LostCell]) -> None:
        for cell in cells:
            key = (cell.reason, cell.channel)
            if key not in self._counts and len(self._counts) >= _MAX_LOSSES:
                key = (cell.reason, None)
            self._counts[key] += 1
            if len(self._lost[key]) < _EXAMPLES:
                self._lost[key].append(cell)
            if cell.at_ms is not None:
                first, last = self._ranges.get(key, (cell.at_ms, cell.at_ms))
                self._ranges[key] = (min(first, cell.at_ms), max(last, cell.at_ms))

    def losses(self) -> tuple[Loss, ...]:
        return tuple(
            Loss(
                reason=reason,
                count=count,
                channel=channel,
                from_ms=self._ranges.get((reason, channel), (None, None))[0],
                to_ms=self._ranges.get((reason, channel), (None, None))[1],
                detail="; ".join(cell.text for cell in self._lost[reason, channel]),
                source=f"csv:{self.digest[:32]}",
            )
            for (reason, channel), count in self._counts.items()
        )


class CsvImporter:
    """Reads exports of one shape."""

    def __init__(self, shape: CsvShape, clock: Clock) -> None:
        """Read files of `shape`; `clock` says which times are still to come."""
        self._shape, self._clock = shape, clock

    @property
    def channels(self) -> tuple[BirthChannel, ...]:
        """Return the channels whose device the configuration names."""
        device = self._shape.device.code if self._shape.device is not None else None
        return tuple(
            BirthChannel(name=column.channel(device or ""), unit=column.senml_unit, period_s=column.period_s)
            for column in self._shape.columns
            if column.device != "{device}" or device is not None
        )

    def pieces(self, file: FileFacts) -> Iterator[Batch]:
        """Yield the rows of an export in pieces of the same length each time, then what was lost.

        Raises:
            RemoteError: it is not such an export.
        """
        with file.open() as source:
            encoding = self._encoding(source.read(_SNIFFED))
        try:
            with file.open() as source, io.TextIOWrapper(source, encoding, newline="") as text:
                yield from self._pieces(text, file)
        except UnicodeDecodeError as error:
            raise RemoteError(f"it is not {encoding} throughout ({error.reason}): name its `encoding`") from error
        except csv.Error as error:
            raise RemoteError(f"it is not CSV: {error}") from error

    def _encoding(self, beginning: bytes) -> str:
        found = sniff_encoding(beginning) if self._shape.encoding == "auto" else self._shape.encoding
        if found is None:
            raise RemoteError("it is neither UTF-8 nor UTF-16 nor GB18030: name its `encoding`")
        return found

    def _pieces(self, text: IO[str], file: FileFacts) -> Iterator[Batch]:
        lines = _lines(text)
        head = list(islice(lines, _HEAD_LINES))
        header = header_in(head, self._shape)
        reader = RowReader(self._shape, header, self._device_id(file, header.above), self._clock.now_ms())
        rows = csv.reader(_again(head, lines), delimiter=header.delimiter)
        lost = _LossAccount(file.digest)
        piece: list[Reading] = []
        room = max(1, _CELLS // len(self._shape.columns))
        for number, cells in enumerate(rows, start=1):
            if number <= header.at + 1:
                continue
            row = reader.read(number, cells)
            piece.extend(row.readings)
            lost.add(row.lost)
            if number % room == 0 and piece:
                yield Batch(tuple(piece), live=False)
                piece = []
        losses = lost.losses()
        if piece or losses:
            yield Batch(tuple(piece), losses, live=False)

    def _device_id(self, file: FileFacts, above: tuple[tuple[str, ...], ...]) -> str | None:
        if self._shape.device is None:
            return None
        found = _device_id(self._shape.device, file, above)
        if found is None and self._shape.device.column is None:
            raise RemoteError(f"its device is not to be found by {self._shape.device.model_dump(exclude_none=True)}")
        return found


def _device_id(wanted: DeviceFrom, file: FileFacts, above: tuple[tuple[str, ...], ...]) -> str | None:
    if wanted.code is not None:
        return wanted.code
    if wanted.file_name is not None:
        match = re.search(wanted.file_name, file.name)
        return None if match is None else match[1]
    if wanted.label is not None:
        label = _bare(wanted.label)
        for row in above:
            for cell, after in pairwise(row):
                if _bare(cell) == label and after.strip():
                    return after.strip()
    return None


def _bare(label: str) -> str:
    return label.strip().rstrip(":：").rstrip()


def _lines(text: IO[str]) -> Iterator[str]:
    while line := text.readline(_MAX_LINE + 1):
        if len(line) > _MAX_LINE:
            raise RemoteError(f"a line is longer than {_MAX_LINE} characters")
        yield line


def _again(head: list[str], rest: Iterator[str]) -> Iterator[str]:
    yield from head
    yield from rest
