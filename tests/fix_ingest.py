"""A migrated database with a small registry, and questions to what ingest wrote there."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from fix_edge import NOON_MS, Edge
from psycopg import sql
from psycopg.conninfo import make_conninfo

from hanlu.core.clock import from_ms
from hanlu.db.migrate import migrate
from hanlu.ingest.config import IngestConfig
from hanlu.ingest.service import run

if TYPE_CHECKING:
    from fix_services import PostgresServer

CHANNELS = (("air_temperature", "Cel"), ("relative_humidity", "%RH"), ("door_open", "/"))
"""What every device of the test registry measures."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A database of its own."""

    url: str

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def one(self, query: str, *values: object) -> Any:
        """Return the only value of a query."""
        ((value,),) = self.rows(query, *values)
        return value

    def execute(self, statement: str, *values: object) -> None:
        """Run a statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode(), values)

    def register(self, edge: Edge, devices: Sequence[str] = ("room-1",), *, unsigned: bool = False) -> int:
        """Register a gateway with its key and these devices, and return its id."""
        with psycopg.connect(self.url) as connection:
            connection.execute(_PLACES)
            (gateway_id,) = connection.execute(
                "INSERT INTO registry.gateway (site_id, code, partition, accepts_unsigned)"
                " SELECT site_id, %s, %s, %s FROM registry.site WHERE code = 'store' RETURNING gateway_id",
                (edge.code, edge.partition, unsigned),
            ).fetchone() or (0,)
            connection.execute(
                "INSERT INTO registry.gateway_key (kid, gateway_id, public_key, valid_from) VALUES (%s, %s, %s, %s)",
                (edge.kid, gateway_id, edge.public, from_ms(NOON_MS - 86_400_000)),
            )
            for device in devices:
                self._add_device(connection, gateway_id, device)
        return int(gateway_id)

    def add_device(self, gateway_id: int, device: str) -> None:
        """Register one more device with its channels."""
        with psycopg.connect(self.url) as connection:
            self._add_device(connection, gateway_id, device)

    @staticmethod
    def _add_device(connection: psycopg.Connection[Any], gateway_id: int, device: str) -> None:
        connection.execute(
            "WITH d AS (INSERT INTO registry.device (gateway_id, code, kind) VALUES (%s, %s, 'cold_room')"
            " RETURNING device_id) INSERT INTO registry.channel (device_id, metric, unit, period_s)"
            " SELECT device_id, metric, unit, 60 FROM d, unnest(%s::text[], %s::text[]) AS m (metric, unit)",
            (gateway_id, device, [metric for metric, _ in CHANNELS], [unit for _, unit in CHANNELS]),
        )

    def account(self, edge: Edge) -> dict[str, int]:
        """Return the account of the edge's present epoch, readings; empty when there is none."""
        names = ("watermark", "highest", "produced", "stored", "duplicate", "lost", "dead", "redelivered")
        rows = self.rows(
            f"SELECT {', '.join('e.' + name for name in names)} FROM telemetry.gateway_epoch AS e"
            " JOIN registry.gateway AS g USING (gateway_id) WHERE g.code = %s AND e.epoch = %s",
            edge.code,
            edge.epoch,
        )
        return dict(zip(names, rows[0], strict=True)) if rows else {}

    def dead_letters(self) -> dict[str, int]:
        """Return how often each reason was given, repetitions included."""
        return dict(self.rows("SELECT reason, sum(times)::integer FROM telemetry.dead_letter GROUP BY reason"))

    def check(self) -> None:
        """Fail the test when a record contradicts another: the fsck after every fault."""
        assert not self.rows(
            "SELECT channel_ids, observed_ms FROM telemetry.arrival WHERE stored <> cardinality(channel_ids)"
        )
        in_arrivals = self.rows(
            'SELECT u.channel_id, u.ms, u.value FROM telemetry.arrival, unnest(channel_ids, observed_ms, "values")'
            " AS u (channel_id, ms, value) ORDER BY 1, 2"
        )
        in_readings = self.rows(
            "SELECT channel_id, (extract(epoch FROM observed_at) * 1000)::bigint, value FROM telemetry.reading"
            " ORDER BY 1, 2"
        )
        assert in_arrivals == in_readings, "every reading is in exactly one arrival"
        newest = self.rows(
            "SELECT DISTINCT ON (channel_id) channel_id, observed_at, value FROM telemetry.reading"
            " ORDER BY channel_id, observed_at DESC"
        )
        assert self.rows("SELECT channel_id, observed_at, value FROM telemetry.latest ORDER BY 1") == newest
        sums = self.rows(_SUMS)
        kept = self.rows(
            "SELECT e.gateway_id, e.epoch, e.highest, e.stored, e.duplicate, e.lost, e.dead, e.highest - coalesce("
            " (SELECT sum(to_seq - from_seq + 1) FROM telemetry.gap AS g"
            "  WHERE g.gateway_id = e.gateway_id AND g.epoch = e.epoch), 0)"
            " FROM telemetry.gateway_epoch AS e ORDER BY 1, 2"
        )
        assert sums == kept, "accounts and gaps agree with the arrivals and the replays"
        assert not self.rows(
            "SELECT FROM telemetry.gateway_epoch AS e WHERE watermark <> coalesce((SELECT min(from_seq) - 1"
            " FROM telemetry.gap AS g WHERE g.gateway_id = e.gateway_id AND g.epoch = e.epoch), highest)"
        )


