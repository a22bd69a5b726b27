"""The neighbours of a gateway: a device below it, a platform above it, and a broker that can be killed.

The platform does what ingest promises on the wire: it keeps what is new, recognises what repeats, and answers with
receipts. It can be told to lose messages and receipts.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from hanlu.app import process
from hanlu.app.embedded.broker import EmbeddedBroker, find_mosquitto
from hanlu.app.embedded.service import Work
from hanlu.app.settings import BrokerSettings
from hanlu.core.reading import Reading
from hanlu.core.senml import Pack, decode_json, encode_json
from hanlu.core.wire.documents import Command, Loss, Receipt
from hanlu.core.wire.envelope import NO_PREVIOUS, ContentType, Envelope, digest, open_envelope, verify
from hanlu.core.wire.topics import Lane, Topic, parse_topic, subscription
from hanlu.gateway.config import BrokerConfig, GatewayConfig, UplinkConfig

START_MS = 1_750_000_000_000


def patiently(condition: Callable[[], bool], what: str, deadline_s: float = 30.0) -> None:
    """Wait for a condition; fail the test when it does not come true in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {deadline_s:g} s"
        time.sleep(0.01)


class EdgeBroker:
    """A Mosquitto of the test's own, which it may kill."""

    def __init__(self, folder: Path, port: int, gateways: tuple[str, ...]) -> None:
        self._service = EmbeddedBroker(folder / "broker", BrokerSettings(port=port, kind="mosquitto"), gateways)
        self._service.prepare(Work(say=lambda line: None))
        self._log = (folder / "broker.log").open("ab")
        self.url = urlsplit(self._service.url)
        self.start()

    def start(self) -> None:
        self._child = process.start(self._service.command(), self._log)
        patiently(self._service.ready, "broker")

    def stop(self) -> None:
        process.stop(self._child, self._service.command().stop_signal, 10.0)

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()

    def close(self) -> None:
        self.stop()
        self._log.close()

    def login(self, code: str) -> BrokerConfig:
        """Return how the gateway `code` signs in."""
        password = self._service.logins.password(code)
        return BrokerConfig(port=self.url.port or 0, username=code, password=password, keepalive_s=5)


