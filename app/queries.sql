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
