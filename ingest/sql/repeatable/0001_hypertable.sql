-- With TimescaleDB readings and hours become hypertables; plain PostgreSQL keeps the tables. The same queries serve both.
-- Why these sizes: docs/how-to/readings.md.

CREATE OR REPLACE FUNCTION telemetry.chunk_span()
RETURNS interval LANGUAGE sql STABLE
BEGIN ATOMIC
    -- At most some 130 million readings a chunk: 5 GB of index, a quarter of the memory of a 24 GB server. Parts of a day.
    SELECT CASE
        WHEN rate > 8000 THEN INTERVAL '2 hours'
        WHEN rate > 3000 THEN INTERVAL '4 hours'
        WHEN rate > 1500 THEN INTERVAL '12 hours'
        WHEN rate > 150 THEN INTERVAL '1 day'
        ELSE INTERVAL '7 days'
    END
    FROM (SELECT coalesce(sum(1 / period_s), 0) AS rate FROM registry.channel) AS r;
END;
COMMENT ON FUNCTION telemetry.chunk_span() IS
'How long a chunk of readings should be for the readings a second that the registered channels promise.';

CREATE OR REPLACE FUNCTION telemetry.community_edition()
RETURNS boolean LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')
    AND coalesce(current_setting('timescaledb.license', true), '') = 'timescale';
END;
COMMENT ON FUNCTION telemetry.community_edition() IS
'Whether the server has TimescaleDB under its own licence, and so compression; the Apache edition says "apache".';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        -- The key serves every question we ask; TimescaleDB's own index by time alone would cost a fifth of the disk.
        PERFORM create_hypertable(
            'telemetry.reading', 'observed_at', chunk_time_interval => telemetry.chunk_span(),
            create_default_indexes => false, if_not_exists => true, migrate_data => true
        );
        DROP INDEX IF EXISTS telemetry.reading_observed_at_idx;
        PERFORM set_chunk_time_interval('telemetry.reading', telemetry.chunk_span());
        PERFORM create_hypertable(
            'telemetry.hourly', 'hour_at', chunk_time_interval => INTERVAL '28 days',
            create_default_indexes => false, if_not_exists => true, migrate_data => true
        );
    END IF;
END
$$;

-- Compression by channel, in order of time. Only what is older than the longest backlog we expect: a late reading then
-- finds its chunk as it was, and the insert into compressed chunks, which is slow, stays the exception.
DO $$
BEGIN
    IF telemetry.community_edition() THEN
        EXECUTE 'ALTER TABLE telemetry.reading SET (timescaledb.compress, timescaledb.compress_segmentby = ''channel_id'','
            ' timescaledb.compress_orderby = ''observed_at'')';
        EXECUTE 'SELECT add_compression_policy(''telemetry.reading'', INTERVAL ''14 days'', if_not_exists => true)';
    END IF;
END
$$;

-- What differs between the two kinds of server is asked here, in statements the other kind never looks at.
CREATE OR REPLACE FUNCTION telemetry.chunks(table_name text)
RETURNS TABLE (from_at timestamptz, to_at timestamptz, about_rows bigint, bytes bigint) LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        RETURN QUERY EXECUTE
            'SELECT k.range_start, k.range_end, greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)'
            ' FROM timescaledb_information.chunks AS k'
            ' JOIN pg_class AS c ON c.oid = format(''%I.%I'', k.chunk_schema, k.chunk_name)::regclass'
            ' WHERE k.hypertable_schema = ''telemetry'' AND k.hypertable_name = $1'
            USING table_name;
    END IF;
END
$$;
COMMENT ON FUNCTION telemetry.chunks(text) IS
'The chunks of a table of this schema: from, to (not included), rows as last counted, bytes with indices; none without TimescaleDB.';

CREATE OR REPLACE FUNCTION telemetry.drop_chunk(table_name text, from_at timestamptz, to_at timestamptz)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    dropped integer;
BEGIN
    EXECUTE 'SELECT count(*)::integer FROM drop_chunks($1, older_than => $3, newer_than => $2)'
    INTO dropped USING format('telemetry.%I', table_name)::regclass, from_at, to_at;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION telemetry.drop_chunk(text, timestamptz, timestamptz) IS
'Drops the chunks of a table of this schema that lie in a span; acts with the rights of who calls it, so for the owner only.';
REVOKE EXECUTE ON FUNCTION telemetry.drop_chunk(text, timestamptz, timestamptz) FROM PUBLIC;
