-- name: found
-- What is on record of one device.
SELECT (extract(epoch FROM r.observed_at) * 1000)::bigint, r.value
FROM registry.channel_v AS c
JOIN telemetry.reading_v AS r USING (channel_id)
WHERE c.gateway = %(gateway)s AND c.device = %(device)s;

-- name: account
-- What the platform says of a gateway, and how many readings of it there really are.
SELECT
    coalesce(a.produced, 0)::bigint, coalesce(a.stored, 0)::bigint, coalesce(a.duplicate, 0)::bigint,
    coalesce(a.lost, 0)::bigint, coalesce(a.dead, 0)::bigint,
    (
        SELECT count(*)
        FROM registry.channel_v AS c
        JOIN telemetry.reading_v AS r USING (channel_id)
        WHERE c.gateway_id = g.gateway_id
    ),
    (SELECT count(*) FROM telemetry.gap_v AS m WHERE m.gateway_id = g.gateway_id)
FROM registry.gateway AS g
LEFT JOIN telemetry.gateway_account AS a USING (gateway_id)
WHERE g.code = %(gateway)s;

-- name: unjudged
-- How many arrivals the alarm engine has not judged yet.
SELECT count(*)
FROM telemetry.arrival AS a
LEFT JOIN alerts.cursor AS c ON c.name = 'engine'
WHERE c.name IS NULL OR (a.txid, a.arrival_id) > (c.txid, c.arrival_id);

-- name: alarms
-- The alarms of one device: when the excursion began, and whether it is over.
SELECT (extract(epoch FROM a.exceeded_at) * 1000)::bigint, a.returned_at IS NOT NULL
FROM registry.channel_v AS c
JOIN alerts.alarm AS a USING (channel_id)
WHERE c.gateway = %(gateway)s AND c.device = %(device)s AND a.kind = 'high'
ORDER BY a.exceeded_at;
