-- name: people_of_alarm
-- Everything planned and sent for one alarm, in order.
SELECT
    (extract(epoch FROM l.made_at) * 1000)::bigint AS at_ms, l.purpose, l.step, l.target, r.name, r.kind, l.state,
    CASE WHEN l.reason <> '' THEN l.reason ELSE coalesce(n.reason, '') END AS reason,
    coalesce(n.attempts, 0) AS attempts,
    CASE WHEN n.state = 'sent' THEN (extract(epoch FROM n.finished_at) * 1000)::bigint END AS sent_ms,
    coalesce(n.possible_repeat, false) AS possible_repeat, l.notification_id
FROM alerts.notification_line AS l
LEFT JOIN alerts.receiver AS r USING (receiver_id)
LEFT JOIN alerts.notification AS n USING (notification_id)
WHERE l.alarm_id = %(alarm_id)s
ORDER BY l.notification_line_id
