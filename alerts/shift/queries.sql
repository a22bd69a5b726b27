-- The alarm load -------------------------------------------------------------------------------------------------------

-- name: load_calls
-- Alarms that called in a span, ascending, for a subtree and, where given, one site of it. Answered by the index alone.
WITH place AS MATERIALIZED (
    SELECT s.site_id
    FROM registry.site AS s
    JOIN registry.organisation AS o USING (organisation_id)
    WHERE starts_with(o.path, %(scope)s) AND (%(site)s::text IS NULL OR s.code = %(site)s)
), own AS MATERIALIZED (
    SELECT c.channel_id
    FROM registry.channel AS c
    JOIN registry.device AS d USING (device_id)
    JOIN registry.gateway AS g USING (gateway_id)
    LEFT JOIN registry.zone AS z USING (zone_id)
    WHERE coalesce(z.site_id, g.site_id) IN (SELECT site_id FROM place)
)
SELECT
    a.alarm_id, (date_part('epoch', a.called_at) * 1000)::bigint AS called_ms, a.priority,
    coalesce(a.channel_id::text, a.site_id || ':' || a.item) || '/' || a.kind AS point,
    (date_part('epoch', a.raised_at) * 1000)::bigint AS raised_ms,
    (date_part('epoch', a.returned_at) * 1000)::bigint AS returned_ms,
    (date_part('epoch', a.acknowledged_at) * 1000)::bigint AS acknowledged_ms,
    (date_part('epoch', a.respond_by) * 1000)::bigint AS respond_ms
FROM alerts.alarm AS a
WHERE a.called_at >= %(from_at)s AND a.called_at < %(to_at)s
    AND (a.channel_id IN (SELECT channel_id FROM own) OR a.site_id IN (SELECT site_id FROM place))
ORDER BY a.called_at, a.alarm_id

-- name: load_held
-- Alarms of a span that called nobody, counted by why: the plant's logic, or the shelf and maintenance.
WITH place AS MATERIALIZED (
    SELECT s.site_id
    FROM registry.site AS s
    JOIN registry.organisation AS o USING (organisation_id)
    WHERE starts_with(o.path, %(scope)s) AND (%(site)s::text IS NULL OR s.code = %(site)s)
), own AS MATERIALIZED (
    SELECT c.channel_id
    FROM registry.channel AS c
    JOIN registry.device AS d USING (device_id)
    JOIN registry.gateway AS g USING (gateway_id)
    LEFT JOIN registry.zone AS z USING (zone_id)
    WHERE coalesce(z.site_id, g.site_id) IN (SELECT site_id FROM place)
)
SELECT
    CASE a.suppression_state
        WHEN 'SUPPRESSED_BY_DESIGN' THEN coalesce(a.hold_reason, 'other')
        WHEN 'SHELVED' THEN 'shelved'
        WHEN 'OUT_OF_SERVICE' THEN 'out_of_service'
        ELSE 'other'
    END AS reason,
    count(*) AS alarms
FROM alerts.alarm AS a
WHERE a.called_at IS NULL AND a.detected_at >= %(from_at)s AND a.detected_at < %(to_at)s
    AND (a.channel_id IN (SELECT channel_id FROM own) OR a.site_id IN (SELECT site_id FROM place))
GROUP BY 1
ORDER BY 2 DESC, 1

-- name: load_held_alarms
-- Those alarms themselves, the newest first.
SELECT a.alarm_id
FROM alerts.alarm AS a
JOIN alerts.alarm_place_v AS p USING (alarm_id)
WHERE a.called_at IS NULL AND a.detected_at >= %(from_at)s AND a.detected_at < %(to_at)s
    AND starts_with(p.organisation_path, %(scope)s) AND (%(site)s::text IS NULL OR p.site = %(site)s)
    AND %(reason)s = CASE a.suppression_state
        WHEN 'SUPPRESSED_BY_DESIGN' THEN coalesce(a.hold_reason, 'other')
        WHEN 'SHELVED' THEN 'shelved'
        WHEN 'OUT_OF_SERVICE' THEN 'out_of_service'
        ELSE 'other'
    END
