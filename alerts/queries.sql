-- Alarms and points, moved by the engine and by people alike (ledger.py, operate.py) -------------------------------------

-- name: ledger_lock
-- One writer of alarms at a time, until the transaction ends: a point shelved while an alarm is raised is shelved for it.
SELECT pg_advisory_xact_lock(%(key)s)

-- name: ledger_load
-- Alarms by key, locked.
SELECT
    alarm_id, channel_id, kind, site_id, item, item_zh, item_en, priority, process_state, suppression_state, version,
    limit_value, unit, peak, replayed, rule_code, rule_version, cause, plant_hold, hold_reason, explained_by, latches,
    respond_s, re_alarm_s, assignee, acknowledged_by, note,
    (extract(epoch FROM exceeded_at) * 1000)::bigint AS exceeded_ms,
    (extract(epoch FROM raised_at) * 1000)::bigint AS raised_ms,
    (extract(epoch FROM detected_at) * 1000)::bigint AS detected_ms,
    (extract(epoch FROM returned_at) * 1000)::bigint AS returned_ms,
    (extract(epoch FROM acknowledged_at) * 1000)::bigint AS acknowledged_ms,
    (extract(epoch FROM peak_at) * 1000)::bigint AS peak_ms,
    (extract(epoch FROM called_at) * 1000)::bigint AS called_ms,
    (extract(epoch FROM re_alarm_at) * 1000)::bigint AS re_alarm_ms
FROM alerts.alarm
WHERE alarm_id = ANY(%(alarm_ids)s::bigint[])
ORDER BY alarm_id
FOR UPDATE

-- name: ledger_of_channels
-- Alarms of some channels that are not over.
SELECT alarm_id FROM alerts.alarm WHERE channel_id = ANY(%(channel_ids)s::integer[]) AND process_state <> 'NORMAL'

-- name: ledger_quiets
-- What people have said of the points of some channels.
SELECT channel_id, kind, state, reason, actor
FROM alerts.suppression
WHERE channel_id = ANY(%(channel_ids)s::integer[])
ORDER BY channel_id, kind

-- name: ledger_insert
-- New occurrences.
INSERT INTO alerts.alarm (
    channel_id, kind, site_id, item, item_zh, item_en, priority, process_state, suppression_state, version, limit_value,
    unit, exceeded_at, raised_at, detected_at, returned_at, peak, peak_at, replayed, rule_code, rule_version, cause,
    plant_hold, hold_reason, explained_by, latches, called_at, respond_s, respond_by, re_alarm_s
)
SELECT
    channel_id, kind, site_id, item, item_zh, item_en, priority, process_state, suppression_state, version, limit_value,
    unit, to_timestamp(exceeded_ms / 1000.0), to_timestamp(raised_ms / 1000.0), to_timestamp(detected_ms / 1000.0),
    to_timestamp(returned_ms / 1000.0), peak, to_timestamp(peak_ms / 1000.0), replayed, rule_code, rule_version, cause,
    plant_hold, hold_reason, explained_by, latches, to_timestamp(called_ms / 1000.0), respond_s,
    to_timestamp(called_ms / 1000.0) + respond_s * INTERVAL '1 second', re_alarm_s
FROM unnest(
    %(channel_id)s::integer[], %(kind)s::text[], %(site_id)s::bigint[], %(item)s::text[], %(item_zh)s::text[],
    %(item_en)s::text[], %(priority)s::smallint[], %(process_state)s::text[], %(suppression_state)s::text[],
    %(version)s::integer[], %(limit_value)s::double precision[], %(unit)s::text[], %(exceeded_ms)s::bigint[],
    %(raised_ms)s::bigint[], %(detected_ms)s::bigint[], %(returned_ms)s::bigint[], %(peak)s::double precision[],
    %(peak_ms)s::bigint[], %(replayed)s::boolean[], %(rule_code)s::text[], %(rule_version)s::integer[],
    %(cause)s::text[], %(plant_hold)s::text[], %(hold_reason)s::text[], %(explained_by)s::bigint[],
    %(latches)s::boolean[], %(called_ms)s::bigint[], %(respond_s)s::integer[], %(re_alarm_s)s::integer[]
) AS new (
    channel_id, kind, site_id, item, item_zh, item_en, priority, process_state, suppression_state, version, limit_value,
    unit, exceeded_ms, raised_ms, detected_ms, returned_ms, peak, peak_ms, replayed, rule_code, rule_version, cause,
    plant_hold, hold_reason, explained_by, latches, called_ms, respond_s, re_alarm_s
)
RETURNING alarm_id, channel_id, kind, site_id, item, (extract(epoch FROM raised_at) * 1000)::bigint AS raised_ms

-- name: ledger_update
-- Occurrences that have moved; what happened before is told by the journal.
UPDATE alerts.alarm AS a
SET process_state = new.process_state, suppression_state = new.suppression_state, version = new.version,
    returned_at = to_timestamp(new.returned_ms / 1000.0), acknowledged_at = to_timestamp(new.acknowledged_ms / 1000.0),
    acknowledged_by = new.acknowledged_by, note = new.note, cause = new.cause, plant_hold = new.plant_hold,
    hold_reason = new.hold_reason, explained_by = new.explained_by, called_at = to_timestamp(new.called_ms / 1000.0),
    respond_by = to_timestamp(new.called_ms / 1000.0) + a.respond_s * INTERVAL '1 second',
    re_alarm_at = to_timestamp(new.re_alarm_ms / 1000.0), assignee = new.assignee
FROM unnest(
    %(alarm_id)s::bigint[], %(process_state)s::text[], %(suppression_state)s::text[], %(version)s::integer[],
    %(returned_ms)s::bigint[], %(acknowledged_ms)s::bigint[], %(acknowledged_by)s::text[], %(note)s::text[],
    %(cause)s::text[], %(plant_hold)s::text[], %(hold_reason)s::text[], %(explained_by)s::bigint[],
    %(called_ms)s::bigint[], %(re_alarm_ms)s::bigint[], %(assignee)s::text[]
) AS new (
    alarm_id, process_state, suppression_state, version, returned_ms, acknowledged_ms, acknowledged_by, note, cause,
    plant_hold, hold_reason, explained_by, called_ms, re_alarm_ms, assignee
)
WHERE a.alarm_id = new.alarm_id

-- name: ledger_journal
-- What happened, in the order it did.
INSERT INTO alerts.journal (alarm_id, version, at, event, from_state, to_state, actor, value, note)
SELECT alarm_id, version, to_timestamp(at_ms / 1000.0), event, from_state, to_state, actor, "value", note
FROM unnest(
    %(alarm_id)s::bigint[], %(version)s::integer[], %(at_ms)s::bigint[], %(event)s::text[], %(from_state)s::text[],
    %(to_state)s::text[], %(actor)s::text[], %(value)s::double precision[], %(note)s::text[]
) WITH ORDINALITY AS new (alarm_id, version, at_ms, event, from_state, to_state, actor, "value", note, place)
ORDER BY place

