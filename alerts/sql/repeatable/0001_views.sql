CREATE OR REPLACE VIEW alerts.alarm_v AS
SELECT alarm_id, channel_id, kind, priority, process_state, suppression_state, limit_value, exceeded_at, raised_at,
    returned_at, acknowledged_at, peak, peak_at, replayed
FROM alerts.alarm;
COMMENT ON VIEW alerts.alarm_v IS 'Alarms for the trace room; who acknowledged is not in it.';

GRANT USAGE ON SCHEMA alerts TO hanlu_alerts, hanlu_trace;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA alerts TO hanlu_alerts;
REVOKE UPDATE, DELETE ON alerts.journal FROM hanlu_alerts;
GRANT SELECT ON alerts.alarm_v TO hanlu_trace;
