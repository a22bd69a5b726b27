-- Readings are only ever added. A page is frozen by the first vacuum that comes by, so that no later one has to read a
-- full chunk again for the sake of old transaction numbers.
ALTER TABLE telemetry.reading SET (autovacuum_freeze_min_age = 0);
-- One row a channel, changed with every message: with room on its page the new version stays there and no index is
-- touched (HOT), and the old ones are cleared away often because the table is small.
ALTER TABLE telemetry.latest SET (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE telemetry.gateway_epoch SET (fillfactor = 50);

CREATE TABLE telemetry.follower (
    name text PRIMARY KEY,
    txid xid8 NOT NULL,
    arrival_id bigint NOT NULL
);
COMMENT ON TABLE telemetry.follower IS 'How far this room''s own followers of the arrivals have come.';

CREATE TABLE telemetry.hourly (
    channel_id integer NOT NULL,
    hour_at timestamptz NOT NULL,
    readings integer NOT NULL,
    uncertain integer NOT NULL,
    bad integer NOT NULL,
    covered_s real NOT NULL,
    least double precision,
    greatest double precision,
    mean double precision,
    weighted double precision,
    first_at timestamptz,
    first_value double precision,
    last_at timestamptz,
    last_value double precision,
    PRIMARY KEY (channel_id, hour_at)
);
COMMENT ON TABLE telemetry.hourly IS 'What a channel measured in one hour, derived from its readings; written again whenever late readings change it.';
COMMENT ON COLUMN telemetry.hourly.hour_at IS 'Beginning of the hour, which ends before the next one.';
COMMENT ON COLUMN telemetry.hourly.readings IS 'Readings that count: good and uncertain ones. Bad ones are counted in bad and used for nothing.';
COMMENT ON COLUMN telemetry.hourly.uncertain IS 'Those of them that are uncertain.';
COMMENT ON COLUMN telemetry.hourly.covered_s IS 'Seconds of the hour that lie between two readings close enough to know the value in between.';
COMMENT ON COLUMN telemetry.hourly.mean IS 'Sum by number of readings: what a report over samples needs.';
COMMENT ON COLUMN telemetry.hourly.weighted IS 'Integral over the covered time by its length; null where nothing is covered.';

CREATE TABLE telemetry.daily (
    channel_id integer NOT NULL,
    day date NOT NULL,
    readings integer NOT NULL,
    uncertain integer NOT NULL,
    bad integer NOT NULL,
    covered_s real NOT NULL,
    least double precision,
    greatest double precision,
    mean double precision,
    weighted double precision,
    first_at timestamptz,
    first_value double precision,
    last_at timestamptz,
    last_value double precision,
    PRIMARY KEY (channel_id, day)
);
COMMENT ON TABLE telemetry.daily IS 'What a channel measured in one day of China time (UTC+8), derived from its hours.';

CREATE TABLE telemetry.hour_due (
    channel_id integer NOT NULL,
    hour_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (channel_id, hour_at)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE telemetry.hour_due IS 'Hours whose readings changed since they were rolled up; until then a question to them is answered from the readings.';
COMMENT ON COLUMN telemetry.hour_due.due_at IS 'Not before: an hour under way is rolled up once, when its readings have come.';
CREATE INDEX hour_due_order ON telemetry.hour_due (due_at);

CREATE TABLE telemetry.day_due (
    channel_id integer NOT NULL,
    day date NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (channel_id, day)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE telemetry.day_due IS 'Days of which an hour was rolled up since they were.';
CREATE INDEX day_due_order ON telemetry.day_due (due_at);

CREATE TABLE telemetry.kept (
    channel_id integer PRIMARY KEY,
    raw_from timestamptz NOT NULL DEFAULT '-infinity',
    hour_from timestamptz NOT NULL DEFAULT '-infinity',
    CHECK (hour_from <= raw_from)
);
COMMENT ON TABLE telemetry.kept IS 'Before these instants retention has deleted: roll-ups there stand for good, whatever arrives late.';

CREATE TABLE telemetry.retention_rule (
    kind text NOT NULL CHECK (kind IN ('all', 'site', 'site_kind', 'metric')),
    code text NOT NULL,
    raw_days integer CHECK (raw_days > 0),
    hour_days integer CHECK (hour_days > 0),
    day_days integer CHECK (day_days > 0),
    note text NOT NULL DEFAULT '',
    set_by text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, code),
    CHECK ((kind = 'all') = (code = '')),
    CHECK (coalesce(raw_days, 2147483647) <= coalesce(hour_days, 2147483647)),
    CHECK (coalesce(hour_days, 2147483647) <= coalesce(day_days, 2147483647))
);
COMMENT ON TABLE telemetry.retention_rule IS 'How long readings, hours and days are kept, in days; null is for ever. "all" is for channels no other rule names; of several others the longest counts.';
INSERT INTO telemetry.retention_rule (kind, code, raw_days, hour_days, day_days, note, set_by) VALUES (
    'all', '', 1096, 3653, NULL,
    'GB 31605-2020: shelf life and six months, else two years; three years hold two after a year in the store',
    'hanlu'
);

CREATE TABLE telemetry.legal_hold (
    hold_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('all', 'site', 'zone', 'channel', 'lot')),
    code text NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz CHECK (to_at > from_at),
    reason text NOT NULL CHECK (reason <> ''),
    placed_by text NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT now(),
    released_by text,
    released_at timestamptz,
    CHECK ((kind = 'all') = (code = '')),
    CHECK ((released_by IS NULL) = (released_at IS NULL))
);
COMMENT ON TABLE telemetry.legal_hold IS 'What must not be deleted whatever the rules say; released, never removed.';
COMMENT ON COLUMN telemetry.legal_hold.to_at IS 'End of the held time; null holds what is still to come.';

CREATE TABLE telemetry.held (
    hold_id bigint NOT NULL REFERENCES telemetry.legal_hold,
    channel_id integer NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    PRIMARY KEY (hold_id, channel_id, from_at)
);
COMMENT ON TABLE telemetry.held IS 'The channels and times a hold was found to mean, once found never forgotten: a sensor moved elsewhere keeps what it measured there.';

CREATE TABLE telemetry.retention_run (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    run_by text NOT NULL,
    rules jsonb NOT NULL,
    holds jsonb NOT NULL,
    planned jsonb NOT NULL,
    deleted jsonb NOT NULL DEFAULT '{}',
    failure text
);
COMMENT ON TABLE telemetry.retention_run IS 'One row for each run that may delete: by which rules, what it meant to delete and what it did; no end means it was cut off.';