-- name: point_channels
-- Which of some channels there are.
SELECT channel_id FROM registry.channel WHERE channel_id = ANY(%(channel_ids)s::integer[])

-- name: point_state
-- What people have said of one point, locked.
SELECT state FROM alerts.suppression WHERE channel_id = %(channel_id)s AND kind = %(kind)s FOR UPDATE

-- name: point_set
-- A person suppresses a point.
INSERT INTO alerts.suppression (channel_id, kind, state, reason, note, actor, since, expires_at)
VALUES (
    %(channel_id)s, %(kind)s, %(state)s, %(reason)s, %(note)s, %(actor)s, to_timestamp(%(at_ms)s::bigint / 1000.0),
    to_timestamp(%(until_ms)s::bigint / 1000.0)
)
ON CONFLICT (channel_id, kind) DO UPDATE SET
    state = excluded.state, reason = excluded.reason, note = excluded.note, actor = excluded.actor,
    since = excluded.since, expires_at = excluded.expires_at

-- name: point_clear
-- A point leaves suppression.
DELETE FROM alerts.suppression WHERE channel_id = %(channel_id)s AND kind = %(kind)s

-- name: point_journal
-- A change of a point, whether an alarm stands there or not.
INSERT INTO alerts.suppression_journal (
    channel_id, kind, at, event, from_state, to_state, reason, note, actor, expires_at
)
VALUES (
    %(channel_id)s, %(kind)s, to_timestamp(%(at_ms)s::bigint / 1000.0), %(event)s, %(from_state)s, %(to_state)s,
    %(reason)s, %(note)s, %(actor)s, to_timestamp(%(until_ms)s::bigint / 1000.0)
)

-- name: point_expired
-- Points whose suppression has run out.
SELECT channel_id, kind
FROM alerts.suppression
WHERE expires_at <= to_timestamp(%(now_ms)s::bigint / 1000.0)
ORDER BY channel_id, kind

-- name: calibration_set
-- When a channel's sensor is due next.
INSERT INTO alerts.calibration (channel_id, due_on, certificate, actor)
VALUES (%(channel_id)s, %(due_on)s, %(certificate)s, %(actor)s)

-- name: calibration_list
-- Channels of a subtree that are evidence (a limit profile judges them) or have a date, with their latest entry; those
-- due first come first, those without a date last.
SELECT
    c.channel_id, c.channel, c.metric, c.device, coalesce(c.zone, c.gateway || '~' || c.device) AS zone,
    coalesce(c.zone_zh, c.device) AS zone_zh, coalesce(c.zone_en, c.device) AS zone_en, c.site, c.site_zh, c.site_en,
    e.due_on, e.certificate, e.actor, (extract(epoch FROM e.recorded_at) * 1000)::bigint AS recorded_ms
FROM registry.channel_v AS c
LEFT JOIN LATERAL (
    SELECT k.due_on, k.certificate, k.actor, k.recorded_at
    FROM alerts.calibration AS k
    WHERE k.channel_id = c.channel_id
    ORDER BY k.calibration_id DESC
    LIMIT 1
) AS e ON true
WHERE starts_with(c.organisation_path, %(scope)s)
    AND (c.limit_profile IS NOT NULL OR e.due_on IS NOT NULL OR c.channel_id = %(channel_id)s::integer)
    AND (%(channel_id)s::integer IS NULL OR c.channel_id = %(channel_id)s::integer)
    AND (%(zone)s::text IS NULL OR c.zone = %(zone)s::text)
ORDER BY e.due_on ASC NULLS LAST, c.site, c.zone, c.channel
LIMIT %(limit)s OFFSET %(offset)s

-- The engine -----------------------------------------------------------------------------------------------------------

-- name: engine_lock
-- Become the only engine of this database, for as long as the connection lives.
SELECT pg_try_advisory_lock(%(key)s) AS locked

-- name: engine_cursor
-- How far the engine has come.
SELECT txid::text AS txid, arrival_id FROM alerts.cursor WHERE name = %(name)s

-- name: engine_cursor_move
-- Move the cursor in the transaction of what the page caused.
INSERT INTO alerts.cursor (name, txid, arrival_id)
VALUES (%(name)s, %(txid)s::xid8, %(arrival_id)s)
ON CONFLICT (name) DO UPDATE SET txid = excluded.txid, arrival_id = excluded.arrival_id

-- name: engine_page
-- The next arrivals after the cursor, in the order of the feed (not of the text the transaction is shown as).
SELECT
    txid::text AS txid, arrival_id, lane, replayed,
    (extract(epoch FROM recorded_at) * 1000)::bigint AS recorded_ms,
    channel_ids, observed_ms, "values"
FROM telemetry.arrival_feed
WHERE (txid, arrival_id) > (%(txid)s::xid8, %(arrival_id)s)
ORDER BY arrival_feed.txid, arrival_id
LIMIT %(limit)s

-- name: engine_horizon
-- Since when arrivals are kept out of the feed by an older transaction that is still open, Unix milliseconds.
SELECT (extract(epoch FROM held_since) * 1000)::bigint AS held_ms FROM telemetry.feed_horizon

-- name: engine_registry
-- A number that changes when anything changes that rules look at: cheaper than reading ten thousand channels to find out.
SELECT
    (SELECT coalesce(sum(hashtextextended(c::text, 0)), 0) FROM registry.channel_v AS c)
    + (SELECT coalesce(sum(hashtextextended(o::text, 1)), 0) FROM registry.organisation AS o) AS said

-- name: engine_replaying
-- Gateways that declared a replay clock.
SELECT g.code FROM telemetry.gateway_link_v AS l JOIN registry.gateway AS g USING (gateway_id) WHERE l.replay

-- name: engine_heard
-- When channels were last heard, or their last silence was over otherwise (its rule was withdrawn): silence is counted
-- from there, and one silence is never told twice.
SELECT c.channel_id, (extract(epoch FROM greatest(l.received_at, told.returned_at)) * 1000)::bigint AS heard_ms
FROM registry.channel AS c
LEFT JOIN telemetry.latest_v AS l USING (channel_id)
LEFT JOIN LATERAL (
    SELECT a.returned_at FROM alerts.alarm AS a
    WHERE a.channel_id = c.channel_id AND a.kind = 'no_data'
    ORDER BY a.raised_at DESC
    LIMIT 1
) AS told ON true
WHERE l.received_at IS NOT NULL OR told.returned_at IS NOT NULL

-- name: engine_waited
-- Since when channels never heard have been waited for.
SELECT channel_id, (extract(epoch FROM since) * 1000)::bigint AS since_ms FROM alerts.watched

