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
        WHERE due_at <= now() ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
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
    ORDER BY w.due_at
    LIMIT %(limit)s
    FOR UPDATE OF w SKIP LOCKED
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

-- name: retention_lock
-- Become the only one who deletes in this database, for the life of the connection.
SELECT pg_try_advisory_lock(%(key)s);

-- name: retention_subjects
-- Every channel with what a rule can name.
SELECT channel_id, site, site_kind, metric FROM registry.channel_v ORDER BY channel_id;

-- name: retention_rules
-- The rules in force.
SELECT kind, code, raw_days, hour_days, day_days, arrival_days FROM telemetry.retention_rule ORDER BY kind, code;

-- name: retention_rule_set
-- Write a rule, or another one for the same things.
INSERT INTO telemetry.retention_rule AS r (kind, code, raw_days, hour_days, day_days, note, set_by)
VALUES (%(kind)s, %(code)s, %(raw_days)s, %(hour_days)s, %(day_days)s, %(note)s, %(by)s)
ON CONFLICT (kind, code) DO UPDATE SET
    raw_days = excluded.raw_days, hour_days = excluded.hour_days, day_days = excluded.day_days, note = excluded.note,
    set_by = excluded.set_by, set_at = now();

-- name: retention_rule_drop
-- Forget a rule.
DELETE FROM telemetry.retention_rule WHERE kind = %(kind)s AND code = %(code)s AND kind <> 'all' RETURNING kind;

-- name: retention_known
-- Whether there is something of that name to make a rule for or to hold.
SELECT CASE %(kind)s::text
    WHEN 'all' THEN true
    WHEN 'site' THEN EXISTS (SELECT FROM registry.site WHERE code = %(code)s)
    WHEN 'zone' THEN EXISTS (SELECT FROM registry.zone WHERE code = %(code)s)
    WHEN 'site_kind' THEN EXISTS (SELECT FROM registry.site WHERE kind = %(code)s)
    WHEN 'metric' THEN EXISTS (SELECT FROM registry.channel WHERE metric = %(code)s)
    WHEN 'channel' THEN EXISTS (SELECT FROM registry.channel_v WHERE channel = %(code)s)
    WHEN 'lot' THEN EXISTS (SELECT FROM trace.custody_v WHERE lot_uri = %(code)s)
END;

-- name: hold_place
-- Place a hold.
INSERT INTO telemetry.legal_hold (kind, code, from_at, to_at, reason, placed_by)
VALUES (%(kind)s, %(code)s, %(from_at)s, %(to_at)s, %(reason)s, %(by)s)
RETURNING hold_id;

-- name: hold_resolve
-- Note which channels and times the holds that stand mean now; what they were once found to mean stays.
INSERT INTO telemetry.held AS k (hold_id, channel_id, from_at, to_at)
SELECT h.hold_id, c.channel_id, h.from_at, coalesce(h.to_at, 'infinity')
FROM telemetry.legal_hold AS h
JOIN registry.channel_v AS c
    ON h.kind = 'all'
    OR (h.kind = 'site' AND c.site = h.code)
    OR (h.kind = 'zone' AND c.zone = h.code)
    OR (h.kind = 'channel' AND c.channel = h.code)
WHERE h.released_at IS NULL
UNION ALL
SELECT l.hold_id, p.channel_id, greatest(l.from_at, u.from_at), max(least(l.to_at, coalesce(u.to_at, 'infinity')))
FROM (SELECT hold_id, code, from_at, coalesce(to_at, 'infinity') AS to_at FROM telemetry.legal_hold
    WHERE kind = 'lot' AND released_at IS NULL) AS l
JOIN trace.custody_v AS u ON u.lot_uri = l.code
JOIN trace.place_channel_v AS p USING (location)
WHERE coalesce(u.to_at, 'infinity') > l.from_at AND u.from_at < l.to_at
GROUP BY l.hold_id, p.channel_id, greatest(l.from_at, u.from_at)
ON CONFLICT (hold_id, channel_id, from_at) DO UPDATE SET to_at = greatest(k.to_at, excluded.to_at)
WHERE k.to_at < excluded.to_at;

-- name: hold_release
-- Release a hold; what it held goes with the next run if its time is over.
UPDATE telemetry.legal_hold SET released_by = %(by)s, released_at = now()
WHERE hold_id = %(hold_id)s AND released_at IS NULL
RETURNING hold_id;

-- name: hold_list
-- Every hold, those that stand first.
SELECT h.hold_id, h.kind, h.code, h.from_at, h.to_at, h.reason, h.placed_by, h.placed_at, h.released_by, h.released_at,
    (SELECT count(DISTINCT k.channel_id) FROM telemetry.held AS k WHERE k.hold_id = h.hold_id) AS channels
FROM telemetry.legal_hold AS h
ORDER BY h.released_at NULLS FIRST, h.hold_id;

-- name: hold_spans
-- What the holds that stand cover; the end of time is the year 9999.
SELECT
    k.channel_id, (extract(epoch FROM k.from_at) * 1000)::bigint,
    (extract(epoch FROM least(k.to_at, '9998-12-31')) * 1000)::bigint
