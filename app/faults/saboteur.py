"""Speaks MQTT under somebody else's name: repeats what was said, and says what should not be said."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Final

from hanlu.app.embedded.broker import EmbeddedBroker
from hanlu.app.faults.packets import CONNACK, PUBACK, Splitter, connect, publish
from hanlu.core.errors import TransientError

__all__ = ["send_as"]

_WINDOW: Final = 100
"""Messages sent before the broker must have acknowledged some."""
_TIMEOUT_S: Final = 10.0


def send_as(
    broker: EmbeddedBroker, user: str, *, messages: Iterable[tuple[str, bytes]] = (), packets: Sequence[bytes] = ()
) -> None:
    """Sign in as `user` and publish at QoS 1 until the broker has acknowledged everything.

    Args:
        broker: the embedded one, which knows the password.
        user: a gateway's code, or `platform`.
        messages: topics and payloads.
        packets: whole PUBLISH packets, sent as they are.

    Raises:
        TransientError: the broker hangs up.
    """
    outgoing = [publish(topic, body, number % 65_535 + 1) for number, (topic, body) in enumerate(messages)]
    outgoing += packets
    splitter = Splitter()
    with socket.create_connection(("127.0.0.1", broker.settings.port), timeout=_TIMEOUT_S) as sock:
        sock.sendall(connect(f"saboteur-{user}", user, broker.logins.password(user)))
        _await(sock, splitter, CONNACK, 1)
        for at in range(0, len(outgoing), _WINDOW):
            some = outgoing[at : at + _WINDOW]
            sock.sendall(b"".join(some))
            _await(sock, splitter, PUBACK, len(some))


def _await(sock: socket.socket, splitter: Splitter, kind: int, count: int) -> None:
    while count > 0:
        data = sock.recv(65_536)
        if not data:
            raise TransientError("the broker hung up on the saboteur")
        count -= sum(packet[0] & 0xF0 == kind for packet in splitter.feed(data))