-- name: engine_waited_keep
-- Wait for channels from now on.
INSERT INTO alerts.watched (channel_id, since)
SELECT channel_id, to_timestamp(since_ms / 1000.0)
FROM unnest(%(channel_id)s::integer[], %(since_ms)s::bigint[]) AS new (channel_id, since_ms)
ON CONFLICT (channel_id) DO NOTHING

-- name: engine_span
-- The span in which an engine has listened.
SELECT (extract(epoch FROM since) * 1000)::bigint AS since_ms, (extract(epoch FROM until) * 1000)::bigint AS until_ms
FROM alerts.watch_span

-- name: engine_span_keep
-- An engine listens since, and still did at.
INSERT INTO alerts.watch_span (since, until)
VALUES (to_timestamp(%(since_ms)s::bigint / 1000.0), to_timestamp(%(until_ms)s::bigint / 1000.0))
ON CONFLICT (singleton) DO UPDATE SET since = excluded.since, until = excluded.until

-- name: engine_memory
-- What the judges remember.
SELECT channel_id, unit, step_ms, state::text FROM alerts.memory

-- name: engine_memory_keep
-- What a page has changed of it, all at once.
INSERT INTO alerts.memory (channel_id, unit, step_ms, state)
SELECT (kept -> 0)::integer, kept ->> 1, (kept -> 2)::bigint, kept -> 3
FROM jsonb_array_elements(%(kept)s::jsonb) AS kept
ON CONFLICT (channel_id) DO UPDATE SET
    unit = excluded.unit, step_ms = excluded.step_ms, state = excluded.state

-- name: engine_gaps
-- Gateways with messages missing, by the first of their health channels, and since when.
SELECT h.channel_id, (extract(epoch FROM g.since) * 1000)::bigint AS since_ms
FROM (SELECT gateway_id, min(since) AS since FROM telemetry.gap_v GROUP BY gateway_id) AS g
JOIN (
    SELECT d.gateway_id, min(c.channel_id) AS channel_id
    FROM registry.device AS d
    JOIN registry.channel AS c USING (device_id)
    WHERE d.code = 'gateway'
    GROUP BY d.gateway_id
) AS h USING (gateway_id)

-- name: engine_active
-- Alarms that stand: raised and not returned.
SELECT alarm_id, channel_id, kind, site_id, item, peak, (extract(epoch FROM peak_at) * 1000)::bigint AS peak_ms,
    explained_by, plant_hold
FROM alerts.alarm
WHERE process_state IN ('UNACKNOWLEDGED', 'ACKNOWLEDGED')

-- name: engine_chores
-- What time alone asks for: alarms to call again, and alarms whose explanation is over. An explanation is over when what
-- explained has returned and its grace has passed, when it was put on the shelf or out of service meanwhile, or when it
-- says what is true of a zone and one of the two has been moved to another.
SELECT 're_alarm' AS chore, alarm_id
FROM alerts.alarm
WHERE re_alarm_at <= to_timestamp(%(now_ms)s::bigint / 1000.0) AND process_state = 'ACKNOWLEDGED'
    AND suppression_state = 'NONE'
UNION ALL
SELECT 'stand_alone', child.alarm_id
FROM alerts.alarm AS child
JOIN alerts.alarm AS parent ON parent.alarm_id = child.explained_by
WHERE child.process_state IN ('UNACKNOWLEDGED', 'ACKNOWLEDGED', 'LATCHED_UNACKNOWLEDGED', 'LATCHED_ACKNOWLEDGED')
    AND (
        (parent.process_state IN ('UNACKNOWLEDGED', 'ACKNOWLEDGED') AND parent.suppression_state <> 'NONE')
        OR (
            parent.kind = 'power'
            AND EXISTS (
                SELECT FROM registry.channel AS above
                JOIN registry.device AS above_device ON above_device.device_id = above.device_id
                JOIN registry.channel AS below ON below.channel_id = child.channel_id
                JOIN registry.device AS below_device ON below_device.device_id = below.device_id
                WHERE above.channel_id = parent.channel_id AND above_device.zone_id <> coalesce(below_device.zone_id, 0)
            )
        )
        OR (
            parent.process_state NOT IN ('UNACKNOWLEDGED', 'ACKNOWLEDGED')
            AND greatest(parent.returned_at, child.detected_at)
            <= to_timestamp(
                (%(now_ms)s::bigint - CASE parent.kind WHEN 'power' THEN %(power_ms)s::bigint ELSE %(gateway_ms)s::bigint END) / 1000.0
            )
        )
    )
ORDER BY 1, 2

-- name: engine_calibration
-- When each channel's sensor is due, by the latest entry.
SELECT DISTINCT ON (channel_id) channel_id, due_on FROM alerts.calibration ORDER BY channel_id, calibration_id DESC

-- name: stock_levels
-- What stands where, as far as the stock room publishes it; rows that name no goods or no quantity say nothing.
SELECT
    site_id, item, coalesce(item_zh, item) AS item_zh, coalesce(item_en, item) AS item_en, quantity,
    coalesce(unit, '') AS unit, minimum, reserve,
    CASE WHEN isfinite(expires_at) THEN (extract(epoch FROM expires_at) * 1000)::bigint END AS expires_ms
FROM alerts.stock_levels()
WHERE site_id IS NOT NULL AND item IS NOT NULL AND quantity IS NOT NULL

-- name: stock_patience
-- How long the transaction in hand waits for another room's view, milliseconds.
SELECT set_config('statement_timeout', %(timeout_ms)s::text, true)

-- name: stock_places
-- Sites with the codes of their organisations, root first.
SELECT s.site_id, s.code AS site, array_agg(up.code ORDER BY length(up.path)) AS organisations
FROM registry.site AS s
JOIN registry.organisation AS o USING (organisation_id)
JOIN registry.organisation AS up ON starts_with(o.path, up.path)
GROUP BY s.site_id, s.code

-- name: alarm_peaks
-- Worst values of standing alarms so far, never replacing a worse one (a late reading may have told it).
UPDATE alerts.alarm AS a
SET peak = new.peak, peak_at = to_timestamp(new.peak_ms / 1000.0)
FROM unnest(%(alarm_id)s::bigint[], %(peak)s::double precision[], %(peak_ms)s::bigint[]) AS new (alarm_id, peak, peak_ms)
WHERE a.alarm_id = new.alarm_id
    AND (
        a.peak IS NULL
        OR CASE WHEN a.kind IN ('low', 'low_low') THEN new.peak < a.peak ELSE new.peak > a.peak END
    )

