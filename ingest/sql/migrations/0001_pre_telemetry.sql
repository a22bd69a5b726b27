CREATE SCHEMA telemetry;
COMMENT ON SCHEMA telemetry IS 'What was measured; written only by hanlu_ingest.';

CREATE TABLE telemetry.reading (
    channel_id integer NOT NULL,
    observed_at timestamptz NOT NULL,
    value double precision NOT NULL,
    quality smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (channel_id, observed_at)
);
COMMENT ON TABLE telemetry.reading IS 'One value of one channel at one instant; the key makes a reading count once, whatever is delivered twice.';
COMMENT ON COLUMN telemetry.reading.quality IS '0 good, 1 uncertain, 2 bad';

CREATE TABLE telemetry.arrival (
    arrival_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    gateway_id bigint NOT NULL,
    epoch bytea CHECK (octet_length(epoch) = 16),
    seq bigint CHECK (seq > 0),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    prev bytea CHECK (octet_length(prev) = 32),
    evidence smallint NOT NULL,
    lane text NOT NULL CHECK (lane IN ('live', 'backlog', 'event', 'birth')),
    replayed boolean NOT NULL DEFAULT false,
    received_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    reading_count integer NOT NULL DEFAULT 0,
    produced bigint NOT NULL DEFAULT 0,
    stored integer NOT NULL DEFAULT 0,
    duplicate integer NOT NULL DEFAULT 0,
    lost integer NOT NULL DEFAULT 0,
    dead integer NOT NULL DEFAULT 0,
    channel_ids integer[] NOT NULL DEFAULT '{}',
    observed_ms bigint[] NOT NULL DEFAULT '{}',
    "values" double precision[] NOT NULL DEFAULT '{}',
    event bytea,
    CHECK ((epoch IS NULL) = (seq IS NULL)),
    CHECK (cardinality(channel_ids) = cardinality(observed_ms) AND cardinality(channel_ids) = cardinality("values")),
    CHECK (reading_count = stored + duplicate + lost + dead)
);
COMMENT ON TABLE telemetry.arrival IS 'One accepted message; what alarms, the live page, roll-ups and the log follow, each with a cursor of its own.';
COMMENT ON COLUMN telemetry.arrival.txid IS 'Transaction that wrote the row: a follower reads rows whose transaction every snapshot sees, so overtaking commits hide nothing.';
COMMENT ON COLUMN telemetry.arrival.channel_ids IS 'The readings newly stored by this message (duplicates are not repeated), parallel to observed_ms and values.';
COMMENT ON COLUMN telemetry.arrival.produced IS 'Running total the gateway claims for its epoch up to and with this message.';
COMMENT ON COLUMN telemetry.arrival.event IS 'EPCIS JSON bytes as they came, for the trace room to capture.';
CREATE UNIQUE INDEX arrival_identity ON telemetry.arrival (gateway_id, epoch, seq) WHERE epoch IS NOT NULL;
CREATE UNIQUE INDEX arrival_unsigned_identity ON telemetry.arrival (gateway_id, digest) WHERE epoch IS NULL;
CREATE INDEX arrival_feed_order ON telemetry.arrival (txid, arrival_id);

CREATE TABLE telemetry.gateway_epoch (
    gateway_id bigint NOT NULL,
    epoch bytea NOT NULL,
    watermark bigint NOT NULL DEFAULT 0,
    highest bigint NOT NULL DEFAULT 0,
    produced bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    duplicate bigint NOT NULL DEFAULT 0,
    lost bigint NOT NULL DEFAULT 0,
    dead bigint NOT NULL DEFAULT 0,
    redelivered bigint NOT NULL DEFAULT 0,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway_id, epoch)
);
COMMENT ON TABLE telemetry.gateway_epoch IS 'The account of one spool: every seq up to watermark is committed; produced is the claim at the highest seq seen.';
COMMENT ON COLUMN telemetry.gateway_epoch.redelivered IS 'Whole messages that came again and were recognised.';

CREATE TABLE telemetry.gap (
    gateway_id bigint NOT NULL,
    epoch bytea NOT NULL,
    from_seq bigint NOT NULL,
    to_seq bigint NOT NULL CHECK (to_seq >= from_seq),
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway_id, epoch, from_seq)
);
COMMENT ON TABLE telemetry.gap IS 'Sequence numbers not yet arrived below the highest seen, inclusive ranges.';

CREATE TABLE telemetry.loss (
    loss_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    arrival_id bigint NOT NULL UNIQUE REFERENCES telemetry.arrival,
    gateway_id bigint NOT NULL,
    reason text NOT NULL,
    reading_count integer NOT NULL CHECK (reading_count > 0),
    channel text,
    from_at timestamptz,
    to_at timestamptz,
    detail text NOT NULL DEFAULT '',
    source text NOT NULL DEFAULT ''
);
COMMENT ON TABLE telemetry.loss IS 'Readings a gateway declares lost, with the reason: part of the proof, never silent.';
COMMENT ON COLUMN telemetry.loss.source IS 'Names what was lost, so that the same loss declared again counts as duplicate; empty when every declaration counts.';
CREATE UNIQUE INDEX loss_identity ON telemetry.loss (gateway_id, source, reason, channel) NULLS NOT DISTINCT
WHERE source <> '';

CREATE TABLE telemetry.dead_letter (
    dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    arrival_id bigint REFERENCES telemetry.arrival,
    received_at timestamptz NOT NULL,
    topic text NOT NULL,
    gateway text,
    reason text NOT NULL,
    detail text NOT NULL,
    reading_count integer NOT NULL DEFAULT 0,
    body bytea NOT NULL,
    body_sha256 bytea NOT NULL CHECK (octet_length(body_sha256) = 32),
    times bigint NOT NULL DEFAULT 1,
    UNIQUE (topic, reason, body_sha256)
);
COMMENT ON TABLE telemetry.dead_letter IS 'What could not be taken, with its bytes and the reason; the same bytes sent again only count up.';

CREATE TABLE telemetry.latest (
    channel_id integer PRIMARY KEY,
    observed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    value double precision NOT NULL,
    quality smallint NOT NULL DEFAULT 0
);
COMMENT ON TABLE telemetry.latest IS 'Newest reading per channel by observation time, derived; rebuilt from reading at will.';

CREATE TABLE telemetry.gateway_link (
    gateway_id bigint PRIMARY KEY,
    online boolean NOT NULL,
    since timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    replay boolean NOT NULL DEFAULT false,
    birth jsonb
);
COMMENT ON TABLE telemetry.gateway_link IS 'Whether the platform hears the gateway: birth, any message, and the will.';
