-- The follower ---------------------------------------------------------------------------------------------------------

-- name: excursion_lock
-- Become the only follower of this database, for as long as the connection lives.
SELECT pg_try_advisory_lock(%(key)s) AS locked

-- name: excursion_begin_here
-- A follower that never ran begins at the end of the arrivals: what is stored already, its accounts read by themselves.
INSERT INTO alerts.cursor (name, txid, arrival_id)
SELECT 'excursion', coalesce(f.txid, '0'), coalesce(f.arrival_id, 0)
FROM (SELECT) AS one
LEFT JOIN (
    SELECT txid, arrival_id FROM telemetry.arrival_feed ORDER BY arrival_feed.txid DESC, arrival_id DESC LIMIT 1
) AS f ON true
ON CONFLICT (name) DO NOTHING

-- name: excursion_position
-- How far the follower has come in the journal and in the arrivals.
SELECT
    coalesce(j.txid, '0')::text AS journal_txid, coalesce(j.journal_id, 0) AS journal_id,
    coalesce(a.txid, '0')::text AS arrival_txid, coalesce(a.arrival_id, 0) AS arrival_id
FROM (SELECT) AS one
LEFT JOIN alerts.journal_cursor AS j ON j.name = 'excursion'
LEFT JOIN alerts.cursor AS a ON a.name = 'excursion'

-- name: excursion_journal_page
-- The next journal entries after the cursor, with the kind of their alarm.
SELECT j.txid::text AS txid, j.journal_id, j.alarm_id, a.kind, j.event
FROM alerts.journal_feed AS j
JOIN alerts.alarm AS a USING (alarm_id)
WHERE (j.txid, j.journal_id) > (%(txid)s::xid8, %(journal_id)s)
ORDER BY j.txid, j.journal_id
LIMIT %(limit)s

-- name: excursion_journal_move
-- Everything up to here has its account.
INSERT INTO alerts.journal_cursor (name, txid, journal_id)
VALUES ('excursion', %(txid)s::xid8, %(journal_id)s)
ON CONFLICT (name) DO UPDATE SET txid = excluded.txid, journal_id = excluded.journal_id

-- name: excursion_arrivals_page
-- The next arrivals after the cursor: where they end, and the accounts with readings among them that belong into what
-- has been reported: the excursion with a day before it, or the thirty days of its mean kinetic temperature.
WITH page AS (
    SELECT f.txid, f.arrival_id, f.channel_ids, f.observed_ms
    FROM telemetry.arrival_feed AS f
    WHERE (f.txid, f.arrival_id) > (%(txid)s::xid8, %(arrival_id)s)
    ORDER BY f.txid, f.arrival_id
    LIMIT %(limit)s
),
touched AS (
    SELECT DISTINCT e.excursion_id
    FROM page AS p
    CROSS JOIN LATERAL unnest(p.channel_ids, p.observed_ms) AS u (channel_id, observed_ms)
    JOIN alerts.excursion AS e
        ON e.channel_id = u.channel_id
        AND e.merged_into IS NULL
        AND to_timestamp(u.observed_ms / 1000.0) >= least(
            e.from_at - INTERVAL '1 day', coalesce(e.to_at, e.known_until, e.from_at) - INTERVAL '30 days'
        )
        AND to_timestamp(u.observed_ms / 1000.0) <= coalesce(
            e.to_at + e.gap_ms * INTERVAL '1 millisecond', e.known_until, e.span_to, 'infinity'
        )
)
SELECT
    (SELECT p.txid::text FROM page AS p ORDER BY p.txid DESC, p.arrival_id DESC LIMIT 1) AS txid,
    (SELECT p.arrival_id FROM page AS p ORDER BY p.txid DESC, p.arrival_id DESC LIMIT 1) AS arrival_id,
    (SELECT count(*) FROM page) AS arrivals,
    ARRAY(SELECT excursion_id FROM touched ORDER BY excursion_id) AS touched

-- name: excursion_arrivals_move
-- Everything up to here has been looked at.
UPDATE alerts.cursor SET txid = %(txid)s::xid8, arrival_id = %(arrival_id)s WHERE name = 'excursion'

-- name: excursion_standing_due
-- Standing excursions whose figures are older than a minute, or than a hundredth of what they have lasted.
SELECT excursion_id
FROM alerts.excursion
WHERE standing AND merged_into IS NULL
    AND computed_at <= %(now)s::timestamptz
    - greatest(%(least_s)s * INTERVAL '1 second', (%(now)s::timestamptz - from_at) / 100)
