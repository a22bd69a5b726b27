"""What the readings' table is on each kind of server, and that the community edition's statements are ours to give."""

from __future__ import annotations

import re

import psycopg
import pytest
from fix_edge import Edge
from fix_ingest import Platform, fresh_platform
from fix_services import PostgresServer

from hanlu.db.migrate import discover, migrate

pytestmark = pytest.mark.postgres

HYPERTABLE = next(each for each in discover("ingest", "repeatable") if each.name == "0001_hypertable.sql").text


@pytest.mark.parametrize(
    ("channels_a_minute", "hours"),
    [(1, 168), (60 * 149, 168), (64_400, 24), (60 * 2_000, 12), (60 * 6_440, 4), (60 * 20_000, 2)],
)
def test_chunks_follow_from_the_load_the_registry_promises(
    one_platform: Platform, channels_a_minute: int, hours: int
) -> None:
    one_platform.register(Edge(), ("room-1",))
    one_platform.execute("DELETE FROM registry.channel WHERE metric <> 'door_open'")
    one_platform.execute("UPDATE registry.channel SET period_s = 60.0 / %s", channels_a_minute)
    assert one_platform.one("SELECT extract(epoch FROM telemetry.chunk_span())::integer") == hours * 3600
    migrate(one_platform.url)
    if one_platform.rows("SELECT FROM pg_extension WHERE extname = 'timescaledb'"):
        assert (
            one_platform.one(
                "SELECT extract(epoch FROM time_interval)::integer FROM timescaledb_information.dimensions"
                " WHERE hypertable_name = 'reading'"
            )
            == hours * 3600
        )


def test_chunk_has_the_key_for_its_only_index_and_freezes_early(timescale_server: PostgresServer) -> None:
    with fresh_platform(timescale_server.url) as platform:
        platform.execute("INSERT INTO telemetry.reading VALUES (1, now(), 1)")
        ((chunk, options),) = platform.rows(
            "SELECT c.oid::regclass::text, c.reloptions FROM pg_class AS c WHERE c.relname LIKE %s",
            "\\_hyper\\_1\\_%chunk",
        )
        assert options == ["autovacuum_freeze_min_age=0"]
        indices = platform.rows("SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass", chunk)
        assert len(indices) == 1
        assert "UNIQUE" in indices[0][0]
        assert "(channel_id, observed_at)" in indices[0][0]


def test_index_of_an_older_install_is_taken_away(timescale_server: PostgresServer) -> None:
    with fresh_platform(timescale_server.url) as platform:
        platform.execute("CREATE INDEX reading_observed_at_idx ON telemetry.reading (observed_at DESC)")
        platform.execute("INSERT INTO telemetry.reading VALUES (1, now(), 1)")
        migrate(platform.url)
        assert platform.one("SELECT count(*) FROM pg_indexes WHERE indexname LIKE '%%observed_at_idx'") == 0
        assert platform.one("SELECT count(*) FROM telemetry.reading") == 1


def test_community_edition_is_told_by_its_licence(platform: Platform) -> None:
    assert platform.one("SELECT telemetry.community_edition()") is False


def test_community_statements_are_skipped_here_and_refused_for_their_licence_alone(
    timescale_server: PostgresServer,
) -> None:
    """The Apache edition knows the statements and their options, and refuses them only for want of the licence."""
    statements = _community_statements()
    assert len(statements) == 2
    with fresh_platform(timescale_server.url) as platform:
        for statement in statements:
            with pytest.raises(psycopg.errors.FeatureNotSupported, match="license"):
                platform.execute(statement)
        misspelt = statements[0].replace("compress_segmentby", "compress_segmntby")
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="compress_segmntby"):
            platform.execute(misspelt)


def _community_statements() -> list[str]:
    block = HYPERTABLE.split("IF telemetry.community_edition() THEN", 1)[1].split("END IF;", 1)[0]
    found = re.findall(r"EXECUTE((?:\s+'(?:[^']|'')*')+);", block)
    return ["".join(re.findall(r"'((?:[^']|'')*)'", each)).replace("''", "'") for each in found]


def test_statements_looked_at_are_those_of_the_file() -> None:
    assert _community_statements()[0].startswith("ALTER TABLE telemetry.reading SET (timescaledb.compress,")
    assert "INTERVAL '14 days'" in _community_statements()[1]
