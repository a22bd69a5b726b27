-- name: rollup_lock
-- Become the only one who rolls up in this database, for the life of the connection.
SELECT pg_try_advisory_lock(%(key)s);

-- name: rollup_position
-- How far the follower has come.
SELECT txid::text, arrival_id FROM telemetry.follower WHERE name = %(name)s;

-- name: rollup_mark
-- Note which hours the next arrivals change, and move on behind them, in one statement; the readings stay in the server.
WITH page AS MATERIALIZED (
    SELECT txid, arrival_id, channel_ids, observed_ms
    FROM telemetry.arrival_feed
    WHERE (txid, arrival_id) > (%(txid)s::xid8, %(arrival_id)s)
    ORDER BY arrival_feed.txid, arrival_id
    LIMIT %(limit)s
),
touched AS (
    SELECT u.channel_id, min(u.ms) AS from_ms, max(u.ms) AS to_ms
    FROM page, unnest(page.channel_ids, page.observed_ms) AS u (channel_id, ms)
    GROUP BY u.channel_id, u.ms / 3600000
),
reached AS (
    -- A reading also decides what is known between it and its neighbours, which may lie in the hour before or after.
    SELECT DISTINCT t.channel_id, h.hour_at, g.gap
    FROM touched AS t
    JOIN registry.channel AS c USING (channel_id)
    CROSS JOIN LATERAL telemetry.gap_limit(c.period_s) AS g (gap)
    CROSS JOIN LATERAL generate_series(
        date_bin('1 hour', 'epoch'::timestamptz + t.from_ms * INTERVAL '1 millisecond' - g.gap, 'epoch'),
        'epoch'::timestamptz + t.to_ms * INTERVAL '1 millisecond' + g.gap,
        INTERVAL '1 hour'
    ) AS h (hour_at)
),
marked AS (
    INSERT INTO telemetry.hour_due (channel_id, hour_at, due_at)
    SELECT
        r.channel_id, r.hour_at,
        greatest(r.hour_at + INTERVAL '1 hour' + r.gap, now()) + %(settle_s)s * INTERVAL '1 second'
    FROM reached AS r
    ON CONFLICT (channel_id, hour_at) DO NOTHING
),
last AS (
    SELECT txid, arrival_id FROM page ORDER BY txid DESC, arrival_id DESC LIMIT 1
),
moved AS (
    INSERT INTO telemetry.follower (name, txid, arrival_id)
    SELECT %(name)s, last.txid, last.arrival_id FROM last
    ON CONFLICT (name) DO UPDATE SET txid = excluded.txid, arrival_id = excluded.arrival_id
)
SELECT last.txid::text, last.arrival_id, (SELECT count(*) FROM page) FROM last;

-- name: rollup_take_hours
-- Take hours that are due out of the queue, the longest waiting first; those before what is kept are only forgotten.
WITH taken AS (
    DELETE FROM telemetry.hour_due AS d
    USING (
        SELECT channel_id, hour_at FROM telemetry.hour_due
        WHERE due_at <= now() ORDER BY due_at, channel_id LIMIT %(limit)s
    ) AS w
    WHERE d.channel_id = w.channel_id AND d.hour_at = w.hour_at
    RETURNING d.channel_id, d.hour_at
)
SELECT t.channel_id, t.hour_at, t.hour_at >= coalesce(k.raw_from, '-infinity') AS open
FROM taken AS t
LEFT JOIN telemetry.kept AS k USING (channel_id);

-- name: rollup_write_hours
-- Calculate hours from their readings and write what is new, and note the days they belong to.
WITH fresh AS (
    INSERT INTO telemetry.hourly AS h
    SELECT f.* FROM telemetry.hours_from_readings(%(channel_ids)s::integer[], %(hours)s::timestamptz[]) AS f
    ON CONFLICT (channel_id, hour_at) DO UPDATE SET
        readings = excluded.readings, uncertain = excluded.uncertain, bad = excluded.bad,
        covered_s = excluded.covered_s, least = excluded.least, greatest = excluded.greatest, mean = excluded.mean,
        weighted = excluded.weighted, first_at = excluded.first_at, first_value = excluded.first_value,
        last_at = excluded.last_at, last_value = excluded.last_value
    RETURNING h.channel_id, h.hour_at
),
days AS (
    INSERT INTO telemetry.day_due (channel_id, day, due_at)
    SELECT DISTINCT
        channel_id, d.day,
        greatest(telemetry.china_midnight(d.day + 1) + INTERVAL '1 hour', now()) + %(settle_s)s * INTERVAL '1 second'
    FROM fresh, telemetry.china_day(hour_at) AS d (day)
    ON CONFLICT (channel_id, day) DO NOTHING
)
SELECT count(*) FROM fresh;

