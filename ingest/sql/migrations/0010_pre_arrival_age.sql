-- Arrivals have an end as well. Followers have read them and the readings stand by themselves; what is needed of them for
-- good is to know a message again.
ALTER TABLE telemetry.retention_rule
    ADD COLUMN arrival_days integer CHECK (arrival_days >= 7),
    ADD CHECK (arrival_days IS NULL OR kind = 'all');
COMMENT ON COLUMN telemetry.retention_rule.arrival_days IS 'How long arrivals are kept, in days, in the rule for all; null is for ever.';
UPDATE telemetry.retention_rule SET arrival_days = 90 WHERE kind = 'all';

CREATE TABLE telemetry.arrival_gone (
    gateway_id bigint NOT NULL,
    epoch bytea NOT NULL,
    from_seq bigint NOT NULL CHECK (from_seq > 0),
    to_seq bigint NOT NULL,
    digests bytea NOT NULL,
    PRIMARY KEY (gateway_id, epoch, from_seq),
    CHECK (octet_length(digests) = 8 * (to_seq - from_seq + 1))
);
COMMENT ON TABLE telemetry.arrival_gone IS 'Messages whose arrival retention has deleted, by runs of sequence numbers: one that comes again is known for a repetition, another one at its place for a fork. Runs never overlap; an arrival kept for its own sake may lie inside one.';
COMMENT ON COLUMN telemetry.arrival_gone.digests IS 'The first 8 bytes of each message''s digest, in order.';

-- A fiftieth of the table deleted is worth a vacuum; by default it would be a fifth.
ALTER TABLE telemetry.arrival SET (autovacuum_vacuum_scale_factor = 0.02);
