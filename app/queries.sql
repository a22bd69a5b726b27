-- name: summary_of_telemetry
-- The county in numbers, as the alerts room may see it.
SELECT
    (SELECT count(*) FROM registry.site) AS sites,
    (SELECT count(*) FROM registry.channel) AS channels,
    (
        SELECT count(*)
        FROM registry.channel_v AS c
        JOIN telemetry.latest_v AS l USING (channel_id)
        WHERE l.received_at > %(now)s::timestamptz - make_interval(secs => c.no_data_s)
    ) AS channels_live,
    (SELECT coalesce(sum(stored), 0)::bigint FROM telemetry.gateway_account) AS readings,
    (
        SELECT count(*) FROM alerts.alarm_v
        WHERE process_state IN ('UNACKNOWLEDGED', 'ACKNOWLEDGED') AND suppression_state = 'NONE'
    ) AS alarms;

-- name: summary_of_trace
-- The log in numbers, as the trace room may see it.
SELECT
    (SELECT coalesce(max(tree_size), 0)::bigint FROM trace.checkpoint) AS records,
    (SELECT max(mined_at) FROM trace.anchor) AS anchored_at;

-- name: products_of_lot
-- The products of which a lot with this number (percent-encoded) is known; one look into an index for each product.
SELECT p.gtin, p.name_zh, p.name_en
FROM registry.product AS p
WHERE EXISTS (
    SELECT FROM trace.event_thing AS t
    WHERE t.lot_uri = 'https://id.gs1.org/01/' || p.gtin || '/10/' || %(lot)s::text
)
ORDER BY p.gtin;

-- name: lot_to_try
-- A lot whose way is in the log from its origins to a buyer: the one sold last, among the newest events.
SELECT t.lot_uri, p.name_zh, p.name_en
FROM trace.event AS e
JOIN trace.event_thing AS t USING (event_id)
JOIN registry.product AS p ON t.lot_uri LIKE 'https://id.gs1.org/01/' || p.gtin || '/10/%%'
WHERE e.biz_step = 'retail_selling'
    AND e.event_id > (SELECT max(n.event_id) FROM trace.event AS n) - 10000
    AND EXISTS (SELECT FROM trace.edge AS g WHERE g.to_uri = t.lot_uri)
    AND EXISTS (SELECT FROM trace.leaf AS l WHERE l.event_id = e.event_id AND l.lot_uri = t.lot_uri)
ORDER BY e.event_id DESC
LIMIT 1;

-- name: replay_account
-- What the platform has on record of a gateway, over all its spools, and how many ranges of messages are missing, as the
-- registry may see it.
SELECT
    coalesce(a.produced, 0)::bigint AS produced,
    coalesce(a.stored, 0)::bigint AS stored,
    coalesce(a.duplicate, 0)::bigint AS duplicate,
    coalesce(a.lost, 0)::bigint AS lost,
    coalesce(a.dead, 0)::bigint AS dead,
    (SELECT count(*) FROM telemetry.gap_v AS m WHERE m.gateway_id = g.gateway_id) AS gaps
FROM registry.gateway AS g
LEFT JOIN telemetry.gateway_account AS a USING (gateway_id)
WHERE g.code = %(gateway)s;

-- name: metrics_gateways
-- Link, account and gaps of every gateway, for the metrics.
SELECT
    g.code, coalesce(k.online, false) AS online, extract(epoch FROM k.last_seen_at)::float8 AS last_seen,
    coalesce(a.produced, 0)::bigint AS produced, coalesce(a.stored, 0)::bigint AS stored,
    coalesce(a.duplicate, 0)::bigint AS duplicate, coalesce(a.lost, 0)::bigint AS lost,
    coalesce(a.dead, 0)::bigint AS dead, coalesce(a.outstanding, 0)::bigint AS outstanding,
    coalesce(a.redelivered, 0)::bigint AS redelivered, coalesce(t.messages, 0)::bigint AS throttled,
    coalesce((SELECT sum(to_seq - from_seq + 1) FROM telemetry.gap_v AS h WHERE h.gateway_id = g.gateway_id), 0)::bigint
        AS missing
FROM registry.gateway AS g
LEFT JOIN telemetry.gateway_link_v AS k USING (gateway_id)
LEFT JOIN telemetry.gateway_account AS a USING (gateway_id)
LEFT JOIN telemetry.throttled_v AS t USING (gateway_id)
ORDER BY g.code;

-- name: metrics_letters
-- Dead letters that are neither replayed nor closed, repetitions included, by gateway and reason; names that no gateway
-- has are put together under none, for whoever invents names must not make series.
SELECT coalesce(g.code, '') AS gateway, d.reason, sum(d.open_messages)::bigint AS messages
FROM telemetry.dead_letter_count_v AS d
LEFT JOIN registry.gateway AS g ON g.code = d.gateway
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: metrics_rollup
-- Hours of channels that are due to be rolled up, counted to a hundred thousand, and for how many seconds the oldest is.
SELECT
    (SELECT count(*) FROM (SELECT FROM telemetry.hour_due WHERE due_at <= now() LIMIT 100000) AS d) AS due_hours,
    greatest(coalesce(extract(epoch FROM now() - (SELECT min(due_at) FROM telemetry.hour_due)), 0), 0)::float8 AS lag_s;

-- name: metrics_alarms
-- How many alarms are in which state, and the age in seconds of the oldest arrival not yet judged (0: none).
SELECT
    (
        SELECT coalesce(jsonb_agg(jsonb_build_array(s.process_state, s.suppression_state, s.priority, s.alarms)), '[]')
        FROM (
            SELECT process_state, suppression_state, priority, count(*) AS alarms
            FROM alerts.alarm
            WHERE process_state <> 'NORMAL'
            GROUP BY process_state, suppression_state, priority
        ) AS s
    ) AS states,
    (
        SELECT coalesce(max(extract(epoch FROM now() - f.recorded_at)), 0)::float8
        FROM (
            SELECT a.recorded_at
            FROM alerts.cursor AS c
            JOIN telemetry.arrival_feed AS a ON (a.txid, a.arrival_id) > (c.txid, c.arrival_id)
            WHERE c.name = 'engine'
            ORDER BY a.txid, a.arrival_id
            LIMIT 1
        ) AS f
    ) AS lag_s;

-- name: metrics_trace
-- Events, the log and its anchors, as the trace room may see them.
SELECT
    (SELECT coalesce(max(event_id), 0)::bigint FROM trace.event) AS events,
    (SELECT coalesce(max(tree_size), 0)::bigint FROM trace.checkpoint) AS leaves,
    (SELECT extract(epoch FROM max(signed_at))::float8 FROM trace.checkpoint) AS signed_at,
    (SELECT coalesce(max(tree_size), 0)::bigint FROM trace.anchor WHERE state IN ('mined', 'final')) AS anchored,
    (SELECT extract(epoch FROM max(mined_at))::float8 FROM trace.anchor) AS anchored_at;
