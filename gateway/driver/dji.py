"""DJI Cloud API: docks, aircraft and remote controllers that report to an MQTT broker.

osd (twice a second or slower) and state (on change) become readings by a table, events are counted, some become
readings, and those that wait for a reply get it once they are kept; topology updates are answered likewise. Requests
and commands are for the flight platform beside us: counted, never answered.

The API covers the docks, the M30, M3, M3D and M300/M350 series and their controllers. Agricultural aircraft (Agras) do
not speak it.
Source: DJI Cloud API, MQTT topic definition.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, field_validator

from hanlu.core.clock import Clock
from hanlu.core.reading import Reading
from hanlu.core.rejected import Rejected
from hanlu.gateway.driver.body import channels_of
from hanlu.gateway.driver.contract import Batch, Driver, Intake, Undecodable
from hanlu.gateway.driver.dji_message import DjiMessage, Property, parse_message, properties, readings_of, reply_to
from hanlu.gateway.driver.json_path import parse_path
from hanlu.gateway.driver.mapping import DriverConfig, code_of
from hanlu.gateway.driver.mqtt_dialogue import Dialogue, Handled, MqttBroker
from hanlu.gateway.driver.mqtt_source import MqttSource

__all__ = ["DjiConfig", "DjiListener"]

_FILTERS: Final = (
    "thing/product/+/osd",
    "thing/product/+/state",
    "thing/product/+/events",
    "thing/product/+/requests",
    "sys/product/+/status",
)


class DjiConfig(DriverConfig):
    """DJI docks, aircraft and controllers."""

    kind: Literal["dji"] = "dji"
    broker: MqttBroker = Field(default=MqttBroker(), description="the broker the docks and controllers report to")
    reply: bool = Field(
        default=True,
        description="answer events and topology updates that wait for it; false where a flight platform does",
    )
    names: dict[str, str] = Field(
        default={}, max_length=10_000, description="device id instead of a serial number, e.g. {1581F5BKD = 'drone-1'}"
    )
    channels: tuple[Property, ...] = Field(
        default=(),
        max_length=1_000,
        description="properties besides those of the table, or instead of them by `source`",
    )
    only: tuple[str, ...] = Field(
        default=(), max_length=1_000, description="metrics to take; none: all of the table and of `channels`"
    )

    @field_validator("names")
    @classmethod
    def _usable(cls, names: dict[str, str]) -> dict[str, str]:
        for name in names.values():
            code_of(name)
        return names

    @field_validator("channels")
    @classmethod
    def _paths(cls, channels: tuple[Property, ...]) -> tuple[Property, ...]:
        for each in channels:
            parse_path(each.source)
        return channels

    def build(self, intake: Intake, clock: Clock) -> Driver:
        """Return the driver; it connects when it runs."""
        channels = channels_of(self.channels)
        return MqttSource(self.name, self.broker, _FILTERS, DjiListener(self), intake, clock, channels=channels)


class DjiListener(Dialogue):
    """What the devices say and are answered; each message for itself."""

    def __init__(self, config: DjiConfig) -> None:
        """Listen by `config` and the table."""
        super().__init__()
        self._config = config
        own = {(each.method, each.source) for each in config.channels}
        table = (*(each for each in properties() if (each.method, each.source) not in own), *config.channels)
        self._rules: dict[str, list[Property]] = {}
        for rule in table:
            if not config.only or rule.metric in config.only:
                self._rules.setdefault(rule.method, []).append(rule)

    def heard(self, topic: str, payload: bytes, now_ms: int) -> Handled:
        """Return what a message comes to."""
        source = f"{self._config.name} {topic}"[:200]
        message = parse_message(topic, payload, now_ms)
        if isinstance(message, Rejected):
            return Handled(Batch(undecodable=(Undecodable(source, message, payload),)))
        self.counts[message.kind] += 1
        batch = self._batch(message, source, payload)
        reply = reply_to(message, now_ms) if self._config.reply else None
        return Handled(batch, () if reply is None else (reply,))

    def _batch(self, message: DjiMessage, source: str, payload: bytes) -> Batch:
        named = self._config.names.get(message.sn)
        if named is not None:
            message = _renamed(message, named)
        if message.kind == "status":
            return Batch(_topology(message))
        if message.kind in {"osd", "state"}:
            rules = self._rules.get("", [])
        elif message.kind == "events" and message.method:
            rules = self._rules.get(message.method, [])
        else:
            return Batch()
        outcome = readings_of(message, rules)
        if isinstance(outcome, Rejected):
            return Batch(undecodable=(Undecodable(source, outcome, payload),))
        readings, losses = outcome
        if not readings:
            self.counts["without_readings"] += 1
        return Batch(tuple(readings), tuple(losses))


def _renamed(message: DjiMessage, name: str) -> DjiMessage:
    return DjiMessage(name, message.kind, message.method, message.timestamp_ms, message.data, message.document)


def _topology(message: DjiMessage) -> tuple[Reading, ...]:
    """Return how many devices a dock or controller has online, where the update tells."""
    below = message.data.get("sub_devices") if isinstance(message.data, dict) else None
    if not isinstance(below, list):
        return ()
    try:
        name = f"{code_of(message.sn)}/sub_devices"
    except ValueError:
        return ()
    return (Reading(name, "count", message.timestamp_ms, float(len(below))),)
