-- name: organisation_key
-- The key, level and path of an organisation by code.
SELECT organisation_id, level, path FROM registry.organisation WHERE code = %(code)s;

-- name: participant_key
-- The key of a participant by GLN.
SELECT participant_id FROM registry.participant WHERE gln = %(gln)s;

-- name: site_key
-- The key of a site by code.
SELECT site_id FROM registry.site WHERE code = %(code)s;

-- name: zone_key
-- The key of a zone by code.
SELECT zone_id FROM registry.zone WHERE code = %(code)s;

-- name: gateway_key_of
-- The key of a gateway by code.
SELECT gateway_id FROM registry.gateway WHERE code = %(code)s;

-- name: device_key
-- The key of a device by its gateway's code and its own.
SELECT d.device_id
FROM registry.device AS d
JOIN registry.gateway AS g USING (gateway_id)
WHERE g.code = %(gateway)s AND d.code = %(code)s;

-- name: put_level_name
-- Name a level of the tree; unchanged names touch nothing.
INSERT INTO registry.level_name AS t (level, name_zh, name_en)
VALUES (%(level)s, %(name_zh)s, %(name_en)s)
ON CONFLICT (level) DO UPDATE SET name_zh = excluded.name_zh, name_en = excluded.name_en
WHERE (t.name_zh, t.name_en) IS DISTINCT FROM (excluded.name_zh, excluded.name_en)
RETURNING (xmax = 0) AS added;

-- name: add_organisation
-- Add a node below the path of its parent ('/' for the root).
WITH made AS (SELECT nextval('registry.organisation_organisation_id_seq') AS id)
INSERT INTO registry.organisation (organisation_id, parent_id, level, code, name_zh, name_en, path)
OVERRIDING SYSTEM VALUE
SELECT id, %(parent_id)s, %(level)s, %(code)s, %(name_zh)s, %(name_en)s, %(parent_path)s::text || id || '/'
FROM made;

-- name: rename_organisation
-- Change the names of a node; unchanged names touch nothing.
UPDATE registry.organisation
SET name_zh = %(name_zh)s, name_en = %(name_en)s
WHERE code = %(code)s AND (name_zh, name_en) IS DISTINCT FROM (%(name_zh)s, %(name_en)s)
RETURNING organisation_id;

-- name: put_limit_profile
-- Write the limits of a profile from a date on; a profile with the same date is corrected, earlier ones stay.
INSERT INTO registry.limit_profile AS t (
    code, effective_from, metric, unit, low, high, deadband, on_delay_s, off_delay_s, no_data_s, priority, source
)
VALUES (
    %(code)s, %(effective_from)s, %(metric)s, %(unit)s, %(low)s, %(high)s, %(deadband)s, %(on_delay_s)s,
    %(off_delay_s)s, %(no_data_s)s, %(priority)s, %(source)s
)
ON CONFLICT (code, metric, effective_from) DO UPDATE SET
    unit = excluded.unit, low = excluded.low, high = excluded.high, deadband = excluded.deadband,
    on_delay_s = excluded.on_delay_s, off_delay_s = excluded.off_delay_s, no_data_s = excluded.no_data_s,
    priority = excluded.priority, source = excluded.source
WHERE (t.unit, t.low, t.high, t.deadband, t.on_delay_s, t.off_delay_s, t.no_data_s, t.priority, t.source)
    IS DISTINCT FROM (
        excluded.unit, excluded.low, excluded.high, excluded.deadband, excluded.on_delay_s, excluded.off_delay_s,
        excluded.no_data_s, excluded.priority, excluded.source
    )
RETURNING (xmax = 0) AS added;

-- name: limit_profile_known
-- Whether any profile has this code.
SELECT EXISTS (SELECT FROM registry.limit_profile WHERE code = %(code)s);

-- name: put_product
-- Write a product by GTIN.
INSERT INTO registry.product AS t (gtin, name_zh, name_en, limit_profile_code)
VALUES (%(gtin)s, %(name_zh)s, %(name_en)s, %(limit_profile)s)
ON CONFLICT (gtin) DO UPDATE SET
    name_zh = excluded.name_zh, name_en = excluded.name_en, limit_profile_code = excluded.limit_profile_code
