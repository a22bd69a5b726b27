-- Rules as data, the whole life of an alarm, suppression of its point, and the engine's memory by channel.

ALTER TABLE alerts.alarm
    ALTER COLUMN channel_id DROP NOT NULL,
    ADD COLUMN site_id bigint,
    ADD COLUMN item text,
    ADD COLUMN item_zh text,
    ADD COLUMN item_en text,
    ADD COLUMN rule_code text,
    ADD COLUMN rule_version integer,
    ADD COLUMN cause text NOT NULL DEFAULT 'unknown',
    ADD COLUMN hold_reason text,
    ADD COLUMN explained_by bigint REFERENCES alerts.alarm,
    ADD COLUMN latches boolean NOT NULL DEFAULT false,
    ADD COLUMN called_at timestamptz,
    ADD COLUMN respond_by timestamptz,
    ADD COLUMN re_alarm_at timestamptz,
    ADD COLUMN assignee text,
    DROP CONSTRAINT alarm_kind_check,
    DROP CONSTRAINT alarm_process_state_check,
    ADD CONSTRAINT alarm_kind_check CHECK (kind IN (
        'high', 'low', 'high_high', 'low_low', 'rate', 'time_to_limit', 'dose', 'out_of_range', 'no_data', 'gap', 'stuck',
        'drift', 'door', 'power', 'compressor', 'defrost_long', 'defrost_often', 'defrost_recovery', 'spool', 'clock',
        'calibration', 'stock', 'reserve', 'expiry'
    )),
    ADD CONSTRAINT alarm_process_state_check CHECK (process_state IN (
        'NORMAL', 'UNACKNOWLEDGED', 'ACKNOWLEDGED', 'RTN_UNACKNOWLEDGED', 'LATCHED_UNACKNOWLEDGED', 'LATCHED_ACKNOWLEDGED'
    )),
    ADD CONSTRAINT alarm_subject CHECK ((channel_id IS NULL) = (item IS NOT NULL AND site_id IS NOT NULL)),
    ADD CONSTRAINT alarm_item_once UNIQUE (site_id, item, kind, raised_at),
    ADD CONSTRAINT alarm_hold CHECK (suppression_state <> 'SUPPRESSED_BY_DESIGN' OR hold_reason IS NOT NULL);
COMMENT ON COLUMN alerts.alarm.channel_id IS 'What measured it; null for goods at a place (site_id, item).';
COMMENT ON COLUMN alerts.alarm.item IS 'Goods the alarm is about, by the key of the stock view; item_zh and item_en are how people call them.';
COMMENT ON COLUMN alerts.alarm.rule_code IS 'Rule and version that raised it; null for alarms from before rules were data.';
COMMENT ON COLUMN alerts.alarm.cause IS 'What probably lies behind it, as far as the readings tell (hanlu.alerts.kind.Cause); may change while it stands.';
COMMENT ON COLUMN alerts.alarm.hold_reason IS 'Why nobody is called while suppressed: hanlu.alerts.kind.Hold, or what the person said who shelved it.';
COMMENT ON COLUMN alerts.alarm.explained_by IS 'The alarm (power, gateway) that explains this one and speaks for it.';
COMMENT ON COLUMN alerts.alarm.latches IS 'Its rule waits for a reset.';
COMMENT ON COLUMN alerts.alarm.called_at IS 'Platform time at which it first asked for a person; null while it never did.';
COMMENT ON COLUMN alerts.alarm.respond_by IS 'called_at plus the rule''s time to respond.';
COMMENT ON COLUMN alerts.alarm.re_alarm_at IS 'When an acknowledged alarm that still stands calls again; null never.';
COMMENT ON COLUMN alerts.alarm.assignee IS 'Login of the person who took it on.';
CREATE UNIQUE INDEX alarm_item_active ON alerts.alarm (site_id, item, kind)
WHERE process_state IN ('UNACKNOWLEDGED', 'ACKNOWLEDGED') AND item IS NOT NULL;
CREATE INDEX alarm_re_alarm ON alerts.alarm (re_alarm_at) WHERE re_alarm_at IS NOT NULL;
CREATE INDEX alarm_explained ON alerts.alarm (explained_by) WHERE explained_by IS NOT NULL;
COMMENT ON COLUMN alerts.journal.event IS
'Words of hanlu.alerts.alarm (Event, SuppressionEvent), correct (a late reading changed the record), cause, assign, explain';

CREATE TABLE alerts.rule (
    code text NOT NULL CHECK (code ~ '^[a-z0-9][a-z0-9-]{0,59}$'),
    version integer NOT NULL CHECK (version >= 1),
    document jsonb NOT NULL,
    withdrawn boolean NOT NULL DEFAULT false,
    author text NOT NULL,
    note text NOT NULL DEFAULT '',
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (code, version)
);
COMMENT ON TABLE alerts.rule IS 'Alarm rules, append only: the highest version of a code is in force unless it is withdrawn.';
COMMENT ON COLUMN alerts.rule.document IS 'A hanlu.alerts.rules.model.Rule as JSON.';
COMMENT ON COLUMN alerts.rule.author IS 'Login of a person, or hanlu for what is shipped.';

CREATE TABLE alerts.suppression (
    channel_id integer NOT NULL,
    kind text NOT NULL,
    state text NOT NULL CHECK (state IN ('SHELVED', 'SUPPRESSED_BY_DESIGN', 'OUT_OF_SERVICE')),
    reason text NOT NULL,
    note text NOT NULL DEFAULT '',
    actor text NOT NULL,
    since timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (channel_id, kind),
    CHECK (state <> 'SHELVED' OR expires_at IS NOT NULL)
);
COMMENT ON TABLE alerts.suppression IS
'Points (a channel and a kind, or * for every kind) that a person has suppressed now; what the plant''s logic holds stands on the alarm itself.';
COMMENT ON COLUMN alerts.suppression.expires_at IS 'When it ends by itself; a shelf without an end there is not.';

CREATE TABLE alerts.suppression_journal (
    suppression_journal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id integer NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event text NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    reason text NOT NULL DEFAULT '',
    note text NOT NULL DEFAULT '',
    actor text NOT NULL,
    expires_at timestamptz
);
COMMENT ON TABLE alerts.suppression_journal IS 'Every change of alerts.suppression, append only, also where no alarm stands.';
CREATE INDEX suppression_journal_channel ON alerts.suppression_journal (channel_id, suppression_journal_id);

CREATE TABLE alerts.memory (
    channel_id integer PRIMARY KEY,
    state jsonb NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE alerts.memory IS
'What the judges remember of a channel (hanlu.alerts.judge.room.Memory), so that a kill loses nothing; changes with its readings, in the transaction of what they caused.';
