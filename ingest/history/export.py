"""Readings as a file: CSV for people and their spreadsheets, Parquet for programs, both written as they are read.

Whatever the span, a few pages of readings are in memory and no transaction is open between them. Texts that come from
configuration (names, units) never become a formula in a spreadsheet. Numbers are written so that they read back as the
same 64-bit float.

Source: RFC 4180 (CSV), OWASP "CSV Injection", Apache Parquet format 2.6 by pyarrow.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta, timezone
from enum import StrEnum
from typing import Any, Final

from hanlu.core.clock import from_ms
from hanlu.core.reading import Quality
from hanlu.ingest.history.downsample import Summary
from hanlu.ingest.history.plan import Resolution, Span
from hanlu.ingest.history.read import Channel, Read, Row

__all__ = ["Format", "export", "harmless"]

CHINA: Final = timezone(timedelta(hours=8))
ROW_GROUP: Final = 50_000
"""Rows of one row group of a Parquet file: what a reader must hold at least, some 2 MB."""

BOM: Final = b"\xef\xbb\xbf"
"""By it Excel knows the file for UTF-8; other programs may trip over it, so it is only written when asked for."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_PLACE = ("site", "zone", "channel", "unit")
_RAW = (*_PLACE, "observed_at", "china_time", "value", "quality")
_SUMMED = (
    *_PLACE, "begins_at", "china_time", "readings", "uncertain", "bad", "covered_s", "least", "greatest", "mean",
    "weighted", "first_at", "first", "last_at", "last",
)  # fmt: skip
_QUALITIES = {each.value: each.name.lower() for each in Quality}

Blocks = Iterable[tuple[Channel, Sequence[Row] | Sequence[Summary]]]


class Format(StrEnum):
    """What kind of file."""

    CSV = "csv"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """The registered media type."""
        return "text/csv; charset=utf-8" if self is Format.CSV else "application/vnd.apache.parquet"


def export(
    read: Read,
    channels: Sequence[Channel],
    span: Span,
    resolution: Resolution,
    kind: Format,
    *,
    bom: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Iterator[bytes]:
    """Yield the bytes of a file with everything the channels measured in a span, by channel and time.

    Args:
        read: over the subtree.
        channels: in the order of the file.
        span: widened to whole hours or days where these are written.
        resolution: readings, hours or days.
        kind: of file.
        bom: begin a CSV file with a byte order mark, for Excel.
        progress: told after each block how many rows it had.
    """
    blocks = _told(_blocks(read, channels, span.widened(resolution), resolution), progress)
    if kind is Format.CSV:
        yield from _csv(blocks, resolution, bom=bom)
    else:
        yield from _parquet(blocks, resolution)


def harmless(text: str | None) -> str:
    """Return a text that no spreadsheet takes for a formula: one that begins like one gets an apostrophe before it."""
    if not text:
        return ""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _blocks(read: Read, channels: Sequence[Channel], span: Span, resolution: Resolution) -> Blocks:
    for channel in channels:
        if resolution is Resolution.RAW:
            for rows in read.pages(channel, span):
                yield channel, rows
        else:
            yield channel, read.summaries(channel.channel_id, span, resolution)


def _told(blocks: Blocks, progress: Callable[[int], None] | None) -> Blocks:
    for block in blocks:
        if progress is not None:
            progress(len(block[1]))
        yield block


def _place(channel: Channel) -> tuple[str, ...]:
    return channel.site, channel.zone or "", channel.channel, channel.unit


def _csv(blocks: Blocks, resolution: Resolution, *, bom: bool) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_RAW if resolution is Resolution.RAW else _SUMMED)
    yield (BOM if bom else b"") + text.getvalue().encode()
    for channel, rows in blocks:
        text.seek(0)
        text.truncate()
        place = tuple(harmless(each) for each in _place(channel))
        writer.writerows((*place, *_cells(row)) for row in rows)
        yield text.getvalue().encode()


def _cells(row: Row | Summary) -> tuple[Any, ...]:
    if isinstance(row, Row):
        return (*_times(row.observed_ms), row.value, _QUALITIES[row.quality])
    first, last = _utc(row.first_ms), _utc(row.last_ms)
    return (*_times(row.at_ms), *row[1:9], first, row.first, last, row.last)


def _times(ms: int) -> tuple[str, str]:
    moment = from_ms(ms)
    local = moment.astimezone(CHINA).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z", local.isoformat(" ", "milliseconds")


def _utc(ms: int | None) -> str:
    return "" if ms is None else _times(ms)[0]


class _Pipe(io.RawIOBase):
    """Takes what a writer writes and gives it on in between, so that no file is ever whole in memory."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._told = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        taken = bytes(piece)
        self._pieces.append(taken)
        self._told += len(taken)
        return len(taken)

    def tell(self) -> int:
        return self._told

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _parquet(blocks: Blocks, resolution: Resolution) -> Iterator[bytes]:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    schema = _schema(pa, resolution)
    pipe = _Pipe()
    with pq.ParquetWriter(pa.PythonFile(pipe, mode="w"), schema, compression="zstd") as writer:
        for group in _groups(blocks):
            writer.write_table(_table(pa, schema, group), row_group_size=ROW_GROUP)
            yield pipe.take()
    yield pipe.take()


def _groups(blocks: Blocks) -> Iterator[list[tuple[Channel, Sequence[Any]]]]:
    """Yield blocks put together until they fill a row group."""
    group: list[tuple[Channel, Sequence[Any]]] = []
    size = 0
    for channel, rows in blocks:
        group.append((channel, rows))
        size += len(rows)
        if size >= ROW_GROUP:
            yield group
            group, size = [], 0
    if size:
        yield group


def _schema(pa: Any, resolution: Resolution) -> Any:
    moment = pa.timestamp("ms", tz="UTC")
    text = pa.dictionary(pa.int32(), pa.string())
    fields = [(name, text) for name in _PLACE]
    if resolution is Resolution.RAW:
        return pa.schema([*fields, ("observed_at", moment), ("value", pa.float64()), ("quality", pa.int8())])
    counts = [(name, pa.int32()) for name in ("readings", "uncertain", "bad")]
    floats = [(name, pa.float64()) for name in ("covered_s", "least", "greatest", "mean", "weighted")]
    ends = [("first_at", moment), ("first", pa.float64()), ("last_at", moment), ("last", pa.float64())]
    return pa.schema([*fields, ("begins_at", moment), *counts, *floats, *ends])


def _table(pa: Any, schema: Any, group: Sequence[tuple[Channel, Sequence[Any]]]) -> Any:
    """Return a table of blocks; here texts stay as they are, no program takes them for formulas."""
    columns: list[Any] = []
    lengths = [len(rows) for _, rows in group]
    for index in range(len(_PLACE)):
        texts: dict[str, int] = {}
        numbers = [texts.setdefault(_place(channel)[index], len(texts)) for channel, _ in group]
        repeated = [number for number, length in zip(numbers, lengths, strict=True) for _ in range(length)]
        columns.append(
            pa.DictionaryArray.from_arrays(pa.array(repeated, pa.int32()), pa.array(list(texts), pa.string()))
        )
    flat = [row for _, rows in group for row in rows]
    for place, field in enumerate(list(schema)[len(_PLACE) :]):
        columns.append(pa.array([row[place] for row in flat], field.type))
    return pa.Table.from_arrays(columns, schema=schema)
