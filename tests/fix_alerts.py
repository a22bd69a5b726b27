"""A small county for the alarm and console tests, and arrivals as ingest would write them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from hanlu.alerts.rules.model import Rule
from hanlu.core.clock import SystemClock, from_ms
from hanlu.db.migrate import migrate

SCOPE = "/1/2/"
OTHER_SCOPE = "/1/3/"

_REGISTRY = """
INSERT INTO registry.level_name VALUES (1, '省', 'province'), (2, '县', 'county') ON CONFLICT DO NOTHING;
INSERT INTO registry.organisation (organisation_id, parent_id, level, code, name_zh, name_en, path)
OVERRIDING SYSTEM VALUE VALUES
    (1, NULL, 1, 'hunan', '湖南省社', 'Hunan', '/1/'),
    (2, 1, 2, 'yanling', '炎陵县社', 'Yanling', '/1/2/'),
    (3, 1, 2, 'anren', '安仁县社', 'Anren', '/1/3/');
INSERT INTO registry.limit_profile
    (code, effective_from, metric, low, high, deadband, on_delay_s, off_delay_s, no_data_s, priority, source)
VALUES
    ('frozen', '2020-01-01', 'air_temperature', NULL, -15, 1, 1800, 60, 600, 1, 'test'),
    ('chilled', '2020-01-01', 'air_temperature', 0, 8, 0.5, 300, 60, 300, 2, 'test');
INSERT INTO registry.site (site_id, organisation_id, code, name_zh, name_en, kind) OVERRIDING SYSTEM VALUE VALUES
    (1, 2, 'yanling-store', '炎陵冷库', 'Yanling cold store', 'cold_store'),
    (2, 2, 'truck-7', '冷藏车 湘B·07', 'Reefer truck 07', 'truck'),
    (3, 3, 'anren-store', '安仁冷库', 'Anren cold store', 'cold_store');
INSERT INTO registry.zone (zone_id, site_id, code, name_zh, name_en, limit_profile_code) OVERRIDING SYSTEM VALUE VALUES
    (1, 1, 'yanling-frozen', '1 号冻结间', 'Frozen room 1', 'frozen'),
    (2, 1, 'yanling-chill', '2 号保鲜间', 'Chill room 2', 'chilled'),
    (3, 2, 'truck-7-box', '车厢', 'Cargo box', 'chilled'),
    (4, 3, 'anren-frozen', '冻结间', 'Frozen room', 'frozen');
INSERT INTO registry.gateway (gateway_id, site_id, code, partition) OVERRIDING SYSTEM VALUE VALUES
    (1, 1, 'gw-yanling', 0), (2, 2, 'gw-truck-7', 1), (3, 3, 'gw-anren', 2);
INSERT INTO registry.device (device_id, gateway_id, zone_id, code, kind) OVERRIDING SYSTEM VALUE VALUES
    (1, 1, 1, 'room-1', 'cold_room'), (2, 1, 2, 'room-2', 'cold_room'), (3, 2, 3, 'box-1', 'reefer'),
    (4, 3, 4, 'room-1', 'cold_room');
INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s) OVERRIDING SYSTEM VALUE VALUES
    (1, 1, 'air_temperature', 'Cel', 60), (2, 1, 'defrost', '', 60), (3, 2, 'air_temperature', 'Cel', 60),
    (4, 2, 'relative_humidity', '%RH', 60), (5, 2, 'door_open', '', 60), (6, 3, 'air_temperature', 'Cel', 60),
    (7, 4, 'air_temperature', 'Cel', 60);
"""
_WHY = {f"{part}_{lang}": "test" for part in ("cause", "consequence", "response") for lang in ("zh", "en")} | {
    "time_to_respond_min": 30
}


def rule(code: str, kind: str, *, parameters: dict[str, Any] | None = None, **more: Any) -> Rule:
    """Return a rule for tests; `more` are fields of the model, e.g. applies."""
    fields = {"code": code, "kind": kind, "title_zh": code, "title_en": code, "parameters": parameters or {}}
    return Rule.model_validate(fields | {"rationalization": _WHY} | more)


PLAIN = {"hold_defrost": False, "hold_door_s": 0}
"""A limit and nothing else: what the tests of the engine itself judge by."""


def plain_rules() -> list[Rule]:
    """Return the rules of the county: the profiles' limits, silence of its chill room, and gaps; nothing else."""
    return [
        rule("high", "high", applies={"profiled": True}, parameters=PLAIN),
        rule("low", "low", applies={"profiled": True}, parameters=PLAIN),
        rule("silent", "no_data", applies={"site": "yanling-store", "profile": "chilled"}),
        rule("gaps", "gap", applies={"device_kind": "gateway"}, priority=2),
    ]


FROZEN, DEFROST, CHILL, HUMIDITY, DOOR, TRUCK, FOREIGN = range(1, 8)
"""Channels of the county by what they measure; FOREIGN belongs to the neighbouring county."""

Cell = tuple[int, int, float]
"""Channel, observed_ms, value."""


