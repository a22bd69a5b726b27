"""The world around a southbound driver: an intake that can fail, a broker of the devices, and a case for each kind.

A new driver joins `tests/conformance/test_drivers.py` by a scene: a class with the methods of `Scene`, made known by
`@scene("kind")`, in this file or in a `fix_driver_<kind>.py` beside it.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any, TypeVar

import paho.mqtt.client as mqtt
import pytest
from fix_services import free_port, temporary_folder, unavailable, wait_until
from fix_sparkplug import DOUBLE, EdgeNode, metric
from paho.mqtt.enums import CallbackAPIVersion

from hanlu.app import process
from hanlu.app.embedded.broker import find_mosquitto
from hanlu.core.errors import TransientError
from hanlu.core.reading import Reading
from hanlu.gateway.driver.contract import Batch, Driver, Undecodable, Verdict
from hanlu.gateway.driver.dji import DjiConfig
from hanlu.gateway.driver.http_push import HttpPushConfig
from hanlu.gateway.driver.mapping import DriverConfig
from hanlu.gateway.driver.mqtt_senml import MqttSenmlConfig
from hanlu.gateway.driver.sparkplug import SparkplugConfig


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


class Scene:
    """A device and what connects it, as one driver meets them; each driver has one, made anew for each test.

    Attributes:
        config: the smallest configuration that gives the channel `name`.
        name: of the channel the device's value becomes.
        unit: SenML unit of that channel.
        announced: whether the configuration alone tells the channel, so that it stands in the birth.
        resends: whether the device or its broker delivers again what was not acknowledged, after a restart of ours too.
        repeats: whether the same value may come more than once, as where a driver asks again and again.
        keeps_junk: whether junk is handed on as undecodable, or the medium knows none.
    """

    config: DriverConfig
    name: str
    unit: str
    announced = False
    resends = True
    repeats = False
    keeps_junk = True

    def start(self) -> None:
        """Let the device and what connects it come up; a driver may be running already."""

    def ready(self, driver: Driver) -> bool:
        """Tell whether the driver would hear the device now."""
        del driver
        return True

    def send(self, value: float) -> None:
        """Let the device say a value in its own unit, and persist as its protocol wants it to; returns at once."""
        raise NotImplementedError

    def expected(self, value: float) -> float:
        """Return what a value of the device is in `unit`."""
        raise NotImplementedError

    def junk(self) -> None:
        """Let the device, or a stranger, say something senseless."""
        raise NotImplementedError

    def close(self) -> None:
        """Take everything down."""


SCENES: dict[str, Callable[[Path], Scene]] = {}
"""By kind; made with a folder of the test's own."""

_S = TypeVar("_S", bound=Scene)


def scene(kind: str) -> Callable[[type[_S]], type[_S]]:
    """Make a scene known under the kind of its driver; its constructor takes a folder of the test's own."""

    def known(made: type[_S]) -> type[_S]:
        SCENES[kind] = made
        return made

    return known


class BrokerScene(Scene):
    """Base of the scenes with a broker; the driver must be subscribed before the device speaks."""

    def __init__(self, folder: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hanlu-broker-")
        self.broker = DeviceBroker(Path(self._folder.name))
        self.login = {"port": self.broker.port, "reconnect_min_s": 0.05, "reconnect_max_s": 0.2}

    def start(self) -> None:
        self.broker.start()

    def ready(self, driver: Driver) -> bool:
        return bool(getattr(driver, "ready", False))

    def publish(self, topic: str, payload: bytes | str | dict[str, Any], qos: int = 1) -> None:
        with self.broker.peer() as peer:
            peer.publish(topic, payload, qos)

    def close(self) -> None:
        self.broker.stop()
        self._folder.cleanup()


def _celsius(fahrenheit: float) -> float:
    return (fahrenheit - 32) * 5 / 9


@scene("mqtt_senml")
class PlainScene(BrokerScene):
    """A cheap sensor in Fahrenheit on a topic of its maker's."""

    name, unit = "room-3/air_temperature", "Cel"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        rule = {"source": "data.temp", "metric": "air_temperature", "unit": "°F"}
        self.config = MqttSenmlConfig.model_validate(
            {"name": "plain", "broker": self.login, "topics": [{"topic": "sites/{device}/up", "channels": [rule]}]}
        )

    def send(self, value: float) -> None:
        self.publish("sites/Room 3/up", {"data": {"temp": value}})

    def expected(self, value: float) -> float:
        return _celsius(value)

    def junk(self) -> None:
        self.publish("sites/Room 3/up", b"\xff{")


@scene("sparkplug")
class SparkplugScene(BrokerScene):
    """An edge node: at QoS 0 and with a clean session, as the specification wants it."""

    name, unit = "e/temp", "Cel"
    resends = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.config = SparkplugConfig.model_validate({"name": "sp", "broker": self.login, "host_id": "H"})
        self._edge = EdgeNode()

    def send(self, value: float) -> None:
        self._edge.metrics = (metric("Temp", float(value), DOUBLE, properties={"engUnit": "°F"}),)
        self.publish(*self._edge.nbirth(), 0)

    def expected(self, value: float) -> float:
        return _celsius(value)

    def junk(self) -> None:
        self.publish("spBv1.0/G/NDATA/E", b"\xff\xff", 0)


@scene("dji")
class DjiScene(BrokerScene):
    """A dock."""

    name, unit = "4taddock1/working_voltage", "V"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.config = DjiConfig.model_validate({"name": "dji", "broker": self.login})

    def send(self, value: float) -> None:
        document = {"timestamp": int(time.time() * 1000), "data": {"working_voltage": value}}
        self.publish("thing/product/4TADDOCK1/osd", document)

    def expected(self, value: float) -> float:
        return value / 1_000

    def junk(self) -> None:
        self.publish("thing/product/4TADDOCK1/osd", b"[")


@scene("http_push")
class PushScene(Scene):
    """A device that posts until it is told that its value is safe, or not to come again."""

    name, unit = "room-3/air_temperature", "Cel"
    announced = True

    def __init__(self, folder: Path) -> None:
        self._port, self._stopped = free_port(), threading.Event()
        self._threads: list[threading.Thread] = []
        rule = {"source": "temp", "metric": "air_temperature", "unit": "°F"}
        self.config = HttpPushConfig.model_validate(
            {"name": "push", "listen": f"127.0.0.1:{self._port}", "body": {"channels": [rule]},
             "devices": [{"device": "Room 3", "token": "a-token-of-room-3"}]}
        )  # fmt: skip

    def send(self, value: float) -> None:
        self._post(json.dumps({"temp": value}).encode())

    def expected(self, value: float) -> float:
        return _celsius(value)

    def junk(self) -> None:
        self._post(b"{")

    def close(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _post(self, body: bytes) -> None:
        thread = threading.Thread(target=self._insist, args=(body,))
        self._threads.append(thread)
        thread.start()

    def _insist(self, body: bytes) -> None:
        headers = {"Authorization": "Bearer a-token-of-room-3"}
        while not self._stopped.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)
            try:
                connection.request("POST", "/Room%203", body, headers)
                if connection.getresponse().status != 503:
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            self._stopped.wait(0.05)
