CREATE TABLE telemetry.gateway_hour (
    gateway_id bigint NOT NULL,
    hour_at timestamptz NOT NULL,
    minutes_heard bigint NOT NULL CHECK (minutes_heard >= 0),
    messages bigint NOT NULL,
    backlog_messages bigint NOT NULL,
    stored bigint NOT NULL,
    duplicate bigint NOT NULL,
    lost bigint NOT NULL,
    dead bigint NOT NULL,
    live_messages bigint NOT NULL,
    late_1s bigint NOT NULL,
    late_5s bigint NOT NULL,
    late_30s bigint NOT NULL,
    late_5min bigint NOT NULL,
    late_most_s double precision,
    PRIMARY KEY (gateway_id, hour_at)
);
COMMENT ON TABLE telemetry.gateway_hour IS 'How well a gateway was heard in an hour of reception; derived from the arrivals, kept for the data-quality page.';
COMMENT ON COLUMN telemetry.gateway_hour.minutes_heard IS 'Bit n is set when a message was received in minute n of the hour.';
COMMENT ON COLUMN telemetry.gateway_hour.live_messages IS 'Messages with readings sent as they happened: those whose lateness, reception less observation, is counted.';
COMMENT ON COLUMN telemetry.gateway_hour.late_5s IS 'Of the live messages those at most 5 s late; the other columns likewise, each including the ones before.';
COMMENT ON COLUMN telemetry.gateway_hour.late_most_s IS 'Seconds of the latest live message; negative when the device''s clock is ahead.';
CREATE INDEX gateway_hour_age ON telemetry.gateway_hour (hour_at);
