-- People: who is told of an alarm, by which channel, when, and what became of every message.

CREATE TABLE alerts.receiver (
    receiver_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL,
    code text NOT NULL UNIQUE CHECK (code ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('email', 'webhook', 'wecom', 'dingtalk', 'feishu', 'sms')),
    lang text NOT NULL DEFAULT 'zh' CHECK (lang IN ('zh', 'en')),
    login text,
    settings jsonb NOT NULL,
    line text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    version integer NOT NULL DEFAULT 1,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL
);
COMMENT ON TABLE alerts.receiver IS 'Where messages go: a person''s number or address, or a group''s bot.';
COMMENT ON COLUMN alerts.receiver.login IS 'Sign-in name of the person behind it, who acknowledges by its links; null for groups.';
COMMENT ON COLUMN alerts.receiver.settings IS 'What is no secret, by kind (hanlu.alerts.people.model).';
COMMENT ON COLUMN alerts.receiver.line IS
'Hash of what the channel counts its limits by (a bot''s key, a number): receivers of one line share its limits.';

CREATE TABLE alerts.receiver_secret (
    receiver_id bigint PRIMARY KEY REFERENCES alerts.receiver ON DELETE CASCADE,
    secret jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE alerts.receiver_secret IS 'Keys, tokens and secret addresses of receivers; read by hanlu_alerts only, shown to nobody.';

CREATE TABLE alerts.rota (
    code text PRIMARY KEY CHECK (code ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
    organisation_id bigint NOT NULL,
    document jsonb NOT NULL,
    version integer NOT NULL DEFAULT 1,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL
);
COMMENT ON COLUMN alerts.rota.document IS 'A hanlu.alerts.people.rota.Rota as JSON.';

CREATE TABLE alerts.escalation (
    organisation_id bigint PRIMARY KEY,
    document jsonb NOT NULL,
    version integer NOT NULL DEFAULT 1,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL
);
COMMENT ON TABLE alerts.escalation IS 'Who is called for alarms of a node of the organisation tree, and when the node above is.';
COMMENT ON COLUMN alerts.escalation.document IS 'A hanlu.alerts.people.escalation.Policy as JSON.';

CREATE TABLE alerts.people_history (
    people_history_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    subject text NOT NULL CHECK (subject IN ('receiver', 'rota', 'escalation', 'holiday', 'mute')),
    code text NOT NULL,
    document jsonb
);
COMMENT ON TABLE alerts.people_history IS 'Every version of receivers (without secrets), rotas, policies, holidays and mutes; append only; null = taken away.';

CREATE TABLE alerts.holiday (
    day date PRIMARY KEY,
    work boolean NOT NULL,
    name text NOT NULL DEFAULT '',
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL
);
COMMENT ON TABLE alerts.holiday IS 'Days that are otherwise than the official calendar says (China time).';
COMMENT ON COLUMN alerts.holiday.work IS 'True: a working day; false: a day off.';

CREATE TABLE alerts.mute (
    mute_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL,
    site_id bigint,
    priorities smallint[] NOT NULL CHECK (priorities <@ ARRAY[1, 2, 3]::smallint[] AND cardinality(priorities) > 0),
    begins_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    made_at timestamptz NOT NULL DEFAULT now(),
    made_by text NOT NULL,
    CHECK (begins_at < ends_at)
);
COMMENT ON TABLE alerts.mute IS 'Times in which nobody is told of some alarms; the alarms themselves stand in the console as ever.';
COMMENT ON COLUMN alerts.mute.site_id IS 'One site; null = all below the organisation.';

CREATE TABLE alerts.journal_cursor (
    name text PRIMARY KEY,
    txid xid8 NOT NULL,
    journal_id bigint NOT NULL
);
COMMENT ON TABLE alerts.journal_cursor IS 'How far a follower of alerts.journal_feed has come; moves in the transaction of what it caused.';
-- What happened before there were notifications is told to nobody.
INSERT INTO alerts.journal_cursor (name, txid, journal_id)
SELECT 'people', txid, journal_id FROM alerts.journal ORDER BY txid DESC, journal_id DESC LIMIT 1;

CREATE TABLE alerts.summons (
    summons_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm_id bigint NOT NULL REFERENCES alerts.alarm,
    version integer NOT NULL,
    begun_at timestamptz NOT NULL,
    next_step integer NOT NULL DEFAULT 0,
    next_at timestamptz,
    ended_at timestamptz,
    ended_by text,
    UNIQUE (alarm_id, version),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
COMMENT ON TABLE alerts.summons IS 'An alarm''s call for a person, from its first message until somebody has acknowledged.';
COMMENT ON COLUMN alerts.summons.version IS 'Version of the alarm whose journal entry called (raise, unsuppress, re_alarm).';
COMMENT ON COLUMN alerts.summons.next_at IS 'When the next step of the escalation is due; null: there is none left.';
COMMENT ON COLUMN alerts.summons.ended_by IS 'The journal event that ended it.';
CREATE UNIQUE INDEX summons_open ON alerts.summons (alarm_id) WHERE ended_at IS NULL;
CREATE INDEX summons_due ON alerts.summons (next_at) WHERE ended_at IS NULL AND next_at IS NOT NULL;

CREATE TABLE alerts.notification (
    notification_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    receiver_id bigint NOT NULL REFERENCES alerts.receiver,
    purpose text NOT NULL CHECK (purpose IN ('call', 'return', 'digest', 'test')),
    group_key text NOT NULL,
    priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 3),
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'sent', 'failed', 'dropped')),
    reason text NOT NULL DEFAULT '',
    made_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    finished_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    possible_repeat boolean NOT NULL DEFAULT false,
    content text,
    message text,
    CHECK ((state IN ('sent', 'failed', 'dropped')) = (finished_at IS NOT NULL)),
    CHECK (state NOT IN ('failed', 'dropped') OR reason <> '')
);
COMMENT ON TABLE alerts.notification IS 'One message to one receiver, about one alarm or several of one site.';
COMMENT ON COLUMN alerts.notification.group_key IS 'What is put into one message while it waits, e.g. site:7.';
COMMENT ON COLUMN alerts.notification.content IS 'Hash of what it is about, to tell repeated ones; null while it gathers.';
COMMENT ON COLUMN alerts.notification.message IS 'The text as it was sent, without the link that acknowledges.';
COMMENT ON COLUMN alerts.notification.possible_repeat IS 'The channel''s answer to an earlier attempt was lost; the text says so too.';
CREATE UNIQUE INDEX notification_gathering ON alerts.notification (receiver_id, purpose, group_key)
WHERE state = 'waiting' AND attempts = 0;
CREATE INDEX notification_due ON alerts.notification (due_at) WHERE state = 'waiting';
CREATE INDEX notification_of ON alerts.notification (receiver_id, notification_id DESC);
CREATE INDEX notification_content ON alerts.notification (receiver_id, content) WHERE content IS NOT NULL;

