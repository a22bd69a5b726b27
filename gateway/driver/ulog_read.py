"""PX4's ULog files as a stream: only the fields that are asked for, in memory no more than one message.

Source: PX4 guide, "ULog File Format" (docs.px4.io/main/en/dev_log/ulog_file_format.html).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final, NamedTuple

from hanlu.core.errors import RemoteError

__all__ = ["Info", "Sample", "UlogReader"]

_MAGIC: Final = b"ULog\x01\x12\x35"
_HEADER: Final = 16
_SYNC: Final = b"\x08\x00S\x2f\x73\x13\x20\x25\x0c\xbb\x12"
"""A whole synchronisation message: where to go on after a damaged stretch."""
_TYPES: Final = frozenset(b"BFIMPQARDLCSO")
"""Message types of the format."""
_APPENDED: Final = 0x01
"""Incompatibility flag: data was appended later (crash dumps); the offsets say where."""
_FIELD: Final = re.compile(r"([a-zA-Z0-9_]+)(?:\[(\d+)\])? ([a-zA-Z0-9_]+)")
_NUMBERS: Final = {
    "int8_t": "b",
    "uint8_t": "B",
    "int16_t": "h",
    "uint16_t": "H",
    "int32_t": "i",
    "uint32_t": "I",
    "int64_t": "q",
    "uint64_t": "Q",
    "float": "f",
    "double": "d",
    "bool": "?",
    "char": "B",
}
_MAX_FORMATS: Final = 2_000
_MAX_TOPICS: Final = 5_000
_MAX_DEPTH: Final = 8
"""Types within types; deeper ones can only be circular."""


class Info(NamedTuple):
    """A piece of information about the vehicle, e.g. `sys_uuid`; its value as text or, of numbers, as digits."""

    key: str
    value: str


class Sample(NamedTuple):
    """One message of a topic: `at_us` microseconds since the vehicle's start, `values` the fields asked for."""

    topic: str
    instance: int
    at_us: int
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Topic:
    name: str
    instance: int
    clock: tuple[struct.Struct, int]
    places: tuple[tuple[str, struct.Struct, int], ...]


