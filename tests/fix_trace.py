"""An orchard for the trace tests: field, pre-cooler, cold store, truck, shop, thermometers; and events on demand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql
from psycopg.conninfo import make_conninfo

from hanlu.core.clock import ManualClock, from_ms
from hanlu.db.migrate import migrate
from hanlu.db.pool import connect
from hanlu.trace.capture import Captured, capture_document
from hanlu.trace.config import CaptureConfig, CurveConfig, FollowConfig
from hanlu.trace.epcis.gs1_keys import check_digit
from hanlu.trace.feed import follow_arrivals
from hanlu.trace.log.fsck import Finding, fsck
from hanlu.trace.log.inception import create_log, log_key
from hanlu.trace.log.sequencer import Appended, append

T0 = 1_750_000_000_000
"""2025-06-15T15:06:40Z, when everything begins, Unix milliseconds."""
MINUTE = 60_000
HOUR = 60 * MINUTE
CURVE = CurveConfig(bucket_s=3_600, settle_s=0, grace_s=0)
"""Curves cut at full hours, their pieces taken without waiting."""
CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"


def _keyed(body: str) -> str:
    return body + str(check_digit(body))


GLN = {
    name: _keyed(f"69012340{number:04d}")
    for number, name in enumerate(("field", "precooler", "store", "room", "truck", "box", "shop", "coop", "carrier"))
}
PEACH = _keyed("0690123456789")
BOX_OF_PEACHES = _keyed("0690123456790")
CHANNEL = {"precooler": 1, "room": 2, "box": 3, "room_product": 4}
"""Thermometers; `room_product` is a probe in the goods."""

_REGISTRY = f"""
INSERT INTO registry.level_name VALUES (1, '县', 'county');
INSERT INTO registry.organisation (organisation_id, level, code, name_zh, name_en, path)
OVERRIDING SYSTEM VALUE VALUES (1, 1, 'yanling', '炎陵县社', 'Yanling', '/1/');
INSERT INTO registry.limit_profile (code, effective_from, metric, low, high, source) VALUES
    ('peach', '2020-01-01', 'air_temperature', 0, 3, 'test'), ('room', '2020-01-01', 'air_temperature', 0, 8, 'test');
INSERT INTO registry.product (gtin, name_zh, name_en, limit_profile_code) VALUES
    ('{PEACH}', '炎陵黄桃', 'Yanling yellow peach', 'peach'),
    ('{BOX_OF_PEACHES}', '黄桃礼盒', 'Gift box of peaches', 'room');
INSERT INTO registry.participant (participant_id, organisation_id, gln, name_zh, name_en, role)
OVERRIDING SYSTEM VALUE VALUES
    (1, 1, '{GLN["coop"]}', '平乐合作社', 'Pingle cooperative', 'cooperative'),
    (2, 1, '{GLN["carrier"]}', '湘运冷链', 'Xiangyun reefers', 'carrier');
INSERT INTO registry.site
    (site_id, organisation_id, participant_id, code, name_zh, name_en, kind, gln, latitude, longitude)
OVERRIDING SYSTEM VALUE VALUES
    (1, 1, 1, 'orchard', '平乐桃园', 'Pingle orchard', 'field', '{GLN["field"]}', 26.4, 113.8),
    (2, 1, 1, 'precooler', '预冷站', 'Pre-cooler', 'pre_cooler', '{GLN["precooler"]}', NULL, NULL),
    (3, 1, 1, 'store', '县冷库', 'County store', 'cold_store', '{GLN["store"]}', NULL, NULL),
    (4, 1, 2, 'truck', '冷藏车', 'Reefer', 'truck', '{GLN["truck"]}', NULL, NULL),
    (5, 1, NULL, 'shop', '长沙店', 'Changsha shop', 'shop', '{GLN["shop"]}', NULL, NULL);
INSERT INTO registry.zone (zone_id, site_id, code, name_zh, name_en, gln, limit_profile_code)
OVERRIDING SYSTEM VALUE VALUES
    (1, 2, 'precooler-1', '预冷间', 'Pre-cooling room', NULL, 'room'),
    (2, 3, 'store-1', '1 号库', 'Room 1', '{GLN["room"]}', 'room'),
    (3, 4, 'truck-box', '车厢', 'Cargo box', '{GLN["box"]}', 'room');