WHERE (t.name_zh, t.name_en, t.limit_profile_code)
    IS DISTINCT FROM (excluded.name_zh, excluded.name_en, excluded.limit_profile_code)
RETURNING (xmax = 0) AS added;

-- name: put_participant
-- Write a participant by GLN.
INSERT INTO registry.participant AS t (organisation_id, gln, name_zh, name_en, role)
VALUES (%(organisation_id)s, %(gln)s, %(name_zh)s, %(name_en)s, %(role)s)
ON CONFLICT (gln) DO UPDATE SET
    organisation_id = excluded.organisation_id, name_zh = excluded.name_zh, name_en = excluded.name_en,
    role = excluded.role
WHERE (t.organisation_id, t.name_zh, t.name_en, t.role)
    IS DISTINCT FROM (excluded.organisation_id, excluded.name_zh, excluded.name_en, excluded.role)
RETURNING (xmax = 0) AS added;

-- name: put_site
-- Write a site by code.
INSERT INTO registry.site AS t (
    organisation_id, participant_id, code, name_zh, name_en, kind, gln, latitude, longitude
)
VALUES (
    %(organisation_id)s, %(participant_id)s, %(code)s, %(name_zh)s, %(name_en)s, %(kind)s, %(gln)s, %(latitude)s,
    %(longitude)s
)
ON CONFLICT (code) DO UPDATE SET
    organisation_id = excluded.organisation_id, participant_id = excluded.participant_id,
    name_zh = excluded.name_zh, name_en = excluded.name_en, kind = excluded.kind, gln = excluded.gln,
    latitude = excluded.latitude, longitude = excluded.longitude
WHERE (t.organisation_id, t.participant_id, t.name_zh, t.name_en, t.kind, t.gln, t.latitude, t.longitude)
    IS DISTINCT FROM (
        excluded.organisation_id, excluded.participant_id, excluded.name_zh, excluded.name_en, excluded.kind,
        excluded.gln, excluded.latitude, excluded.longitude
    )
RETURNING (xmax = 0) AS added;

-- name: put_zone
-- Write a zone by code.
INSERT INTO registry.zone AS t (site_id, code, name_zh, name_en, gln, limit_profile_code)
VALUES (%(site_id)s, %(code)s, %(name_zh)s, %(name_en)s, %(gln)s, %(limit_profile)s)
ON CONFLICT (code) DO UPDATE SET
    site_id = excluded.site_id, name_zh = excluded.name_zh, name_en = excluded.name_en, gln = excluded.gln,
    limit_profile_code = excluded.limit_profile_code
WHERE (t.site_id, t.name_zh, t.name_en, t.gln, t.limit_profile_code)
    IS DISTINCT FROM (
        excluded.site_id, excluded.name_zh, excluded.name_en, excluded.gln, excluded.limit_profile_code
    )
RETURNING (xmax = 0) AS added;

-- name: put_gateway
-- Write a gateway by code.
INSERT INTO registry.gateway AS t (site_id, code, partition, accepts_unsigned)
VALUES (%(site_id)s, %(code)s, %(partition)s, %(accepts_unsigned)s)
ON CONFLICT (code) DO UPDATE SET
    site_id = excluded.site_id, partition = excluded.partition, accepts_unsigned = excluded.accepts_unsigned
WHERE (t.site_id, t.partition, t.accepts_unsigned)
    IS DISTINCT FROM (excluded.site_id, excluded.partition, excluded.accepts_unsigned)
RETURNING (xmax = 0) AS added;

-- name: add_gateway_key
-- Enrol a public key; a key already enrolled stays as it is, revoked or not.
INSERT INTO registry.gateway_key (kid, gateway_id, public_key)
VALUES (%(kid)s, %(gateway_id)s, %(public_key)s)
ON CONFLICT (kid) DO NOTHING
RETURNING true AS added;

-- name: gateway_key_owner
-- Whose key this is, and whether the bytes are the same.
SELECT gateway_id, public_key FROM registry.gateway_key WHERE kid = %(kid)s;