FROM telemetry.held AS k
JOIN telemetry.legal_hold AS h USING (hold_id)
WHERE h.released_at IS NULL;

-- name: prune_chunks
-- The chunks of a hypertable by the time they span; none where TimescaleDB is not.
SELECT (extract(epoch FROM from_at) * 1000)::bigint, (extract(epoch FROM to_at) * 1000)::bigint, about_rows, bytes
FROM telemetry.chunks(%(table)s)
ORDER BY from_at;

-- name: prune_chunk
-- Drop a chunk; returns how many were.
SELECT telemetry.drop_chunk(%(table)s, %(from_at)s, %(to_at)s);

-- name: prune_close
-- From now on nothing before these instants is rolled up again.
INSERT INTO telemetry.kept AS k (channel_id, raw_from, hour_from)
SELECT
    w.channel_id, coalesce('epoch'::timestamptz + w.raw_ms * INTERVAL '1 millisecond', '-infinity'),
    coalesce('epoch'::timestamptz + w.hour_ms * INTERVAL '1 millisecond', '-infinity')
FROM unnest(%(channel_ids)s::integer[], %(raw_ms)s::bigint[], %(hour_ms)s::bigint[]) AS w (channel_id, raw_ms, hour_ms)
ON CONFLICT (channel_id) DO UPDATE SET
    raw_from = greatest(k.raw_from, excluded.raw_from), hour_from = greatest(k.hour_from, excluded.hour_from);

-- name: prune_take_hours
-- Take hours out of the queue whose readings are about to go, whenever they would be due.
DELETE FROM telemetry.hour_due AS d
USING (
    SELECT h.channel_id, h.hour_at
    FROM telemetry.hour_due AS h
    JOIN unnest(%(channel_ids)s::integer[], %(raw_ms)s::bigint[]) AS w (channel_id, raw_ms) USING (channel_id)
    LEFT JOIN telemetry.kept AS k USING (channel_id)
    WHERE h.hour_at < 'epoch'::timestamptz + w.raw_ms * INTERVAL '1 millisecond'
        AND h.hour_at >= coalesce(k.raw_from, '-infinity')
    LIMIT %(limit)s
    FOR UPDATE OF h SKIP LOCKED
) AS x
WHERE d.channel_id = x.channel_id AND d.hour_at = x.hour_at
RETURNING d.channel_id, d.hour_at;

-- name: prune_ripen_days
-- Have days written now whose hours are about to go.
UPDATE telemetry.day_due AS d SET due_at = now()
FROM unnest(%(channel_ids)s::integer[], %(hour_ms)s::bigint[]) AS w (channel_id, hour_ms)
WHERE d.channel_id = w.channel_id AND d.due_at > now()
    AND telemetry.china_midnight(d.day) < 'epoch'::timestamptz + w.hour_ms * INTERVAL '1 millisecond';

-- name: run_begin
-- Note that something is about to be deleted, and why.
INSERT INTO telemetry.retention_run (run_by, rules, holds, planned)
VALUES (%(by)s, %(rules)s, %(holds)s, %(planned)s)
RETURNING run_id;

-- name: run_note
-- Note what has been deleted so far, or that the run is over and how.
UPDATE telemetry.retention_run
SET deleted = %(deleted)s, ended_at = CASE WHEN %(over)s THEN now() END, failure = %(failure)s
WHERE run_id = %(run_id)s;

-- name: retention_arrivals_set
-- How long arrivals are kept, in the rule for all.
UPDATE telemetry.retention_rule SET arrival_days = %(days)s, set_by = %(by)s, set_at = now()
WHERE kind = 'all' RETURNING kind;

-- name: forget_bounds
-- The oldest and the newest arrival, and about how many there are.
SELECT
    min(arrival_id), max(arrival_id),
    (SELECT reltuples::bigint FROM pg_class WHERE oid = 'telemetry.arrival'::regclass)
FROM telemetry.arrival;

-- name: forget_probe
-- The next arrival from a number on, and whether it is older than the cut.
SELECT arrival_id, recorded_at < %(cut)s
FROM telemetry.arrival
WHERE arrival_id >= %(arrival_id)s
ORDER BY arrival_id
LIMIT 1;

-- name: forget_followers
-- Everybody who follows the arrivals, the one furthest behind first, and whether they have passed one of them. Events
-- are followed as well; their arrivals stay.
SELECT f.name, f.txid::text, f.arrival_id, (f.txid, f.arrival_id) >= (a.txid, a.arrival_id)
FROM (
    SELECT 'ingest ' || name AS name, txid, arrival_id FROM telemetry.follower_v
    UNION ALL
    SELECT 'alerts ' || name, txid, arrival_id FROM alerts.follower_v
    UNION ALL
    SELECT 'trace ' || name, txid, arrival_id FROM trace.follower_v
) AS f
JOIN telemetry.arrival AS a ON a.arrival_id = %(last_id)s
ORDER BY f.txid, f.arrival_id;

