"""Plain MQTT devices: SenML, or any JSON document with a mapping, at topics of their makers' choosing.

Source: RFC 8428 (SenML), MQTT 3.1.1 4.7 (topic names and filters).
"""

from __future__ import annotations

import re
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from hanlu.core.clock import Clock
from hanlu.core.rejected import Reason, Rejected
from hanlu.gateway.driver.body import BodyRule, channels_of, decode_body
from hanlu.gateway.driver.contract import Batch, Driver, Intake, Undecodable
from hanlu.gateway.driver.mapping import DriverConfig
from hanlu.gateway.driver.mqtt_dialogue import Listener, MqttBroker
from hanlu.gateway.driver.mqtt_source import MqttSource

__all__ = ["MqttSenmlConfig", "TopicRule", "understand"]

_DEVICE: Final = "{device}"


class TopicRule(BodyRule):
    """Topics alike, and what is published there."""

    topic: str = Field(
        min_length=1,
        max_length=500,
        description="topic; one level may be `{device}`, the device's id; `+` and a final `#` stand for anything",
    )

    @model_validator(mode="after")
    def _is_topic(self) -> Self:
        levels = self.topic.split("/")
        if levels.count(_DEVICE) != self.topic.count(_DEVICE) or levels.count(_DEVICE) > 1:
            raise ValueError("{device} is one whole level of the topic, once")
        if any(("+" in level or "#" in level) and len(level) > 1 for level in levels) or "#" in levels[:-1]:
            raise ValueError("`+` is a whole level of the topic, `#` the last one")
        nameless = [rule.source for rule in self.channels if rule.device == _DEVICE]
        if nameless and _DEVICE not in levels and self.device_source is None:
            raise ValueError(
                f"neither the topic nor device_source tells the device of {nameless[0]!r}: give its device"
            )
        return self

    @property
    def filter(self) -> str:
        """Return the topic filter."""
        return self.topic.replace(_DEVICE, "+")

    def device_of(self, topic: str) -> str | None:
        """Return the device's id in a topic, empty where it has none; None: the topic is not one of these."""
        found = _pattern(self.topic).fullmatch(topic)
        return None if found is None else found.groupdict("").get("device", "")


class MqttSenmlConfig(DriverConfig):
    """Plain MQTT devices."""

    kind: Literal["mqtt_senml"] = "mqtt_senml"
    broker: MqttBroker = Field(default=MqttBroker(), description="the devices' broker")
    topics: tuple[TopicRule, ...] = Field(min_length=1, max_length=200, description="where devices publish, and what")

    def build(self, intake: Intake, clock: Clock) -> Driver:
        """Return the driver; it connects when it runs."""
        filters = tuple(dict.fromkeys(rule.filter for rule in self.topics))
        listener = Listener(lambda topic, payload, now_ms: understand(self, topic, payload, now_ms))
        channels = channels_of(rule for topic in self.topics for rule in topic.channels)
        return MqttSource(self.name, self.broker, filters, listener, intake, clock, channels=channels)


def understand(config: MqttSenmlConfig, topic: str, payload: bytes, now_ms: int) -> Batch:
    """Return what a message says, by the first rule its topic fits; pure."""
    for rule in config.topics:
        device_id = rule.device_of(topic)
        if device_id is not None:
            return decode_body(rule, device_id, f"{config.name} {topic}", payload, now_ms)
    why = Rejected(Reason.BAD_TOPIC, "no rule for this topic")
    return Batch(undecodable=(Undecodable(f"{config.name} {topic}"[:200], why, payload),))


def _pattern(template: str) -> re.Pattern[str]:
    """Return what topics of this template look like; `re` remembers the recent ones."""
    levels = {"+": "[^/]*", _DEVICE: "(?P<device>[^/]+)"}
    plain = template.removesuffix("/#")
    pattern = "/".join(levels.get(level, re.escape(level)) for level in plain.split("/"))
    if template == "#":
        pattern = ".*"
    elif plain != template:
        pattern += "(?:/.*)?"  # `a/#` is also `a` itself (MQTT 3.1.1, 4.7.1.2)
    return re.compile(pattern, re.DOTALL)
