"""A gateway of the test's own in a running system: registered, with a key and a broker login like any other.

with running_hanlu(roles="ingest,web") as hanlu:
    field = Field(hanlu)
    gateway = field.enrol("trial-1")
    edge = gateway.edge()
    with gateway.client() as client:
        client.publish(edge.readings([...]))
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fix_edge import Edge, Message, temperature
from fix_ingest import CHANNELS, Platform
from fix_mqtt import Client
from fix_services import BrokerServer, wait_until

from hanlu.app.embedded.broker import EmbeddedBroker
from hanlu.core.wire.envelope import digest, key_id, public_bytes
from hanlu.db.pool import open_pool
from hanlu.registry import records
from hanlu.registry.store import Registry

if TYPE_CHECKING:
    from fix_running import RunningHanlu

__all__ = [
    "AIR",
    "HUMIDITY",
    "PROMPT_S",
    "Bad",
    "Field",
    "FieldGateway",
    "balances",
    "beside",
    "falsely_signed",
    "good",
    "instants",
    "now_ms",
]

PROMPT_S = 2.0
"""Good readings are on record and receipted this soon after they were published, whatever comes beside them."""

AIR, HUMIDITY = {"n": "room-1/air_temperature", "u": "Cel"}, {"n": "room-1/relative_humidity", "u": "%RH"}
"""The beginnings of two SenML records."""

Bad = Callable[[Edge], Message]
"""Makes the next message of a gateway, bad in one way."""

SITE, ZONE = "trial-store", "trial-room"
_MISS_PAUSE_S = 1.1
"""Ingest looks for a name it does not know at most once a second; after this pause a new one is found at once."""


def now_ms() -> int:
    """Return the machine's clock, Unix milliseconds UTC."""
    return time.time_ns() // 1_000_000


_instants = itertools.count(now_ms() - 3_600_000)


def instants(count: int) -> list[int]:
    """Return instants of the last hour, Unix milliseconds, ascending and never the same ones again."""
    return list(itertools.islice(_instants, count))


def good(edge: Edge, count: int = 1) -> Message:
    """Return the next message with `count` good readings."""
    return edge.readings([temperature(4.0 + place / 8, each) for place, each in enumerate(instants(count))])


def beside(record: dict[str, Any]) -> Bad:
    """Return a maker of messages with one good record and, after it, `record`."""

    def make(edge: Edge) -> Message:
        first, second = instants(2)
        return edge.records([AIR | {"t": first / 1000, "v": 4.5}, {"t": second / 1000} | record], 2)

    return make


def falsely_signed(edge: Edge) -> Message:
    """Return the next message with one bit of its signature turned over."""
    topic, raw = good(edge)
    return topic, raw[:-1] + bytes([raw[-1] ^ 1])


def balances(account: dict[str, int]) -> bool:
    """Tell whether nothing is missing and every reading produced is accounted for."""
    parts = account["stored"] + account["duplicate"] + account["lost"] + account["dead"]
    return account["produced"] == parts and account["watermark"] == account["highest"]


@dataclass(frozen=True, slots=True)
class FieldGateway:
    """An enrolled gateway.

    Attributes:
        code: in topics and in the register.
        gateway_id: its key in the register.
        partition: its partition.
        key: signs its messages.
        broker: where it publishes.
    """

    code: str
    gateway_id: int
    partition: int
    key: Ed25519PrivateKey
    broker: BrokerServer = field(repr=False)

    def edge(self) -> Edge:
        """Return the gateway with a fresh spool: an epoch of its own, so its account begins at nothing."""
        return Edge(self.code, self.partition, self.key, epoch=secrets.token_bytes(16))

    def client(self) -> Client:
        """Return it signed in at the broker."""
        return Client(self.broker, self.code)


@dataclass
class Field:
    """What a test adds to a running system, and what it asks its database."""

    hanlu: RunningHanlu

    @cached_property
    def platform(self) -> Platform:
        """Questions to the database."""
        return Platform(self.hanlu.database_url)

    @cached_property
    def broker(self) -> BrokerServer:
        """The embedded broker."""
        settings = self.hanlu.settings
        assert settings.broker.url is not None
        service = EmbeddedBroker(settings.data.folder / "broker", settings.broker)
        return BrokerServer("127.0.0.1", settings.broker.port, settings.broker.url, service)

    def enrol(
        self,
        code: str,
        *,
        devices: Sequence[str] = ("room-1",),
        partition: int = 7,
        unsigned: bool = False,
        profile: records.LimitProfile | None = None,
    ) -> FieldGateway:
        """Register a gateway with its key and devices, each with `CHANNELS`, and give it a login at the broker.

        Args:
            code: of the gateway.
            devices: codes of what measures behind it; they stand in one zone.
            partition: of its topics.
            unsigned: whether bare SenML is taken from it.
            profile: limits of its air temperature; None has no limits, and so no alarms.
        """
        key = Ed25519PrivateKey.generate()
        public = public_bytes(key)
        pool = open_pool(self.hanlu.database_url, "hanlu_registry", name="tests", max_size=1)
        try:
            root = Registry(pool).organisations()[0].code
            with Registry(pool).editing() as editor:
                editor.put_site(records.Site(SITE, root, "试验库", "Trial store", "cold_store"))
                editor.put_zone(records.Zone(ZONE, SITE, "试验间", "Trial room"))
                editor.put_gateway(records.Gateway(code, SITE, partition, accepts_unsigned=unsigned))
                editor.enrol_key(records.GatewayKey(code, key_id(public), public))
                if profile is not None:
                    editor.put_limit_profile(profile)
                for device in devices:
                    editor.put_device(records.Device(code, device, "cold_room", ZONE))
                    for metric, unit in CHANNELS:
                        limits = profile.code if profile is not None and profile.metric == metric else None
                        editor.put_channel(records.Channel(code, device, metric, unit, 60.0, limits))
        finally:
            pool.close()
        self.broker.add_gateways(code)
        time.sleep(_MISS_PAUSE_S)
        gateway_id = self.platform.one("SELECT gateway_id FROM registry.gateway WHERE code = %s", code)
        return FieldGateway(code, gateway_id, partition, key, self.broker)

    def letter(self, message: Message, reason: str) -> dict[str, Any]:
        """Wait for the dead letter of a message and return it."""
        names = ("topic", "gateway", "detail", "reading_count", "body", "times", "arrival_id")
        query = f"SELECT {', '.join(names)} FROM telemetry.dead_letter WHERE body_sha256 = %s AND reason = %s"
        values = digest(message[1]), reason
        wait_until(lambda: bool(self.platform.rows(query, *values)), f"dead letter {reason}", 10)
        return dict(zip(names, self.platform.rows(query, *values)[0], strict=True))

    def check(self, *roles: str) -> None:
        """Fail the test when the records contradict one another, or one of these roles fell over something."""
        self.platform.check()
        assert [self.hanlu.status()[name]["starts"] for name in roles] == [1] * len(roles)
        assert [name for name in roles if "Traceback" in self.hanlu.log(name)] == []