-- name: revoke_gateway_key
-- Stop trusting a key from now on; what it signed before stays signed.
UPDATE registry.gateway_key SET revoked_at = %(now)s WHERE kid = %(kid)s AND revoked_at IS NULL RETURNING gateway_id;

-- name: put_device
-- Write a device by gateway and code.
INSERT INTO registry.device AS t (gateway_id, zone_id, code, kind)
VALUES (%(gateway_id)s, %(zone_id)s, %(code)s, %(kind)s)
ON CONFLICT (gateway_id, code) DO UPDATE SET zone_id = excluded.zone_id, kind = excluded.kind
WHERE (t.zone_id, t.kind) IS DISTINCT FROM (excluded.zone_id, excluded.kind)
RETURNING (xmax = 0) AS added;

-- name: put_channel
-- Write a channel by device and metric; its unit may not change, since the readings stored are in it.
INSERT INTO registry.channel AS t (device_id, metric, unit, period_s, limit_profile_code)
VALUES (%(device_id)s, %(metric)s, %(unit)s, %(period_s)s, %(limit_profile)s)
ON CONFLICT (device_id, metric) DO UPDATE SET
    period_s = excluded.period_s, limit_profile_code = excluded.limit_profile_code
WHERE t.unit = excluded.unit AND (t.period_s, t.limit_profile_code)
    IS DISTINCT FROM (excluded.period_s, excluded.limit_profile_code)
RETURNING (xmax = 0) AS added;

-- name: channel_unit
-- The unit a channel's readings are stored in.
SELECT unit FROM registry.channel WHERE device_id = %(device_id)s AND metric = %(metric)s;

-- name: level_names
-- What the levels are called, from the root down.
SELECT level, name_zh, name_en FROM registry.level_name ORDER BY level;

-- name: organisations
-- The tree below and including a path, parents before children.
SELECT o.code, p.code AS parent, o.name_zh, o.name_en, o.level, o.path
FROM registry.organisation AS o
LEFT JOIN registry.organisation AS p ON p.organisation_id = o.parent_id
WHERE o.path LIKE %(scope)s::text || '%%'
ORDER BY o.level, o.code;

-- name: sites
-- The sites of the organisations below and including a path.
SELECT s.code, o.code AS organisation, s.name_zh, s.name_en, s.kind, p.gln AS participant, s.gln, s.latitude,
    s.longitude
FROM registry.site AS s
JOIN registry.organisation AS o USING (organisation_id)
LEFT JOIN registry.participant AS p USING (participant_id)
WHERE o.path LIKE %(scope)s::text || '%%'
ORDER BY s.code;

-- name: zones
-- The zones of the sites below and including a path.
SELECT z.code, s.code AS site, z.name_zh, z.name_en, z.gln, z.limit_profile_code AS limit_profile
FROM registry.zone AS z
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
WHERE o.path LIKE %(scope)s::text || '%%'
ORDER BY z.code;

-- name: gateways
-- The gateways of the sites below and including a path.
SELECT g.code, s.code AS site, g.partition, g.accepts_unsigned
FROM registry.gateway AS g
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
WHERE o.path LIKE %(scope)s::text || '%%'
ORDER BY g.code;

-- name: limits_on
-- The limits of a profile in force on a day, one row a metric.
SELECT DISTINCT ON (metric) code, effective_from, source, metric, unit, low, high, deadband, on_delay_s, off_delay_s,
    no_data_s, priority
FROM registry.limit_profile
WHERE code = %(code)s AND effective_from <= %(day)s
ORDER BY metric, effective_from DESC;

-- name: add_person
-- Add a person, unless the sign-in name is taken.
INSERT INTO registry.person (organisation_id, login, display_name, roles, password_hash)
VALUES (%(organisation_id)s, %(login)s, %(display_name)s, %(roles)s, %(password_hash)s)
ON CONFLICT (login) DO NOTHING
RETURNING person_id;

-- name: any_person
-- Whether anybody is registered yet.
SELECT EXISTS (SELECT FROM registry.person);