ORDER BY a.detected_at DESC, a.alarm_id DESC

-- name: load_open
-- Alarms that are not over, the longest open first; whether each stands, whether anything keeps it quiet.
SELECT
    a.alarm_id, a.process_state, a.suppression_state,
    (date_part('epoch', a.called_at) * 1000)::bigint AS called_ms
FROM alerts.alarm AS a
JOIN alerts.alarm_place_v AS p USING (alarm_id)
WHERE a.process_state <> 'NORMAL'
    AND starts_with(p.organisation_path, %(scope)s) AND (%(site)s::text IS NULL OR p.site = %(site)s)
ORDER BY a.raised_at, a.alarm_id

-- name: load_quiet_points
-- Points that a person has put on the shelf or out of service, or a room declared empty: those that end first, first.
SELECT
    q.channel_id, q.kind, q.state, q.reason, q.note, q.actor,
    (date_part('epoch', q.since) * 1000)::bigint AS since_ms,
    (date_part('epoch', q.expires_at) * 1000)::bigint AS expires_ms,
    coalesce(c.zone, c.gateway || '~' || c.device) AS zone, coalesce(c.zone_zh, c.device) AS zone_zh,
    coalesce(c.zone_en, c.device) AS zone_en, c.site_zh, c.site_en, c.metric
FROM alerts.suppression AS q
JOIN registry.channel_v AS c USING (channel_id)
WHERE starts_with(c.organisation_path, %(scope)s) AND (%(site)s::text IS NULL OR c.site = %(site)s)
ORDER BY q.expires_at NULLS LAST, zone, q.kind

-- name: load_alarms
-- Alarms by their keys, as lines of a list.
SELECT
    a.alarm_id, a.kind, a.priority, a.process_state, a.suppression_state, a.hold_reason, a.cause,
    (date_part('epoch', a.raised_at) * 1000)::bigint AS raised_ms,
    (date_part('epoch', a.called_at) * 1000)::bigint AS called_ms,
    (date_part('epoch', a.acknowledged_at) * 1000)::bigint AS acknowledged_ms,
    (date_part('epoch', a.returned_at) * 1000)::bigint AS returned_ms,
    p.zone, p.zone_zh, p.zone_en, p.site, p.site_zh, p.site_en, p.metric
FROM alerts.alarm AS a
JOIN alerts.alarm_place_v AS p USING (alarm_id)
WHERE a.alarm_id = ANY(%(alarm_ids)s) AND starts_with(p.organisation_path, %(scope)s)

-- name: load_places
-- What the load can be told for: organisations of the subtree, then sites.
SELECT place, name_zh, name_en
FROM (
    SELECT 1 AS part, 'org:' || o.code AS place, o.name_zh, o.name_en, o.path || '' AS in_order
    FROM registry.organisation AS o
    WHERE starts_with(o.path, %(scope)s)
    UNION ALL
    SELECT 2, 'site:' || s.code, s.name_zh, s.name_en, o.path || s.code
    FROM registry.site AS s
    JOIN registry.organisation AS o USING (organisation_id)
    WHERE starts_with(o.path, %(scope)s)
) AS places
ORDER BY part, in_order
LIMIT %(limit)s

-- name: load_place
-- One organisation or site of the subtree, by code.
SELECT o.path AS organisation_path, o.organisation_id, NULL::text AS site, o.name_zh, o.name_en
FROM registry.organisation AS o
WHERE %(kind)s = 'org' AND o.code = %(code)s AND starts_with(o.path, %(scope)s)
UNION ALL
SELECT o.path, o.organisation_id, s.code, s.name_zh, s.name_en
FROM registry.site AS s
JOIN registry.organisation AS o USING (organisation_id)
WHERE %(kind)s = 'site' AND s.code = %(code)s AND starts_with(o.path, %(scope)s)

