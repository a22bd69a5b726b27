"""A broker with a short queue, as by default: what it drops in silence the receipts find, and it is sent again."""

from __future__ import annotations

from pathlib import Path

import pytest
from fix_gateway import START_MS, EdgeBroker, Platform, patiently, quick_uplink
from fix_services import free_port, temporary_folder, unavailable

from hanlu.app.embedded.broker import EmbeddedBroker, find_mosquitto
from hanlu.core.reading import Reading
from hanlu.core.wire.envelope import public_bytes
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.driver.contract import Batch
from hanlu.gateway.identity import load_or_create_key
from hanlu.gateway.service import Gateway

pytestmark = pytest.mark.broker


def test_messages_a_broker_drops_for_an_absent_platform_arrive_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_mosquitto() is None:
        unavailable("Mosquitto is not installed")
    generous = EmbeddedBroker._configuration

    def stingy(self: EmbeddedBroker) -> str:
        text = generous(self).replace("max_queued_messages 0", "max_queued_messages 20")
        return text.replace("max_inflight_messages 0", "max_inflight_messages 20")

    monkeypatch.setattr(EmbeddedBroker, "_configuration", stingy)
    sent = [Reading("room-1/air_temperature", "Cel", START_MS + 1000 * step, step / 8) for step in range(100)]
    with temporary_folder() as folder:
        broker = EdgeBroker(folder, free_port(), ("gw-1",))
        config = GatewayConfig(
            code="gw-1", partition=7, data_dir=tmp_path / "gw-1", broker=broker.login("gw-1"),
            uplink=quick_uplink(receipt_timeout_s=3.0),
        )  # fmt: skip
        Platform(broker.url, 7).close()  # its session stays, and the broker keeps what fits
        platform = None
        try:
            with Gateway(config) as gateway:
                gateway.start()
                patiently(lambda: gateway.status().connected, "link")
                for reading in sent:
                    gateway._intake.offer(Batch((reading,)))
                patiently(lambda: gateway._courier._window.live_next > 100, "everything published")
                platform = Platform(broker.url, 7)
                patiently(lambda: gateway.status().spool.pending == 0, "receipts", 60)
            platform.assert_whole(public_bytes(load_or_create_key(config.key_path)))
            assert platform.readings() == dict.fromkeys(sent, 1)
            lanes = [topic.partition(":")[0] for topic in platform.topics]
            assert lanes.count("backlog") > 50  # dropped by the broker, and sent again
        finally:
            if platform is not None:
                platform.close()
            broker.close()
