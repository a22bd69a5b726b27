-- What a replay must know of a dead letter, and what became of it.
ALTER TABLE telemetry.dead_letter
    ADD COLUMN places integer[],
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN noted_at timestamptz,
    ADD COLUMN tried_at timestamptz,
    ADD COLUMN resolved_at timestamptz,
    ADD COLUMN outcome text,
    ADD COLUMN bytes integer NOT NULL GENERATED ALWAYS AS (octet_length(body)) STORED,
    ADD COLUMN dropped_at timestamptz,
    ADD CHECK ((resolved_at IS NULL) = (outcome IS NULL));
COMMENT ON COLUMN telemetry.dead_letter.places IS 'Which records of the pack are still refused, from 0, ascending; null: not told apart, or the whole payload.';
COMMENT ON COLUMN telemetry.dead_letter.reading_count IS 'Readings still refused; what a replay has stored is counted in telemetry.replay.';
COMMENT ON COLUMN telemetry.dead_letter.attempts IS 'Replays that changed something; numbers the rows of telemetry.replay.';
COMMENT ON COLUMN telemetry.dead_letter.noted_at IS 'When the keeper first looked at it.';
COMMENT ON COLUMN telemetry.dead_letter.outcome IS 'How it was resolved: replayed (its records were stored), taken (accepted as a message), arrived (the gateway had sent it again), nothing_to_store, joined (another letter of the same bytes tells the reason), closed (by a person).';
COMMENT ON COLUMN telemetry.dead_letter.bytes IS 'Length of the body that is kept.';
COMMENT ON COLUMN telemetry.dead_letter.dropped_at IS 'When the body was dropped for space; reason, digest and counts stay.';
CREATE INDEX dead_letter_unnoted ON telemetry.dead_letter (dead_letter_id) WHERE noted_at IS NULL;
CREATE INDEX dead_letter_open ON telemetry.dead_letter (gateway, reason, dead_letter_id) WHERE resolved_at IS NULL;
CREATE INDEX dead_letter_of_gateway ON telemetry.dead_letter (gateway, dead_letter_id);
CREATE INDEX dead_letter_of_reason ON telemetry.dead_letter (reason, dead_letter_id);
CREATE INDEX dead_letter_of_arrival ON telemetry.dead_letter (arrival_id) WHERE arrival_id IS NOT NULL;
CREATE INDEX dead_letter_body ON telemetry.dead_letter (gateway, dead_letter_id) WHERE dropped_at IS NULL;
CREATE INDEX dead_letter_resolved_body ON telemetry.dead_letter (resolved_at)
WHERE resolved_at IS NOT NULL AND dropped_at IS NULL;

CREATE TABLE telemetry.dead_letter_count (
    gateway text NOT NULL,
    reason text NOT NULL,
    letters bigint NOT NULL DEFAULT 0,
    open_letters bigint NOT NULL DEFAULT 0,
    messages bigint NOT NULL DEFAULT 0,
    open_messages bigint NOT NULL DEFAULT 0,
    open_readings bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    dropped bigint NOT NULL DEFAULT 0,
    folded bigint NOT NULL DEFAULT 0,
    newest_id bigint,
    newest_at timestamptz,
    PRIMARY KEY (gateway, reason)
) WITH (fillfactor = 50);
COMMENT ON TABLE telemetry.dead_letter_count IS 'Sums over telemetry.dead_letter, kept by its trigger, so that nobody has to read it whole; gateway is empty where the topic names none.';
COMMENT ON COLUMN telemetry.dead_letter_count.messages IS 'Deliveries, repetitions of the same bytes included; open_messages those of letters not resolved.';
COMMENT ON COLUMN telemetry.dead_letter_count.bytes IS 'Of the bodies still kept.';
COMMENT ON COLUMN telemetry.dead_letter_count.dropped IS 'Letters whose body was dropped for space.';
COMMENT ON COLUMN telemetry.dead_letter_count.folded IS 'Deliveries of letters that were removed for space after their body; they stay in messages.';

INSERT INTO telemetry.dead_letter_count (
    gateway, reason, letters, open_letters, messages, open_messages, open_readings, bytes, newest_id, newest_at
)
SELECT
    coalesce(gateway, ''), reason, count(*), count(*), sum(times), sum(times), sum(reading_count), sum(bytes),
    max(dead_letter_id), max(received_at)
FROM telemetry.dead_letter
GROUP BY 1, 2;

CREATE TABLE telemetry.replay (
    dead_letter_id bigint NOT NULL,
    attempt integer NOT NULL CHECK (attempt > 0),
    at timestamptz NOT NULL DEFAULT now(),
    done_by text NOT NULL,
    gateway_id bigint NOT NULL,
    epoch bytea,
    arrival_id bigint REFERENCES telemetry.arrival,
    stored integer NOT NULL DEFAULT 0 CHECK (stored >= 0),
    duplicate integer NOT NULL DEFAULT 0 CHECK (duplicate >= 0),
    lost integer NOT NULL DEFAULT 0 CHECK (lost >= 0),
    revived integer NOT NULL CHECK (revived >= 0),
    PRIMARY KEY (dead_letter_id, attempt),
    UNIQUE (arrival_id)
);
COMMENT ON TABLE telemetry.replay IS 'What replays of parts of messages moved out of the dead: each attempt of a letter once, whoever tries; append only.';
COMMENT ON COLUMN telemetry.replay.arrival_id IS 'The arrival that tells the followers of the readings newly stored.';
COMMENT ON COLUMN telemetry.replay.revived IS 'Readings no longer counted as dead in the account of the spool.';
CREATE INDEX replay_spool ON telemetry.replay (gateway_id, epoch);

CREATE TABLE telemetry.unapproved (
    gateway_id bigint NOT NULL,
    name text NOT NULL,
    unit text NOT NULL DEFAULT '',
    period_s double precision,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    readings_waiting bigint NOT NULL DEFAULT 0,
    announced boolean NOT NULL DEFAULT false,
    PRIMARY KEY (gateway_id, name)
);
COMMENT ON TABLE telemetry.unapproved IS 'Channels a gateway announced at birth or sent readings of that the registry did not know at that time.';

CREATE TABLE telemetry.birth_noted (
    gateway_id bigint PRIMARY KEY,
    birth_md5 text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE telemetry.birth_noted IS 'Which birth of a gateway was last held against the registry.';
