CREATE SCHEMA alerts;
COMMENT ON SCHEMA alerts IS 'Alarms and their journal; written only by hanlu_alerts.';

CREATE TABLE alerts.cursor (
    name text PRIMARY KEY,
    txid xid8 NOT NULL,
    arrival_id bigint NOT NULL
);
COMMENT ON TABLE alerts.cursor IS 'How far a follower of telemetry.arrival_feed has come; moves in the transaction of what it caused.';

CREATE TABLE alerts.rule_state (
    channel_id integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('high', 'low')),
    newest_ms bigint NOT NULL,
    start_ms bigint,
    raised boolean NOT NULL DEFAULT false,
    clear_ms bigint,
    peak double precision,
    peak_ms bigint,
    PRIMARY KEY (channel_id, kind),
    CHECK (start_ms IS NOT NULL OR NOT raised)
) WITH (fillfactor = 50);
COMMENT ON TABLE alerts.rule_state IS
'The engine''s memory per channel and limit, so that a kill loses nothing; every reading updates it, hence the free space.';
COMMENT ON COLUMN alerts.rule_state.newest_ms IS 'Newest observation judged, Unix milliseconds UTC, as are the others.';
COMMENT ON COLUMN alerts.rule_state.start_ms IS 'First observation of the excursion in hand; null when there is none.';
COMMENT ON COLUMN alerts.rule_state.clear_ms IS 'First observation back within the deadband.';

CREATE TABLE alerts.alarm (
    alarm_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('high', 'low', 'no_data')),
    priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 3),
    process_state text NOT NULL CHECK (process_state IN ('NORMAL', 'UNACKNOWLEDGED', 'ACKNOWLEDGED', 'RTN_UNACKNOWLEDGED')),
    suppression_state text NOT NULL DEFAULT 'NONE'
        CHECK (suppression_state IN ('NONE', 'SHELVED', 'SUPPRESSED_BY_DESIGN', 'OUT_OF_SERVICE')),
    limit_value double precision,
    exceeded_at timestamptz NOT NULL,
    raised_at timestamptz NOT NULL,
    detected_at timestamptz NOT NULL,
    returned_at timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text,
    note text,
    peak double precision,
    peak_at timestamptz,
    replayed boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1,
    UNIQUE (channel_id, kind, raised_at)
);
COMMENT ON TABLE alerts.alarm IS 'One occurrence of an alarm, from being raised to normal; a channel and kind have at most one that is not NORMAL and not returned.';
COMMENT ON COLUMN alerts.alarm.exceeded_at IS 'Observation time at which the limit was first exceeded (start of the excursion).';
COMMENT ON COLUMN alerts.alarm.raised_at IS 'Observation time at which the on-delay had passed.';
COMMENT ON COLUMN alerts.alarm.detected_at IS 'Platform time of raising.';
COMMENT ON COLUMN alerts.alarm.peak IS 'Worst value between exceeded_at and returned_at; late readings correct it, and the journal says so.';
COMMENT ON COLUMN alerts.alarm.version IS 'Counts journal entries; acknowledging names the version it saw.';
CREATE UNIQUE INDEX alarm_active ON alerts.alarm (channel_id, kind)
WHERE process_state IN ('UNACKNOWLEDGED', 'ACKNOWLEDGED');
CREATE INDEX alarm_open ON alerts.alarm (process_state, priority, raised_at DESC) WHERE process_state <> 'NORMAL';
CREATE INDEX alarm_by_time ON alerts.alarm (raised_at DESC);

CREATE TABLE alerts.journal (
    journal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    alarm_id bigint NOT NULL REFERENCES alerts.alarm,
    version integer NOT NULL,
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event text NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    actor text NOT NULL,
    value double precision,
    note text NOT NULL DEFAULT '',
    UNIQUE (alarm_id, version)
);
COMMENT ON TABLE alerts.journal IS 'Every transition once, append only; the unique pair is what makes a repeated run harmless.';
COMMENT ON COLUMN alerts.journal.at IS 'When it happened: observation time for the process, platform time for people.';
COMMENT ON COLUMN alerts.journal.event IS 'raise, return, acknowledge, or correct (a late reading changed the peak)';
COMMENT ON COLUMN alerts.journal.actor IS 'engine, or the login of a person';
CREATE INDEX journal_feed_order ON alerts.journal (txid, journal_id);