-- name: alarm_correct
-- Late readings correct the peak of the alarms whose span they fall into; each correction goes into the journal.
WITH late AS (
    SELECT * FROM unnest(
        %(channel_id)s::integer[], %(kind)s::text[], %(observed_ms)s::bigint[], %(value)s::double precision[]
    ) AS late (channel_id, kind, observed_ms, value)
),
worst AS (
    SELECT DISTINCT ON (a.alarm_id) a.alarm_id, late.value, to_timestamp(late.observed_ms / 1000.0) AS at
    FROM late
    JOIN alerts.alarm AS a ON a.channel_id = late.channel_id AND a.kind = late.kind
        AND to_timestamp(late.observed_ms / 1000.0) BETWEEN a.exceeded_at AND coalesce(a.returned_at, 'infinity')
        AND CASE WHEN a.kind IN ('high', 'high_high') THEN late.value > a.peak ELSE late.value < a.peak END
    ORDER BY a.alarm_id, CASE WHEN a.kind IN ('high', 'high_high') THEN -late.value ELSE late.value END, late.observed_ms
),
corrected AS (
    UPDATE alerts.alarm AS a
    SET peak = worst.value, peak_at = worst.at, version = a.version + 1
    FROM worst
    WHERE a.alarm_id = worst.alarm_id
    RETURNING a.alarm_id, a.version, a.process_state, worst.at, worst.value
)
INSERT INTO alerts.journal (alarm_id, version, at, event, from_state, to_state, actor, value)
SELECT alarm_id, version, at, 'correct', process_state, process_state, 'engine', value FROM corrected

-- name: alarm_extend
-- An excursion may have begun before its alarm says so: readings came late, or after others. Where all on record from some
-- instant on is beyond the limit and without a gap, the beginning moves there, at most a day; the journal tells.
WITH late AS (
    SELECT late.channel_id, late.kind, to_timestamp(late.observed_ms / 1000.0) AS observed_at
    FROM unnest(%(channel_id)s::integer[], %(kind)s::text[], %(observed_ms)s::bigint[])
        AS late (channel_id, kind, observed_ms)
),
touched AS (
    SELECT a.alarm_id, a.channel_id, a.kind, a.limit_value, a.exceeded_at, min(late.observed_at) AS earliest
    FROM late
    JOIN alerts.alarm AS a ON a.channel_id = late.channel_id AND a.kind = late.kind
        AND late.observed_at < a.exceeded_at AND late.observed_at >= a.exceeded_at - INTERVAL '1 day'
    GROUP BY a.alarm_id
),
before AS (
    SELECT
        t.alarm_id, t.exceeded_at, r.observed_at,
        CASE WHEN t.kind IN ('high', 'high_high') THEN r.value <= t.limit_value ELSE r.value >= t.limit_value END
        OR lead(r.observed_at, 1, r.observed_at) OVER (PARTITION BY t.alarm_id ORDER BY r.observed_at) - r.observed_at
        > c.no_data_s * INTERVAL '1 second' AS ends
    FROM touched AS t
    JOIN registry.channel_v AS c USING (channel_id)
    JOIN telemetry.reading_v AS r
        ON r.channel_id = t.channel_id AND r.observed_at >= t.earliest AND r.observed_at <= t.exceeded_at
),
ended AS (
    SELECT alarm_id, coalesce(max(observed_at) FILTER (WHERE ends), '-infinity') AS at
    FROM before
    GROUP BY alarm_id
),
begun AS (
    SELECT b.alarm_id, min(b.observed_at) AS at
    FROM before AS b
    JOIN ended AS e ON e.alarm_id = b.alarm_id AND b.observed_at > e.at
    GROUP BY b.alarm_id, b.exceeded_at
    HAVING min(b.observed_at) < b.exceeded_at
),
corrected AS (
    UPDATE alerts.alarm AS a
    SET exceeded_at = begun.at, version = a.version + 1
    FROM begun
    WHERE a.alarm_id = begun.alarm_id
    RETURNING a.alarm_id, a.version, a.process_state, begun.at
)
INSERT INTO alerts.journal (alarm_id, version, at, event, from_state, to_state, actor)
SELECT alarm_id, version, at, 'correct', process_state, process_state, 'engine' FROM corrected

-- The console ----------------------------------------------------------------------------------------------------------
-- Each statement shows a person the subtree %(scope)s only. A device that stands in no zone is shown as a zone of its
-- own, so that nothing that measures goes unseen; its code is "<gateway>~<device>", which no code of a zone can be.

-- name: console_sites
-- Sites with zones or with devices in none, for the filter.
SELECT s.code, s.name_zh, s.name_en
FROM registry.site AS s
JOIN registry.organisation AS o USING (organisation_id)
WHERE starts_with(o.path, %(scope)s)
    AND (
        EXISTS (SELECT FROM registry.zone AS z WHERE z.site_id = s.site_id)
        OR EXISTS (
            SELECT FROM registry.gateway AS g JOIN registry.device AS d USING (gateway_id)
            WHERE g.site_id = s.site_id AND d.zone_id IS NULL
        )
    )
ORDER BY s.code
LIMIT %(limit)s

-- name: console_zones
-- Codes of the zones that measure something, in the order of the overview; a site by code or a part of its name.
-- What stands in no zone is named by its gateway; how the gateways themselves are is the gateways' page.
SELECT s.code AS site, z.code AS zone
FROM registry.zone AS z
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
WHERE starts_with(o.path, %(scope)s)
    AND (%(site)s::text IS NULL OR s.code = %(site)s OR strpos(s.name_zh || ' ' || lower(s.name_en), lower(%(site)s)) > 0)
    AND EXISTS (SELECT FROM registry.device AS d JOIN registry.channel AS c USING (device_id) WHERE d.zone_id = z.zone_id)
UNION ALL
SELECT s.code, g.code || '~' || d.code
FROM registry.device AS d
JOIN registry.gateway AS g USING (gateway_id)
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
WHERE d.zone_id IS NULL AND d.kind <> 'gateway' AND starts_with(o.path, %(scope)s)
    AND (%(site)s::text IS NULL OR s.code = %(site)s OR strpos(s.name_zh || ' ' || lower(s.name_en), lower(%(site)s)) > 0)
    AND EXISTS (SELECT FROM registry.channel AS c WHERE c.device_id = d.device_id)
ORDER BY site, zone

-- name: console_channels
-- Channels of some zones with their newest reading and the state of the link.
SELECT
    c.channel_id, c.metric, c.unit, c.period_s, c.low, c.high, c.limit_profile, c.no_data_s,
    coalesce(c.zone, c.gateway || '~' || c.device) AS zone, coalesce(c.zone_zh, c.device) AS zone_zh,
    coalesce(c.zone_en, c.device) AS zone_en, c.site, c.site_zh, c.site_en, c.site_kind, c.gateway, c.device,
    (extract(epoch FROM l.observed_at) * 1000)::bigint AS observed_ms,
    (extract(epoch FROM l.received_at) * 1000)::bigint AS received_ms,
    l.value, coalesce(k.online, false) AS online, coalesce(k.replay, false) AS replay