-- name: lock_people
-- Let nobody else add people until the transaction ends; readers are not held up.
LOCK TABLE registry.person IN EXCLUSIVE MODE;

-- name: person_by_login
-- The key and roles of a person by sign-in name, barred or not.
SELECT person_id, roles FROM registry.person WHERE login = %(login)s;

-- name: people
-- The people scoped below and including a path.
SELECT p.person_id, p.login, p.display_name, p.roles, o.code AS organisation, o.name_zh AS organisation_zh,
    o.name_en AS organisation_en, o.path, p.disabled_at IS NOT NULL AS disabled
FROM registry.person AS p
JOIN registry.organisation AS o USING (organisation_id)
WHERE o.path LIKE %(scope)s::text || '%%'
ORDER BY p.login;

-- name: person_by_id
-- One person as the people page lists them.
SELECT p.person_id, p.login, p.display_name, p.roles, o.code AS organisation, o.name_zh AS organisation_zh,
    o.name_en AS organisation_en, o.path, p.disabled_at IS NOT NULL AS disabled
FROM registry.person AS p
JOIN registry.organisation AS o USING (organisation_id)
WHERE p.person_id = %(person_id)s;

-- name: set_disabled
-- Bar a person from signing in from a moment on, or let them in again (null).
UPDATE registry.person SET disabled_at = %(disabled_at)s WHERE person_id = %(person_id)s;

-- name: password_by_login
-- The stored password hash of a person who may sign in, by sign-in name.
SELECT person_id, password_hash FROM registry.person WHERE login = %(login)s AND disabled_at IS NULL;

-- name: set_password_hash
-- Replace a password hash by one with today's parameters, unless the password was changed meanwhile.
UPDATE registry.person
SET password_hash = %(new_hash)s
WHERE person_id = %(person_id)s AND password_hash = %(old_hash)s
RETURNING person_id;

-- name: force_password_hash
-- Replace a password hash, whatever it was.
UPDATE registry.person SET password_hash = %(new_hash)s WHERE person_id = %(person_id)s RETURNING person_id;

-- name: add_session
-- Open a session.
INSERT INTO registry.session (token_sha256, person_id, csrf, created_at, last_seen_at, expires_at)
VALUES (%(token_sha256)s, %(person_id)s, %(csrf)s, %(now)s, %(now)s, %(expires_at)s);

-- name: find_session
-- The session of a token with its person, where neither end has come and the person may still sign in.
SELECT p.person_id, p.login, p.display_name, p.roles, o.path, s.csrf, s.last_seen_at
FROM registry.session AS s
JOIN registry.person AS p USING (person_id)
JOIN registry.organisation AS o USING (organisation_id)
WHERE s.token_sha256 = %(token_sha256)s
    AND s.expires_at > %(now)s
    AND s.last_seen_at > %(idle_since)s
    AND p.disabled_at IS NULL;

-- name: touch_session
-- Note that a session was used.
UPDATE registry.session SET last_seen_at = %(now)s WHERE token_sha256 = %(token_sha256)s AND last_seen_at < %(now)s;

-- name: session_exists
-- Whether a token was ever ours and not yet swept: an ended session, not a forged one.
SELECT EXISTS (SELECT FROM registry.session WHERE token_sha256 = %(token_sha256)s);

-- name: end_session
-- Close a session; it is remembered as ended until it is swept.
UPDATE registry.session SET expires_at = %(now)s
WHERE token_sha256 = %(token_sha256)s AND expires_at > %(now)s
RETURNING person_id;

-- name: end_sessions_of
-- Close all sessions of a person but one (null closes all).
UPDATE registry.session SET expires_at = %(now)s
WHERE person_id = %(person_id)s
    AND expires_at > %(now)s
    AND (%(but_token_sha256)s::bytea IS NULL OR token_sha256 <> %(but_token_sha256)s);

-- name: sweep_sessions
-- Forget sessions that ended before a moment.
DELETE FROM registry.session WHERE expires_at < %(before)s;

-- name: signin_failure_begin
-- Make sure a sign-in name has a row, so that tries at the same moment queue up behind its lock.
INSERT INTO registry.signin_failure (login_sha256, failures, last_at, locked_until)
VALUES (%(login_sha256)s, 0, %(now)s, %(now)s)
ON CONFLICT (login_sha256) DO NOTHING;

