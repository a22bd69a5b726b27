"""JT/T 808 frames: flags, escapes, check byte, header, sub-packages; pure.

Source: JT/T 808-2019, 4.4 (message structure); of 2013 the same clause: no version byte, a number of 6 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import xor
from typing import Final

__all__ = ["MAX_BODY", "Assembly", "BadFrame", "Frame", "FrameSplitter", "Header", "encode_frames", "parse_frame"]

FLAG: Final = 0x7E
_ESCAPE: Final = 0x7D
MAX_BODY: Final = 1_023
"""Longest body of one frame, bytes: ten bits of the header."""
_MAX_FRAME: Final = 2 * (MAX_BODY + 21 + 1)
"""Longest frame between its flags, escapes included, bytes."""
_V2019: Final = 0x4000
_SUBPACKAGE: Final = 0x2000
_ENCRYPTION: Final = 0x1C00


@dataclass(frozen=True, slots=True)
class Header:
    """Head of a frame.

    Attributes:
        message: message id, e.g. 0x0200.
        serial: of the frame, counted by its sender.
        number: the terminal's number, BCD, 6 bytes (2013) or 10 (2019).
        version: protocol version of 2019 and later, None for 2013.
        encryption: 0: none; 1: RSA; others reserved.
        total: sub-packages of the message; 0: it is whole.
        index: of this one, from 1.
    """

    message: int
    serial: int
    number: bytes
    version: int | None = None
    encryption: int = 0
    total: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """A sound frame."""

    header: Header
    body: bytes


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A broken one; `why` is a stable word; `raw` its bytes between the flags, the terminal's number blotted out."""

    why: str
    raw: bytes


@dataclass(slots=True)
class FrameSplitter:
    """Cuts a stream at its flags; keeps at most one unfinished frame."""

    _rest: bytearray = field(default_factory=bytearray)
    _inside: bool = False

    def feed(self, data: bytes) -> Iterator[Frame | BadFrame]:
        """Yield the frames that `data` completes; bytes outside of flags are no frame and come as one bad one."""
        for piece in _pieces(data):
            if piece is not None:
                self._rest += piece
                if len(self._rest) > _MAX_FRAME:
                    yield BadFrame("too_long", _blotted(bytes(self._rest[:_MAX_FRAME])))
                    self._rest.clear()
                    self._inside = False
                continue
            raw = bytes(self._rest)
            self._rest.clear()
            if raw:
                yield parse_frame(raw) if self._inside else BadFrame("outside", _blotted(raw))
            # A flag that ends a frame may begin the next one; two in a row are an empty frame, which is none.
            self._inside = True


def _pieces(data: bytes) -> Iterator[bytes | None]:
    """Yield what stands between flags, and None for each flag."""
    parts = data.split(bytes([FLAG]))
    for number, part in enumerate(parts):
        if number:
            yield None
        if part:
            yield part


def parse_frame(raw: bytes) -> Frame | BadFrame:
    """Return the frame whose bytes between the flags are `raw`."""
    data = _unescaped(raw)
    if data is None:
        return BadFrame("bad_escape", _blotted(raw))
    if len(data) < 13:
        return BadFrame("too_short", _blotted(data))
    if reduce(xor, data):
        return BadFrame("bad_check", _blotted(data))
    message, attributes = struct.unpack_from(">HH", data)
    is_2019 = bool(attributes & _V2019)
    at = 5 if is_2019 else 4
    end_of_number = at + (10 if is_2019 else 6)
    start = end_of_number + 2 + (4 if attributes & _SUBPACKAGE else 0)
    length = attributes & MAX_BODY
    if len(data) != start + length + 1:
        return BadFrame("bad_length", _blotted(data))
    header = Header(
        message,
        int.from_bytes(data[end_of_number : end_of_number + 2], "big"),
        data[at:end_of_number],
        data[4] if is_2019 else None,
        (attributes & _ENCRYPTION) >> 10,
    )
    if attributes & _SUBPACKAGE:
        total, index = struct.unpack_from(">HH", data, end_of_number + 2)
        if not 1 <= index <= total:
            return BadFrame("bad_subpackage", _blotted(data))
        header = replace(header, total=total, index=index)
    return Frame(header, data[start:-1])


def encode_frames(header: Header, body: bytes) -> bytes:
    """Return a message as it travels, in as many frames as it needs; serials count on from the header's.

    Args:
        header: `total` and `index` are not looked at.
        body: at most 65,535 * 1,023 bytes.
    """
    parts = [body[at : at + MAX_BODY] for at in range(0, len(body), MAX_BODY)] or [b""]
    out = b""
    for number, part in enumerate(parts):
        attributes = len(part) | header.encryption << 10
        attributes |= (_SUBPACKAGE if len(parts) > 1 else 0) | (0 if header.version is None else _V2019)
        data = struct.pack(">HH", header.message, attributes)
        data += b"" if header.version is None else bytes([header.version])
        data += header.number + struct.pack(">H", (header.serial + number) & 0xFFFF)
        data += struct.pack(">HH", len(parts), number + 1) if len(parts) > 1 else b""
        data += part
        data += bytes([reduce(xor, data)])
        out += bytes([FLAG]) + _escaped(data) + bytes([FLAG])
    return out


def _escaped(data: bytes) -> bytes:
    return data.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02")


def _unescaped(raw: bytes) -> bytes | None:
    if _ESCAPE not in raw:
        return raw
    out = bytearray()
    escaping = False
    for byte in raw:
        if escaping:
            if byte not in (1, 2):
                return None
            out.append(0x7C + byte)
            escaping = False
        elif byte == _ESCAPE:
            escaping = True
        else:
            out.append(byte)
    return None if escaping else bytes(out)


def _blotted(data: bytes) -> bytes:
    """Return `data` with everything that may be the terminal's number replaced by zeros: it is a person's number."""
    return data[:4] + b"\0" * len(data[4:15]) + data[15:]


@dataclass(slots=True)
class Assembly:
    """Puts the sub-packages of a connection's messages together, within bounds.

    Attributes:
        max_messages: unfinished messages at a time; the oldest goes when there are more.
        max_parts: sub-packages of one message.
    """

    max_messages: int = 4
    max_parts: int = 64
    _parts: dict[tuple[bytes, int, int], dict[int, Frame]] = field(default_factory=dict)

    def add(self, frame: Frame) -> tuple[Frame, ...] | None:
        """Return the frames of the message that `frame` completes, in order; None while some are missing.

        A frame of more parts than `max_parts` is returned as nothing: an empty tuple.
        """
        header = frame.header
        if header.total <= 1:
            return (frame,)
        if header.total > self.max_parts:
            return ()
        first = (header.serial - header.index + 1) & 0xFFFF
        parts = self._parts.setdefault((header.number, header.message, first), {})
        parts[header.index] = frame
        if len(parts) == header.total:
            del self._parts[header.number, header.message, first]
            return tuple(parts[index] for index in sorted(parts))
        while len(self._parts) > self.max_messages:
            del self._parts[next(iter(self._parts))]
        return None