ORDER BY computed_at
LIMIT %(limit)s

-- name: excursion_windows_due
-- Accounts whose windows have not been computed yet.
SELECT excursion_id
FROM alerts.excursion
WHERE windows_at IS NULL AND merged_into IS NULL
ORDER BY excursion_id
LIMIT %(limit)s

-- name: excursion_alarms
-- Alarms by number, or those of an excursion, with what an account needs of them.
SELECT
    a.alarm_id, a.channel_id, a.kind, a.limit_value, a.peak, x.excursion_id,
    (extract(epoch FROM a.exceeded_at) * 1000)::bigint AS exceeded_ms,
    (extract(epoch FROM a.peak_at) * 1000)::bigint AS peak_ms,
    CASE
        WHEN a.process_state IN ('UNACKNOWLEDGED', 'ACKNOWLEDGED') THEN NULL
        ELSE (extract(epoch FROM coalesce(a.returned_at, a.raised_at)) * 1000)::bigint
    END AS returned_ms
FROM alerts.alarm AS a
LEFT JOIN alerts.excursion_alarm AS x USING (alarm_id)
WHERE (a.alarm_id = %(alarm_id)s OR x.excursion_id = ANY(%(excursion_ids)s::bigint[]))
    AND a.kind IN ('high', 'low', 'high_high', 'low_low') AND a.limit_value IS NOT NULL AND a.channel_id IS NOT NULL
ORDER BY a.alarm_id

-- name: excursion_rows
-- Excursions by number, or those of a channel's side that reach into a span.
SELECT
    excursion_id, channel_id, side, limit_value, standing,
    (extract(epoch FROM from_at) * 1000)::bigint AS from_ms, (extract(epoch FROM to_at) * 1000)::bigint AS to_ms,
    (extract(epoch FROM span_to) * 1000)::bigint AS span_to_ms,
    (extract(epoch FROM known_until) * 1000)::bigint AS known_until_ms,
    minutes, unknown_minutes, degree_minutes, peak, (extract(epoch FROM peak_at) * 1000)::bigint AS peak_ms, mean, kinetic,
    readings, digest, kinetic_day, known_day, kinetic_month, known_month,
    (extract(epoch FROM windows_at) * 1000)::bigint AS windows_ms,
    (extract(epoch FROM computed_at) * 1000)::bigint AS computed_ms, version, corrections, unit, gap_ms
FROM alerts.excursion
WHERE merged_into IS NULL
    AND (
        excursion_id = %(excursion_id)s
        OR (
            channel_id = %(channel_id)s AND side = %(side)s
            AND from_at <= coalesce(%(to_at)s::timestamptz, 'infinity') AND coalesce(span_to, 'infinity') >= %(from_at)s
        )
    )
ORDER BY excursion_id

-- name: excursion_channel
-- Unit of a channel, and the time between two readings over which nothing is known.
SELECT unit, greatest(2500 * period_s, 1000 * no_data_s)::bigint AS gap_ms
FROM registry.channel_v WHERE channel_id = %(channel_id)s

-- name: excursion_readings
-- A channel's readings that are not bad, in order.
SELECT (extract(epoch FROM observed_at) * 1000)::bigint AS at_ms, value
FROM telemetry.reading_v
WHERE channel_id = %(channel_id)s AND quality < 2
    AND observed_at >= %(from_at)s AND observed_at <= coalesce(%(to_at)s::timestamptz, 'infinity')
ORDER BY observed_at

