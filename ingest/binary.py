"""PostgreSQL's binary formats for whole columns, packed in one go.

The hot path sends columns of thousands of values; adapting them one by one would cost more than the database takes to
store them, and would give the statements new parameter types from batch to batch.
Source: PostgreSQL's array_send() and COPY's binary format (documentation, COPY, "Binary Format").
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import repeat
from typing import ClassVar, Final

from psycopg.adapt import Dumper
from psycopg.pq import Format

from hanlu.db.pool import Connection

__all__ = ["Booleans", "Bytes", "Column", "Floats", "Int2s", "Int4s", "Int8s", "Texts", "copy_rows", "register"]

_HEAD = struct.Struct(">iiIii")  # dimensions, has nulls, element type, length, lower bound
_LENGTH = struct.Struct(">i")
_NULL: Final = _LENGTH.pack(-1)

_COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_END: Final = struct.pack(">h", -1)
_POSTGRES_EPOCH_MS: Final = 946_684_800_000
"""2000-01-01T00:00:00Z, from which the server counts microseconds."""

_ROW = struct.Struct(">hiiiqid")  # 3 fields: int4, timestamptz, float8, each after its length
_JUDGED_ROW = struct.Struct(">hiiiqidih")  # and the quality, int2


def _cells(code: str, values: Sequence[float]) -> bytes:
    """Return numbers of four or eight bytes, each after its length: whole columns are laid side by side at once.

    Args:
        code: of the machine's type (module array).
        values: one beyond its range is an OverflowError.
    """
    numbers = array(code, values)
    if sys.byteorder == "little":
        numbers.byteswap()
    words, cells, width = array("i"), array("i"), numbers.itemsize // 4
    words.frombytes(numbers.tobytes())
    cells.frombytes((_LENGTH.pack(numbers.itemsize) + bytes(numbers.itemsize)) * len(values))
    for place in range(width):
        cells[place + 1 :: width + 1] = words[place::width]
    return cells.tobytes()


class Column:
    """An array parameter in binary form."""

    __slots__ = ("raw",)
    element: ClassVar[int]
    array: ClassVar[int]

    def _fill(self, cells: bytes, length: int, *, nulls: bool = False) -> None:
        head = _HEAD.pack(1, int(nulls), self.element, length, 1) if length else struct.pack(">iiI", 0, 0, self.element)
        self.raw = head + cells


class Int2s(Column):
    """`smallint[]`."""

    element, array = 21, 1005

    def __init__(self, values: Sequence[int]) -> None:
        """Pack values; one beyond 16 bits is a struct.error."""
        self._fill(b"".join(map(struct.Struct(">ih").pack, repeat(2), values)), len(values))


class Int4s(Column):
    """`integer[]`."""

    element, array = 23, 1007

    def __init__(self, values: Sequence[int]) -> None:
        """Pack values; one beyond 32 bits is an OverflowError."""
        self._fill(_cells("i", values), len(values))


class Int8s(Column):
    """`bigint[]`, with nulls."""

    element, array = 20, 1016

    def __init__(self, values: Sequence[int | None]) -> None:
        """Pack values; one beyond 64 bits is an OverflowError or a struct.error."""
        if None in values:
            pack = struct.Struct(">iq").pack
            self._fill(b"".join(_NULL if v is None else pack(8, v) for v in values), len(values), nulls=True)
        else:
            self._fill(_cells("q", values), len(values))  # type: ignore[arg-type]


class Floats(Column):
    """`double precision[]`."""

    element, array = 701, 1022

    def __init__(self, values: Sequence[float]) -> None:
        """Pack values."""
        self._fill(_cells("d", values), len(values))


class Booleans(Column):
    """`boolean[]`."""

    element, array = 16, 1000

    def __init__(self, values: Sequence[bool]) -> None:
        """Pack values."""
        self._fill(b"".join(map(struct.Struct(">i?").pack, repeat(1), values)), len(values))


class Bytes(Column):
    """`bytea[]`, with nulls."""

    element, array = 17, 1001

    def __init__(self, values: Sequence[bytes | None]) -> None:
        """Pack values."""
        pack = _LENGTH.pack
        self._fill(
            b"".join([_NULL if v is None else pack(len(v)) + v for v in values]),
            len(values),
            nulls=None in values,
        )


class Texts(Column):
    """`text[]`."""

    element, array = 25, 1009

    def __init__(self, values: Sequence[str]) -> None:
        """Pack values as UTF-8."""
        pack = _LENGTH.pack
        self._fill(b"".join(pack(len(raw)) + raw for raw in (v.encode() for v in values)), len(values))


def copy_rows(
    channel_ids: Sequence[int],
    observed_ms: Sequence[int],
    values: Sequence[float],
    qualities: Sequence[int] | None = None,
) -> bytes:
    """Return rows (channel_id, observed_at, value) as COPY ... FROM STDIN (FORMAT BINARY) wants them.

    With qualities, every row has them as its fourth field.
    """
    micros = [(ms - _POSTGRES_EPOCH_MS) * 1000 for ms in observed_ms]
    if qualities is None:
        rows = map(_ROW.pack, repeat(3), repeat(4), channel_ids, repeat(8), micros, repeat(8), values)
    else:
        judged = (repeat(2), qualities)
        rows = map(_JUDGED_ROW.pack, repeat(4), repeat(4), channel_ids, repeat(8), micros, repeat(8), values, *judged)
    return b"".join((_COPY_HEAD, *rows, _COPY_END))


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> bytes:
        return obj.raw


def register(connection: Connection) -> None:
    """Teach a connection the columns of this module."""
    for kind in (Int2s, Int4s, Int8s, Floats, Booleans, Bytes, Texts):
        connection.adapters.register_dumper(kind, type(f"{kind.__name__}Dumper", (_ColumnDumper,), {"oid": kind.array}))