INSERT INTO registry.gateway (gateway_id, site_id, code, partition) OVERRIDING SYSTEM VALUE VALUES
    (1, 2, 'gw-precooler', 0), (2, 3, 'gw-store', 1), (3, 4, 'gw-truck', 2);
INSERT INTO registry.device (device_id, gateway_id, zone_id, code, kind) OVERRIDING SYSTEM VALUE VALUES
    (1, 1, 1, 'pre-1', 'pre_cooler'), (2, 2, 2, 'room-1', 'cold_room'), (3, 3, 3, 'box-1', 'reefer');
INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s) OVERRIDING SYSTEM VALUE VALUES
    (1, 1, 'air_temperature', 'Cel', 60), (2, 2, 'air_temperature', 'Cel', 60), (3, 3, 'air_temperature', 'Cel', 60),
    (4, 2, 'product_temperature', 'Cel', 60), (5, 2, 'door_open', '', 60);
"""


def at(place: str) -> str:
    """Return the location URI of a place of the orchard."""
    return f"https://id.gs1.org/414/{GLN[place]}"


def lot(number: str, gtin: str = PEACH) -> str:
    """Return the URI of a lot."""
    return f"https://id.gs1.org/01/{gtin}/10/{number}"


def pallet(number: int) -> str:
    """Return the URI of a logistic unit."""
    return f"https://id.gs1.org/00/{_keyed(f'3690123450000{number:04d}')}"


def amount(uri: str, quantity: float, uom: str = "KGM") -> dict[str, Any]:
    """Return a quantity element."""
    return {"epcClass": uri, "quantity": quantity, "uom": uom}


def event(
    kind: str = "ObjectEvent", *, ms: int = T0, step: str | None = None, to: str | None = None, **fields: Any
) -> dict[str, Any]:
    """Return an event of local time +08:00; `to` names the bizLocation among the orchard's places."""
    shown = from_ms(ms).isoformat(timespec="milliseconds")
    made: dict[str, Any] = {"type": kind, "eventTime": shown, "eventTimeZoneOffset": "+08:00"}
    if kind != "TransformationEvent":
        made["action"] = "OBSERVE"
    if step:
        made["bizStep"] = step
    if to:
        made["bizLocation"] = {"id": at(to)}
    return {**made, **fields}


def document(*events: dict[str, Any]) -> bytes:
    """Return a capture document with these events."""
    return json.dumps(
        {
            "@context": [CONTEXT],
            "type": "EPCISDocument",
            "schemaVersion": "2.0",
            "creationDate": "2025-06-15T15:06:40Z",
            "epcisBody": {"eventList": list(events)},
        }
    ).encode()