-- name: load_scope
-- The organisation a subtree begins with.
SELECT o.path AS organisation_path, o.organisation_id, NULL::text AS site, o.name_zh, o.name_en
FROM registry.organisation AS o
WHERE o.path = %(scope)s

-- name: staffing_in_force
-- Operators on shift at an organisation: what was said last for the nearest one on the way up.
SELECT t.operators
FROM alerts.staffing AS t
JOIN registry.organisation AS o USING (organisation_id)
WHERE starts_with(%(path)s, o.path)
ORDER BY length(o.path) DESC, t.staffing_id DESC
LIMIT 1

-- name: staffing_add
-- Say how many operators are on shift at an organisation.
INSERT INTO alerts.staffing (organisation_id, operators, actor) VALUES (%(organisation_id)s, %(operators)s, %(actor)s)

-- Handover -------------------------------------------------------------------------------------------------------------

-- name: handover_sites
-- Sites of the subtree one can hand over.
SELECT s.code, s.name_zh, s.name_en
FROM registry.site AS s
JOIN registry.organisation AS o USING (organisation_id)
WHERE starts_with(o.path, %(scope)s)
ORDER BY s.code
LIMIT %(limit)s

-- name: handover_site
-- One site of the subtree.
SELECT s.site_id, s.code, s.name_zh, s.name_en
FROM registry.site AS s
JOIN registry.organisation AS o USING (organisation_id)
WHERE s.code = %(site)s AND starts_with(o.path, %(scope)s)

-- name: handover_offline
-- Gateways of a site that are not heard, or never were.
SELECT g.code, (date_part('epoch', k.last_seen_at) * 1000)::bigint AS seen_ms
FROM registry.gateway AS g
JOIN registry.site AS s USING (site_id)
LEFT JOIN telemetry.gateway_link_v AS k USING (gateway_id)
WHERE s.code = %(site)s AND NOT coalesce(k.online, false)
ORDER BY g.code

-- name: handover_add
-- Sign a note.
INSERT INTO alerts.handover (site_id, corrects, body, facts, signed_by, signed_at)
VALUES (%(site_id)s, %(corrects)s, %(body)s, %(facts)s, %(actor)s, %(at)s)
RETURNING handover_id

-- name: handover_take
-- Sign a note a second time; nothing comes back when somebody already has.
INSERT INTO alerts.handover_taken (handover_id, signed_by, taken_by, taken_at, remark)
SELECT handover_id, signed_by, %(actor)s, %(at)s, %(remark)s
FROM alerts.handover
WHERE handover_id = %(handover_id)s
ON CONFLICT (handover_id) DO NOTHING
RETURNING handover_id

-- name: handover_notes
-- Notes of the subtree, the newest first, all of them or those of a site, with words in them, or one.
SELECT
    h.handover_id, s.code AS site, s.name_zh AS site_zh, s.name_en AS site_en, h.body, h.facts, h.signed_by,
    (date_part('epoch', h.signed_at) * 1000)::bigint AS signed_ms,
    h.corrects, later.handover_id AS corrected_by, t.taken_by, t.remark,
    (date_part('epoch', t.taken_at) * 1000)::bigint AS taken_ms
FROM alerts.handover AS h
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
LEFT JOIN alerts.handover_taken AS t USING (handover_id)
LEFT JOIN alerts.handover AS later ON later.corrects = h.handover_id
WHERE starts_with(o.path, %(scope)s)
    AND (%(handover_id)s::bigint IS NULL OR h.handover_id = %(handover_id)s)
    AND (%(site)s::text IS NULL OR s.code = %(site)s)
    AND (
        %(words)s::text IS NULL
        OR strpos(
            lower(h.body || ' ' || h.signed_by || ' ' || coalesce(t.taken_by || ' ' || t.remark, '') || ' ' || h.facts::text),
            lower(%(words)s)
        ) > 0
    )
ORDER BY h.handover_id DESC
LIMIT %(limit)s OFFSET %(offset)s
