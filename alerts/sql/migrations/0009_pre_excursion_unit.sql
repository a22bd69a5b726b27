-- What an account was made with stays with it, also when profile or channel change later.
ALTER TABLE alerts.excursion
    ADD COLUMN unit text NOT NULL DEFAULT '',
    ADD COLUMN gap_ms bigint NOT NULL DEFAULT 600000 CHECK (gap_ms > 0);
COMMENT ON COLUMN alerts.excursion.unit IS 'SenML unit of the channel when it began.';
COMMENT ON COLUMN alerts.excursion.gap_ms IS 'Readings further apart, in milliseconds, had unknown time between them when it began.';
