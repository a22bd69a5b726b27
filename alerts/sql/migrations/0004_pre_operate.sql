-- What the engine must remember of an alarm and of its own watch, and calibration dates.

ALTER TABLE alerts.alarm
    ADD COLUMN plant_hold text,
    ADD COLUMN respond_s integer,
    ADD COLUMN re_alarm_s integer,
    ADD COLUMN unit text;
COMMENT ON COLUMN alerts.alarm.plant_hold IS
'Why the plant''s logic holds it now (hanlu.alerts.kind.Hold), whatever the suppression state shows: it may be shelved as well.';
COMMENT ON COLUMN alerts.alarm.respond_s IS 'Its rule''s time to respond, seconds.';
COMMENT ON COLUMN alerts.alarm.re_alarm_s IS 'Seconds from an acknowledgement until it calls again, by its rule; null never.';
COMMENT ON COLUMN alerts.alarm.unit IS 'SenML unit of limit_value and peak when it was raised; null for what has none.';
CREATE INDEX alarm_open_point ON alerts.alarm (channel_id, kind) WHERE process_state <> 'NORMAL';

CREATE INDEX suppression_expiry ON alerts.suppression (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE alerts.watched (
    channel_id integer PRIMARY KEY,
    since timestamptz NOT NULL
);
COMMENT ON TABLE alerts.watched IS 'Since when the engine has waited for a channel that was never heard; survives restarts, so they excuse no silence.';

CREATE TABLE alerts.watch_span (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    since timestamptz NOT NULL,
    until timestamptz NOT NULL
);
COMMENT ON TABLE alerts.watch_span IS 'The one span in which an engine has listened without a longer pause; silence outside proves nothing.';

CREATE TABLE alerts.calibration (
    calibration_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id integer NOT NULL,
    due_on date NOT NULL,
    certificate text NOT NULL DEFAULT '',
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE alerts.calibration IS 'When a channel''s sensor is to be calibrated next, append only: the latest entry holds.';
CREATE INDEX calibration_channel ON alerts.calibration (channel_id, calibration_id DESC);
