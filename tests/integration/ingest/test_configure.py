"""A gateway is sent the configuration the registry holds for it, until it has it or says that it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fix_edge import NOON_MS, Edge, Message
from fix_ingest import Platform

from hanlu.core.clock import SystemClock
from hanlu.core.errors import NotFoundError
from hanlu.core.wire.topics import Topic
from hanlu.db.pool import open_pool
from hanlu.db.queries import load_queries
from hanlu.ingest.configure import send_configurations
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.keeper_config import KeeperConfig
from hanlu.ingest.writer import Writer
from hanlu.registry.audit import Audit
from hanlu.registry.config import EnrolmentSettings
from hanlu.registry.gateways import Gateways

pytestmark = pytest.mark.postgres

QUERIES = load_queries("hanlu.ingest")


class NoDoor:
    """No broker of our own."""

    def admit(self, *_: object) -> None: ...
    def expel(self, *_: object) -> None: ...


class Watch:
    """A platform with one gateway, the commands it was sent, and an administrator."""

    def __init__(self, platform: Platform) -> None:
        self.platform, self.edge = platform, Edge()
        platform.register(self.edge)
        self.writer = Writer(platform.url)
        self.sent: list[dict[str, Any]] = []
        self.pool = open_pool(platform.url, "hanlu_registry", name="test", max_size=1)
        clock = SystemClock()
        self.gateways = Gateways(self.pool, clock, Audit(self.pool, clock), NoDoor(), EnrolmentSettings())

    def take(self, message: Message) -> None:
        self.writer.commit([decode(*message, NOON_MS, read_snapshot(self.writer.connection))])

    def ask(self) -> int:
        def post(topic: Topic, payload: bytes) -> None:
            assert str(topic) == "hanlu/1/00/gw-1/command"
            self.sent.append(json.loads(payload))

        return send_configurations(self.writer.connection, QUERIES, KeeperConfig(), post)

    def later(self) -> None:
        self.platform.execute("UPDATE telemetry.configure SET asked_at = asked_at - INTERVAL '1 day'")


@pytest.fixture
def watch(one_platform: Platform) -> Iterator[Watch]:
    watch = Watch(one_platform)
    yield watch
    watch.writer.close()
    watch.pool.close()


def test_gateway_is_sent_its_configuration_until_its_birth_names_it(watch: Watch) -> None:
    assert watch.gateways.configure(None, "gw-1", "health_period_s = 30") == 1
    assert watch.ask() == 0  # not heard yet
    watch.take(watch.edge.birth())
    assert (watch.ask(), watch.ask()) == (1, 0)
    watch.later()
    assert watch.ask() == 1
    assert watch.sent == [{"action": "configure", "version": 1, "config": "health_period_s = 30"}] * 2
    watch.take(watch.edge.birth(config_version=1))
    watch.later()
    assert watch.ask() == 0


def test_configuration_the_gateway_refused_is_not_sent_again_and_the_next_is_sent_at_once(watch: Watch) -> None:
    watch.gateways.configure(None, "gw-1", "[limits]")
    watch.take(watch.edge.birth())
    watch.ask()
    watch.take(watch.edge.birth(config_error="version 1: port 502 is not there"))
    watch.later()
    assert watch.ask() == 0
    assert watch.gateways.configure(None, "gw-1", "") == 2
    assert watch.ask() == 1
    assert watch.sent[-1] == {"action": "configure", "version": 2, "config": ""}


def test_number_rises_above_what_the_gateway_names_when_the_registry_was_restored(watch: Watch) -> None:
    watch.take(watch.edge.birth(config_version=41))
    assert watch.gateways.configure(None, "gw-1", "") == 42


def test_gateway_that_never_answers_keeps_no_other_waiting(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanlu.ingest.configure._MOST", 1)
    other = Edge("gw-2", 0, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    watch.platform.register(other)
    asked: list[str] = []
    for edge in (watch.edge, other):
        watch.gateways.configure(None, edge.code, "")
        watch.take(edge.birth())
    for _ in range(3):
        send_configurations(
            watch.writer.connection, QUERIES, KeeperConfig(), lambda topic, _: asked.append(topic.gateway)
        )
    assert asked == ["gw-1", "gw-2"]


def test_gateway_that_is_away_revoked_or_replaying_is_sent_nothing(watch: Watch) -> None:
    watch.gateways.configure(None, "gw-1", "")
    watch.take(watch.edge.birth(replay=True))
    assert watch.ask() == 0
    watch.take(watch.edge.birth())
    watch.take(watch.edge.will())
    assert watch.ask() == 0
    watch.take(watch.edge.birth())
    watch.platform.execute("UPDATE registry.gateway SET revoked_at = now()")
    assert watch.ask() == 0
    with pytest.raises(NotFoundError):
        watch.gateways.configure(None, "gw-9", "")