@dataclass(slots=True)
class UlogReader:
    """Reads one file once.

    Attributes:
        source: at its beginning.
        wanted: fields by topic; array elements as `name[2]`, fields of inner types as `inner.name`.
        skipped: bytes of damaged stretches.
    """

    source: BinaryIO
    wanted: Mapping[str, frozenset[str]]
    skipped: int = 0
    _formats: dict[str, tuple[tuple[str, int, str], ...]] = field(default_factory=dict)
    _topics: dict[int, _Topic | None] = field(default_factory=dict)
    _appended: list[int] = field(default_factory=list)

    def read(self) -> Iterator[Info | Sample]:
        """Yield what the file holds, in its order; a message cut at its end is left out.

        Raises:
            RemoteError: it is no ULog, or of an edition that cannot be read.
        """
        header = self.source.read(_HEADER)
        if len(header) < _HEADER or not header.startswith(_MAGIC):
            raise RemoteError("it is no ULog: its first bytes are others")
        while (message := self._next()) is not None:
            kind, body = message
            found = self._understood(kind, body)
            if found is not None:
                yield found

    def _next(self) -> tuple[int, bytes] | None:
        """Return the next message, across damaged stretches and to appended data; None at the end."""
        while True:
            at = self.source.tell()
            limit = min((offset for offset in self._appended if offset >= at), default=None)
            head = self.source.read(3)
            if len(head) < 3:
                return None
            size, kind = struct.unpack("<HB", head)
            if limit is not None and at + 3 + size > limit:
                # The message was cut when the data behind it was appended.
                self._appended.remove(limit)
                self.source.seek(limit)
                continue
            if kind in _TYPES:
                body = self.source.read(size)
                if len(body) == size:
                    return kind, body
            if not self._resynchronise(at + 1):
                return None

    def _resynchronise(self, at: int) -> bool:
        """Go on at the first synchronisation message from `at` on; False where there is none."""
        self.source.seek(at)
        rest = b""
        while chunk := self.source.read(64 * 1024):
            rest += chunk
            found = rest.find(_SYNC)
            if found >= 0:
                self.skipped += found + 1
                self.source.seek(-(len(rest) - found), 1)
                return True
            keep = min(len(rest), len(_SYNC) - 1)
            self.skipped += len(rest) - keep
            rest = rest[len(rest) - keep :]
        return False

    def _understood(self, kind: int, body: bytes) -> Info | Sample | None:
        if kind == ord("D"):
            return self._sample(body)
        if kind == ord("I"):
            return _info(body)
        if kind == ord("B"):
            self._flags(body)
        elif kind == ord("F") and len(self._formats) < _MAX_FORMATS:
            name, _, fields = body.decode("ascii", "replace").partition(":")
            parts = [_FIELD.fullmatch(each) for each in fields.split(";") if each]
            if all(parts):
                self._formats[name] = tuple((each[1], int(each[2] or 0), each[3]) for each in parts if each)
        elif kind == ord("A") and len(body) > 3 and len(self._topics) < _MAX_TOPICS:
            instance, number = struct.unpack_from("<BH", body)
            self._topics[number] = self._topic(body[3:].decode("ascii", "replace"), instance)
        return None

    def _flags(self, body: bytes) -> None:
        if len(body) < 40:
            return
        incompatible = body[8:16]
        if incompatible[0] & ~_APPENDED or any(incompatible[1:]):
            raise RemoteError(f"it has features that are not known here (flags {incompatible.hex()})")
        if incompatible[0] & _APPENDED:
            self._appended = [offset for offset in struct.unpack_from("<3Q", body, 16) if offset]

    def _topic(self, name: str, instance: int) -> _Topic | None:
        wanted = self.wanted.get(name)
        if wanted is None or name not in self._formats:
            return None
        clock: tuple[struct.Struct, int] | None = None
        places = []
        for path, kind, offset in self._layout(name, 0, 0):
            if path == "timestamp":
                clock = (struct.Struct(f"<{kind}"), offset)
            if path in wanted:
                places.append((path, struct.Struct(f"<{kind}"), offset))
        return None if clock is None else _Topic(name, instance, clock, tuple(places))

    def _layout(self, name: str, start: int, depth: int) -> list[tuple[str, str, int]]:
        """Return path, code for `struct` and offset of every number in a type, from `start` on."""
        found: list[tuple[str, str, int]] = []
        offset = start
        for kind, count, label in self._formats.get(name, ()):
            for index in range(max(1, min(count, 65_535))):
                path = f"{label}[{index}]" if count else label
                if (code := _NUMBERS.get(kind)) is not None:
                    found.append((path, code, offset))
                    offset += struct.calcsize(f"<{code}")
                elif depth < _MAX_DEPTH and offset < 65_536:
                    inner = self._layout(kind, offset, depth + 1)
                    found += [(f"{path}.{each}", code, place) for each, code, place in inner]
                    offset = max([offset, *(place + struct.calcsize(f"<{code}") for _, code, place in inner)])
        return found

    def _sample(self, body: bytes) -> Sample | None:
        topic = self._topics.get(int.from_bytes(body[:2], "little")) if len(body) > 2 else None
        if topic is None:
            return None
        try:
            (at_us,) = topic.clock[0].unpack_from(body, 2 + topic.clock[1])
            values = {path: float(layout.unpack_from(body, 2 + offset)[0]) for path, layout, offset in topic.places}
        except struct.error:
            return None  # shorter than its format: damaged
        return Sample(topic.name, topic.instance, at_us, values)


def _info(body: bytes) -> Info | None:
    if not body or len(body) < 1 + body[0]:
        return None
    match = _FIELD.fullmatch(body[1 : 1 + body[0]].decode("ascii", "replace"))
    if match is None:
        return None
    value = body[1 + body[0] :]
    if match[1] == "char":
        return Info(match[3], value.rstrip(b"\0").decode("utf-8", "replace"))
    code = _NUMBERS.get(match[1])
    if code is None or match[2] or len(value) != struct.calcsize(code):
        return None
    return Info(match[3], str(struct.unpack(f"<{code}", value)[0]))