-- name: forget_any_hold
-- Whether any hold stands.
SELECT EXISTS (SELECT FROM telemetry.legal_hold WHERE released_at IS NULL);

-- name: forget_spools
-- Every spool with something below its watermark.
SELECT gateway_id, epoch, watermark FROM telemetry.gateway_epoch WHERE watermark > 1 ORDER BY gateway_id, epoch;

-- name: forget_page
-- The next arrivals of a spool below its watermark: which are old, and which of them nobody needs. A hold counts for a
-- day more at both ends.
SELECT
    a.arrival_id, a.seq, substr(a.digest, 1, 8), a.arrival_id <= %(last_id)s,
    a.arrival_id <= %(last_id)s AND (a.txid, a.arrival_id) <= (%(txid)s::xid8, %(arrival_id)s) AND a.event IS NULL
    AND NOT EXISTS (SELECT FROM telemetry.loss AS l WHERE l.arrival_id = a.arrival_id)
    AND NOT EXISTS (SELECT FROM telemetry.dead_letter AS d WHERE d.arrival_id = a.arrival_id)
    AND NOT EXISTS (SELECT FROM telemetry.replay AS r WHERE r.arrival_id = a.arrival_id)
    AND NOT (%(held)s::boolean AND EXISTS (
        SELECT FROM unnest(a.channel_ids, a.observed_ms) AS u (channel_id, ms)
        JOIN telemetry.held AS k USING (channel_id)
        JOIN telemetry.legal_hold AS h USING (hold_id)
        WHERE h.released_at IS NULL
            AND 'epoch'::timestamptz + u.ms * INTERVAL '1 millisecond' >= k.from_at - INTERVAL '1 day'
            AND 'epoch'::timestamptz + u.ms * INTERVAL '1 millisecond' < k.to_at + INTERVAL '1 day'
    ))
FROM telemetry.arrival AS a
WHERE a.gateway_id = %(gateway_id)s AND a.epoch = %(epoch)s AND a.epoch IS NOT NULL
    AND a.seq > %(after)s AND a.seq < %(watermark)s
ORDER BY a.seq
LIMIT %(page)s;

-- name: forget_known
-- Runs of gone arrivals that reach into a stretch of a spool.
SELECT from_seq, to_seq FROM telemetry.arrival_gone
WHERE gateway_id = %(gateway_id)s AND epoch = %(epoch)s AND from_seq <= %(to_seq)s AND to_seq >= %(from_seq)s;

-- name: forget_remember
-- Remember runs of messages whose arrivals are about to go.
INSERT INTO telemetry.arrival_gone (gateway_id, epoch, from_seq, to_seq, digests)
SELECT %(gateway_id)s, %(epoch)s, r.from_seq, r.to_seq, r.digests
FROM unnest(%(from_seqs)s::bigint[], %(to_seqs)s::bigint[], %(digests)s::bytea[]) AS r (from_seq, to_seq, digests);

-- name: forget_delete
-- Delete arrivals.
DELETE FROM telemetry.arrival WHERE arrival_id = ANY (%(arrival_ids)s::bigint[]);

-- name: forget_bare
-- Of the next old arrivals delete those without a number that nobody needs; returns how far it came and how many went.
WITH page AS MATERIALIZED (
    SELECT a.arrival_id, a.txid, a.epoch, a.event, a.channel_ids, a.observed_ms
    FROM telemetry.arrival AS a
    WHERE a.arrival_id > %(after)s AND a.arrival_id <= %(last_id)s
    ORDER BY a.arrival_id
    LIMIT %(page)s
), gone AS (
    DELETE FROM telemetry.arrival AS x
    USING page AS a
    WHERE x.arrival_id = a.arrival_id AND a.epoch IS NULL
        AND (a.txid, a.arrival_id) <= (%(txid)s::xid8, %(arrival_id)s) AND a.event IS NULL
        AND NOT EXISTS (SELECT FROM telemetry.loss AS l WHERE l.arrival_id = a.arrival_id)
        AND NOT EXISTS (SELECT FROM telemetry.dead_letter AS d WHERE d.arrival_id = a.arrival_id)
        AND NOT EXISTS (SELECT FROM telemetry.replay AS r WHERE r.arrival_id = a.arrival_id)
        AND NOT (%(held)s::boolean AND EXISTS (
            SELECT FROM unnest(a.channel_ids, a.observed_ms) AS u (channel_id, ms)
            JOIN telemetry.held AS k USING (channel_id)
            JOIN telemetry.legal_hold AS h USING (hold_id)
            WHERE h.released_at IS NULL
                AND 'epoch'::timestamptz + u.ms * INTERVAL '1 millisecond' >= k.from_at - INTERVAL '1 day'
                AND 'epoch'::timestamptz + u.ms * INTERVAL '1 millisecond' < k.to_at + INTERVAL '1 day'
        ))
    RETURNING x.arrival_id
)
SELECT (SELECT max(arrival_id) FROM page), (SELECT count(*) FROM gone);
