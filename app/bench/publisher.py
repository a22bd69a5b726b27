"""A publisher that costs little: MQTT 3.1.1 packets made beforehand, QoS 1, over a bare socket. A process of its own.

    python -P -m hanlu.app.bench.publisher PORT FILE [RATE]

FILE is written by `write_messages`. The sign-in comes as a line of JSON on the standard input. When the packets are
made and the broker has answered it prints `ready`; the next line on the input lets it begin. It prints the moment, in
seconds of the monotonic clock, when it began and, once the broker has acknowledged every message, when it ended. With
RATE, messages a second, message n is sent n/RATE seconds after the beginning and never earlier; without, as fast as the
broker acknowledges, a window of messages in flight. It ends when the input does.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["write_messages"]

_WINDOW: Final = 1_000
"""Messages in flight at most."""
_LENGTHS = struct.Struct(">HI")
_TICK_S: Final = 0.001


def write_messages(path: Path, messages: Iterable[tuple[str, bytes]]) -> int:
    """Write topics and payloads to a file for the publisher; return their number."""
    count = 0
    with path.open("wb") as file:
        for topic, payload in messages:
            raw = topic.encode()
            file.write(_LENGTHS.pack(len(raw), len(payload)) + raw + payload)
            count += 1
    return count


def main() -> None:
    """Publish the file and say when."""
    port, path = int(sys.argv[1]), Path(sys.argv[2])
    rate = float(sys.argv[3]) if len(sys.argv) > 3 else None
    sign_in = json.loads(sys.stdin.readline())
    packets = _packets(path.read_bytes())
    with socket.create_connection(("127.0.0.1", port)) as broker:
        broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        names = _text(f"bench-{path.stem}") + _text(sign_in["username"]) + _text(sign_in["password"])
        broker.sendall(_packet(0x10, b"\x00\x04MQTT\x04\xc2\x00\x00" + names))
        if broker.recv(4) != b"\x20\x02\x00\x00":
            sys.exit("the broker refuses the publisher")
        _say("ready")
        sys.stdin.readline()
        _say(str(time.monotonic()))
        if rate is None:
            _flood(broker, packets)
        else:
            _pace(broker, packets, rate)
        _say(str(time.monotonic()))
        broker.sendall(_packet(0xE0, b""))
        sys.stdin.readline()  # what this process spent is read as long as it lives


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def _flood(broker: socket.socket, packets: list[bytes]) -> None:
    sent = heard = 0
    while heard // 4 < len(packets):  # a PUBACK has four bytes, and nothing else comes
        room = _WINDOW - (sent - heard // 4)
        if room >= _WINDOW // 2 and sent < len(packets):
            broker.sendall(b"".join(packets[sent : sent + room]))
            sent = min(sent + room, len(packets))
        heard += _heard(broker)


def _pace(broker: socket.socket, packets: list[bytes], rate: float) -> None:
    began = time.monotonic()
    sent = heard = 0
    while heard // 4 < len(packets):
        due = min(len(packets), int((time.monotonic() - began) * rate) + 1)
        if due > sent:
            broker.sendall(b"".join(packets[sent:due]))
            sent = due
        if select.select([broker], [], [], _TICK_S)[0]:
            heard += _heard(broker)


def _heard(broker: socket.socket) -> int:
    data = broker.recv(65_536)
    if not data:
        sys.exit("the broker ended the connection")
    return len(data)


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
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def _packet(kind: int, body: bytes) -> bytes:
    length, head = len(body), bytearray([kind])
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


if __name__ == "__main__":
    main()