-- name: signin_failure_locked
-- The tries of a sign-in name, locked until the transaction ends.
SELECT failures, last_at, locked_until FROM registry.signin_failure WHERE login_sha256 = %(login_sha256)s FOR UPDATE;

-- name: signin_failure_count
-- Keep a sign-in name's tries so far.
UPDATE registry.signin_failure
SET failures = %(failures)s, last_at = %(now)s, locked_until = %(locked_until)s
WHERE login_sha256 = %(login_sha256)s;

-- name: signin_failure_forget
-- A right password forgives the wrong ones.
DELETE FROM registry.signin_failure WHERE login_sha256 = %(login_sha256)s;

-- name: sweep_signin_failures
-- Forget failures nobody has added to since a moment.
DELETE FROM registry.signin_failure WHERE last_at < %(before)s;

-- name: add_audit
-- Write one line of the audit.
INSERT INTO registry.audit (at, person_id, action, subject, detail)
VALUES (%(at)s, %(person_id)s, %(action)s, %(subject)s, %(detail)s);

-- name: least_used_partition
-- The partition with the fewest gateways, the lowest of several.
SELECT p.partition::integer
FROM generate_series(0, %(most)s::integer - 1) AS p (partition)
LEFT JOIN registry.gateway AS g ON g.partition = p.partition
GROUP BY p.partition
ORDER BY count(g.gateway_id), p.partition
LIMIT 1;

-- name: lock_gateways
-- Let nobody else add gateways until the transaction ends; readers are not held up.
LOCK TABLE registry.gateway IN EXCLUSIVE MODE;

-- name: site_scope
-- The key of a site by code, and whose it is.
SELECT s.site_id, o.path
FROM registry.site AS s
JOIN registry.organisation AS o USING (organisation_id)
WHERE s.code = %(code)s;

-- name: add_gateway
-- Add a gateway, unless the code is taken.
INSERT INTO registry.gateway (site_id, code, partition)
VALUES (%(site_id)s, %(code)s, %(partition)s)
ON CONFLICT (code) DO NOTHING
RETURNING gateway_id;

-- name: lock_gateway
-- One gateway with whose it is; whoever else changes it waits until the transaction ends.
SELECT g.gateway_id, g.code, g.partition, s.code AS site, o.path, g.revoked_at
FROM registry.gateway AS g
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
WHERE g.code = %(code)s
FOR UPDATE OF g;

-- name: set_gateway_revoked
-- Take nothing from a gateway any more, bare SenML included, or take from it again (null).
UPDATE registry.gateway
SET revoked_at = %(at)s, accepts_unsigned = accepts_unsigned AND %(at)s::timestamptz IS NULL
WHERE gateway_id = %(gateway_id)s;

-- name: gateway_overview
-- Gateways of the sites below and including a path (one, when its code is given), with what was last heard of them.
SELECT
    g.gateway_id, g.code, g.partition, g.accepts_unsigned, g.revoked_at, s.code AS site, s.name_zh AS site_zh,
    s.name_en AS site_en, o.path, k.kid, k.valid_from AS key_since, k.revoked_at AS key_until,
    (
        SELECT count(*) FROM registry.channel AS c JOIN registry.device AS d USING (device_id)
        WHERE d.gateway_id = g.gateway_id
    ) AS channels,
    l.online, l.since, l.last_seen_at, l.birth ->> 'software' AS software,
    (l.birth ->> 'config_version')::integer AS config_version, l.birth ->> 'config_error' AS config_error,
    b.changed_at AS login_since,
    CASE WHEN u.enrolment_id IS NULL THEN e.expires_at END AS token_until