-- name: rollup_days
-- Write days that are due from their hours, unless an hour of theirs waits itself or what they follow from is deleted.
WITH ripe AS (
    SELECT w.channel_id, w.day
    FROM telemetry.day_due AS w
    WHERE w.due_at <= now()
        AND NOT EXISTS (
            SELECT FROM telemetry.hour_due AS h
            WHERE h.channel_id = w.channel_id AND h.hour_at >= telemetry.china_midnight(w.day)
                AND h.hour_at < telemetry.china_midnight(w.day + 1)
        )
    ORDER BY w.due_at, w.channel_id
    LIMIT %(limit)s
),
taken AS (
    DELETE FROM telemetry.day_due AS d
    USING ripe
    WHERE d.channel_id = ripe.channel_id AND d.day = ripe.day
    RETURNING d.channel_id, d.day
),
written AS (
    INSERT INTO telemetry.daily
    SELECT f.*
    FROM taken AS t
    LEFT JOIN telemetry.kept AS k USING (channel_id)
    CROSS JOIN LATERAL telemetry.days_from_hours(t.channel_id, ARRAY[t.day]) AS f
    WHERE telemetry.china_midnight(t.day) >= coalesce(k.hour_from, '-infinity')
    ON CONFLICT (channel_id, day) DO UPDATE SET
        readings = excluded.readings, uncertain = excluded.uncertain, bad = excluded.bad,
        covered_s = excluded.covered_s, least = excluded.least, greatest = excluded.greatest, mean = excluded.mean,
        weighted = excluded.weighted, first_at = excluded.first_at, first_value = excluded.first_value,
        last_at = excluded.last_at, last_value = excluded.last_value
)
SELECT count(*) FROM taken;

-- name: history_channels
-- The channels a person may see, by number or by name, or all of a site, of a zone, or of the subtree.
SELECT
    channel_id, channel, metric, unit, period_s, gateway, device, site, site_zh, site_en, zone, zone_zh, zone_en,
    (extract(epoch FROM telemetry.gap_limit(period_s)) * 1000)::bigint AS gap_ms
FROM registry.channel_v
WHERE organisation_path LIKE %(scope)s::text || '%%'
    AND (%(channel_ids)s::integer[] IS NULL OR channel_id = ANY (%(channel_ids)s))
    AND (%(site)s::text IS NULL OR site = %(site)s)
    AND (%(zone)s::text IS NULL OR zone = %(zone)s)
    AND channel_id > %(after)s
ORDER BY channel_id
LIMIT %(limit)s;

-- name: history_channel_ids
-- The numbers of channels by gateway, device and metric.
SELECT c.channel_id, w.place
FROM unnest(%(gateways)s::text[], %(devices)s::text[], %(metrics)s::text[])
    WITH ORDINALITY AS w (gateway, device, metric, place)
JOIN registry.gateway AS g ON g.code = w.gateway
JOIN registry.device AS d ON d.gateway_id = g.gateway_id AND d.code = w.device
JOIN registry.channel AS c ON c.device_id = d.device_id AND c.metric = w.metric;

-- name: history_readings
-- A channel's readings in a span, the first of them.
SELECT (date_part('epoch', observed_at) * 1000)::bigint, value, quality
FROM telemetry.reading_v
WHERE channel_id = %(channel_id)s AND observed_at >= %(from_at)s AND observed_at < %(to_at)s
ORDER BY observed_at
LIMIT %(limit)s;

-- name: history_hours
-- A channel's hours that begin in a span.
SELECT
    (extract(epoch FROM hour_at) * 1000)::bigint, readings, uncertain, bad, covered_s::double precision,
    least, greatest, mean, weighted,
    (extract(epoch FROM first_at) * 1000)::bigint, first_value, (extract(epoch FROM last_at) * 1000)::bigint, last_value
FROM telemetry.hours(%(channel_id)s, %(from_at)s, %(to_at)s)
ORDER BY hour_at;

-- name: history_days
-- A channel's days of China time that begin in a span.
SELECT
    (extract(epoch FROM telemetry.china_midnight(day)) * 1000)::bigint, readings, uncertain, bad,
    covered_s::double precision, least, greatest, mean, weighted,
    (extract(epoch FROM first_at) * 1000)::bigint, first_value, (extract(epoch FROM last_at) * 1000)::bigint, last_value
FROM telemetry.days(
    %(channel_id)s, telemetry.china_day(%(from_at)s),
    telemetry.china_day(%(to_at)s::timestamptz + INTERVAL '1 day' - INTERVAL '1 millisecond')
)
ORDER BY day;

-- name: history_latest
-- The newest reading of channels, by observation time.
SELECT
    channel_id, (extract(epoch FROM observed_at) * 1000)::bigint, (extract(epoch FROM received_at) * 1000)::bigint,
    value, quality
FROM telemetry.latest_v
WHERE channel_id = ANY (%(channel_ids)s::integer[]);
