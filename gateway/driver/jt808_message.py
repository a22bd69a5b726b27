"""Bodies of JT/T 808 messages: what terminals say, and our answers; pure.

Source: JT/T 808-2019, clause 8; of 2013 the same clause where the lengths differ.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum
from typing import Final

from hanlu.core.clock import from_ms, to_ms
from hanlu.core.rejected import Reason, Rejected

__all__ = [
    "AUTHENTICATE",
    "BATCH",
    "GENERAL_ANSWER",
    "HEARTBEAT",
    "LOCATION",
    "LOGOUT",
    "REGISTER",
    "REGISTER_ANSWER",
    "TERMINAL_ANSWER",
    "Location",
    "Result",
    "auth_code_in",
    "decode_batch",
    "decode_location",
    "encode_batch",
    "encode_location",
    "general_answer",
    "register_answer",
]

TERMINAL_ANSWER: Final = 0x0001
HEARTBEAT: Final = 0x0002
LOGOUT: Final = 0x0003
REGISTER: Final = 0x0100
AUTHENTICATE: Final = 0x0102
LOCATION: Final = 0x0200
BATCH: Final = 0x0704
GENERAL_ANSWER: Final = 0x8001
REGISTER_ANSWER: Final = 0x8100

_BEIJING: Final = timezone(timedelta(hours=8))
"""All times of the protocol are GMT+8 (8.18)."""
_LOCATED, _SOUTH, _WEST = 0x2, 0x4, 0x8
"""Bits of the status: the position is known; south of the equator; west of Greenwich (table 25)."""
_FIXED: Final = struct.Struct(">IIIIHHH6s")
"""Alarm, status, latitude and longitude (1e-6 degrees), altitude (m), speed (0.1 km/h), direction (degrees), time."""


class Result(IntEnum):
    """Results of the platform's general answer (8.2)."""

    DONE = 0
    FAILED = 1
    WRONG = 2
    UNSUPPORTED = 3


@dataclass(frozen=True, slots=True)
class Location:
    """A location report.

    Attributes:
        alarm: alarm bits (table 24).
        status: status bits (table 25).
        latitude: degrees, south negative; None where the terminal does not know where it is.
        longitude: degrees, west negative; None likewise.
        altitude: metres.
        speed: 0.1 km/h.
        direction: degrees from north, 0 to 359.
        observed_ms: Unix milliseconds; None where the time is none.
        items: additional items by id; of one that comes twice the first.
        cut: bytes at the end that are no whole item.
    """

    alarm: int = 0
    status: int = 0
    latitude: float | None = None
    longitude: float | None = None
    altitude: int = 0
    speed: int = 0
    direction: int = 0
    observed_ms: int | None = None
    items: Mapping[int, bytes] = field(default_factory=dict)
    cut: int = 0

    def number(self, name: str) -> float | None:
        """Return a field of the fixed part by its name."""
        value = getattr(self, name)
        return None if value is None else float(value)


def decode_location(body: bytes) -> Location | Rejected:
    """Return the report in the body of 0x0200."""
    if len(body) < _FIXED.size:
        return Rejected(Reason.MALFORMED, f"a location report of {len(body)} bytes; the fixed part has {_FIXED.size}")
    alarm, status, latitude, longitude, altitude, speed, direction, time = _FIXED.unpack_from(body)
    located = bool(status & _LOCATED) and latitude <= 90_000_000 and longitude <= 180_000_000
    items: dict[int, bytes] = {}
    at = _FIXED.size
    while at + 2 <= len(body) and at + 2 + body[at + 1] <= len(body):
        items.setdefault(body[at], body[at + 2 : at + 2 + body[at + 1]])
        at += 2 + body[at + 1]
    return Location(
        alarm,
        status,
        (-latitude if status & _SOUTH else latitude) / 1e6 if located else None,
        (-longitude if status & _WEST else longitude) / 1e6 if located else None,
        altitude,
        speed,
        direction,
        _instant(time),
        items,
        len(body) - at,
    )


def encode_location(location: Location) -> bytes:
    """Return the body of 0x0200 for a report, the opposite of `decode_location`."""
    latitude, longitude = location.latitude or 0.0, location.longitude or 0.0
    status = location.status & ~(_LOCATED | _SOUTH | _WEST)
    status |= _LOCATED if location.latitude is not None and location.longitude is not None else 0
    status |= (_SOUTH if latitude < 0 else 0) | (_WEST if longitude < 0 else 0)
    body = _FIXED.pack(
        location.alarm,
        status,
        round(abs(latitude) * 1e6),
        round(abs(longitude) * 1e6),
        location.altitude,
        location.speed,
        location.direction,
        _bcd(location.observed_ms),
    )
    return body + b"".join(bytes([key, len(value)]) + value for key, value in location.items.items())


def decode_batch(body: bytes) -> list[bytes] | Rejected:
    """Return the bodies of the reports in a batch upload (0x0704)."""
    if len(body) < 3:
        return Rejected(Reason.MALFORMED, f"a batch upload of {len(body)} bytes")
    count = int.from_bytes(body[:2], "big")
    reports: list[bytes] = []
    at = 3
    while at + 2 <= len(body):
        length = int.from_bytes(body[at : at + 2], "big")
        if at + 2 + length > len(body):
            break
        reports.append(body[at + 2 : at + 2 + length])
        at += 2 + length
    if at != len(body) or len(reports) != count:
        return Rejected(Reason.MALFORMED, f"a batch upload says {count} reports and holds {len(reports)} whole ones")
    return reports


def encode_batch(reports: list[bytes], kind: int = 1) -> bytes:
    """Return the body of 0x0704; `kind` 0: a usual batch, 1: of a stretch without network."""
    body = struct.pack(">HB", len(reports), kind)
    return body + b"".join(struct.pack(">H", len(report)) + report for report in reports)


def auth_code_in(body: bytes, version: int | None) -> bytes | None:
    """Return the code in the body of 0x0102, None where there is none; 2019 puts its length before it."""
    if version is None:
        return body.rstrip(b"\0")
    if not body or len(body) < 1 + body[0]:
        return None
    return body[1 : 1 + body[0]]


def general_answer(serial: int, message: int, result: Result) -> bytes:
    """Return the body of 0x8001."""
    return struct.pack(">HHB", serial, message, result)


def register_answer(serial: int, code: bytes | None) -> bytes:
    """Return the body of 0x8100: with the code to sign in with, or (None) that there is no such terminal."""
    return struct.pack(">HB", serial, 4) if code is None else struct.pack(">HB", serial, 0) + code


def _instant(bcd: bytes) -> int | None:
    digits = bcd.hex()
    if not digits.isdecimal():
        return None
    try:
        return to_ms(datetime.strptime("20" + digits, "%Y%m%d%H%M%S").replace(tzinfo=_BEIJING))
    except ValueError:
        return None


def _bcd(ms: int | None) -> bytes:
    if ms is None:
        return b"\0" * 6
    return bytes.fromhex(from_ms(ms).astimezone(UTC).astimezone(_BEIJING).strftime("%y%m%d%H%M%S"))