-- name: excursion_window
-- Mean kinetic temperature of a span without its readings having to travel: figures.window in the database's words.
WITH step AS (
    SELECT
        lag(value) OVER w AS value_0, value AS value_1,
        extract(epoch FROM lag(observed_at) OVER w - %(from_at)s::timestamptz)::double precision AS s_0,
        extract(epoch FROM observed_at - %(from_at)s::timestamptz)::double precision AS s_1
    FROM telemetry.reading_v
    WHERE channel_id = %(channel_id)s AND quality < 2
        AND observed_at >= %(from_at)s::timestamptz - %(gap)s::interval
        AND observed_at <= %(to_at)s::timestamptz + %(gap)s::interval
    WINDOW w AS (ORDER BY observed_at)
),
piece AS (
    SELECT
        least(s_1, e.s) - greatest(s_0, 0) AS s,
        value_0 + (value_1 - value_0) * (greatest(s_0, 0) - s_0) / (s_1 - s_0) AS value_0,
        value_0 + (value_1 - value_0) * (least(s_1, e.s) - s_0) / (s_1 - s_0) AS value_1
    FROM step
    CROSS JOIN (SELECT extract(epoch FROM %(to_at)s::timestamptz - %(from_at)s::timestamptz)::double precision AS s) AS e
    WHERE s_1 - s_0 <= extract(epoch FROM %(gap)s::interval) AND least(s_1, e.s) > greatest(s_0, 0)
)
SELECT
    coalesce(sum(s), 0) / 60 AS known_minutes,
    sum(
        s * (
            exp(-%(ratio)s::double precision / (value_0 + 273.15)) + exp(-%(ratio)s::double precision / (value_1 + 273.15))
        ) / 2
    ) / sum(s) AS rate
FROM piece
WHERE least(value_0, value_1) > -273.15

-- name: excursion_insert
-- A new account; its figures follow in the same transaction.
INSERT INTO alerts.excursion (channel_id, side, limit_value, standing, from_at, computed_at, unit, gap_ms)
VALUES (%(channel_id)s, %(side)s, %(limit_value)s, false, %(from_at)s, %(computed_at)s, %(unit)s, %(gap_ms)s)
RETURNING excursion_id

-- name: excursion_merge
-- Excursions that turned out to be parts of another.
WITH merged AS (
    UPDATE alerts.excursion
    SET merged_into = %(into)s, standing = false, version = version + 1
    WHERE excursion_id = ANY(%(excursion_ids)s::bigint[]) AND merged_into IS NULL
    RETURNING excursion_id, version
)
INSERT INTO alerts.excursion_version (excursion_id, version, recorded_at, why, after)
SELECT excursion_id, version, %(at)s, 'merged', jsonb_build_object('merged_into', %(into)s::bigint) FROM merged

-- name: excursion_assign
-- Alarms belong to an excursion.
INSERT INTO alerts.excursion_alarm (alarm_id, excursion_id)
SELECT alarm_id, %(excursion_id)s FROM unnest(%(alarm_ids)s::bigint[]) AS a (alarm_id)
ON CONFLICT (alarm_id) DO UPDATE SET excursion_id = excluded.excursion_id
WHERE excursion_alarm.excursion_id <> excluded.excursion_id

-- name: excursion_write
-- The figures, unless somebody has written since they were read.
UPDATE alerts.excursion
SET limit_value = %(limit_value)s, standing = %(standing)s, from_at = %(from_at)s, to_at = %(to_at)s, span_to = %(span_to)s,
    known_until = %(known_until)s, minutes = %(minutes)s, unknown_minutes = %(unknown_minutes)s,
    degree_minutes = %(degree_minutes)s, peak = %(peak)s, peak_at = %(peak_at)s, mean = %(mean)s, kinetic = %(kinetic)s,
    readings = %(readings)s, digest = %(digest)s, kinetic_day = %(kinetic_day)s, known_day = %(known_day)s,
    kinetic_month = %(kinetic_month)s, known_month = %(known_month)s, windows_at = %(windows_at)s,
    computed_at = %(computed_at)s, version = %(version)s, corrections = %(corrections)s
WHERE excursion_id = %(excursion_id)s AND version = %(expected)s

-- name: excursion_version_write
-- What was said before and what is said now, and why.
INSERT INTO alerts.excursion_version (excursion_id, version, recorded_at, why, before, after)
VALUES (%(excursion_id)s, %(version)s, %(at)s, %(why)s, %(before)s, %(after)s)

-- name: excursion_version_last
-- When the last entry was written.
SELECT (extract(epoch FROM max(recorded_at)) * 1000)::bigint AS at_ms
FROM alerts.excursion_version WHERE excursion_id = %(excursion_id)s

-- Pages and report -----------------------------------------------------------------------------------------------------
-- Each statement shows a person the subtree %(scope)s only.

