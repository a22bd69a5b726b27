CREATE SCHEMA registry;
COMMENT ON SCHEMA registry IS 'Who and where; written only by hanlu_registry.';

CREATE TABLE registry.level_name (
    level smallint PRIMARY KEY CHECK (level BETWEEN 1 AND 9),
    name_zh text NOT NULL,
    name_en text NOT NULL
);
COMMENT ON TABLE registry.level_name IS 'What the levels of the organisation tree are called here, e.g. 省 市 县 乡 村.';

CREATE TABLE registry.organisation (
    organisation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent_id bigint REFERENCES registry.organisation,
    level smallint NOT NULL REFERENCES registry.level_name,
    code text NOT NULL UNIQUE,
    name_zh text NOT NULL,
    name_en text NOT NULL,
    path text NOT NULL UNIQUE CHECK (path ~ '^/([0-9]+/)+$'),
    CHECK ((parent_id IS NULL) = (level = 1))
);
COMMENT ON COLUMN registry.organisation.path IS 'Ids from the root, /1/4/9/: a person scoped to a node sees every path that starts with it.';
CREATE INDEX organisation_path ON registry.organisation (path text_pattern_ops);

CREATE TABLE registry.limit_profile (
    limit_profile_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL,
    effective_from date NOT NULL,
    metric text NOT NULL DEFAULT 'air_temperature',
    unit text NOT NULL DEFAULT 'Cel',
    low double precision,
    high double precision,
    deadband double precision NOT NULL DEFAULT 0.5 CHECK (deadband >= 0),
    on_delay_s integer NOT NULL DEFAULT 600 CHECK (on_delay_s BETWEEN 0 AND 86400),
    off_delay_s integer NOT NULL DEFAULT 60 CHECK (off_delay_s BETWEEN 0 AND 86400),
    no_data_s integer NOT NULL DEFAULT 600 CHECK (no_data_s BETWEEN 10 AND 604800),
    priority smallint NOT NULL DEFAULT 2 CHECK (priority BETWEEN 1 AND 3),
    source text NOT NULL,
    CHECK (low IS NULL OR high IS NULL OR low < high),
    UNIQUE (code, metric, effective_from)
);
COMMENT ON TABLE registry.limit_profile IS 'Dated, sourced limits of a product or room class: editable records, never constants.';
COMMENT ON COLUMN registry.limit_profile.priority IS '1 critical, 2 high, 3 low';

CREATE TABLE registry.product (
    product_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gtin text NOT NULL UNIQUE CHECK (gtin ~ '^[0-9]{14}$'),
    name_zh text NOT NULL,
    name_en text NOT NULL,
    limit_profile_code text NOT NULL
);

CREATE TABLE registry.participant (
    participant_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL REFERENCES registry.organisation,
    gln text NOT NULL UNIQUE CHECK (gln ~ '^[0-9]{13}$'),
    name_zh text NOT NULL,
    name_en text NOT NULL,
    role text NOT NULL CHECK (role IN ('producer', 'cooperative', 'store', 'carrier', 'shop', 'input_dealer', 'laboratory'))
);
COMMENT ON TABLE registry.participant IS 'Organisations that act on goods; names are of organisations, never of natural persons.';

CREATE TABLE registry.site (
    site_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL REFERENCES registry.organisation,
    participant_id bigint REFERENCES registry.participant,
    code text NOT NULL UNIQUE,
    name_zh text NOT NULL,
    name_en text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('field', 'pre_cooler', 'cold_store', 'truck', 'locker', 'shop', 'drone', 'depot')),
    gln text UNIQUE CHECK (gln ~ '^[0-9]{13}$'),
    latitude double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude double precision CHECK (longitude BETWEEN -180 AND 180)
);

CREATE TABLE registry.zone (
    zone_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id bigint NOT NULL REFERENCES registry.site,
    code text NOT NULL UNIQUE,
    name_zh text NOT NULL,
    name_en text NOT NULL,
    gln text UNIQUE CHECK (gln ~ '^[0-9]{13}$'),
    limit_profile_code text
);
COMMENT ON COLUMN registry.zone.gln IS 'GLN of the room as a location; events name it as https://id.gs1.org/414/<gln>.';

CREATE TABLE registry.gateway (
    gateway_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id bigint NOT NULL REFERENCES registry.site,
    code text NOT NULL UNIQUE CHECK (code ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
    partition smallint NOT NULL CHECK (partition BETWEEN 0 AND 63),
    accepts_unsigned boolean NOT NULL DEFAULT false
);

CREATE TABLE registry.gateway_key (
    kid bytea PRIMARY KEY CHECK (octet_length(kid) = 8),
    gateway_id bigint NOT NULL REFERENCES registry.gateway,
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    valid_from timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

CREATE TABLE registry.device (
    device_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id bigint NOT NULL REFERENCES registry.gateway,
    zone_id bigint REFERENCES registry.zone,
    code text NOT NULL CHECK (code ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
    kind text NOT NULL,
    UNIQUE (gateway_id, code)
);

CREATE TABLE registry.channel (
    channel_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id bigint NOT NULL REFERENCES registry.device,
    metric text NOT NULL,
    unit text NOT NULL,
    period_s double precision NOT NULL CHECK (period_s > 0),
    limit_profile_code text,
    UNIQUE (device_id, metric)
);
COMMENT ON COLUMN registry.channel.limit_profile_code IS 'Overrides the zone''s profile for this channel; null takes the zone''s.';

CREATE TABLE registry.person (
    person_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL REFERENCES registry.organisation,
    login text NOT NULL UNIQUE CHECK (login ~ '^[a-z0-9._@-]{2,64}$'),
    display_name text NOT NULL,
    roles text[] NOT NULL CHECK (roles <@ ARRAY['operator', 'inspector', 'admin'] AND cardinality(roles) > 0),
    password_hash text NOT NULL,
    disabled_at timestamptz
);
COMMENT ON COLUMN registry.person.roles IS 'operator: console and alarms; inspector: trace and exports; admin: everything, and people';

CREATE TABLE registry.session (
    token_sha256 bytea PRIMARY KEY CHECK (octet_length(token_sha256) = 32),
    person_id bigint NOT NULL REFERENCES registry.person ON DELETE CASCADE,
    csrf text NOT NULL,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE registry.session IS 'Sign-ins; only the hash of the cookie is kept, so a copy of this table opens nothing.';
COMMENT ON COLUMN registry.session.expires_at IS 'The absolute end, whatever happens; the idle end counts from last_seen_at.';
CREATE INDEX session_person ON registry.session (person_id);
CREATE INDEX session_expiry ON registry.session (expires_at);

CREATE TABLE registry.signin_failure (
    login_sha256 bytea PRIMARY KEY CHECK (octet_length(login_sha256) = 32),
    failures integer NOT NULL CHECK (failures >= 0),
    last_at timestamptz NOT NULL,
    locked_until timestamptz NOT NULL
);
COMMENT ON TABLE registry.signin_failure IS
'Wrong passwords in a row for a sign-in name, whether such a person exists or not, so that a lock tells nobody which names do.';
CREATE INDEX signin_failure_age ON registry.signin_failure (last_at);

CREATE TABLE registry.audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    person_id bigint REFERENCES registry.person,
    action text NOT NULL,
    subject text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE registry.audit IS 'Who did what: sign-ins, acknowledgements, exports. Append only.';
CREATE INDEX audit_at ON registry.audit (at DESC);