@dataclass(slots=True)
class Orchard:
    """A migrated database with the orchard above."""

    url: str

    def connect(self, *, autocommit: bool = True) -> psycopg.Connection[Any]:
        """Return a connection in the trace room's role."""
        return connect(self.url, "hanlu_trace", name="trace test", autocommit=autocommit)

    def capture(self, *events: dict[str, Any], now_ms: int = T0, source: str = "rest:test", **more: Any) -> Captured:
        """Capture a document with these events."""
        with self.connect() as connection:
            return capture_document(
                connection,
                document(*events),
                source=source,
                evidence=0,
                now_ms=now_ms,
                capture=CaptureConfig(),
                curve=CURVE,
                **more,
            )

    def query(self, text: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement as superuser and return its rows."""
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(text, parameters)
            return cursor.fetchall() if cursor.description else []

    def custody(self, lot_uri: str) -> list[tuple[str, int, int | None]]:
        """Return (place, hours since T0 of begin, of end) of a lot, oldest first."""
        rows = self.query(
            "SELECT location, extract(epoch FROM from_at) * 1000, extract(epoch FROM to_at) * 1000"
            " FROM trace.custody WHERE lot_uri = %s ORDER BY from_at",
            lot_uri,
        )
        names = {at(name): name for name in GLN}

        def hours(ms: Any) -> Any:
            return None if ms is None else (int(ms) - T0) / HOUR

        return [(names[place], hours(begin), hours(end)) for place, begin, end in rows]

    def measure(self, channel: int, cells: Sequence[tuple[int, float]]) -> None:
        """Store readings (ms, value) of a channel in one arrival, as ingest does; those known already only count."""
        with psycopg.connect(self.url) as connection:
            connection.execute(
                "WITH stored AS (INSERT INTO telemetry.reading (channel_id, observed_at, value)"
                " SELECT %(channel)s, to_timestamp(t / 1000.0), v"
                " FROM unnest(%(times)s::bigint[], %(values)s::float8[]) AS x (t, v)"
                " ON CONFLICT DO NOTHING RETURNING observed_at, value)"
                " INSERT INTO telemetry.arrival (gateway_id, digest, evidence, lane, received_at, reading_count,"
                ' stored, channel_ids, observed_ms, "values")'
                " SELECT (SELECT gateway_id FROM registry.channel_v WHERE channel_id = %(channel)s), %(digest)s, 1,"
                " 'live', now(), count(*), count(*), array_agg(%(channel)s::integer),"
                " array_agg((extract(epoch FROM observed_at) * 1000)::bigint), array_agg(value) FROM stored"
                " HAVING count(*) > 0",
                {
                    "channel": channel,
                    "times": [ms for ms, _ in cells],
                    "values": [value for _, value in cells],
                    "digest": hashlib.sha256(uuid4().bytes).digest(),
                },
            )
            newest = max(cells)
            connection.execute(
                "INSERT INTO telemetry.latest VALUES (%s, %s, now(), %s) ON CONFLICT (channel_id) DO UPDATE SET"
                " observed_at = excluded.observed_at, received_at = excluded.received_at, value = excluded.value"
                " WHERE excluded.observed_at > latest.observed_at",
                (channel, from_ms(newest[0]), newest[1]),
            )

    def arrive(self, body: bytes, gateway_id: int = 2) -> int:
        """Store an EPCIS document as ingest does when a gateway sends one; return its arrival_id."""
        rows = self.query(
            "INSERT INTO telemetry.arrival (gateway_id, digest, evidence, lane, received_at, event)"
            " VALUES (%s, %s, 1, 'event', now(), %s) RETURNING arrival_id",
            gateway_id,
            hashlib.sha256(uuid4().bytes).digest(),
            body,
        )
        return int(rows[0][0])


@contextmanager
def new_orchard(server_url: str) -> Iterator[Orchard]:
    """Make a database on a server, plant the orchard, and drop it afterwards."""
    name = f"trace_{uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = make_conninfo(server_url, dbname=name)
        try:
            migrate(url)
            with psycopg.connect(url) as connection:
                connection.execute(_REGISTRY)
            yield Orchard(url)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def orchard(postgres_url: str) -> Iterator[Orchard]:
    """The orchard in a database of its own."""
    with new_orchard(postgres_url) as made:
        yield made


@dataclass(slots=True)
class Ledger:
    """The orchard with a log: key, clock and the calls that append and check."""

    orchard: Orchard
    key: Ed25519PrivateKey
    clock: ManualClock
    curve: CurveConfig

    def append(self, most: int = 1000, connection: psycopg.Connection[Any] | None = None) -> Appended | None:
        """Append what waits, on a connection of its own or on the one given."""
        if connection is not None:
            return append(connection, self.key, self.curve, self.clock, most)
        with self.orchard.connect() as own:
            return append(own, self.key, self.curve, self.clock, most)

    def findings(self) -> list[Finding]:
        """Check the whole log."""
        with self.orchard.connect() as connection:
            return fsck(connection)

    def follow(self) -> int:
        """Mark the curves that new arrivals belong to; return how many arrivals there were."""
        with self.orchard.connect() as connection:
            return follow_arrivals(connection, FollowConfig(), self.curve, self.clock)


@pytest.fixture
def ledger(orchard: Orchard, tmp_path: Path) -> Ledger:
    """The orchard with a log created; pieces of curves are taken without waiting."""
    clock = ManualClock(T0)
    with orchard.connect() as connection:
        create_log(connection, tmp_path / "log.key", created_by="test", now_ms=T0, origin="hanlu.example/log/1")
    return Ledger(orchard, log_key(tmp_path / "log.key"), clock, CURVE)