-- name: excursion_list
-- Excursions with where they were, the newest first.
SELECT
    e.excursion_id, e.channel_id, e.side, e.limit_value, e.standing, e.unit, e.gap_ms,
    (extract(epoch FROM e.from_at) * 1000)::bigint AS from_ms, (extract(epoch FROM e.to_at) * 1000)::bigint AS to_ms,
    (extract(epoch FROM e.known_until) * 1000)::bigint AS known_until_ms,
    e.minutes, e.unknown_minutes, e.degree_minutes, e.peak, (extract(epoch FROM e.peak_at) * 1000)::bigint AS peak_ms,
    e.mean, e.kinetic, e.kinetic_day, e.known_day, e.kinetic_month, e.known_month, e.readings, e.digest,
    (extract(epoch FROM e.windows_at) * 1000)::bigint AS windows_ms,
    (extract(epoch FROM e.computed_at) * 1000)::bigint AS computed_ms, e.version, e.corrections,
    o.name_zh AS organisation_zh, o.name_en AS organisation_en, c.site, c.site_zh, c.site_en,
    coalesce(c.zone, c.gateway || '~' || c.device) AS zone, coalesce(c.zone_zh, c.device) AS zone_zh,
    coalesce(c.zone_en, c.device) AS zone_en, c.channel, c.metric, c.period_s, c.limit_profile,
    array_remove(ARRAY['https://id.gs1.org/414/' || c.zone_gln, 'https://id.gs1.org/414/' || s.gln], NULL) AS locations,
    waits.unacknowledged, waits.held,
    (
        SELECT count(DISTINCT u.lot_uri)
        FROM trace.custody_v AS u
        WHERE u.location IN ('https://id.gs1.org/414/' || c.zone_gln, 'https://id.gs1.org/414/' || s.gln)
            AND u.from_at < coalesce(e.to_at, e.known_until, 'infinity') AND coalesce(u.to_at, 'infinity') > e.from_at
    ) AS lots
FROM alerts.excursion AS e
JOIN registry.channel_v AS c USING (channel_id)
JOIN registry.site AS s ON s.site_id = c.site_id
JOIN registry.organisation AS o ON o.organisation_id = s.organisation_id
CROSS JOIN LATERAL (
    SELECT
        bool_or(a.process_state IN ('UNACKNOWLEDGED', 'RTN_UNACKNOWLEDGED', 'LATCHED_UNACKNOWLEDGED')) AS unacknowledged,
        bool_and(a.hold_reason IS NOT NULL) AS held
    FROM alerts.excursion_alarm AS x
    JOIN alerts.alarm AS a USING (alarm_id)
    WHERE x.excursion_id = e.excursion_id
) AS waits
WHERE e.merged_into IS NULL AND starts_with(c.organisation_path, %(scope)s)
    AND (%(excursion_id)s::bigint IS NULL OR e.excursion_id = %(excursion_id)s)
    AND (%(site)s::text IS NULL OR c.site = %(site)s OR strpos(c.site_zh || ' ' || lower(c.site_en), lower(%(site)s)) > 0)
    AND (%(from_at)s::timestamptz IS NULL OR coalesce(e.to_at, 'infinity') >= %(from_at)s)
    AND (%(to_at)s::timestamptz IS NULL OR e.from_at < %(to_at)s)
    AND CASE %(state)s::text
        WHEN 'standing' THEN e.standing
        WHEN 'ended' THEN NOT e.standing
        WHEN 'corrected' THEN e.corrections > 0
        WHEN 'unacknowledged' THEN waits.unacknowledged
        ELSE true
    END
ORDER BY e.from_at DESC, e.excursion_id DESC
LIMIT %(limit)s OFFSET %(offset)s

-- name: excursion_number
-- The excursion an alarm belongs to, or into which one was merged, within the subtree.
SELECT coalesce(e.merged_into, e.excursion_id) AS excursion_id
FROM alerts.excursion AS e
JOIN registry.channel_v AS c USING (channel_id)
LEFT JOIN alerts.excursion_alarm AS x ON x.excursion_id = e.excursion_id AND x.alarm_id = %(alarm_id)s
WHERE starts_with(c.organisation_path, %(scope)s)
    AND (x.alarm_id IS NOT NULL OR (e.excursion_id = %(excursion_id)s AND e.merged_into IS NOT NULL))

-- name: excursion_profile
-- The limits of a profile that were in force on a day (China time), and where they are from.
SELECT code, source, low, high, effective_from
FROM registry.limit_profile
WHERE code = %(code)s AND metric = %(metric)s
    AND effective_from <= (%(at)s::timestamptz AT TIME ZONE 'Asia/Shanghai')::date