class Platform:
    """What stands behind the broker; `deaf` drops an upward message, `mute` a receipt, when it says so."""

    def __init__(self, url, partition: int) -> None:
        self.raw: dict[str, dict[int, bytes]] = {}  # epoch -> seq -> message
        self.topics: list[str] = []
        self.repeated = 0
        self.wills = 0
        self.faults: list[str] = []
        self.deaf: Callable[[], bool] = lambda: False
        self.mute: Callable[[], bool] = lambda: False
        self._partition, self._subscribed = partition, threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, "test-platform", clean_session=False)
        client.username_pw_set(url.username, url.password)
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda *_: client.subscribe(subscription(partition), qos=1)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        client.connect(url.hostname, url.port, keepalive=5)
        client.loop_start()
        self.client = client
        assert self._subscribed.wait(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def command(self, gateway: str, command: Command) -> None:
        topic = Topic(self._partition, gateway, Lane.COMMAND)
        self.client.publish(str(topic), command.model_dump_json(), qos=1)

    def receipt(self, gateway: str, epoch: str) -> None:
        """Say what of `epoch` is here."""
        stored = self.raw[epoch]
        mark = 0
        while mark + 1 in stored:
            mark += 1
        edges = [mark, *sorted(seq for seq in stored if seq > mark)]
        missing = tuple((a + 1, b - 1) for a, b in pairwise(edges) if b > a + 1)[:100]
        receipt = Receipt(epoch=epoch, committed=mark, missing=missing, now_ms=time.time_ns() // 10**6)
        self.client.publish(str(Topic(self._partition, gateway, Lane.RECEIPT)), receipt.model_dump_json(), qos=1)

    def _on_message(self, _client, _data, message) -> None:
        topic = parse_topic(message.topic)
        if not topic.lane.upward:
            return
        if topic.lane is Lane.WILL:
            self.wills += 1
            return
        if self.deaf():
            return
        envelope = open_envelope(message.payload)
        if not isinstance(envelope, Envelope):
            self.faults.append(f"not an envelope: {envelope}")
            return
        epoch, seq = envelope.header.epoch.hex(), envelope.header.seq
        stored = self.raw.setdefault(epoch, {})
        self.topics.append(f"{topic.lane}:{seq}")
        if seq in stored:
            self.repeated += 1
            if stored[seq] != message.payload:
                self.faults.append(f"seq {seq} came with other bytes")
        stored[seq] = message.payload
        if not self.mute():
            self.receipt(topic.gateway, epoch)

    def envelopes(self) -> list[Envelope]:
        """Return all messages, epoch by epoch, in the order of seq."""
        return [open_envelope(raw) for stored in self.raw.values() for _, raw in sorted(stored.items())]

    def readings(self) -> Counter[Reading]:
        counter: Counter[Reading] = Counter()
        for envelope in self.envelopes():
            if envelope.header.content_type is ContentType.SENML_JSON:
                pack = decode_json(envelope.payload, START_MS)
                assert isinstance(pack, Pack)
                assert pack.rejected == ()
                assert len(pack.readings) == envelope.header.count
                counter.update(pack.readings)
        return counter

    def losses(self) -> list[Loss]:
        found = [e for e in self.envelopes() if e.header.content_type is ContentType.LOSS]
        return [Loss.model_validate_json(envelope.payload) for envelope in found]

    def assert_whole(self, public: bytes, *, epochs: int = 1) -> None:
        """Demand: no gap, an unbroken chain, true signatures, totals that add up."""
        assert self.faults == []
        assert len(self.raw) == epochs
        for stored in self.raw.values():
            assert sorted(stored) == list(range(1, len(stored) + 1))
            prev, produced = NO_PREVIOUS, 0
            for _, raw in sorted(stored.items()):
                envelope = open_envelope(raw)
                assert isinstance(envelope, Envelope)
                produced += envelope.header.count
                assert (envelope.header.prev, envelope.header.produced) == (prev, produced)
                assert verify(envelope, public)
                prev = digest(raw)


class Device:
    """A device that pipelines lines and sends again, after reconnecting, what was not answered."""

    PIPELINE = 256

    def __init__(self, address: str) -> None:
        self.address = address
        self.acked: dict[int, bytes] = {}
        self.errors: dict[int | None, str] = {}
        self._next_id, self._unanswered = 1, {}
        self._sock: socket.socket | None = None
        self._rest = b""

    def send(self, body: dict[str, object]) -> int:
        """Queue one line and return its id."""
        line_id, self._next_id = self._next_id, self._next_id + 1
        self._unanswered[line_id] = json.dumps({"id": line_id, **body}).encode() + b"\n"
        return line_id

    def send_readings(self, readings: Iterable[Reading]) -> int:
        return self.send({"senml": json.loads(encode_json(readings))})

    def settle(self, deadline_s: float = 30.0) -> None:
        """Bring every queued line to its answer, whatever happens to the gateway meanwhile."""
        end = time.monotonic() + deadline_s
        while self._unanswered:
            assert time.monotonic() < end, f"{len(self._unanswered)} lines unanswered after {deadline_s:g} s"
            try:
                self._exchange()
            except OSError:
                self.close()
                time.sleep(0.02)
        self.close()

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _exchange(self) -> None:
        if self._sock is None:
            self._connect()
        assert self._sock is not None
        window = list(self._unanswered.items())[: self.PIPELINE]
        self._sock.sendall(b"".join(line for _, line in window))
        waiting = {line_id for line_id, _ in window}
        while waiting:
            data = self._sock.recv(65536)
            if not data:
                raise ConnectionResetError
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                waiting.discard(self._take(json.loads(line)))

    def _take(self, answer: dict[str, object]) -> int:
        line_id = answer.get("ok", answer.get("id"))
        line = self._unanswered.pop(line_id, b"")
        if "ok" in answer:
            self.acked[line_id] = line
        else:
            self.errors[line_id] = answer["error"]
        return line_id

    def _connect(self) -> None:
        self._rest = b""
        if self.address.startswith("unix:"):
            self._sock = socket.socket(socket.AF_UNIX)
            self._sock.settimeout(5)
            self._sock.connect(self.address.removeprefix("unix:"))
        else:
            host, _, port = self.address.rpartition(":")
            self._sock = socket.create_connection((host, int(port)), timeout=5)


def quick_uplink(**changes: object) -> UplinkConfig:
    """Patience fit for a test."""
    quick = {"receipt_timeout_s": 1.5, "reconnect_min_s": 0.05, "reconnect_max_s": 0.5}
    return UplinkConfig(**quick | changes)


@pytest.fixture
def edge_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeBroker]:
    """A Mosquitto with logins for gw-1 to gw-3 that the test may stop, kill and start."""
    from fix_services import free_port, temporary_folder, unavailable

    if find_mosquitto() is None:
        unavailable("Mosquitto is not installed")
    with temporary_folder() as folder:
        broker = EdgeBroker(folder, free_port(), ("gw-1", "gw-2", "gw-3"))
        try:
            yield broker
        finally:
            broker.close()


@pytest.fixture
def edge_platform(edge_broker: EdgeBroker) -> Iterator[Platform]:
    """A platform on partition 7 of the test's broker."""
    platform = Platform(edge_broker.url, 7)
    yield platform
    platform.close()


@pytest.fixture
def gateway_config(edge_broker: EdgeBroker, tmp_path: Path) -> GatewayConfig:
    """Settings of gw-1 on the test's broker."""
    return GatewayConfig(
        code="gw-1", partition=7, data_dir=tmp_path / "gw-1", broker=edge_broker.login("gw-1"), uplink=quick_uplink()
    )
