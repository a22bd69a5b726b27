ALTER TABLE registry.gateway ADD COLUMN revoked_at timestamptz;
COMMENT ON COLUMN registry.gateway.revoked_at IS 'Since when nothing is taken from it any more; a new enrolment clears it.';

CREATE TABLE registry.enrolment (
    enrolment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id bigint NOT NULL REFERENCES registry.gateway,
    token_sha256 bytea NOT NULL UNIQUE CHECK (octet_length(token_sha256) = 32),
    created_at timestamptz NOT NULL,
    created_by bigint REFERENCES registry.person,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    withdrawn_at timestamptz
);
COMMENT ON TABLE registry.enrolment IS 'One-time tokens by which a gateway brings its public key; only their hash is kept.';
CREATE UNIQUE INDEX enrolment_open ON registry.enrolment (gateway_id) WHERE withdrawn_at IS NULL;
COMMENT ON INDEX registry.enrolment_open IS 'A gateway has one token at a time: a new one withdraws the one before.';

CREATE TABLE registry.enrolment_use (
    enrolment_id bigint PRIMARY KEY REFERENCES registry.enrolment,
    kid bytea NOT NULL REFERENCES registry.gateway_key,
    used_at timestamptz NOT NULL
);
COMMENT ON TABLE registry.enrolment_use IS
'The one key a token brought; the key of this table is what makes a token single-use. The same key may ask again until the token expires, for answers get lost.';

CREATE TABLE registry.broker_login (
    gateway_id bigint PRIMARY KEY REFERENCES registry.gateway,
    password_hash text NOT NULL,
    changed_at timestamptz NOT NULL,
    previous_hash text,
    previous_until timestamptz,
    CHECK ((previous_hash IS NULL) = (previous_until IS NULL))
);
COMMENT ON TABLE registry.broker_login IS 'How gateways sign in to the broker; random passwords of 192 bits, kept as salted hashes.';
COMMENT ON COLUMN registry.broker_login.password_hash IS 'PBKDF2 with HMAC-SHA-512 as Mosquitto writes it ($7$rounds$salt$digest), so that its password file needs no clear text.';
COMMENT ON COLUMN registry.broker_login.previous_hash IS 'The password before, good until previous_until where the broker asks us.';

CREATE TABLE registry.ignored_channel (
    gateway_id bigint NOT NULL REFERENCES registry.gateway,
    name text NOT NULL,
    ignored_at timestamptz NOT NULL,
    ignored_by bigint REFERENCES registry.person,
    PRIMARY KEY (gateway_id, name)
);
COMMENT ON TABLE registry.ignored_channel IS 'Channels an administrator does not want; their readings stay dead letters with their bytes.';
