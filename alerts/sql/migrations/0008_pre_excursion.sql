-- Excursions: what an alarm's limit was exceeded by, for how long, and every change of what was said about it.

CREATE TABLE alerts.excursion (
    excursion_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id integer NOT NULL,
    side text NOT NULL CHECK (side IN ('high', 'low')),
    limit_value double precision NOT NULL,
    standing boolean NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz,
    span_to timestamptz,
    known_until timestamptz,
    minutes double precision,
    unknown_minutes double precision,
    degree_minutes double precision,
    peak double precision,
    peak_at timestamptz,
    mean double precision,
    kinetic double precision,
    readings integer NOT NULL DEFAULT 0,
    digest text,
    kinetic_day double precision,
    known_day double precision,
    kinetic_month double precision,
    known_month double precision,
    windows_at timestamptz,
    computed_at timestamptz NOT NULL,
    version integer NOT NULL DEFAULT 1,
    corrections integer NOT NULL DEFAULT 0,
    merged_into bigint REFERENCES alerts.excursion,
    CHECK ((digest IS NULL) = (readings = 0)),
    CHECK (NOT standing OR (to_at IS NULL AND span_to IS NULL))
);
COMMENT ON TABLE alerts.excursion IS
'A span beyond a limit, one row however many alarms (high, high_high) it raised; figures as of computed_at.';
COMMENT ON COLUMN alerts.excursion.limit_value IS 'The outer limit of its alarms, in the channel''s unit; what lies beyond an inner one lies beyond it too.';
COMMENT ON COLUMN alerts.excursion.from_at IS 'Where the limit was crossed, interpolated; what the alarm says where no reading is left.';
COMMENT ON COLUMN alerts.excursion.to_at IS 'Where it was crossed back; null while it stands.';
COMMENT ON COLUMN alerts.excursion.span_to IS 'When the last of its alarms returned.';
COMMENT ON COLUMN alerts.excursion.known_until IS 'Newest reading used.';
COMMENT ON COLUMN alerts.excursion.unknown_minutes IS 'Of gaps inside: neither within the limit nor beyond it.';
COMMENT ON COLUMN alerts.excursion.kinetic IS 'Mean kinetic temperature over the excursion, degrees Celsius; null for other units.';
COMMENT ON COLUMN alerts.excursion.kinetic_day IS 'Over the 24 h, and kinetic_month over the 30 d, before its end or known_until; known_* are the minutes known in them.';
COMMENT ON COLUMN alerts.excursion.windows_at IS 'When those were computed; null: they are due.';
COMMENT ON COLUMN alerts.excursion.digest IS 'SHA-256 of the readings used (hanlu.alerts.excursion.figures.digest).';
COMMENT ON COLUMN alerts.excursion.version IS 'The latest entry of alerts.excursion_version.';
COMMENT ON COLUMN alerts.excursion.corrections IS 'How many of them are corrections by late data.';
COMMENT ON COLUMN alerts.excursion.merged_into IS 'The excursion it turned out to be a part of; this row is kept for its number.';
CREATE UNIQUE INDEX excursion_standing ON alerts.excursion (channel_id, side) WHERE standing AND merged_into IS NULL;
CREATE INDEX excursion_channel ON alerts.excursion (channel_id, from_at);
CREATE INDEX excursion_by_time ON alerts.excursion (from_at DESC);
CREATE INDEX excursion_windows_due ON alerts.excursion (excursion_id) WHERE windows_at IS NULL AND merged_into IS NULL;

CREATE TABLE alerts.excursion_alarm (
    alarm_id bigint PRIMARY KEY REFERENCES alerts.alarm,
    excursion_id bigint NOT NULL REFERENCES alerts.excursion
);
COMMENT ON TABLE alerts.excursion_alarm IS 'Which excursion an alarm belongs to: one, whatever is done twice.';
CREATE INDEX excursion_alarm_of ON alerts.excursion_alarm (excursion_id);

CREATE TABLE alerts.excursion_version (
    excursion_id bigint NOT NULL REFERENCES alerts.excursion,
    version integer NOT NULL CHECK (version > 0),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    why text NOT NULL CHECK (why IN ('begun', 'grew', 'ended', 'late_data', 'joined', 'merged')),
    before jsonb,
    after jsonb NOT NULL,
    PRIMARY KEY (excursion_id, version)
);
COMMENT ON TABLE alerts.excursion_version IS 'Every change of figures that were reported, append only: what was said before and what after, and why.';
COMMENT ON COLUMN alerts.excursion_version.why IS
'begun; grew (it still stands; written once an hour); ended; late_data (readings came that belong into what had been reported); joined (an alarm of an outer limit belongs to it); merged.';