FROM registry.gateway AS g
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
LEFT JOIN LATERAL (
    SELECT kid, valid_from, revoked_at FROM registry.gateway_key
    WHERE gateway_id = g.gateway_id
    ORDER BY revoked_at DESC NULLS FIRST, valid_from DESC LIMIT 1
) AS k ON true
LEFT JOIN telemetry.gateway_link_v AS l USING (gateway_id)
LEFT JOIN registry.broker_login AS b USING (gateway_id)
LEFT JOIN registry.enrolment AS e
    ON e.gateway_id = g.gateway_id AND e.withdrawn_at IS NULL AND e.expires_at > %(now)s
LEFT JOIN registry.enrolment_use AS u USING (enrolment_id)
WHERE o.path LIKE %(scope)s::text || '%%' AND (%(code)s::text IS NULL OR g.code = %(code)s)
ORDER BY g.code;

-- name: gateway_keys
-- All keys of a gateway, the newest first.
SELECT kid, valid_from, revoked_at FROM registry.gateway_key WHERE gateway_id = %(gateway_id)s
ORDER BY valid_from DESC, kid;

-- name: gateway_channels
-- The channels of a gateway.
SELECT d.code AS device, d.kind, c.metric, c.unit, c.period_s, z.name_zh AS zone_zh, z.name_en AS zone_en
FROM registry.channel AS c
JOIN registry.device AS d USING (device_id)
LEFT JOIN registry.zone AS z USING (zone_id)
WHERE d.gateway_id = %(gateway_id)s
ORDER BY d.code, c.metric;

-- name: key_in_force
-- A gateway's key that is trusted at a moment, and when it ends if it does.
SELECT k.public_key, k.revoked_at
FROM registry.gateway_key AS k
JOIN registry.gateway AS g USING (gateway_id)
WHERE k.kid = %(kid)s AND g.code = %(code)s AND (k.revoked_at IS NULL OR k.revoked_at > %(now)s);

-- name: key_revoked_at
-- Since or until when a key counts, null without an end.
SELECT revoked_at FROM registry.gateway_key WHERE kid = %(kid)s;

-- name: end_keys
-- End the trust in all keys of a gateway but one (null ends all) at a moment, those that end earlier stay so.
UPDATE registry.gateway_key
SET revoked_at = %(at)s
WHERE gateway_id = %(gateway_id)s
    AND (%(but)s::bytea IS NULL OR kid <> %(but)s)
    AND (revoked_at IS NULL OR revoked_at > %(at)s);

-- name: withdraw_enrolments
-- Make a gateway's token worth nothing, where it has one.
UPDATE registry.enrolment SET withdrawn_at = %(now)s WHERE gateway_id = %(gateway_id)s AND withdrawn_at IS NULL;

-- name: add_enrolment
-- Keep the hash of a new token.
INSERT INTO registry.enrolment (gateway_id, token_sha256, created_at, created_by, expires_at)
VALUES (%(gateway_id)s, %(token_sha256)s, %(now)s, %(created_by)s, %(expires_at)s);

-- name: enrolment_by_token
-- What a token is good for.
SELECT e.enrolment_id, g.code, e.expires_at, e.withdrawn_at
FROM registry.enrolment AS e
JOIN registry.gateway AS g USING (gateway_id)
WHERE e.token_sha256 = %(token_sha256)s;

-- name: use_enrolment
-- Spend a token on a key; whoever comes second gets nothing.
INSERT INTO registry.enrolment_use (enrolment_id, kid, used_at)
VALUES (%(enrolment_id)s, %(kid)s, %(now)s)
ON CONFLICT (enrolment_id) DO NOTHING
RETURNING kid;

-- name: enrolment_spent_on
-- The key a token was spent on.
SELECT kid FROM registry.enrolment_use WHERE enrolment_id = %(enrolment_id)s;

-- name: put_broker_login
-- Give a gateway a new broker password; the one before stays good until a moment (null: it ends now).
INSERT INTO registry.broker_login AS b (gateway_id, password_hash, changed_at)
VALUES (%(gateway_id)s, %(password_hash)s, %(now)s)
ON CONFLICT (gateway_id) DO UPDATE SET
    password_hash = excluded.password_hash, changed_at = excluded.changed_at,
    previous_hash = CASE WHEN %(previous_until)s::timestamptz IS NOT NULL THEN b.password_hash END,
    previous_until = %(previous_until)s;

