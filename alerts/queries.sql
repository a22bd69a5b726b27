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
-- The next arrivals after the cursor, in the order of the feed.
SELECT
    txid::text AS txid, arrival_id, lane, replayed,
    (extract(epoch FROM recorded_at) * 1000)::bigint AS recorded_ms,
    channel_ids, observed_ms, "values"
FROM telemetry.arrival_feed
WHERE (txid, arrival_id) > (%(txid)s::xid8, %(arrival_id)s)
ORDER BY txid, arrival_id
LIMIT %(limit)s

-- name: engine_channels
-- Every channel with its limits in force and whether its gateway replays.
SELECT
    c.channel_id, c.limit_profile, c.low, c.high, c.deadband, c.on_delay_s, c.off_delay_s, c.no_data_s, c.priority,
    coalesce(l.replay, false) AS replaying
FROM registry.channel_v AS c
LEFT JOIN telemetry.gateway_link_v AS l USING (gateway_id)

-- name: engine_heard
-- When channels with a limit profile were last heard; silence is counted from there.
SELECT l.channel_id, (extract(epoch FROM l.received_at) * 1000)::bigint AS heard_ms
FROM telemetry.latest_v AS l
JOIN registry.channel_v AS c USING (channel_id)
WHERE c.limit_profile IS NOT NULL

-- name: engine_states
-- The rules' memory.
SELECT channel_id, kind, newest_ms, start_ms, raised, clear_ms, peak, peak_ms FROM alerts.rule_state

-- name: engine_states_keep
-- Write the rule states a page has changed, all at once.
INSERT INTO alerts.rule_state (channel_id, kind, newest_ms, start_ms, raised, clear_ms, peak, peak_ms)
SELECT *
FROM unnest(
    %(channel_id)s::integer[], %(kind)s::text[], %(newest_ms)s::bigint[], %(start_ms)s::bigint[],
    %(raised)s::boolean[], %(clear_ms)s::bigint[], %(peak)s::double precision[], %(peak_ms)s::bigint[]
)
ON CONFLICT (channel_id, kind) DO UPDATE SET
    newest_ms = excluded.newest_ms, start_ms = excluded.start_ms, raised = excluded.raised,
    clear_ms = excluded.clear_ms, peak = excluded.peak, peak_ms = excluded.peak_ms

-- name: engine_active
-- Alarms that stand: raised and not returned.
SELECT alarm_id, channel_id, kind FROM alerts.alarm WHERE process_state IN ('UNACKNOWLEDGED', 'ACKNOWLEDGED')

-- name: alarm_raise
-- A new occurrence.
INSERT INTO alerts.alarm (
    channel_id, kind, priority, process_state, limit_value, exceeded_at, raised_at, detected_at, peak, peak_at, replayed
)
VALUES (
    %(channel_id)s, %(kind)s, %(priority)s, %(process_state)s, %(limit_value)s, %(exceeded_at)s, %(raised_at)s,
    %(detected_at)s, %(peak)s, %(peak_at)s, %(replayed)s
)
RETURNING alarm_id

-- name: alarm_lock
-- An alarm's state, held against engine and operators until the transaction ends.
SELECT a.alarm_id, a.channel_id, a.process_state, a.version
FROM alerts.alarm AS a
WHERE a.alarm_id = %(alarm_id)s
FOR UPDATE

-- name: alarm_return
-- The condition is gone.
UPDATE alerts.alarm
SET process_state = %(process_state)s, version = %(version)s, returned_at = %(at)s
WHERE alarm_id = %(alarm_id)s

-- name: alarm_acknowledge
-- A person has seen it.
UPDATE alerts.alarm
SET process_state = %(process_state)s, version = %(version)s, acknowledged_at = %(at)s, acknowledged_by = %(actor)s,
    note = nullif(%(note)s, '')
WHERE alarm_id = %(alarm_id)s

-- name: alarm_peaks
-- Worst values of standing alarms so far, never replacing a worse one (a late reading may have told it).
UPDATE alerts.alarm AS a
SET peak = new.peak, peak_at = to_timestamp(new.peak_ms / 1000.0)
FROM unnest(%(alarm_id)s::bigint[], %(peak)s::double precision[], %(peak_ms)s::bigint[]) AS new (alarm_id, peak, peak_ms)
WHERE a.alarm_id = new.alarm_id
    AND CASE a.kind WHEN 'high' THEN new.peak > a.peak ELSE new.peak < a.peak END

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
        AND CASE a.kind WHEN 'high' THEN late.value > a.peak ELSE late.value < a.peak END
    ORDER BY a.alarm_id, CASE a.kind WHEN 'high' THEN -late.value ELSE late.value END, late.observed_ms
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

-- name: journal_write
-- One transition.
INSERT INTO alerts.journal (alarm_id, version, at, event, from_state, to_state, actor, value, note)
VALUES (
    %(alarm_id)s, %(version)s, %(at)s, %(event)s, %(from_state)s, %(to_state)s, %(actor)s, %(value)s, %(note)s
)
