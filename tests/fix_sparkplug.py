"""A Sparkplug edge node for tests, with a protobuf writer of its own: what it says does not pass through our decoder.

Field numbers: Sparkplug 3.0, 6.4.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING, DATETIME = range(1, 14)
DATASET, TEMPLATE = 16, 19


def varint(number: int) -> bytes:
    out = bytearray()
    while True:
        out.append(number & 0x7F | (0x80 if number > 0x7F else 0))
        number >>= 7
        if not number:
            return bytes(out)


def _number(tag: int, number: int) -> bytes:
    return varint(tag << 3) + varint(number)


def _bytes(tag: int, body: bytes) -> bytes:
    return varint(tag << 3 | 2) + varint(len(body)) + body


def metric(
    name: str | None = None,
    value: Any = None,
    datatype: int | None = None,
    *,
    alias: int | None = None,
    at: int | None = None,
    historical: bool = False,
    null: bool = False,
    properties: dict[str, Any] | None = None,
) -> bytes:
    out = b""
    if name is not None:
        out += _bytes(1, name.encode())
    if alias is not None:
        out += _number(2, alias)
    if at is not None:
        out += _number(3, at)
    if datatype is not None:
        out += _number(4, datatype)
    if historical:
        out += _number(5, 1)
    if null:
        out += _number(7, 1)
    if properties:
        out += _bytes(9, _properties(properties))
    return out + (b"" if value is None else _value(value, datatype))


def _value(value: Any, datatype: int | None) -> bytes:
    if isinstance(value, bool):
        return _number(14, value)
    if isinstance(value, float):
        if datatype == FLOAT:
            return varint(12 << 3 | 5) + struct.pack("<f", value)
        return varint(13 << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, str):
        return _bytes(15, value.encode())
    if isinstance(value, bytes):
        return _bytes({DATASET: 17, TEMPLATE: 18}.get(datatype or 0, 16), value)
    if datatype in {INT64, UINT64, DATETIME}:
        return _number(11, value & (1 << 64) - 1)
    return _number(10, value & (1 << 32) - 1)


def _properties(properties: dict[str, Any]) -> bytes:
    out = b"".join(_bytes(1, key.encode()) for key in properties)
    for value in properties.values():
        body = _bytes(8, value.encode()) if isinstance(value, str) else _number(1, INT32) + _number(3, value)
        out += _bytes(2, body)
    return out


def payload(*metrics: bytes, seq: int | None = None, at: int | None = None) -> bytes:
    out = b"" if at is None else _number(1, at)
    out += b"".join(_bytes(2, each) for each in metrics)
    return out + (b"" if seq is None else _number(3, seq))


@dataclass(slots=True)
class EdgeNode:
    """Speaks as an edge node should; each method returns a topic and a payload."""

    group: str = "G"
    edge: str = "E"
    bd_seq: int = 0
    seq: int = 0
    metrics: tuple[bytes, ...] = (metric("Temp", -18.5, DOUBLE, alias=1),)
    at: int = 1_750_000_000_000

    def topic(self, verb: str, device: str = "") -> str:
        return f"spBv1.0/{self.group}/{verb}/{self.edge}" + (f"/{device}" if device else "")

    def nbirth(self) -> tuple[str, bytes]:
        own = (metric("bdSeq", self.bd_seq, INT64), metric("Node Control/Rebirth", False, BOOLEAN))
        self.seq = 0
        return self.topic("NBIRTH"), self._next(*own, *self.metrics)

    def ndeath(self) -> tuple[str, bytes]:
        return self.topic("NDEATH"), payload(metric("bdSeq", self.bd_seq, INT64), at=self.at)

    def ndata(self, *metrics: bytes) -> tuple[str, bytes]:
        return self.topic("NDATA"), self._next(*metrics)

    def dbirth(self, device: str, *metrics: bytes) -> tuple[str, bytes]:
        return self.topic("DBIRTH", device), self._next(*metrics)

    def ddata(self, device: str, *metrics: bytes) -> tuple[str, bytes]:
        return self.topic("DDATA", device), self._next(*metrics)

    def ddeath(self, device: str) -> tuple[str, bytes]:
        return self.topic("DDEATH", device), self._next()

    def _next(self, *metrics: bytes) -> bytes:
        raw = payload(*metrics, seq=self.seq, at=self.at)
        self.seq = (self.seq + 1) % 256
        return raw