-- name: remove_broker_login
-- Let a gateway sign in to the broker no more.
DELETE FROM registry.broker_login WHERE gateway_id = %(gateway_id)s;

-- name: broker_login
-- How a gateway signs in, and its partition; revoked ones do not.
SELECT g.partition, b.password_hash, b.previous_hash, b.previous_until
FROM registry.gateway AS g
JOIN registry.broker_login AS b USING (gateway_id)
WHERE g.code = %(code)s AND g.revoked_at IS NULL;

-- name: broker_logins
-- All gateways that may sign in.
SELECT g.code, g.partition, b.password_hash
FROM registry.gateway AS g
JOIN registry.broker_login AS b USING (gateway_id)
WHERE g.revoked_at IS NULL
ORDER BY g.code;

-- name: partition_in_use
-- The partition of a gateway that is not revoked.
SELECT partition FROM registry.gateway WHERE code = %(code)s AND revoked_at IS NULL;

-- name: waiting_channels
-- Channels that gateways of a subtree report and nobody approved, those on the ignored list marked.
SELECT
    u.gateway_id, g.code AS gateway, s.code AS site, s.name_zh AS site_zh, s.name_en AS site_en, u.name, u.unit,
    u.period_s, u.first_seen, u.last_seen, u.readings_waiting, u.announced, i.name IS NOT NULL AS ignored
FROM telemetry.unapproved_channel AS u
JOIN registry.gateway AS g USING (gateway_id)
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
LEFT JOIN registry.ignored_channel AS i ON i.gateway_id = u.gateway_id AND i.name = u.name
WHERE o.path LIKE %(scope)s::text || '%%' AND (%(gateway)s::text IS NULL OR g.code = %(gateway)s)
ORDER BY g.code, u.name;

-- name: zones_to_choose
-- The zones a device behind a gateway may stand in: those of a subtree, the gateway's own site first.
SELECT z.code, z.name_zh, z.name_en, s.name_zh AS site_zh, s.name_en AS site_en, s.code = %(site)s AS near
FROM registry.zone AS z
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
WHERE o.path LIKE %(scope)s::text || '%%'
ORDER BY s.code = %(site)s DESC, s.code, z.code;

-- name: devices_of_gateway
-- The devices of a gateway that are registered already.
SELECT d.code, d.kind, z.code AS zone
FROM registry.device AS d
JOIN registry.gateway AS g USING (gateway_id)
LEFT JOIN registry.zone AS z USING (zone_id)
WHERE g.code = %(gateway)s;

-- name: device_kinds
-- The kinds of devices in use.
SELECT DISTINCT kind FROM registry.device ORDER BY kind;

-- name: profile_codes
-- The limit profiles there are, and the metrics they limit.
SELECT code, array_agg(DISTINCT metric) AS metrics FROM registry.limit_profile GROUP BY code ORDER BY code;

-- name: ignore_channel
-- Put a waiting channel on the ignored list.
INSERT INTO registry.ignored_channel (gateway_id, name, ignored_at, ignored_by)
VALUES (%(gateway_id)s, %(name)s, %(now)s, %(by)s)
ON CONFLICT (gateway_id, name) DO NOTHING
RETURNING name;

-- name: restore_channel
-- Take a channel off the ignored list.
DELETE FROM registry.ignored_channel WHERE gateway_id = %(gateway_id)s AND name = %(name)s RETURNING name;

-- name: put_gateway_config
-- Set the configuration a gateway shall have, under a number above any it has named.
INSERT INTO registry.gateway_config AS c (gateway_id, version, config, set_at, set_by)
SELECT
    %(gateway_id)s, 1 + coalesce((l.birth ->> 'config_version')::bigint, 0), %(config)s, %(now)s, %(by)s
FROM (SELECT %(gateway_id)s::bigint AS gateway_id) AS g
LEFT JOIN telemetry.gateway_link_v AS l USING (gateway_id)
ON CONFLICT (gateway_id) DO UPDATE SET
    version = greatest(c.version + 1, excluded.version),
    config = excluded.config, set_at = excluded.set_at, set_by = excluded.set_by
RETURNING version;
