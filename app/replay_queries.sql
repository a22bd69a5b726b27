-- name: account
-- What the platform has on record of a gateway, over all its spools, and how many ranges of messages are missing.
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
