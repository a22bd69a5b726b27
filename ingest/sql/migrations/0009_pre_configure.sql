CREATE TABLE telemetry.configure (
    gateway_id bigint PRIMARY KEY,
    version bigint NOT NULL,
    asked integer NOT NULL CHECK (asked > 0),
    asked_at timestamptz NOT NULL
);
COMMENT ON TABLE telemetry.configure IS 'How often a gateway was sent the remote configuration of this version, and when.';
