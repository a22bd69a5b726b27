-- A holder's connection is known by its pid and its name, which holds the worker's id: a room sees no more of others.
ALTER TABLE telemetry.ingest_session DROP COLUMN backend_start;
ALTER TABLE telemetry.ingest_worker DROP COLUMN backend_start;