FROM registry.channel_v AS c
LEFT JOIN telemetry.latest_v AS l USING (channel_id)
LEFT JOIN telemetry.gateway_link_v AS k USING (gateway_id)
WHERE starts_with(c.organisation_path, %(scope)s)
    AND c.device_id IN (
        SELECT d.device_id FROM registry.device AS d JOIN registry.zone AS z USING (zone_id)
        WHERE z.code = ANY(%(zones)s::text[])
        UNION ALL
        SELECT d.device_id FROM registry.device AS d JOIN registry.gateway AS g USING (gateway_id)
        WHERE d.zone_id IS NULL AND g.code || '~' || d.code = ANY(%(zones)s::text[])
    )
ORDER BY c.site, zone, c.channel_id

-- name: console_sparks
-- A coarse curve of each channel over the hours before its end, for the cards.
SELECT
    want.channel_id,
    (extract(epoch FROM date_bin(%(bucket)s, r.observed_at, 'epoch')) * 1000)::bigint AS at_ms,
    avg(r.value) AS value
FROM unnest(%(channel_id)s::integer[], %(end_at)s::timestamptz[]) AS want (channel_id, end_at)
JOIN telemetry.reading_v AS r
    ON r.channel_id = want.channel_id
    AND r.observed_at > want.end_at - %(span)s::interval
    AND r.observed_at <= want.end_at
GROUP BY 1, 2
ORDER BY 1, 2

-- name: console_counts
-- What stands at the top of the console.
SELECT
    min(own.waiting) AS waiting, min(own.waiting_1) AS waiting_1, min(own.waiting_2) AS waiting_2,
    min(own.waiting_3) AS waiting_3, min(own.standing) AS standing, min(own.quiet) AS quiet,
    count(g.gateway_id) AS gateways,
    count(*) FILTER (WHERE k.online) AS online,
    (extract(epoch FROM max(k.last_seen_at)) * 1000)::bigint AS heard_ms,
    coalesce(sum(a.produced), 0)::bigint AS produced,
    coalesce(sum(a.stored), 0)::bigint AS stored,
    coalesce(sum(a.duplicate), 0)::bigint AS duplicate,
    coalesce(sum(a.lost), 0)::bigint AS lost,
    coalesce(sum(a.dead), 0)::bigint AS dead,
    coalesce(sum(a.outstanding), 0)::bigint AS outstanding,
    (
        SELECT coalesce(sum(d.open_messages), 0)::bigint
        FROM telemetry.dead_letter_count_v AS d
        LEFT JOIN registry.gateway AS known ON known.code = d.gateway
        LEFT JOIN registry.site AS place USING (site_id)
        LEFT JOIN registry.organisation AS owner USING (organisation_id)
        WHERE CASE WHEN owner.path IS NULL THEN %(root)s::boolean ELSE starts_with(owner.path, %(scope)s) END
    ) + (
        SELECT count(*)
        FROM trace.dead_letter_v AS t
        JOIN telemetry.event_feed AS f USING (arrival_id)
        JOIN registry.gateway AS sender USING (gateway_id)
        JOIN registry.site AS place USING (site_id)
        JOIN registry.organisation AS owner USING (organisation_id)
        WHERE starts_with(owner.path, %(scope)s)
    ) AS dead_letters
FROM registry.gateway AS g
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
LEFT JOIN telemetry.gateway_link_v AS k USING (gateway_id)
LEFT JOIN telemetry.gateway_account AS a USING (gateway_id)
RIGHT JOIN (
    SELECT
        count(*) FILTER (WHERE calls) AS waiting,
        count(*) FILTER (WHERE calls AND priority = 1) AS waiting_1,
        count(*) FILTER (WHERE calls AND priority = 2) AS waiting_2,
        count(*) FILTER (WHERE calls AND priority = 3) AS waiting_3,
        count(*) FILTER (WHERE suppression_state = 'NONE' AND process_state IN ('UNACKNOWLEDGED', 'ACKNOWLEDGED'))
            AS standing,
        count(*) FILTER (WHERE suppression_state <> 'NONE') AS quiet
    FROM (
        SELECT
            w.priority, w.process_state, w.suppression_state,
            w.suppression_state = 'NONE'
            AND w.process_state IN ('UNACKNOWLEDGED', 'RTN_UNACKNOWLEDGED', 'LATCHED_UNACKNOWLEDGED') AS calls
        FROM alerts.alarm AS w
        JOIN alerts.alarm_place_v AS p USING (alarm_id)
        WHERE w.process_state <> 'NORMAL' AND starts_with(p.organisation_path, %(scope)s)
    ) AS alarms
) AS own ON starts_with(o.path, %(scope)s)

-- name: console_gateways
-- Gateways with link and account: produced = stored + duplicate + lost + dead + outstanding.
SELECT
    g.gateway_id, g.code, s.code AS site, s.name_zh AS site_zh, s.name_en AS site_en,
    k.online, coalesce(k.replay, false) AS replay,
    (extract(epoch FROM k.since) * 1000)::bigint AS since_ms,
    (extract(epoch FROM k.last_seen_at) * 1000)::bigint AS seen_ms,
    coalesce(a.produced, 0) AS produced, coalesce(a.stored, 0) AS stored, coalesce(a.duplicate, 0) AS duplicate,
    coalesce(a.lost, 0) AS lost, coalesce(a.dead, 0) AS dead, coalesce(a.outstanding, 0) AS outstanding,
    coalesce(a.redelivered, 0) AS redelivered,
    coalesce(holes.ranges, 0) AS gap_ranges, coalesce(holes.messages, 0)::bigint AS gap_messages,
    (extract(epoch FROM holes.since) * 1000)::bigint AS gap_since_ms
FROM registry.gateway AS g
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
LEFT JOIN telemetry.gateway_link_v AS k USING (gateway_id)
LEFT JOIN telemetry.gateway_account AS a USING (gateway_id)
LEFT JOIN (
    SELECT gateway_id, count(*) AS ranges, sum(to_seq - from_seq + 1) AS messages, min(since) AS since
    FROM telemetry.gap_v
    GROUP BY gateway_id
) AS holes USING (gateway_id)
WHERE starts_with(o.path, %(scope)s)
ORDER BY k.online NULLS FIRST, s.code, g.code
LIMIT %(limit)s OFFSET %(offset)s

-- name: console_losses
-- What gateways declared lost, by reason.
SELECT g.code AS gateway, l.reason, l.reading_count, (extract(epoch FROM l.newest_at) * 1000)::bigint AS newest_ms
FROM telemetry.loss_by_reason AS l
JOIN registry.gateway AS g USING (gateway_id)
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
WHERE starts_with(o.path, %(scope)s)
ORDER BY l.reading_count DESC, g.code, l.reason

