"""Topics of plain MQTT devices."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from hanlu.core.rejected import Reason
from hanlu.gateway.driver.mqtt_senml import MqttSenmlConfig, TopicRule, understand

NOW = 1_750_000_000_000
MAPPED = {"channels": [{"source": "t", "metric": "temp", "unit": "°C"}]}


@pytest.mark.parametrize(
    ("template", "topic", "device"),
    [
        ("sites/{device}/up", "sites/AB-1/up", "AB-1"),
        ("sites/{device}/up", "sites/AB-1/down", None),
        ("sites/{device}/up", "sites/AB/1/up", None),
        ("+/{device}/#", "x/dev/a/b", "dev"),
        ("+/{device}/#", "x/dev", "dev"),
        ("tele/sensor.1", "tele/sensor.1", ""),
        ("tele/sensor.1", "tele/sensorx1", None),
        ("a/#", "a", ""),
    ],
)
def test_template_finds_the_device(template: str, topic: str, device: str | None) -> None:
    assert TopicRule(topic=template).device_of(topic) == device


@pytest.mark.parametrize(
    "template", ["a/x{device}", "{device}/{device}", "a+/b", "a/#/b", "a/b#", "", "a/{device}{device}"]
)
def test_template_that_is_no_topic_is_refused(template: str) -> None:
    with pytest.raises(ValidationError):
        TopicRule(topic=template)


def test_rule_without_any_device_is_refused() -> None:
    with pytest.raises(ValidationError, match="give its device"):
        TopicRule.model_validate({"topic": "a/b"} | MAPPED)
    TopicRule.model_validate({"topic": "a/b", "device_source": "id"} | MAPPED)


def test_first_fitting_rule_reads_the_message_and_none_keeps_it() -> None:
    config = MqttSenmlConfig.model_validate(
        {"name": "plain", "topics": [{"topic": "x/{device}"} | MAPPED, {"topic": "x/#"}]}
    )
    batch = understand(config, "x/A", json.dumps({"t": 5}).encode(), NOW)
    assert [each.name for each in batch.readings] == ["a/temp"]
    batch = understand(config, "y", b"{}", NOW)
    assert [(each.source, each.why.reason) for each in batch.undecodable] == [("plain y", Reason.BAD_TOPIC)]
