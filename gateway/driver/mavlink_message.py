"""MAVLink messages: the table of those that are read, their checksum seed and their fields; pure.

Source: MAVLink guide (mavlink.io), "Serialization": field order, CRC_EXTRA, payload truncation.
"""

from __future__ import annotations

import re
import struct
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

__all__ = ["Field", "Message", "crc", "messages"]

_FIELD: Final = re.compile(r"(\w+?)(?:\[(\d+)\])? (\w+)")
_FORMATS: Final = {
    "uint8": "B",
    "int8": "b",
    "char": "s",
    "uint16": "H",
    "int16": "h",
    "uint32": "I",
    "int32": "i",
    "uint64": "Q",
    "int64": "q",
    "float": "f",
    "double": "d",
}


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0x8408 if value & 1 else value >> 1  # noqa: PLW2901
        table.append(value)
    return tuple(table)


_TABLE: Final = _crc_table()


def crc(data: Iterable[int], start: int = 0xFFFF) -> int:
    """Return CRC-16/MCRF4XX of bytes: polynomial 0x1021 reflected, no final inversion."""
    value = start
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `kind` as in the definition without `_t`, `count` elements (0: not an array)."""

    kind: str
    name: str
    count: int = 0

    @property
    def format(self) -> str:
        """Return its code for `struct`."""
        return f"{self.count or ''}{_FORMATS[self.kind]}"


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of message.

    Attributes:
        id: its number.
        name: e.g. GPS_RAW_INT.
        fields: in wire order, without extensions.
        extensions: fields added later, in order.
    """

    id: int
    name: str
    fields: tuple[Field, ...]
    extensions: tuple[Field, ...] = ()

    @property
    def crc_extra(self) -> int:
        """Return the byte that makes the checksum fail where sender and reader disagree about the fields."""
        words = f"{self.name} ".encode()
        for field in self.fields:
            kind = field.kind if field.kind in {"float", "double", "char"} else f"{field.kind}_t"
            words += f"{kind} {field.name} ".encode()
            if field.count:
                words += bytes([field.count])
        value = crc(words)
        return value & 0xFF ^ value >> 8

    @property
    def base_length(self) -> int:
        """Return the length of the payload without extensions, bytes; that of MAVLink 1."""
        return _layout(self.fields).size

    def decode(self, payload: bytes) -> dict[str, Any]:
        """Return the fields by name; arrays as tuples.

        Zeros at the end of a payload are not sent in MAVLink 2 and are put back; bytes beyond the fields known here
        belong to extensions that came later and are not looked at.
        """
        every = self.fields + self.extensions
        layout = _layout(every)
        values = iter(layout.unpack(payload[: layout.size].ljust(layout.size, b"\0")))
        found: dict[str, Any] = {}
        for field in every:
            if field.count and field.kind != "char":
                found[field.name] = tuple(next(values) for _ in range(field.count))
            else:
                found[field.name] = next(values)
        return found


@cache
def _layout(fields: tuple[Field, ...]) -> struct.Struct:
    return struct.Struct("<" + "".join(field.format for field in fields))


@cache
def messages() -> dict[int, tuple[Message, int]]:
    """Return the messages that are read, with their checksum seed, by number."""
    file = resources.files("hanlu.gateway.driver") / "data" / "mavlink" / "messages.toml"
    found = {}
    for name, values in tomllib.loads(file.read_text(encoding="utf-8")).items():
        message = Message(values["id"], name, _fields(values["fields"]), _fields(values.get("extensions", [])))
        found[message.id] = (message, message.crc_extra)
    return found


def _fields(texts: list[str]) -> tuple[Field, ...]:
    found = []
    for text in texts:
        match = _FIELD.fullmatch(text)
        assert match is not None, text
        found.append(Field(match[1], match[3], int(match[2] or 0)))
    return tuple(found)
