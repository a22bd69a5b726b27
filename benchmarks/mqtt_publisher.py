"""A publisher that costs little: MQTT 3.1.1 packets made beforehand, QoS 1, a window of messages in flight.

    .venv/bin/python -P benchmarks/mqtt_publisher.py PORT FILE

FILE is written by `write_messages`. Ends when the broker has acknowledged every message.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["free_port", "publish", "write_messages"]

_WINDOW = 1_000
_LENGTHS = struct.Struct(">HI")


def free_port() -> int:
    """Return a TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_messages(path: Path, messages: Iterable[tuple[str, bytes]]) -> None:
    """Write topics and payloads to a file for `publish`."""
    with path.open("wb") as file:
        for topic, payload in messages:
            raw = topic.encode()
            file.write(_LENGTHS.pack(len(raw), len(payload)) + raw + payload)


def publish(port: int, path: Path) -> None:
    """Send every message of the file and wait for the last acknowledgement."""
    packets = _packets(path.read_bytes())
    with socket.create_connection(("127.0.0.1", port)) as broker:
        broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        broker.sendall(_packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x3c" + _text(f"publisher-{port}")))
        assert broker.recv(4) == b"\x20\x02\x00\x00", "the broker refuses the publisher"
        sent = acknowledged = 0
        held = 0
        while acknowledged < len(packets):
            room = _WINDOW - (sent - acknowledged)
            if room >= _WINDOW // 2 and sent < len(packets):
                broker.sendall(b"".join(packets[sent : sent + room]))
                sent = min(sent + room, len(packets))
            held += len(broker.recv(65_536))
            acknowledged = held // 4  # a PUBACK has four bytes, and nothing else comes
        broker.sendall(_packet(0xE0, b""))


def _packets(data: bytes) -> list[bytes]:
    packets: list[bytes] = []
    position = 0
    while position < len(data):
        topic_length, payload_length = _LENGTHS.unpack_from(data, position)
        start = position + _LENGTHS.size
        position = start + topic_length + payload_length
        topic, payload = data[start : start + topic_length], data[start + topic_length : position]
        mid = struct.pack(">H", len(packets) % 65_535 + 1)
        packets.append(_packet(0x32, struct.pack(">H", topic_length) + topic + mid + payload))
    return packets


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _packet(kind: int, body: bytes) -> bytes:
    length, head = len(body), bytearray([kind])
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


if __name__ == "__main__":
    publish(int(sys.argv[1]), Path(sys.argv[2]))
