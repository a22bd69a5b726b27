"""The world around a southbound driver: an intake that can fail, a broker of the devices, and a case for each kind.

A new driver joins `tests/conformance/test_drivers.py` by a scene: a class with the methods of `Scene`, made known by
`@scene("kind")`, in this file or in a `fix_driver_<kind>.py` beside it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from fix_services import free_port, temporary_folder, unavailable, wait_until
from paho.mqtt.enums import CallbackAPIVersion

from hanlu.app import process
from hanlu.app.embedded.broker import find_mosquitto
from hanlu.core.errors import TransientError
from hanlu.core.reading import Reading
from hanlu.gateway.driver.contract import Batch, Driver, Undecodable, Verdict


class FakeIntake:
    """Keeps what it is offered in memory, as the gateway's own does on disk.

    Attributes:
        kept: batches kept, in order.
        offers: how often a batch was offered, whatever became of it.
        failures: how many offers to come fail, as on a disk that refuses.
        full: whether there is no room.
    """

    def __init__(self) -> None:
        self.kept: list[Batch] = []
        self.refused: list[Batch] = []
        self.offers = 0
        self.failures = 0
        self.full = False
        self._lock = threading.Lock()

    def offer(self, batch: Batch) -> Verdict:
        with self._lock:
            self.offers += 1
            if self.failures > 0:
                self.failures -= 1
                raise TransientError("the disk refuses")
            if self.full:
                self.refused.append(batch)
                return Verdict.REFUSED
            self.kept.append(batch)
            return Verdict.KEPT

    @property
    def readings(self) -> list[Reading]:
        with self._lock:
            return [reading for batch in self.kept for reading in batch.readings]

    @property
    def undecodable(self) -> list[Undecodable]:
        with self._lock:
            return [bad for batch in self.kept for bad in batch.undecodable]


@contextmanager
def running_driver(driver: Driver, stop_within_s: float = 2.5) -> Iterator[Driver]:
    """Run a driver on a thread of its own for the block; it must end soon after, and by no exception."""
    escaped: list[BaseException] = []

    def run() -> None:
        try:
            driver.run()
        except BaseException as error:  # noqa: BLE001 - the test tells what it was
            escaped.append(error)

    thread = threading.Thread(target=run, name="driver", daemon=True)
    thread.start()
    try:
        yield driver
    finally:
        began = time.monotonic()
        driver.stop()
        thread.join(stop_within_s + 5)
        took = time.monotonic() - began
        assert not thread.is_alive(), "the driver does not stop"
        assert took <= stop_within_s, f"the driver took {took:.1f} s to stop"
        assert not escaped, escaped


class DeviceBroker:
    """A Mosquitto without sign-in on a free port, its sessions stored, that can be stopped, killed and started."""

    def __init__(self, folder: Path) -> None:
        mosquitto = find_mosquitto()
        if mosquitto is None:
            unavailable("Mosquitto is not installed")
        self.port = free_port()
        self._mosquitto, self._folder = mosquitto, folder
        self._conf = folder / "mosquitto.conf"
        self._conf.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\nautosave_interval 1\n"
            f"autosave_on_changes true\npersistence_location {folder}/\nuser root\nmax_queued_messages 0\n"
        )
        self._child: Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as output:
            command = process.Command(
                (str(self._mosquitto), "-c", str(self._conf)), env={"PATH": "/usr/bin:/bin"}, cwd=self._folder
            )
            self._child = process.start(command, output)
        wait_until(self._answers, "the devices' broker", 10)

    def stop(self) -> None:
        if self._child is not None:
            process.stop(self._child, 15, 5.0)
            self._child = None

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def _answers(self) -> bool:
        try:
            with self.peer():
                return True
        except OSError:
            return False

    @contextmanager
    def peer(self, *filters: str) -> Iterator[Peer]:
        """A device's or another host's client."""
        client = Peer(self.port, filters)
        try:
            yield client
        finally:
            client.close()


class Peer:
    """An MQTT client that publishes and collects."""

    def __init__(self, port: int, filters: tuple[str, ...] = ()) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self._client.on_message = lambda _c, _d, message: self.heard.append((message.topic, bytes(message.payload)))
        if filters:
            self._client.on_connect = lambda client, *_: client.subscribe([(each, 1) for each in filters])
            self._client.on_subscribe = lambda *_: self._ready.set()
        else:
            self._client.on_connect = lambda *_: self._ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(10)

    def publish(self, topic: str, payload: bytes | str | dict[str, Any], qos: int = 1, *, retain: bool = False) -> None:
        body = json.dumps(payload) if isinstance(payload, dict) else payload
        info = self._client.publish(topic, body, qos, retain)
        info.wait_for_publish(10)
        assert info.is_published()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def device_broker() -> Iterator[DeviceBroker]:
    """A running broker of the devices, this test's alone."""
    with temporary_folder() as folder:
        broker = DeviceBroker(folder)
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()