@dataclass(slots=True)
class County:
    """A migrated database with the county above, written to the way ingest does."""

    url: str
    _seq: int = 0

    def arrive(
        self,
        cells: Sequence[Cell],
        *,
        lane: str = "live",
        replayed: bool = False,
        connection: psycopg.Connection | None = None,
        recorded_ms: int | None = None,
    ) -> None:
        """Store one message with readings of one gateway, all of them new, in a transaction of its own.

        `recorded_ms` is the platform's time; without it what is live is stored as it was measured, the rest now.
        """
        if connection is not None:
            self._write(connection, cells, lane, replayed, recorded_ms)
            return
        with psycopg.connect(self.url) as own:
            self._write(own, cells, lane, replayed, recorded_ms)

    def arrive_all(self, messages: Sequence[Sequence[Cell]], **marks: bool) -> None:
        """Store many messages, each in a transaction of its own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for cells in messages:
                with connection.transaction():
                    self._write(connection, cells, "live", marks.get("replayed", False))

    def link(self, gateway_id: int, *, online: bool = True, replay: bool = False) -> None:
        """Say whether the platform hears a gateway."""
        with psycopg.connect(self.url) as connection:
            connection.execute(
                "INSERT INTO telemetry.gateway_link VALUES (%s, %s, now(), now(), %s) ON CONFLICT (gateway_id)"
                " DO UPDATE SET online = excluded.online, replay = excluded.replay, since = now()",
                (gateway_id, online, replay),
            )

    def rules(self, *rules: Rule, author: str = "test") -> None:
        """Put rules in force, each as a new version of its code, as a person would."""
        with psycopg.connect(self.url) as connection:
            for each in rules:
                connection.execute(
                    "INSERT INTO alerts.rule (code, version, document, author)"
                    " SELECT %s, coalesce(max(version), 0) + 1, %s, %s FROM alerts.rule WHERE code = %s",
                    (each.code, Jsonb(each.model_dump(mode="json")), author, each.code),
                )
            connection.execute("NOTIFY hanlu_rule")

    def forget(self) -> None:
        """Forget alarms, journal, memory and cursors: the engine begins before the first arrival."""
        self.query(
            "TRUNCATE alerts.journal, alerts.alarm, alerts.memory, alerts.cursor, alerts.watched, alerts.watch_span,"
            " alerts.suppression, alerts.suppression_journal CASCADE"
        )

    def query(self, text: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run a statement as superuser and return its rows."""
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(text, parameters)
            return cursor.fetchall() if cursor.description else []

    def journal(self) -> list[tuple[object, ...]]:
        """Return every transition without what two runs may rightly differ in: keys and the platform's time."""
        return self.query(
            "SELECT a.channel_id, a.kind, a.exceeded_at, a.raised_at, a.returned_at, a.peak, a.peak_at, j.version,"
            " j.at, j.event, j.from_state, j.to_state, j.actor, j.value FROM alerts.journal AS j JOIN alerts.alarm AS a"
            " USING (alarm_id) ORDER BY a.channel_id, a.kind, a.raised_at, j.version"
        )

    def _write(
        self,
        connection: psycopg.Connection,
        cells: Sequence[Cell],
        lane: str,
        replayed: bool,
        recorded_ms: int | None = None,
    ) -> None:
        self._seq += 1
        channels, times, values = ([each[part] for each in cells] for part in range(3))
        if recorded_ms is None and lane == "live" and not replayed:
            recorded_ms = min(max(times), SystemClock().now_ms())  # live means stored as it was measured
        digest = hashlib.sha256(f"{uuid4()}".encode()).digest()
        connection.execute(
            "INSERT INTO telemetry.arrival (gateway_id, digest, evidence, lane, replayed, received_at, reading_count,"
            ' stored, channel_ids, observed_ms, "values", recorded_at) VALUES'
            " ((SELECT gateway_id FROM registry.channel_v WHERE channel_id = %s),"
            " %s, 1, %s, %s, now(), %s, %s, %s, %s, %s, coalesce(%s, now()))",
            (
                channels[0],
                digest,
                lane,
                replayed,
                len(cells),
                len(cells),
                channels,
                times,
                values,
                None if recorded_ms is None else from_ms(recorded_ms),
            ),
        )
        connection.execute(
            "INSERT INTO telemetry.reading (channel_id, observed_at, value) SELECT c, to_timestamp(t / 1000.0), v"
            " FROM unnest(%s::integer[], %s::bigint[], %s::float8[]) AS x (c, t, v)",
            (channels, times, values),
        )
        for channel, at, value in cells:
            connection.execute(
                "INSERT INTO telemetry.latest VALUES (%s, %s, now(), %s) ON CONFLICT (channel_id) DO UPDATE SET"
                " observed_at = excluded.observed_at, received_at = excluded.received_at, value = excluded.value"
                " WHERE excluded.observed_at > latest.observed_at",
                (channel, from_ms(at), value),
            )
        connection.execute("NOTIFY hanlu_arrival")


@contextmanager
def new_county(server_url: str) -> Iterator[County]:
    """Make a database on a server, fill it with the county, and drop it afterwards."""
    name = f"alerts_{uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = make_conninfo(server_url, dbname=name)
        try:
            migrate(url)
            with psycopg.connect(url) as connection:
                connection.execute(_REGISTRY)
            county = County(url)
            county.rules(*plain_rules())
            yield county
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def county(postgres_url: str) -> Iterator[County]:
    """The county in a database of its own."""
    with new_county(postgres_url) as made:
        yield made
