"""Retention on real tables: rules, holds, roll-ups written before their readings go, and the row that tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from fix_edge import Edge
from fix_ingest import Platform

from hanlu.core.clock import to_ms
from hanlu.core.errors import ConflictError
from hanlu.db.pool import Connection
from hanlu.ingest.history.plan import Resolution
from hanlu.ingest.history.prune import Plan, as_owner, delete, make_plan

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 11, 21, 4, tzinfo=UTC)
OLD = 120
"""Days of readings there are, one an hour of three channels."""


@pytest.fixture
def owner(platform: Platform) -> Iterator[Connection]:
    platform.register(Edge(), ("room-1",))
    platform.execute("UPDATE registry.channel SET period_s = 3600")
    platform.execute(
        "INSERT INTO telemetry.reading (channel_id, observed_at, value)"
        " SELECT channel_id, at, channel_id FROM registry.channel,"
        " generate_series(%s::timestamptz, %s, INTERVAL '1 hour') AS at",
        NOW - timedelta(days=OLD),
        NOW,
    )
    platform.execute(
        "INSERT INTO telemetry.hour_due SELECT channel_id, date_bin('1 hour', observed_at, 'epoch'), 'infinity'"
        " FROM telemetry.reading"
    )
    platform.execute("DELETE FROM telemetry.retention_rule")
    with as_owner(platform.url) as connection:
        yield connection


def rule(owner: Connection, kind: str, code: str, raw: int | None, hour: int | None, day: int | None) -> None:
    owner.execute(
        "INSERT INTO telemetry.retention_rule (kind, code, raw_days, hour_days, day_days, set_by)"
        " VALUES (%s, %s, %s, %s, %s, 'test')",
        (kind, code, raw, hour, day),
    )


def hold(owner: Connection, kind: str, code: str, begin: datetime, end: datetime | None) -> int:
    row = owner.execute(
        "INSERT INTO telemetry.legal_hold (kind, code, from_at, to_at, reason, placed_by)"
        " VALUES (%s, %s, %s, %s, 'a case', 'test') RETURNING hold_id",
        (kind, code, begin, end),
    ).fetchone()
    assert row is not None
    return int(row[0])


def plan(owner: Connection) -> Plan:
    return make_plan(owner, to_ms(NOW))


def span_of(platform: Platform, metric: str) -> tuple[datetime, int]:
    rows = platform.rows(
        "SELECT min(observed_at), count(*) FROM telemetry.reading JOIN registry.channel USING (channel_id)"
        " WHERE metric = %s",
        metric,
    )
    first, count = rows[0]
    return first, count


def chunk_days(platform: Platform) -> int:
    """Return how much later than its cut a reading may go: with its chunk."""
    return 7 if platform.rows("SELECT FROM pg_extension WHERE extname = 'timescaledb'") else 0


def test_what_has_served_its_time_goes_and_its_hours_stay(platform: Platform, owner: Connection) -> None:
    rule(owner, "all", "", 30, 90, None)
    _, done = delete(owner, plan(owner), "test")
    first, count = span_of(platform, "air_temperature")
    cut = datetime(2026, 10, 21, 16, tzinfo=UTC)
    assert cut - timedelta(days=chunk_days(platform)) <= first <= cut
    assert count > 30 * 24
    hours = platform.rows("SELECT count(*), min(hour_at) FROM telemetry.hourly WHERE hour_at < %s", first)
    assert hours[0][0] >= 3 * 24 * (50 if chunk_days(platform) else 60) - 3, "rolled up before the readings went"
    assert hours[0][1] >= datetime(2026, 8, 22, 16, tzinfo=UTC) - timedelta(days=28 if chunk_days(platform) else 0)
    days = platform.rows("SELECT count(DISTINCT day) FROM telemetry.daily WHERE readings = 24")
    if chunk_days(platform):
        assert done.chunks["reading"] >= 10
        assert not done.rows.get("reading")
    else:
        assert done.rows["reading"] + count * 3 == (OLD * 24 + 1) * 3
        assert days[0][0] >= OLD - 90 - 1, "days written before their hours went"


def test_plan_alone_deletes_nothing(platform: Platform, owner: Connection) -> None:
    rule(owner, "all", "", 30, 90, None)
    before = platform.one("SELECT count(*) FROM telemetry.reading")
    made = plan(owner)
    assert made.doomed[Resolution.RAW].chunks or made.doomed[Resolution.RAW].rows
    assert made.summary()["reading"]["before"]
    assert platform.one("SELECT count(*) FROM telemetry.reading") == before
    assert platform.one("SELECT count(*) FROM telemetry.retention_run") == 0


def test_hold_keeps_readings_hours_and_days_until_it_is_released(platform: Platform, owner: Connection) -> None:
    rule(owner, "all", "", 10, 10, 10)
    begin, end = NOW - timedelta(days=100), NOW - timedelta(days=97)
    hold_id = hold(owner, "channel", "gw-1/room-1/air_temperature", begin, end)
    delete(owner, plan(owner), "test")
    held = "SELECT count(*) FROM telemetry.reading WHERE observed_at >= %s AND observed_at < %s"
    assert platform.one(held, begin, end) == 72, "the held channel's readings, and of no other"
    assert platform.one("SELECT count(*) FROM telemetry.hourly WHERE hour_at < %s", end) >= 72
    owner.execute(
        "UPDATE telemetry.legal_hold SET released_by = 'test', released_at = now() WHERE hold_id = %s", (hold_id,)
    )
    delete(owner, plan(owner), "test")
    assert platform.one(held, begin, end) == 0


def test_hold_on_a_site_follows_no_sensor_that_moves_away(platform: Platform, owner: Connection) -> None:
    rule(owner, "all", "", 10, 10, 10)
    hold(owner, "site", "store", NOW - timedelta(days=OLD), None)
    assert plan(owner).held == 3
    platform.execute(
        "INSERT INTO registry.site (organisation_id, code, name_zh, name_en, kind)"
        " VALUES (1, 'new', '新', 'new', 'truck')"
    )
    platform.execute("UPDATE registry.gateway SET site_id = (SELECT site_id FROM registry.site WHERE code = 'new')")
    made = plan(owner)
    assert made.held == 3
    assert not made.doomed[Resolution.RAW].chunks
    rows = [one for spans in made.doomed[Resolution.RAW].rows.values() for one in spans]
    assert all(one.to_ms <= to_ms(NOW - timedelta(days=OLD)) for one in rows), "nothing that was measured"


def test_channels_of_one_rule_go_row_by_row_while_others_stay(platform: Platform, owner: Connection) -> None:
    rule(owner, "all", "", None, None, None)
    rule(owner, "metric", "door_open", 20, 20, None)
    _, done = delete(owner, plan(owner), "test")
    assert done.chunks == {}
    assert span_of(platform, "air_temperature")[1] == OLD * 24 + 1
    assert 20 * 24 <= span_of(platform, "door_open")[1] <= (20 + chunk_days(platform) + 1) * 24 + 1


def test_late_reading_of_a_closed_time_changes_no_roll_up(platform: Platform, owner: Connection) -> None:
    from hanlu.ingest.history.rollup import RollUp, RollUpConfig

    rule(owner, "all", "", 10, None, None)
    delete(owner, plan(owner), "test")
    hour = NOW - timedelta(days=100)
    was = platform.rows("SELECT * FROM telemetry.hourly WHERE hour_at = %s ORDER BY channel_id", hour)
    assert len(was) == 3
    platform.execute(
        "INSERT INTO telemetry.reading (channel_id, observed_at, value)"
        " SELECT channel_id, %s, 99 FROM registry.channel",
        hour + timedelta(minutes=5),
    )
    platform.execute(
        "INSERT INTO telemetry.hour_due SELECT channel_id, %s, now() FROM registry.channel ON CONFLICT DO NOTHING", hour
    )
    rollup = RollUp(owner, RollUpConfig(settle_s=0))
    while rollup.calculate():
        pass
    assert platform.rows("SELECT * FROM telemetry.hourly WHERE hour_at = %s ORDER BY channel_id", hour) == was


def test_every_run_is_on_record_with_its_rules(platform: Platform, owner: Connection) -> None:
    rule(owner, "all", "", 30, 90, None)
    run_id, done = delete(owner, plan(owner), "li")
    rows: list[tuple[Any, ...]] = platform.rows(
        "SELECT run_id, run_by, rules -> 0 ->> 'raw_days', deleted, ended_at IS NOT NULL, failure"
        " FROM telemetry.retention_run"
    )
    assert rows == [(run_id, "li", "30", {"rows": done.rows, "chunks": done.chunks}, True, None)]


def test_run_that_fails_says_so_and_the_next_one_finishes(
    platform: Platform, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule(owner, "all", "", 30, 30, 30)
    rule(owner, "metric", "door_open", 40, 40, 40)
    made = plan(owner)

    def stop(done: object) -> None:
        raise psycopg.OperationalError("the cable was pulled")

    with pytest.raises(psycopg.OperationalError):
        delete(owner, made, "test", stop)
    assert platform.one("SELECT failure FROM telemetry.retention_run") == "the cable was pulled"
    delete(owner, plan(owner), "test")
    assert span_of(platform, "air_temperature")[1] <= (30 + chunk_days(platform) + 8) * 24


def test_second_run_at_the_same_time_is_refused(platform: Platform, owner: Connection) -> None:
    rule(owner, "all", "", 30, 90, None)
    owner.execute("SELECT pg_advisory_lock(%s)", (0x48414C5254,))
    with as_owner(platform.url) as other, pytest.raises(ConflictError, match="under way"):
        delete(other, make_plan(other, to_ms(NOW)), "test")


def test_nobody_but_the_owner_deletes(platform: Platform, owner: Connection) -> None:
    for role in ("hanlu_ingest", "hanlu_reader", "hanlu_alerts"):
        assert not platform.one(
            "SELECT has_function_privilege(%s, 'telemetry.drop_chunk(text, timestamptz, timestamptz)', 'EXECUTE')", role
        )
        for table in ("reading", "retention_rule", "legal_hold", "held", "retention_run", "kept"):
            assert not platform.one("SELECT has_table_privilege(%s, %s, 'DELETE')", role, f"telemetry.{table}")
