CREATE OR REPLACE VIEW alerts.alarm_v AS
SELECT alarm_id, channel_id, kind, priority, process_state, suppression_state, limit_value, exceeded_at, raised_at,
    returned_at, acknowledged_at, peak, peak_at, replayed
FROM alerts.alarm;
COMMENT ON VIEW alerts.alarm_v IS 'Alarms for the trace room; who acknowledged is not in it.';

CREATE OR REPLACE VIEW alerts.alarm_place_v AS
SELECT
    a.alarm_id,
    coalesce(c.organisation_path, o.path) AS organisation_path,
    coalesce(c.site_id, s.site_id) AS site_id,
    coalesce(c.site, s.code) AS site,
    coalesce(c.site_zh, s.name_zh) AS site_zh,
    coalesce(c.site_en, s.name_en) AS site_en,
    c.zone_id,
    coalesce(c.zone, c.gateway || '~' || c.device, a.item) AS zone,
    coalesce(c.zone_zh, c.device, a.item_zh) AS zone_zh,
    coalesce(c.zone_en, c.device, a.item_en) AS zone_en,
    c.gateway_id,
    c.gateway,
    c.device,
    coalesce(c.metric, a.kind) AS metric,
    coalesce(c.unit, '') AS unit,
    coalesce(c.period_s, 0) AS period_s,
    c.low,
    c.high,
    c.limit_profile
FROM alerts.alarm AS a
LEFT JOIN registry.channel_v AS c USING (channel_id)
LEFT JOIN registry.site AS s ON s.site_id = a.site_id
LEFT JOIN registry.organisation AS o ON o.organisation_id = s.organisation_id;
COMMENT ON VIEW alerts.alarm_place_v IS
'Where an alarm is and whose, for alarms of channels and of goods alike; joins alerts.alarm by alarm_id.';

CREATE OR REPLACE VIEW alerts.journal_feed AS
SELECT txid, journal_id, alarm_id, version, at, recorded_at, event, from_state, to_state, actor, value, note
FROM alerts.journal
WHERE txid < pg_snapshot_xmin(pg_current_snapshot());
COMMENT ON VIEW alerts.journal_feed IS
'Journal entries whose transaction is over for every snapshot: follow it by (txid, journal_id) > cursor, in that order.';

CREATE OR REPLACE VIEW alerts.follower_v AS
SELECT n.name, coalesce(c.txid, '0') AS txid, coalesce(c.arrival_id, 0) AS arrival_id
FROM (VALUES ('engine'), ('excursion')) AS n (name)
LEFT JOIN alerts.cursor AS c USING (name);
COMMENT ON VIEW alerts.follower_v IS
'How far this room''s followers of the arrivals have come, also those that never began; ingest keeps what they have not passed.';

GRANT USAGE ON SCHEMA alerts TO hanlu_alerts, hanlu_trace;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA alerts TO hanlu_alerts;
REVOKE UPDATE, DELETE ON alerts.journal, alerts.suppression_journal, alerts.rule, alerts.calibration FROM hanlu_alerts;
-- A view is written with its owner's rights: through this one the journal could be rewritten after all.
REVOKE INSERT, UPDATE, DELETE ON alerts.alarm_v, alerts.alarm_place_v, alerts.journal_feed, alerts.follower_v FROM hanlu_alerts;
GRANT SELECT ON alerts.alarm_v TO hanlu_trace;
