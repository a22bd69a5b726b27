"""Scenes of the drivers on buses, sockets and folders, for `tests/conformance/test_drivers.py`."""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

from fix_drivers import Scene, scene
from fix_jt808 import TerminalClient
from fix_modbus import Bus, Slave
from fix_services import free_port
from pymavlink.dialects.v20 import ardupilotmega as dialect

from hanlu.gateway.driver.csv_folder import CsvFolderConfig
from hanlu.gateway.driver.jt808 import Jt808Config
from hanlu.gateway.driver.jt808_message import Location
from hanlu.gateway.driver.mavlink import MavlinkConfig, TlogConfig
from hanlu.gateway.driver.modbus import ModbusConfig
from hanlu.gateway.driver.ulog import UlogConfig


def celsius(value: float) -> float:
    return (value - 32) * 5 / 9


@scene("modbus")
class ModbusScene(Scene):
    """A transmitter that is asked ten times a second; until it has a value it refuses."""

    name, unit = "room-3/air_temperature", "Cel"
    announced = True
    resends = False
    repeats = True
    keeps_junk = False

    def __init__(self, folder: Path) -> None:
        self._port, self._slave = free_port(), Slave()
        self._bus: Bus | None = None
        register = {
            "source": "t",
            "address": 4,
            "type": "float32",
            "metric": "air_temperature",
            "unit": "°F",
            "sentinels": [-999.0],
        }
        self.config = ModbusConfig.model_validate(
            {
                "name": "bus",
                "link": {"url": f"tcp://127.0.0.1:{self._port}", "timeout_s": 0.2},
                "devices": [{"device": "room-3", "registers": [register], "period_s": 0.1}],
            }
        )

    def start(self) -> None:
        self._bus = Bus({1: self._slave}, port=self._port)

    def send(self, value: float) -> None:
        self._slave.put(3, 4, *struct.unpack(">HH", struct.pack(">f", value)))

    def expected(self, value: float) -> float:
        return celsius(value)

    def junk(self) -> None:
        self.send(-999.0)

    def close(self) -> None:
        if self._bus is not None:
            self._bus.close()


def air_temperature(value: float) -> bytes:
    link = dialect.MAVLink(None, srcSystem=7, srcComponent=1)
    return dialect.MAVLink_hygrometer_sensor_message(0, round(value * 100), 5_000).pack(link)


@scene("mavlink")
class MavlinkScene(Scene):
    """A drone on the air: what nobody hears is gone."""

    name, unit = "drone-7/air_temperature", "Cel"
    announced = True
    resends = False

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self.config = MavlinkConfig.model_validate(
            {"name": "air", "listen": f"127.0.0.1:{self._port}", "systems": {7: "drone-7"}, "period_s": 0.1}
        )

    def send(self, value: float) -> None:
        self._say(air_temperature(value))

    def expected(self, value: float) -> float:
        return value

    def junk(self) -> None:
        self._say(b"\xfd\x03rubbish")

    def _say(self, datagram: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(datagram, ("127.0.0.1", self._port))


class FolderScene(Scene):
    """Base of the scenes with a folder: whoever fills it puts whole files there, and they stay until they are read."""

    announced = True
    suffix = ""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "in"
        self._path.mkdir()
        self._number = 0
        self.watched: dict[str, Any] = {
            "path": self._path,
            "pattern": f"*{self.suffix}",
            "poll_s": 0.05,
            "stable_s": 0.0,
        }

    def put(self, content: bytes) -> None:
        self._number += 1
        written = self._path / f".{self._number}"
        written.write_bytes(content)
        written.rename(self._path / f"{self._number}{self.suffix}")

    def junk(self) -> None:
        self.put(b"nothing anybody knows %d" % self._number)


@scene("csv_folder")
class CsvScene(FolderScene):
    """A logger's export."""

    name, unit = "box-3/air_temperature", "Cel"
    suffix = ".csv"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.config = CsvFolderConfig.model_validate(
            {
                "name": "handover",
                "folder": self.watched,
                "time": {"columns": ["Time"], "format": "unix_ms"},
                "device": {"code": "box-3"},
                "columns": [{"source": "Temperature", "metric": "air_temperature", "unit": "°F"}],
            }
        )

    def send(self, value: float) -> None:
        self.put(f"Time,Temperature\n{time.time_ns() // 1_000_000},{value}\n".encode())

    def expected(self, value: float) -> float:
        return celsius(value)


@scene("mavlink_tlog")
class TlogScene(FolderScene):
    """A ground station's log."""

    name, unit = "drone-7/air_temperature", "Cel"
    suffix = ".tlog"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.config = TlogConfig.model_validate({"name": "logs", "folder": self.watched, "systems": {7: "drone-7"}})

    def send(self, value: float) -> None:
        self.put(struct.pack(">Q", time.time_ns() // 1_000) + air_temperature(value))

    def expected(self, value: float) -> float:
        return value


@scene("ulog")
class UlogScene(FolderScene):
    """A flight controller's log of a flight without a fix."""

    name, unit = "drone-7/air_temperature", "Cel"
    suffix = ".ulg"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.config = UlogConfig.model_validate({"name": "px4", "folder": self.watched, "device": "drone-7"})

    def send(self, value: float) -> None:
        def message(kind: str, body: bytes) -> bytes:
            return struct.pack("<HB", len(body), ord(kind)) + body

        self.put(
            b"ULog\x01\x12\x35\x01"
            + bytes(8)
            + message("F", b"airspeed:uint64_t timestamp;float air_temperature_celsius;")
            + message("A", b"\0\x07\0airspeed")
            + message("D", struct.pack("<HQf", 7, 1_000_000, value))
        )

    def expected(self, value: float) -> float:
        return value


@scene("jt808")
class TruckScene(Scene):
    """A truck's terminal: it reports until it is answered, on a new connection where the old one broke."""

    name, unit = "truck-7/cargo_temperature", "Cel"
    announced = True

    def __init__(self, folder: Path) -> None:
        self._port, self._stopped = free_port(), threading.Event()
        self._threads: list[threading.Thread] = []
        item = {"source": "probe", "item": 0x51, "type": "float32", "metric": "cargo_temperature", "unit": "°F"}
        self.config = Jt808Config.model_validate(
            {
                "name": "trucks",
                "listen": f"127.0.0.1:{self._port}",
                "key": "a key of this scene's own",
                "terminals": [{"number": "13800138000", "device": "truck-7"}],
                "channels": [item],
                "without": ["*"],
            }
        )

    def send(self, value: float) -> None:
        report = Location(observed_ms=time.time_ns() // 10**9 * 1000, items={0x51: struct.pack(">f", value)})
        thread = threading.Thread(target=self._insist, args=(report,))
        self._threads.append(thread)
        thread.start()

    def expected(self, value: float) -> float:
        return celsius(value)

    def junk(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=5) as sock:
            sock.sendall(b"~rubbish~")

    def close(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _insist(self, report: Location) -> None:
        while not self._stopped.is_set():
            try:
                with TerminalClient(f"127.0.0.1:{self._port}") as terminal:
                    if terminal.sign_in() == 0:
                        terminal.report(report)
                        return
            except (OSError, AssertionError):
                self._stopped.wait(0.05)