_SUMS = """
SELECT
    a.gateway_id, a.epoch, a.highest, a.stored + coalesce(r.stored, 0), a.duplicate + coalesce(r.duplicate, 0),
    a.lost + coalesce(r.lost, 0) + coalesce(c.readings, 0), a.dead - coalesce(r.revived, 0),
    a.messages + coalesce(c.messages, 0)
FROM (
    SELECT
        gateway_id, epoch, max(seq) AS highest, sum(stored) AS stored, sum(duplicate) AS duplicate, sum(lost) AS lost,
        sum(dead) AS dead, count(*) AS messages
    FROM telemetry.arrival WHERE epoch IS NOT NULL GROUP BY 1, 2
) AS a
LEFT JOIN (
    SELECT
        gateway_id, epoch, sum(stored) AS stored, sum(duplicate) AS duplicate, sum(lost) AS lost,
        sum(revived) AS revived
    FROM telemetry.replay WHERE epoch IS NOT NULL GROUP BY 1, 2
) AS r USING (gateway_id, epoch)
LEFT JOIN telemetry.epoch_closed AS c USING (gateway_id, epoch)
ORDER BY 1, 2
"""
"""What arrived, what replays moved, and what was declared lost, by spool."""

_PLACES = """
INSERT INTO registry.level_name VALUES (1, '县', 'county') ON CONFLICT DO NOTHING;
INSERT INTO registry.organisation (organisation_id, level, code, name_zh, name_en, path) OVERRIDING SYSTEM VALUE
VALUES (1, 1, 'county', '县', 'county', '/1/') ON CONFLICT DO NOTHING;
INSERT INTO registry.site (organisation_id, code, name_zh, name_en, kind)
VALUES (1, 'store', '冷库', 'store', 'cold_store') ON CONFLICT DO NOTHING;
"""


@contextmanager
def fresh_platform(admin_url: str) -> Iterator[Platform]:
    """A migrated database on the server, dropped afterwards."""
    name = f"ingest_{uuid4().hex[:12]}"
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        url = make_conninfo(admin_url, dbname=name)
        migrate(url)
        yield Platform(url)
    finally:
        with psycopg.connect(admin_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def working(config: IngestConfig, platform: Platform) -> Iterator[None]:
    """Run a worker for the time of the block; whatever ended it early fails the test."""
    stop, ready, faults = threading.Event(), threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            run(config, platform.url, stop, ready.set)
        except BaseException as fault:  # noqa: BLE001 - handed to the test's own thread
            faults.append(fault)
            ready.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(20), "the worker is not ready"
        yield
        assert not faults, faults
    finally:
        stop.set()
        thread.join(20)
    assert not faults, faults
    assert not thread.is_alive(), "the worker does not stop"


@pytest.fixture
def platform(postgres_server: PostgresServer) -> Iterator[Platform]:
    """A fresh database, on PostgreSQL with TimescaleDB and without in turn."""
    with fresh_platform(postgres_server.url) as platform:
        yield platform


@pytest.fixture
def one_platform(postgres_url: str) -> Iterator[Platform]:
    """A fresh database on one kind of server, for tests to which the kind does not matter."""
    with fresh_platform(postgres_url) as platform:
        yield platform
