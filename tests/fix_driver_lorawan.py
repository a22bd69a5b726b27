"""A LoRaWAN temperature sensor behind a ChirpStack, as the driver suite meets it."""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime
from pathlib import Path

from fix_drivers import BrokerScene, scene

from hanlu.gateway.driver.lorawan.driver import LorawanConfig

_EUI = "24e124136b502217"


@scene("lorawan")
class LorawanScene(BrokerScene):
    """A Milesight EM300-TH: tenths of a degree, little-endian; values in degrees here."""

    name, unit = "room-3/air_temperature", "Cel"
    announced = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        sensor = {"dev_eui": _EUI, "device": "room-3", "codec": "milesight-em300-th"}
        self.config = LorawanConfig.model_validate({"name": "lora", "broker": self.login, "devices": [sensor]})

    def send(self, value: float) -> None:
        payload = b"\x03\x67" + struct.pack("<h", round(value * 10))
        event = {
            "time": datetime.now(UTC).isoformat(),
            "deviceInfo": {"devEui": _EUI},
            "fPort": 85,
            "data": base64.b64encode(payload).decode(),
        }
        self.publish(f"application/5d08/device/{_EUI}/event/up", event)

    def expected(self, value: float) -> float:
        return value

    def junk(self) -> None:
        self.publish(f"application/5d08/device/{_EUI}/event/up", b"\xff{")
