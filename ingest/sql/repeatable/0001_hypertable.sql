-- With TimescaleDB readings and hours become hypertables; plain PostgreSQL keeps the tables. The same queries serve both.
-- Why these sizes: docs/how-to/readings.md.

CREATE OR REPLACE FUNCTION telemetry.chunk_span()
RETURNS interval LANGUAGE sql STABLE
BEGIN ATOMIC
    -- At most some 130 million readings a chunk: 4 GB of index, a quarter of the memory of a 16 GB server. Parts of a day.
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
