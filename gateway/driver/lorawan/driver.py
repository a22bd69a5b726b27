"""The driver: LoRaWAN devices by way of their network server's MQTT.

Uplinks are acknowledged to the server's broker when they are on this gateway's disk. The same uplink delivered twice
gives the same readings at the same times, which count once.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from hanlu.core.clock import Clock
from hanlu.core.errors import UsageError
from hanlu.core.limits import CODE_PATTERN
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.wire.documents import BirthChannel
from hanlu.gateway.driver.contract import Batch, Driver, Intake, Undecodable
from hanlu.gateway.driver.json_path import parse_path
from hanlu.gateway.driver.lorawan.codec import Codec
from hanlu.gateway.driver.lorawan.codec_file import library
from hanlu.gateway.driver.lorawan.envelope import NETWORKS, Ignored, Status, Uplink
from hanlu.gateway.driver.lorawan.uplink_batch import Device, channels_of, status_batch, uplink_batch
from hanlu.gateway.driver.mapping import ChannelRule, DriverConfig, Section, code_of
from hanlu.gateway.driver.mqtt_dialogue import Dialogue, Handled, MqttBroker
from hanlu.gateway.driver.mqtt_source import MqttSource

__all__ = ["LorawanConfig", "LorawanDevice", "LorawanProfile", "Reader"]

_EUI: Final = re.compile(r"[0-9a-f]{16}")


class _Reading(Section):
    """How payloads are read."""

    codec: str | None = Field(
        default=None, max_length=40, description="codec, one of `hanlu codec`; none: only what `channels` take"
    )
    parameters: dict[str, float] = Field(
        default_factory=dict, description="numbers of the device its codec needs, e.g. Pmin and Pmax of its certificate"
    )
    channels: tuple[ChannelRule, ...] = Field(
        default=(),
        max_length=200,
        description="values to take from what the network server decoded itself: paths in `object` (ChirpStack) or"
        " `decoded_payload` (The Things Stack)",
    )

    @model_validator(mode="after")
    def _reads(self) -> Self:
        if self.codec is None and not self.channels:
            raise ValueError("give a codec, or channels of what the network server decodes")
        for rule in self.channels:
            parse_path(rule.source)
        return self


class LorawanProfile(_Reading):
    """All devices that go by one name: their device profile, model, application or codec tag."""

    name: str = Field(
        min_length=1,
        max_length=200,
        description="device name, device profile's name or id, model id or application's name at the network server",
    )


class LorawanDevice(_Reading):
    """One device."""

    dev_eui: str = Field(description="its DevEUI, 16 hexadecimal digits")
    device: str | None = Field(
        default=None, pattern=rf"^{CODE_PATTERN}$", description="its device code; none: made of its DevEUI"
    )

    @model_validator(mode="before")
    @classmethod
    def _plain_eui(cls, values: object) -> object:
        if isinstance(values, dict) and isinstance(values.get("dev_eui"), str):
            plain = values["dev_eui"].lower().replace("-", "").replace(":", "")
            if not _EUI.fullmatch(plain):
                raise ValueError(f"{values['dev_eui']!r} is no DevEUI: it has 16 hexadecimal digits")
            return {**values, "dev_eui": plain}
        return values


class LorawanConfig(DriverConfig):
    """LoRaWAN devices."""

    kind: Literal["lorawan"] = "lorawan"
    network: Literal["chirpstack", "things_stack"] = Field(
        default="chirpstack", description="the network server: `chirpstack` 4 or 3, `things_stack` 3"
    )
    application: str = Field(
        default="+",
        pattern=r"^(\+|[^+#/]{1,128})$",
        description="application whose devices are taken: ChirpStack's id, The Things Stack's `app@tenant`; `+`: all",
    )
    broker: MqttBroker = Field(default=MqttBroker(), description="the network server's broker")
    codec_files: tuple[Path, ...] = Field(default=(), description="codec files of your own; their codecs win by name")
    codec_tag: str = Field(
        default="codec", min_length=1, max_length=60, description="tag (attribute) of a device that names its codec"
    )
    profiles: tuple[LorawanProfile, ...] = Field(
        default=(), max_length=500, description="how devices are read that go by a name"
    )
    devices: tuple[LorawanDevice, ...] = Field(
        default=(), max_length=2_000, description="how single devices are read; wins over profiles"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for what, names in (
            ("profile", [each.name for each in self.profiles]),
            ("device", [each.dev_eui for each in self.devices]),
            ("device code", [each.device for each in self.devices if each.device]),
        ):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise ValueError(f"{what} {twice[0]!r} stands twice")
        return self

    def build(self, intake: Intake, clock: Clock) -> Driver:
        """Return the driver; it connects when it runs.

        Raises:
            UsageError: a codec file is wrong, or there is no codec of a name.
        """
        reader = Reader(self)
        filters = [each.replace("{application}", self.application) for each in NETWORKS[self.network].filters]
        dialogue = _Events(reader)
        source = MqttSource(self.name, self.broker, filters, dialogue, intake, clock, channels=reader.channels)
        dialogue.counts = source.counts
        return source


class Reader:
    """Reads events by a configuration; pure after it is made.

    Attributes:
        channels: of the devices the configuration names, for the birth.
    """

    def __init__(self, config: LorawanConfig) -> None:
        """Load the codecs.

        Raises:
            UsageError: a codec file is wrong, or there is no codec of a name.
        """
        self._config = config
        self._read = NETWORKS[config.network].read
        self._library = library(config.codec_files)
        self._profiles = {each.name: each for each in config.profiles}
        self._devices = {each.dev_eui: each for each in config.devices}
        for each in (*config.profiles, *config.devices):
            self._codec(each)
        named = (self._made(each, each.device or code_of(each.dev_eui)) for each in config.devices)
        self.channels: tuple[BirthChannel, ...] = tuple(
            {channel.name: channel for device in named for channel in channels_of(device)}.values()
        )

    def batch(self, topic: str, payload: bytes, now_ms: int) -> tuple[Batch, str]:
        """Return what an event says, and the name to count it under."""
        message = self._read(topic, payload, self._config.codec_tag)
        where = f"{self._config.name} {topic}"
        if isinstance(message, Rejected):
            return Batch(undecodable=(Undecodable(where[:200], message, payload),)), "unreadable"
        if isinstance(message, Ignored):
            return Batch(), f"event_{message.event}"
        try:
            device = self.device(message)
        except ValueError as error:
            why = Rejected(Reason.FOREIGN_SCHEMA, str(error))
            return Batch(undecodable=(Undecodable(where[:200], why, payload),)), "unreadable"
        if isinstance(message, Status):
            return status_batch(message, device, now_ms), "event_status"
        return uplink_batch(f"{self._config.name} {message.dev_eui}", message, device, now_ms), "event_up"

    def device(self, message: Uplink | Status) -> Device:
        """Return how a message's device is read.

        Raises:
            ValueError: its name has nothing to make a device code of.
        """
        own = self._devices.get(message.dev_eui)
        if own is not None:
            return self._made(own, own.device or code_of(own.dev_eui))
        code = code_of(message.dev_eui)
        for name in message.profiles:
            if name in self._profiles:
                return self._made(self._profiles[name], code)
            if name in self._library:
                return Device(code, self._library[name])
        return Device(code)

    def _made(self, said: _Reading, code: str) -> Device:
        return Device(code, self._codec(said), said.parameters, said.channels)

    def _codec(self, said: _Reading) -> Codec | None:
        if said.codec is None:
            return None
        codec = self._library.get(said.codec)
        if codec is None:
            raise UsageError(f"there is no codec {said.codec!r}: `hanlu codec` lists them")
        unknown = set(said.parameters) - set(codec.parameters)
        if unknown:
            known = ", ".join(sorted(codec.parameters)) or "none"
            raise UsageError(f"codec {said.codec!r} has no parameter {min(unknown)!r}; it has {known}")
        return codec


class _Events(Dialogue):
    """Hears a network server's events and counts them by kind."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.counts: Counter[str] = Counter()

    def heard(self, topic: str, payload: bytes, now_ms: int) -> Handled:
        """Return what the event says."""
        batch, name = self._reader.batch(topic, payload, now_ms)
        self.counts[name] += 1
        return Handled(batch)
