CREATE OR REPLACE VIEW alerts.alarm_v AS
SELECT alarm_id, channel_id, kind, priority, process_state, suppression_state, limit_value, exceeded_at, raised_at,
    returned_at, acknowledged_at, peak, peak_at, replayed
FROM alerts.alarm;
COMMENT ON VIEW alerts.alarm_v IS 'Alarms for the trace room; who acknowledged is not in it.';

CREATE OR REPLACE VIEW alerts.journal_feed AS
SELECT txid, journal_id, alarm_id, version, at, recorded_at, event, from_state, to_state, actor, value, note
FROM alerts.journal
WHERE txid < pg_snapshot_xmin(pg_current_snapshot());
COMMENT ON VIEW alerts.journal_feed IS
'Journal entries whose transaction is over for every snapshot: follow it by (txid, journal_id) > cursor, in that order.';

CREATE OR REPLACE VIEW alerts.loss_by_reason AS
SELECT gateway_id, reason, sum(reading_count)::bigint AS reading_count, max(to_at) AS newest_at
FROM telemetry.loss
GROUP BY gateway_id, reason;
COMMENT ON VIEW alerts.loss_by_reason IS 'Readings gateways declared lost, summed by the reason they gave, for the console.';

GRANT USAGE ON SCHEMA alerts TO hanlu_alerts, hanlu_trace;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA alerts TO hanlu_alerts;
REVOKE UPDATE, DELETE ON alerts.journal FROM hanlu_alerts;
REVOKE INSERT, UPDATE, DELETE ON alerts.loss_by_reason FROM hanlu_alerts;
GRANT SELECT ON alerts.alarm_v TO hanlu_trace;
