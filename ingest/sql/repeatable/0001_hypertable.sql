-- With TimescaleDB the readings become a hypertable; plain PostgreSQL keeps the table. The same queries serve both.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        PERFORM create_hypertable(
            'telemetry.reading', 'observed_at',
            chunk_time_interval => INTERVAL '7 days', if_not_exists => true, migrate_data => true
        );
    END IF;
END
$$;
