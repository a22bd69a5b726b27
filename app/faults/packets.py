"""MQTT packets cut out of a byte stream, and the few that a saboteur sends himself. Pure.

Source: MQTT 3.1.1, 2.2 (fixed header), 3.1 (CONNECT), 3.3 (PUBLISH).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Splitter", "connect", "publish", "topic_of"]

CONNACK, PUBLISH, PUBACK = 0x20, 0x30, 0x40

_QOS1: Final = 0x02
_CLEAN, _PASSWORD, _USER = 0x02, 0x40, 0x80
_KEEPALIVE_S: Final = 60


@dataclass(slots=True)
class Splitter:
    """Collects bytes and gives whole packets."""

    _held: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the packets that `data` completes, each with its header."""
        self._held += data
        packets = []
        while (size := self._size()) is not None and len(self._held) >= size:
            packets.append(bytes(self._held[:size]))
            del self._held[:size]
        return packets

    def _size(self) -> int | None:
        """Return the size of the first packet; None while its header is not whole."""
        length = 0
        for place in range(1, 5):
            if len(self._held) <= place:
                return None
            length |= (self._held[place] & 0x7F) << 7 * (place - 1)
            if self._held[place] < 0x80:
                return 1 + place + length
        raise ValueError("a packet's length has more than four bytes")


def topic_of(packet: bytes) -> str | None:
    """Return the topic of a PUBLISH, None for any other packet."""
    if packet[0] & 0xF0 != PUBLISH:
        return None
    start = next(place for place in range(1, 5) if packet[place] < 0x80) + 1
    (length,) = struct.unpack_from(">H", packet, start)
    return packet[start + 2 : start + 2 + length].decode(errors="replace")


def connect(client_id: str, user: str, password: str) -> bytes:
    """Return a CONNECT with a clean session."""
    head = b"\x00\x04MQTT\x04" + bytes([_CLEAN | _PASSWORD | _USER]) + struct.pack(">H", _KEEPALIVE_S)
    return _packet(0x10, head + _text(client_id) + _text(user) + _text(password))


def publish(topic: str, payload: bytes, packet_id: int) -> bytes:
    """Return a PUBLISH at QoS 1 with a packet id from 1 to 65535."""
    return _packet(PUBLISH | _QOS1, _text(topic) + struct.pack(">H", packet_id) + payload)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def _packet(kind: int, body: bytes) -> bytes:
    head, length = bytearray([kind]), len(body)
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + body
