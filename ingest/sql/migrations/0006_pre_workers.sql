-- Bare messages of one gateway may share a row; readings have the quality the edge gave them.
ALTER TABLE telemetry.arrival
    ADD COLUMN messages integer NOT NULL DEFAULT 1 CHECK (messages > 0),
    ADD COLUMN qualities smallint[] CHECK (cardinality(qualities) = cardinality(channel_ids));
COMMENT ON COLUMN telemetry.arrival.messages IS 'Messages in this row: one, or several bare ones of one gateway and lane that came together; their digest is SHA-256 of their digests in order.';
COMMENT ON COLUMN telemetry.arrival.qualities IS 'Parallel to channel_ids: 1 uncertain, 2 bad, 0 good; null when all are good.';

-- A page with room takes the next value of a channel beside the last one, and no index need be told.
ALTER TABLE telemetry.latest SET (fillfactor = 50);

-- What ingest workers share out among themselves: an MQTT session with the partitions it subscribes to. The session goes
-- with the lease, and with it what the broker holds unacknowledged.
CREATE TABLE telemetry.ingest_session (
    client_id text PRIMARY KEY,
    partitions smallint[] NOT NULL CHECK (cardinality(partitions) > 0),
    worker uuid,
    backend_pid integer,
    backend_start timestamptz,
    expires_at timestamptz NOT NULL DEFAULT '-infinity',
    since timestamptz,
    takeovers bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE telemetry.ingest_session IS 'Leases on the MQTT sessions of ingest: held while expires_at is ahead and the holder''s connection lives.';
COMMENT ON COLUMN telemetry.ingest_session.takeovers IS 'How often it went to another worker that had not been handed it.';

CREATE TABLE telemetry.ingest_worker (
    worker uuid PRIMARY KEY,
    name text NOT NULL,
    backend_pid integer NOT NULL,
    backend_start timestamptz NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE telemetry.ingest_worker IS 'Ingest workers that live, those that wait for a session too: each takes its share.';
