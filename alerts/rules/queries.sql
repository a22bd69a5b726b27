-- name: rules_lock
-- Let one writer at a time change rules, until the transaction ends; what is read after it is what is there.
SELECT pg_advisory_xact_lock(%(key)s)

-- name: rules_current
-- The newest version of every code, or of one.
SELECT DISTINCT ON (code)
    code, version, document, withdrawn, author, note, (extract(epoch FROM recorded_at) * 1000)::bigint AS recorded_ms
FROM alerts.rule
WHERE %(code)s::text IS NULL OR code = %(code)s
ORDER BY code, version DESC

-- name: rules_history
-- Every version of a code, the newest first.
SELECT code, version, document, withdrawn, author, note, (extract(epoch FROM recorded_at) * 1000)::bigint AS recorded_ms
FROM alerts.rule
WHERE code = %(code)s
ORDER BY version DESC

-- name: rules_write
-- A new version of a rule, or its withdrawal.
INSERT INTO alerts.rule (code, version, document, withdrawn, author, note)
VALUES (%(code)s, %(version)s, %(document)s, %(withdrawn)s, %(author)s, %(note)s)

-- name: rules_notify
-- Wake whoever works by the rules.
SELECT pg_notify('hanlu_rule', %(code)s)

-- name: rules_facts
-- What rules may look at of each channel below an organisation, or of one by its name.
SELECT
    channel_id, channel, metric, unit, period_s, device_kind, organisation_path, site, zone, gateway, device,
    limit_profile, low, high, deadband, on_delay_s, off_delay_s, no_data_s, priority
FROM registry.channel_v
WHERE starts_with(organisation_path, %(scope)s) AND (%(channel)s::text IS NULL OR channel = %(channel)s)
ORDER BY channel_id

-- name: rules_organisations
-- Codes of the tree's nodes by their id, as paths name them.
SELECT organisation_id, code FROM registry.organisation

-- name: rules_names
-- Every name a rule can be compared with, by what it is a name of; metrics and device kinds as they occur now.
SELECT 'profiles' AS sort, array_agg(DISTINCT code) AS names FROM registry.limit_profile
UNION ALL
SELECT 'zones', array_agg(code) FROM registry.zone
UNION ALL
SELECT 'sites', array_agg(code) FROM registry.site
UNION ALL
SELECT 'gateways', array_agg(code) FROM registry.gateway
UNION ALL
SELECT 'organisations', array_agg(code) FROM registry.organisation
UNION ALL
SELECT 'device_kinds', array_agg(DISTINCT kind) FROM registry.device
UNION ALL
SELECT 'metrics', array_agg(DISTINCT metric) FROM registry.channel

-- name: rules_sees_everything
-- Whether no node of the tree lies outside a person's.
SELECT NOT EXISTS (SELECT 1 FROM registry.organisation WHERE NOT starts_with(path, %(scope)s)) AS everything

-- name: rules_reach
-- Names below one node of the tree, by what they are names of.
WITH below AS (
    SELECT o.code AS organisation, s.site_id, s.code AS site
    FROM registry.organisation AS o
    LEFT JOIN registry.site AS s USING (organisation_id)
    WHERE starts_with(o.path, %(scope)s)
)

SELECT 'organisations' AS sort, array_agg(DISTINCT organisation) AS names FROM below
UNION ALL
SELECT 'sites', array_agg(site) FROM below WHERE site IS NOT NULL
UNION ALL
SELECT 'zones', array_agg(z.code) FROM below JOIN registry.zone AS z USING (site_id)
UNION ALL
SELECT 'gateways', array_agg(g.code) FROM below JOIN registry.gateway AS g USING (site_id)

-- name: rules_readings
-- Readings of a room's channels in a stretch of time, ascending, for a rehearsal.
SELECT channel_id, (extract(epoch FROM observed_at) * 1000)::bigint AS at_ms, value
FROM telemetry.reading_v
WHERE channel_id = ANY(%(channel_ids)s::integer[]) AND observed_at >= %(from_at)s AND observed_at <= %(to_at)s
ORDER BY observed_at, channel_id
LIMIT %(most)s

-- name: rules_newest
-- When a room's channels were last heard of, Unix milliseconds.
SELECT (extract(epoch FROM max(observed_at)) * 1000)::bigint AS newest_ms
FROM telemetry.latest_v
WHERE channel_id = ANY(%(channel_ids)s::integer[])