-- name: console_dead_letters
-- Dead letters by gateway and reason, with the newest one's words: messages ingest refused and has not replayed since,
-- and documents the trace room refused. Those of no known gateway for the whole tree only.
SELECT
    d.gateway, d.reason, sum(d.messages)::bigint AS messages, sum(d.reading_count)::bigint AS reading_count,
    (extract(epoch FROM max(d.newest_at)) * 1000)::bigint AS newest_ms,
    coalesce((array_agg(d.detail ORDER BY d.newest_at DESC, d.place DESC))[1], '') AS detail
FROM (
    SELECT
        gateway, reason, newest_detail AS detail, open_readings AS reading_count, open_messages AS messages,
        newest_at, 0::bigint AS place
    FROM telemetry.dead_letter_count_v
    WHERE open_messages > 0
    UNION ALL
    SELECT sender.code, t.reason, t.detail, 0, 1, t.at, t.arrival_id
    FROM trace.dead_letter_v AS t
    JOIN telemetry.event_feed AS f USING (arrival_id)
    JOIN registry.gateway AS sender USING (gateway_id)
) AS d
LEFT JOIN registry.gateway AS g ON g.code = d.gateway
LEFT JOIN registry.site AS s USING (site_id)
LEFT JOIN registry.organisation AS o USING (organisation_id)
WHERE CASE WHEN o.path IS NULL THEN %(root)s::boolean ELSE starts_with(o.path, %(scope)s) END
GROUP BY d.gateway, d.reason
ORDER BY newest_ms DESC
LIMIT 100

-- name: console_lines
-- Every open alarm with what the list is arranged by; the rows of a page are read by console_alarm_rows.
SELECT
    a.alarm_id, a.channel_id, coalesce(a.channel_id::text, p.site_id || ':' || a.item) || '/' || a.kind AS point, a.kind,
    a.priority, a.process_state, a.suppression_state, a.explained_by,
    (extract(epoch FROM a.raised_at) * 1000)::bigint AS raised_ms, p.site, p.site_zh, p.site_en
FROM alerts.alarm AS a
JOIN alerts.alarm_place_v AS p USING (alarm_id)
WHERE a.process_state <> 'NORMAL' AND starts_with(p.organisation_path, %(scope)s)

-- name: console_newest_entry
-- Key of the newest journal entry.
SELECT max(journal_id) FROM alerts.journal

-- name: console_alarm_ids
-- Alarms in some zones or a span, also those that are over: what stands and calls first, then by priority, then the
-- newest; or simply the newest first.
SELECT a.alarm_id
FROM alerts.alarm AS a
JOIN alerts.alarm_place_v AS p USING (alarm_id)
WHERE starts_with(p.organisation_path, %(scope)s)
    AND (%(site)s::text IS NULL OR p.site = %(site)s OR strpos(p.site_zh || ' ' || lower(p.site_en), lower(%(site)s)) > 0)
    AND (%(zones)s::text[] IS NULL OR p.zone = ANY(%(zones)s))
    AND (%(kind)s::text IS NULL OR a.kind = %(kind)s)
    AND (%(priority)s::integer IS NULL OR a.priority = %(priority)s)
    AND (NOT %(open_only)s::boolean OR a.process_state <> 'NORMAL')
    AND (%(from_at)s::timestamptz IS NULL OR coalesce(a.returned_at, 'infinity') >= %(from_at)s)
    AND (%(to_at)s::timestamptz IS NULL OR a.exceeded_at <= %(to_at)s)
ORDER BY
    CASE
        WHEN %(by_time)s::boolean THEN 0
        WHEN a.process_state = 'NORMAL' THEN 5
        WHEN a.suppression_state <> 'NONE' THEN 4
        ELSE array_position(
            ARRAY['UNACKNOWLEDGED', 'LATCHED_UNACKNOWLEDGED', 'RTN_UNACKNOWLEDGED', 'ACKNOWLEDGED', 'LATCHED_ACKNOWLEDGED'],
            a.process_state
        )
    END,
    CASE WHEN NOT %(by_time)s::boolean THEN a.priority END,
    a.raised_at DESC,
    a.alarm_id DESC
LIMIT %(limit)s OFFSET %(offset)s

-- name: console_alarm_rows
-- Some alarms with everything a person needs to know of them: place, value now, rule, and until when they keep quiet.
SELECT
    a.alarm_id, a.channel_id, a.kind, a.priority, a.process_state, a.suppression_state, a.limit_value, a.peak,
    (extract(epoch FROM a.exceeded_at) * 1000)::bigint AS exceeded_ms,
    (extract(epoch FROM a.raised_at) * 1000)::bigint AS raised_ms,
    (extract(epoch FROM a.detected_at) * 1000)::bigint AS detected_ms,
    (extract(epoch FROM a.returned_at) * 1000)::bigint AS returned_ms,
    (extract(epoch FROM a.acknowledged_at) * 1000)::bigint AS acknowledged_ms,
    (extract(epoch FROM a.peak_at) * 1000)::bigint AS peak_ms,
    a.acknowledged_by, a.note, a.replayed, a.version, a.cause, a.hold_reason, a.explained_by, a.latches, a.assignee,
    (extract(epoch FROM a.called_at) * 1000)::bigint AS called_ms,
    (extract(epoch FROM a.respond_by) * 1000)::bigint AS respond_ms,
    (extract(epoch FROM a.re_alarm_at) * 1000)::bigint AS re_alarm_ms,
    a.rule_code, a.rule_version, p.organisation_path AS path,
    p.metric, p.unit, p.period_s, p.low, p.high, p.zone, p.zone_zh, p.zone_en, p.site, p.site_zh, p.site_en,
    a.item IS NULL AS has_zone_page,
    l.value, (extract(epoch FROM l.observed_at) * 1000)::bigint AS observed_ms,
    r.document -> 'rationalization' ->> 'cause_zh' AS why_zh, r.document -> 'rationalization' ->> 'cause_en' AS why_en,
    r.document -> 'rationalization' ->> 'consequence_zh' AS consequence_zh,
    r.document -> 'rationalization' ->> 'consequence_en' AS consequence_en,
    r.document -> 'rationalization' ->> 'response_zh' AS response_zh,
    r.document -> 'rationalization' ->> 'response_en' AS response_en,
    q.reason AS quiet_reason, q.note AS quiet_note, q.actor AS quiet_actor,
    (extract(epoch FROM q.expires_at) * 1000)::bigint AS quiet_until_ms