CREATE TABLE alerts.notification_line (
    notification_line_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm_id bigint NOT NULL REFERENCES alerts.alarm,
    version integer NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('call', 'return', 'digest')),
    step integer NOT NULL,
    target text NOT NULL,
    receiver_id bigint REFERENCES alerts.receiver,
    notification_id bigint REFERENCES alerts.notification,
    state text NOT NULL CHECK (state IN ('waiting', 'told', 'failed', 'dropped')),
    reason text NOT NULL DEFAULT '',
    made_at timestamptz NOT NULL,
    UNIQUE (alarm_id, version, purpose, step, target),
    CHECK (state <> 'dropped' OR reason <> ''),
    CHECK (notification_id IS NOT NULL OR state = 'dropped')
);
COMMENT ON TABLE alerts.notification_line IS
'That somebody is to be told of an alarm, or why not; its key makes planning harmless to repeat.';
COMMENT ON COLUMN alerts.notification_line.target IS 'Code of the receiver, or rota:<code> when it names nobody, or - when no policy names anybody.';
CREATE INDEX notification_line_of ON alerts.notification_line (notification_id);

CREATE TABLE alerts.notification_attempt (
    notification_attempt_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notification_id bigint NOT NULL REFERENCES alerts.notification,
    number integer NOT NULL,
    at timestamptz NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('begun', 'sent', 'retry', 'lost', 'permanent')),
    detail text NOT NULL DEFAULT '',
    retry_at timestamptz,
    line text NOT NULL,
    UNIQUE (notification_id, number, outcome)
);
COMMENT ON TABLE alerts.notification_attempt IS 'Every attempt, append only: begun before the call, what came of it after.';
COMMENT ON COLUMN alerts.notification_attempt.outcome IS 'begun, sent, retry (refused for now), lost (no answer: it may have been told), permanent (refused for good).';
CREATE INDEX notification_attempt_line ON alerts.notification_attempt (line, at DESC);

CREATE TABLE alerts.acknowledge_link (
    token_sha256 bytea PRIMARY KEY CHECK (octet_length(token_sha256) = 32),
    notification_id bigint NOT NULL REFERENCES alerts.notification,
    receiver_id bigint NOT NULL REFERENCES alerts.receiver,
    alarm_ids bigint[] NOT NULL,
    versions integer[] NOT NULL,
    made_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > made_at),
    used_at timestamptz,
    CHECK (cardinality(alarm_ids) = cardinality(versions) AND cardinality(alarm_ids) > 0)
);
COMMENT ON TABLE alerts.acknowledge_link IS 'One-use links of messages that acknowledge; only hashes, so a copy of this table opens nothing.';
COMMENT ON COLUMN alerts.acknowledge_link.versions IS 'Versions of the calls the message was about, alarm by alarm.';
CREATE INDEX acknowledge_link_age ON alerts.acknowledge_link (expires_at);
CREATE INDEX acknowledge_link_of ON alerts.acknowledge_link (notification_id);
