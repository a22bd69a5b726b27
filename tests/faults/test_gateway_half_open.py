"""A link that swallows bytes and says nothing, as a dropped route does: a written byte deletes no reading."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator

import pytest
from fix_gateway import START_MS, Device, patiently

from hanlu.core.reading import Reading
from hanlu.core.wire.envelope import public_bytes
from hanlu.gateway.identity import load_or_create_key
from hanlu.gateway.service import Gateway

pytestmark = [pytest.mark.broker, pytest.mark.slow]


class Road:
    """A TCP road to the broker whose open connections can be made to swallow everything."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._swallowed: set[socket.socket] = set()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.port = self._server.getsockname()[1]

    def swallow(self) -> None:
        """From now on nothing on the connections open now arrives, and nobody is told."""
        self._swallowed |= set(self._pairs)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for sock in [self._server, *self._pairs]:
            sock.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._server:
                    self._join(self._server.accept()[0])
                elif key.fileobj in self._pairs:  # not closed with its other half a moment ago
                    self._forward(key.fileobj)

    def _join(self, near: socket.socket) -> None:
        far = socket.create_connection(("127.0.0.1", self._target))
        for one, other in ((near, far), (far, near)):
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
        except OSError:
            data = b""
        if sock in self._swallowed:
            if not data:
                self._selector.unregister(sock)
        elif data:
            self._pairs[sock].sendall(data)
        else:
            for one in (sock, self._pairs.pop(sock)):
                self._pairs.pop(one, None)
                self._selector.unregister(one)
                one.close()


@pytest.fixture
def road(edge_broker) -> Iterator[Road]:
    road = Road(edge_broker.url.port)
    yield road
    road.close()


def test_half_open_link_is_noticed_and_what_it_swallowed_arrives_on_the_next(gateway_config, edge_platform, road):
    broker = gateway_config.broker.model_copy(update={"port": road.port})
    config = gateway_config.model_copy(update={"broker": broker})
    sent = [Reading("room-1/air_temperature", "Cel", START_MS + 1000 * step, step / 8) for step in range(600)]
    with Gateway(config) as gateway:
        gateway.start()
        patiently(lambda: gateway.status().connected, "link")
        for part in range(3):
            device = Device(gateway.address)
            for reading in sent[part * 200 : part * 200 + 200]:
                device.send_readings([reading])
            device.settle()
            if part == 0:
                patiently(lambda: gateway.status().spool.pending == 0, "receipts")
                road.swallow()
        assert gateway.status().connected  # nobody has told it yet
        assert gateway.status().spool.pending > 0
        patiently(lambda: gateway.status().spool.pending == 0, "receipts over a new link", 30)
    edge_platform.assert_whole(public_bytes(load_or_create_key(config.key_path)))
    assert edge_platform.readings() == dict.fromkeys(sent, 1)