FROM alerts.alarm AS a
JOIN alerts.alarm_place_v AS p USING (alarm_id)
LEFT JOIN telemetry.latest_v AS l ON l.channel_id = a.channel_id
LEFT JOIN alerts.rule AS r ON r.code = a.rule_code AND r.version = a.rule_version
LEFT JOIN LATERAL (
    SELECT s.reason, s.note, s.actor, s.expires_at
    FROM alerts.suppression AS s
    WHERE s.channel_id = a.channel_id AND s.kind IN (a.kind, '*') AND s.state = a.suppression_state
    ORDER BY s.kind = '*'
    LIMIT 1
) AS q ON a.suppression_state <> 'NONE'
WHERE a.alarm_id = ANY(%(ids)s::bigint[]) AND starts_with(p.organisation_path, %(scope)s)

-- name: console_earlier
-- Earlier occurrences of an alarm's point, the newest first.
SELECT e.alarm_id
FROM alerts.alarm AS a
JOIN alerts.alarm AS e
    ON e.kind = a.kind AND e.raised_at < a.raised_at
    AND (e.channel_id = a.channel_id OR (e.site_id = a.site_id AND e.item = a.item))
WHERE a.alarm_id = %(alarm_id)s
ORDER BY e.raised_at DESC
LIMIT %(limit)s

-- name: console_explained
-- Alarms that an alarm explains and speaks for.
SELECT alarm_id FROM alerts.alarm WHERE explained_by = %(alarm_id)s ORDER BY raised_at DESC LIMIT %(limit)s

-- name: console_quiet
-- What people keep quiet now, one row for each time somebody did so in a zone.
SELECT
    coalesce(c.zone, c.gateway || '~' || c.device) AS zone, coalesce(c.zone_zh, c.device) AS zone_zh,
    coalesce(c.zone_en, c.device) AS zone_en, c.site, c.site_zh, c.site_en, s.state, s.reason, s.note, s.actor,
    (extract(epoch FROM s.since) * 1000)::bigint AS since_ms, (extract(epoch FROM s.expires_at) * 1000)::bigint AS until_ms,
    array_agg(s.channel_id ORDER BY s.channel_id, s.kind) AS channel_ids,
    array_agg(s.kind ORDER BY s.channel_id, s.kind) AS kinds,
    array_agg(c.metric ORDER BY s.channel_id, s.kind) AS metrics
FROM alerts.suppression AS s
JOIN registry.channel_v AS c USING (channel_id)
WHERE starts_with(c.organisation_path, %(scope)s)
    AND (%(zones)s::text[] IS NULL OR coalesce(c.zone, c.gateway || '~' || c.device) = ANY(%(zones)s))
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
ORDER BY s.state, until_ms, c.site, 1
LIMIT 1000

-- name: console_memory
-- What the judges remember of some channels.
SELECT channel_id, state::text AS state FROM alerts.memory WHERE channel_id = ANY(%(channels)s::integer[])

-- name: console_journal
-- Everything that happened to one alarm.
SELECT
    version, (extract(epoch FROM at) * 1000)::bigint AS at_ms,
    (extract(epoch FROM recorded_at) * 1000)::bigint AS recorded_ms,
    event, from_state, to_state, actor, value, note
FROM alerts.journal
WHERE alarm_id = %(alarm_id)s
ORDER BY version

-- name: zone_series
-- A channel's readings in a span, summarised by bucket; a bucket with a hole in it, or after one, says so.
SELECT
    (extract(epoch FROM min(observed_at)) * 1000)::bigint AS at_ms,
    avg(value) AS value, min(value) AS low, max(value) AS high, bool_or(after_gap) AS after_gap
FROM (
    SELECT
        observed_at, value,
        observed_at - lag(observed_at) OVER (ORDER BY observed_at) > %(gap)s::interval AS after_gap
    FROM telemetry.reading_v
    WHERE channel_id = %(channel_id)s AND observed_at >= %(from_at)s AND observed_at <= %(to_at)s
) AS r
GROUP BY date_bin(%(bucket)s, observed_at, 'epoch')
ORDER BY 1

-- name: zone_switches
-- Where a channel that is on or off changed, began, stopped or paused.
SELECT (extract(epoch FROM observed_at) * 1000)::bigint AS at_ms,
    (extract(epoch FROM before_at) * 1000)::bigint AS before_ms, value >= 0.5 AS is_on, after_gap, is_last
FROM (
    SELECT
        observed_at, value,
        lag(observed_at) OVER w AS before_at,
        lag(value) OVER w AS before_value,
        coalesce(observed_at - lag(observed_at) OVER w > %(gap)s::interval, true) AS after_gap,
        lead(observed_at) OVER w IS NULL AS is_last
    FROM telemetry.reading_v
    WHERE channel_id = %(channel_id)s AND observed_at >= %(from_at)s AND observed_at <= %(to_at)s
    WINDOW w AS (ORDER BY observed_at)
) AS r
WHERE after_gap OR is_last OR (before_value >= 0.5) <> (value >= 0.5)
ORDER BY 1

-- The live stream ------------------------------------------------------------------------------------------------------

-- name: stream_head
-- Where the feeds end now.
SELECT coalesce(f.txid, '0') AS txid, coalesce(f.arrival_id, 0) AS arrival_id, coalesce(j.txid, '0') AS journal_txid,
    coalesce(j.journal_id, 0) AS journal_id
FROM (SELECT) AS one
LEFT JOIN (
    SELECT txid::text AS txid, arrival_id
    FROM telemetry.arrival_feed
    ORDER BY arrival_feed.txid DESC, arrival_id DESC
    LIMIT 1
) AS f ON true
LEFT JOIN (
    SELECT txid::text AS txid, journal_id
    FROM alerts.journal_feed
    ORDER BY journal_feed.txid DESC, journal_id DESC
    LIMIT 1
) AS j ON true

-- name: stream_arrivals
-- Readings after a position, up to another where one is given.
SELECT txid::text AS txid, arrival_id, channel_ids, observed_ms, "values"
FROM telemetry.arrival_feed
WHERE (txid, arrival_id) > (%(txid)s::xid8, %(arrival_id)s)
    AND (%(to_txid)s::xid8 IS NULL OR (txid, arrival_id) <= (%(to_txid)s::xid8, %(to_arrival_id)s))
ORDER BY arrival_feed.txid, arrival_id
LIMIT %(limit)s

-- name: stream_journal
-- Alarm transitions after a position, up to another where one is given. First the few entries, then the place of each:
-- OFFSET 0 keeps the planner from reading every channel there is for them.
SELECT
    j.txid::text AS txid, j.journal_id, j.alarm_id, j.event, j.to_state, j.kind, j.priority, j.suppression_state,
    coalesce(c.zone, c.gateway || '~' || c.device, j.item) AS zone, coalesce(c.site, s.code) AS site,
    coalesce(c.organisation_path, o.path) AS path