ORDER BY effective_from DESC
LIMIT 1

-- name: excursion_alarm_list
-- The alarms of an excursion, with the rule that raised each.
SELECT
    a.alarm_id, a.kind, a.priority, a.process_state, a.limit_value, a.hold_reason, a.rule_code, a.rule_version,
    r.document ->> 'title_zh' AS rule_zh, r.document ->> 'title_en' AS rule_en,
    (extract(epoch FROM a.raised_at) * 1000)::bigint AS raised_ms,
    (extract(epoch FROM a.returned_at) * 1000)::bigint AS returned_ms, a.replayed
FROM alerts.excursion_alarm AS x
JOIN alerts.alarm AS a USING (alarm_id)
LEFT JOIN alerts.rule AS r ON r.code = a.rule_code AND r.version = a.rule_version
WHERE x.excursion_id = %(excursion_id)s
ORDER BY a.raised_at, a.alarm_id

-- name: excursion_acts
-- What people did about the alarms of an excursion, and what they wrote.
SELECT j.alarm_id, (extract(epoch FROM j.at) * 1000)::bigint AS at_ms, j.event, j.actor, j.note
FROM alerts.excursion_alarm AS x
JOIN alerts.journal AS j USING (alarm_id)
WHERE x.excursion_id = %(excursion_id)s
    AND j.event IN ('acknowledge', 'reset', 'shelve', 'unshelve', 'remove_from_service', 'return_to_service')
ORDER BY j.at, j.journal_id

-- name: excursion_lots
-- Lots that stood there meanwhile, with what they are; of the place and its times only, nobody's name.
SELECT
    u.lot_uri, (extract(epoch FROM u.from_at) * 1000)::bigint AS from_ms,
    (extract(epoch FROM u.to_at) * 1000)::bigint AS to_ms, p.name_zh AS product_zh, p.name_en AS product_en
FROM trace.custody_v AS u
LEFT JOIN registry.product AS p ON p.gtin = substring(u.lot_uri FROM '/01/([0-9]{14})')
WHERE u.location = ANY(%(locations)s::text[])
    AND u.from_at < coalesce(%(to_at)s::timestamptz, 'infinity') AND coalesce(u.to_at, 'infinity') > %(from_at)s
ORDER BY u.from_at, u.lot_uri
LIMIT %(limit)s

-- name: excursion_versions
-- Every change of what was said about an excursion.
SELECT version, (extract(epoch FROM recorded_at) * 1000)::bigint AS at_ms, why, before, after
FROM alerts.excursion_version
WHERE excursion_id = %(excursion_id)s
ORDER BY version

-- name: excursion_switches
-- Channels of the same room that say on or off.
SELECT o.channel_id, o.metric, o.period_s, greatest(2500 * o.period_s, 1000 * o.no_data_s)::bigint AS gap_ms
FROM registry.channel_v AS c
JOIN registry.channel_v AS o
    ON o.metric IN ('door_open', 'defrost', 'compressor')
    AND (o.zone_id = c.zone_id OR (c.zone_id IS NULL AND o.device_id = c.device_id))
WHERE c.channel_id = %(channel_id)s
ORDER BY array_position(ARRAY['defrost', 'door_open', 'compressor'], o.metric), o.channel_id

-- name: excursion_series
-- A channel's readings that are not bad in a span, summarised by bucket; a bucket with a hole in it, or after one, says so.
SELECT
    (extract(epoch FROM min(observed_at)) * 1000)::bigint AS at_ms,
    avg(value) AS value, min(value) AS low, max(value) AS high, coalesce(bool_or(after_gap), false) AS after_gap
FROM (
    SELECT
        observed_at, value,
        observed_at - lag(observed_at) OVER (ORDER BY observed_at) > %(gap)s::interval AS after_gap
    FROM telemetry.reading_v
    WHERE channel_id = %(channel_id)s AND quality < 2 AND observed_at >= %(from_at)s AND observed_at <= %(to_at)s
) AS r
GROUP BY date_bin(%(bucket)s, observed_at, 'epoch')
ORDER BY 1

-- name: excursion_switched
-- Readings of a channel that says on or off.
SELECT (extract(epoch FROM observed_at) * 1000)::bigint AS at_ms, value
FROM telemetry.reading_v
WHERE channel_id = %(channel_id)s AND observed_at >= %(from_at)s AND observed_at <= %(to_at)s
ORDER BY observed_at
