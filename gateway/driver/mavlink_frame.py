"""MAVLink frames, versions 1 and 2; pure.

Source: MAVLink guide (mavlink.io), "Packet Serialization" and "Message Signing".
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from hanlu.gateway.driver.mavlink_message import Message, crc, messages

__all__ = ["BadFrame", "Frame", "Incomplete", "SequenceWatch", "frames_in", "parse"]

_V1: Final = 0xFE
_V2: Final = 0xFD
_SIGNED: Final = 0x01
"""Incompatibility flag of version 2: 13 bytes of signature follow."""
_SIGNATURE: Final = 13


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose checksum is right, or whose message is not in the table.

    Attributes:
        size: bytes it takes, signature included.
        sequence: 0 to 255, counted by its sender.
        system: sender's system id, 1 to 255.
        component: sender's component id; 1 is the autopilot.
        message: its kind, None where the table does not have it: then its checksum could not be checked.
        payload: as it came.
    """

    size: int
    sequence: int
    system: int
    component: int
    message: Message | None
    payload: bytes

    def values(self) -> dict[str, Any]:
        """Return the fields of its message; none of an unknown one."""
        return {} if self.message is None else self.message.decode(self.payload)


@dataclass(frozen=True, slots=True)
class BadFrame:
    """No frame, or a broken one; `why` is a stable word: no_frame, bad_checksum, bad_length, unknown_flags."""

    why: str


@dataclass(frozen=True, slots=True)
class Incomplete:
    """The beginning of a frame; more bytes are needed."""


def parse(data: bytes | bytearray | memoryview, at: int = 0) -> Frame | BadFrame | Incomplete:
    """Return what begins at `at`."""
    left = len(data) - at
    if left < 1:
        return Incomplete()
    magic = data[at]
    if magic not in (_V1, _V2):
        return BadFrame("no_frame")
    header = 6 if magic == _V1 else 10
    if left < header:
        return Incomplete()
    length = data[at + 1]
    if magic == _V1:
        sequence, system, component, number = data[at + 2 : at + 6]
        signature = 0
    else:
        if data[at + 2] & ~_SIGNED:
            return BadFrame("unknown_flags")
        sequence, system, component = data[at + 4 : at + 7]
        number = int.from_bytes(data[at + 7 : at + 10], "little")
        signature = _SIGNATURE if data[at + 2] & _SIGNED else 0
    end = at + header + length
    if len(data) < end + 2 + signature:
        return Incomplete()
    size = header + length + 2 + signature
    payload = bytes(data[at + header : end])
    known = messages().get(number)
    if known is None:
        return Frame(size, sequence, system, component, None, payload)
    message, extra = known
    if crc((extra,), crc(data[at + 1 : end])) != struct.unpack_from("<H", data, end)[0]:
        return BadFrame("bad_checksum")
    if magic == _V1 and length != message.base_length:
        return BadFrame("bad_length")
    return Frame(size, sequence, system, component, message, payload)


def frames_in(datagram: bytes, counts: Counter[str]) -> tuple[list[Frame], str | None]:
    """Return the frames of one datagram in order, and the first thing that is wrong with it.

    Args:
        datagram: whole frames one after the other; what is between them is skipped.
        counts: gains `skipped_bytes` and what was wrong by its word.
    """
    found: list[Frame] = []
    wrong: str | None = None
    at = 0
    view = memoryview(datagram)
    while at < len(view):
        frame = parse(view, at)
        if isinstance(frame, Frame) and (frame.message is not None or _begins(view, at + frame.size)):
            found.append(frame)
            at += frame.size
            continue
        why = "cut_frame" if isinstance(frame, Incomplete) else "no_frame" if isinstance(frame, Frame) else frame.why
        if why != "no_frame" or wrong is None:
            counts[why] += 1
        wrong = wrong or why
        counts["skipped_bytes"] += 1
        at += 1
    return found, wrong


def _begins(view: memoryview, at: int) -> bool:
    """Tell whether a frame could begin at `at`, or the data ends there: what stands behind an unknown message."""
    return at == len(view) or (at < len(view) and view[at] in (_V1, _V2))


@dataclass(slots=True)
class SequenceWatch:
    """Counts the frames each sender sent that did not come."""

    _last: dict[tuple[int, int], int] = field(default_factory=dict)

    def missing(self, frame: Frame) -> int:
        """Return how many frames are missing between the sender's last one and this one, 0 to 255."""
        key = (frame.system, frame.component)
        last = self._last.get(key)
        self._last[key] = frame.sequence
        return 0 if last is None else (frame.sequence - last - 1) % 256
