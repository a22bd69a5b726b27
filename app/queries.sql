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

-- name: label_of_lot
-- The newest label printed for a lot number, whoever's product it is.
SELECT code FROM trace.label
WHERE split_part(lot_uri, '/10/', 2) = %(lot)s
ORDER BY issued_at DESC
LIMIT 1;
