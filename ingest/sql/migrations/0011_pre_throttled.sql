CREATE TABLE telemetry.throttled (
    gateway_id bigint PRIMARY KEY,
    messages bigint NOT NULL CHECK (messages > 0),
    since timestamptz NOT NULL,
    last_at timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE telemetry.throttled IS 'Signed messages left out because their gateway sent more than it may: it keeps them and sends them again. Counted since the first one.';