FROM (
    SELECT
        f.txid, f.journal_id, f.alarm_id, f.event, f.to_state, a.kind, a.priority, a.suppression_state, a.channel_id,
        a.site_id, a.item
    FROM alerts.journal_feed AS f
    JOIN alerts.alarm AS a USING (alarm_id)
    WHERE (f.txid, f.journal_id) > (%(txid)s::xid8, %(journal_id)s)
        AND (%(to_txid)s::xid8 IS NULL OR (f.txid, f.journal_id) <= (%(to_txid)s::xid8, %(to_journal_id)s))
    ORDER BY f.txid, f.journal_id
    LIMIT %(limit)s
) AS j
LEFT JOIN LATERAL (
    SELECT v.zone, v.gateway, v.device, v.site, v.organisation_path
    FROM registry.channel_v AS v
    WHERE v.channel_id = j.channel_id
    OFFSET 0
) AS c ON true
LEFT JOIN registry.site AS s ON s.site_id = j.site_id
LEFT JOIN registry.organisation AS o USING (organisation_id)
ORDER BY j.txid, j.journal_id

-- name: stream_channels
-- Whose each channel is and where it stands.
SELECT channel_id, organisation_path AS path, coalesce(zone, gateway || '~' || device) AS zone FROM registry.channel_v

-- name: console_quality
-- How well each gateway was heard in the last day and week, what it says of itself, and the weakest of its devices.
-- A minute counts as heard when a message was received in it; minutes before its first word are not expected. What was
-- dead in the day and has been replayed since is dead no more.
SELECT
    g.code, s.code AS site, s.name_zh AS site_zh, s.name_en AS site_en, k.online, coalesce(k.replay, false) AS replay,
    coalesce(h.day_heard, 0)::integer AS day_heard, coalesce(h.week_heard, 0)::integer AS week_heard,
    (extract(epoch FROM f.first_at) * 1000)::bigint AS first_ms,
    coalesce(h.messages, 0)::bigint AS messages, coalesce(h.backlog_messages, 0)::bigint AS backlog_messages,
    coalesce(h.stored, 0)::bigint AS stored, coalesce(h.duplicate, 0)::bigint AS duplicate,
    coalesce(h.lost, 0)::bigint AS lost, least(coalesce(h.dead, 0), coalesce(a.dead, 0))::bigint AS dead,
    coalesce(h.live_messages, 0)::bigint AS live_messages, coalesce(h.late_1s, 0)::bigint AS late_1s,
    coalesce(h.late_5s, 0)::bigint AS late_5s, coalesce(h.late_30s, 0)::bigint AS late_30s,
    coalesce(h.late_5min, 0)::bigint AS late_5min, h.late_most_s,
    coalesce(holes.messages, 0)::bigint AS gap_messages,
    (extract(epoch FROM holes.since) * 1000)::bigint AS gap_since_ms,
    (extract(epoch FROM t.last_at) * 1000)::bigint AS throttled_ms,
    own.clock_offset_s, own.spool_used, own.battery, own.battery_device, own.rssi, own.rssi_device
FROM registry.gateway AS g
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
LEFT JOIN telemetry.gateway_link_v AS k USING (gateway_id)
LEFT JOIN telemetry.gateway_account AS a USING (gateway_id)
LEFT JOIN (SELECT gateway_id, last_at FROM telemetry.throttled_v WHERE last_at >= %(day_from)s) AS t USING (gateway_id)
LEFT JOIN LATERAL (
    SELECT
        sum(bit_count(q.minutes_heard::bit(64))) FILTER (WHERE q.hour_at >= %(day_from)s) AS day_heard,
        sum(bit_count(q.minutes_heard::bit(64))) AS week_heard,
        sum(q.messages) FILTER (WHERE q.hour_at >= %(day_from)s) AS messages,
        sum(q.backlog_messages) FILTER (WHERE q.hour_at >= %(day_from)s) AS backlog_messages,
        sum(q.stored) FILTER (WHERE q.hour_at >= %(day_from)s) AS stored,
        sum(q.duplicate) FILTER (WHERE q.hour_at >= %(day_from)s) AS duplicate,
        sum(q.lost) FILTER (WHERE q.hour_at >= %(day_from)s) AS lost,
        sum(q.dead) FILTER (WHERE q.hour_at >= %(day_from)s) AS dead,
        sum(q.live_messages) FILTER (WHERE q.hour_at >= %(day_from)s) AS live_messages,
        sum(q.late_1s) FILTER (WHERE q.hour_at >= %(day_from)s) AS late_1s,
        sum(q.late_5s) FILTER (WHERE q.hour_at >= %(day_from)s) AS late_5s,
        sum(q.late_30s) FILTER (WHERE q.hour_at >= %(day_from)s) AS late_30s,
        sum(q.late_5min) FILTER (WHERE q.hour_at >= %(day_from)s) AS late_5min,
        max(q.late_most_s) FILTER (WHERE q.hour_at >= %(day_from)s) AS late_most_s
    FROM telemetry.gateway_hour_v AS q
    WHERE q.gateway_id = g.gateway_id AND q.hour_at >= %(week_from)s
) AS h ON true
LEFT JOIN LATERAL (
    SELECT q.hour_at + log(2, (q.minutes_heard & -q.minutes_heard)::numeric)::integer * INTERVAL '1 minute' AS first_at
    FROM telemetry.gateway_hour_v AS q
    WHERE q.gateway_id = g.gateway_id AND q.minutes_heard > 0
    ORDER BY q.hour_at
    LIMIT 1
) AS f ON true
LEFT JOIN (
    SELECT gateway_id, sum(to_seq - from_seq + 1) AS messages, min(since) AS since
    FROM telemetry.gap_v
    GROUP BY gateway_id
) AS holes USING (gateway_id)
LEFT JOIN LATERAL (
    SELECT
        max(l.value) FILTER (WHERE d.code = 'gateway' AND c.metric = 'clock_offset') AS clock_offset_s,
        max(l.value) FILTER (WHERE d.code = 'gateway' AND c.metric = 'spool_used') AS spool_used,
        min(l.value) FILTER (WHERE c.metric = 'battery' AND c.unit = '%%EL') AS battery,
        (array_agg(d.code ORDER BY l.value) FILTER (WHERE c.metric = 'battery' AND c.unit = '%%EL'))[1] AS battery_device,
        min(l.value) FILTER (WHERE c.metric = 'rssi') AS rssi,
        (array_agg(d.code ORDER BY l.value) FILTER (WHERE c.metric = 'rssi'))[1] AS rssi_device
    FROM registry.device AS d
    JOIN registry.channel AS c USING (device_id)
    JOIN telemetry.latest_v AS l USING (channel_id)
    WHERE d.gateway_id = g.gateway_id AND c.metric IN ('clock_offset', 'spool_used', 'battery', 'rssi')
) AS own ON true
WHERE starts_with(o.path, %(scope)s)
ORDER BY (holes.messages IS NOT NULL) DESC, k.online NULLS FIRST, h.day_heard NULLS FIRST, s.code, g.code
LIMIT %(limit)s OFFSET %(offset)s
