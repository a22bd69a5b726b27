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

CREATE OR REPLACE VIEW alerts.follower_v AS
SELECT n.name, coalesce(c.txid, '0') AS txid, coalesce(c.arrival_id, 0) AS arrival_id
FROM (VALUES ('engine')) AS n (name)
LEFT JOIN alerts.cursor AS c USING (name);
COMMENT ON VIEW alerts.follower_v IS
'How far this room''s followers of the arrivals have come, also those that never began; ingest keeps what they have not passed.';

GRANT USAGE ON SCHEMA alerts TO hanlu_alerts, hanlu_trace;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA alerts TO hanlu_alerts;
REVOKE UPDATE, DELETE ON alerts.journal FROM hanlu_alerts;
-- A view is written with its owner's rights: through this one the journal could be rewritten after all.
REVOKE INSERT, UPDATE, DELETE ON alerts.alarm_v, alerts.journal_feed, alerts.follower_v FROM hanlu_alerts;
GRANT SELECT ON alerts.alarm_v TO hanlu_trace;
