"""A gateway whose platform configures it again on every connection, and one that waits for days without a link."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from fix_gateway import START_MS, patiently

from hanlu.core.reading import Reading
from hanlu.core.wire.documents import Birth
from hanlu.core.wire.envelope import ContentType, open_envelope
from hanlu.gateway.config import BrokerConfig, GatewayConfig, LineConfig
from hanlu.gateway.driver.contract import Batch
from hanlu.gateway.service import Gateway

EVERY_SECTION = """
health_period_s = {period}
[limits]
max_readings = {number}
max_spool_bytes = {size}
[priorities]
high = ["vault-{number}/*"]
[uplink]
backlog_rate = {number}.0
receipt_timeout_s = {number}.0
[[channels]]
name = "room-{number}/air_temperature"
unit = "Cel"
period_s = 60
"""


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    return GatewayConfig(
        code="gw-1", partition=1, data_dir=tmp_path / "gw-1", broker=BrokerConfig(port=1), health_period_s=0,
        line=LineConfig(listen=f"unix:{tmp_path}/line.sock"),
    )  # fmt: skip


def measure(gateway: Gateway, number: int) -> None:
    gateway._intake.offer(Batch((Reading("room-1/air_temperature", "Cel", START_MS + number, number / 8),)))


def stored(gateway: Gateway) -> list[bytes]:
    return [message.raw for message in gateway._spool.next_after(0, 100_000)]


def hear(gateway: Gateway, version: int, text: str) -> None:
    document = {"action": "configure", "version": version, "config": text}
    gateway._courier.heard("hanlu/1/01/gw-1/command", json.dumps(document).encode())


def version_born(gateway: Gateway) -> int:
    envelopes = [open_envelope(raw) for raw in stored(gateway)]
    births = [each for each in envelopes if each.header.content_type is ContentType.BIRTH]
    return Birth.model_validate_json(births[-1].payload).config_version if births else 0


def test_configuration_that_comes_with_every_connection_leaves_the_store_alone(config):
    """The same one twenty times, then every section of it changed: the same file, the same bytes, the same chain."""
    file = config.spool_path
    with Gateway(config) as gateway:
        gateway.start()
        for number in range(20):
            measure(gateway, number)
        before, epoch, identity = stored(gateway), gateway.status().spool.epoch, file.stat().st_ino
        text = EVERY_SECTION.format(number=7, period=60, size=1 << 21)
        for _ in range(20):
            hear(gateway, 1, text)
        patiently(lambda: version_born(gateway) == 1, "configuration")
        for version in range(2, 6):
            hear(gateway, version, EVERY_SECTION.format(number=version, period=0, size=version << 20))
            patiently(lambda version=version: version_born(gateway) == version, "configuration")
            measure(gateway, 100 + version)
        hear(gateway, 6, "[limits]\nmax_spool_bytes = 1\n")
        assert stored(gateway)[:20] == before
        assert (gateway.status().spool.epoch, file.stat().st_ino) == (epoch, identity)
        last = stored(gateway)
    with Gateway(config) as gateway:
        assert stored(gateway)[: len(last)] == last
        assert (gateway.status().spool.epoch, file.stat().st_ino) == (epoch, identity)
    assert [each.name for each in file.parent.iterdir() if "damaged" in each.name] == []


def test_gateway_with_a_long_backlog_and_no_link_rests_and_goes_on_taking_in(config):
    with Gateway(config) as gateway:
        for number in range(300):
            measure(gateway, number)
        gateway.start()
        time.sleep(0.5)
        used = os.times()
        time.sleep(2)
        now = os.times()
        assert (now.user + now.system) - (used.user + used.system) < 0.4  # a fifth of one core: it does not spin
        measure(gateway, 9_999)
        assert gateway.status().spool.pending == 301
