CREATE OR REPLACE VIEW telemetry.reading_v AS
SELECT channel_id, observed_at, value, quality FROM telemetry.reading;
COMMENT ON VIEW telemetry.reading_v IS 'Readings, for alerts and trace.';

CREATE OR REPLACE VIEW telemetry.latest_v AS
SELECT channel_id, observed_at, received_at, value, quality FROM telemetry.latest;
COMMENT ON VIEW telemetry.latest_v IS 'Newest reading per channel, for the console.';

CREATE OR REPLACE VIEW telemetry.arrival_feed AS
SELECT
    txid, arrival_id, gateway_id, epoch, seq, digest, evidence, lane, replayed, received_at, recorded_at,
    channel_ids, observed_ms, "values", qualities
FROM telemetry.arrival
WHERE txid < pg_snapshot_xmin(pg_current_snapshot());
COMMENT ON VIEW telemetry.arrival_feed IS
'Arrivals whose transaction is over for every snapshot: follow it by (txid, arrival_id) > cursor, in that order.';

CREATE OR REPLACE VIEW telemetry.feed_horizon AS
SELECT min(recorded_at) AS held_since
FROM telemetry.arrival
WHERE txid >= pg_snapshot_xmin(pg_current_snapshot());
COMMENT ON VIEW telemetry.feed_horizon IS
'Since when an older open transaction keeps arrivals out of the feed, null when it keeps none: a follower that sees nothing new knows nothing of the time after.';

CREATE OR REPLACE VIEW telemetry.event_feed AS
SELECT txid, arrival_id, gateway_id, digest, evidence, received_at, event
FROM telemetry.arrival
WHERE event IS NOT NULL AND txid < pg_snapshot_xmin(pg_current_snapshot());
COMMENT ON VIEW telemetry.event_feed IS 'EPCIS documents that came through gateways, for the trace room to capture.';

CREATE OR REPLACE VIEW telemetry.gateway_account AS
SELECT
    gateway_id,
    sum(produced)::bigint AS produced,
    sum(stored)::bigint AS stored,
    sum(duplicate)::bigint AS duplicate,
    sum(lost)::bigint AS lost,
    sum(dead)::bigint AS dead,
    sum(redelivered)::bigint AS redelivered,
    sum(produced - stored - duplicate - lost - dead)::bigint AS outstanding,
    max(last_at) AS last_at
FROM telemetry.gateway_epoch
GROUP BY gateway_id;
COMMENT ON VIEW telemetry.gateway_account IS
'Per gateway, readings: produced = stored + duplicate + declared lost + dead letters once nothing is outstanding.';

CREATE OR REPLACE VIEW telemetry.gap_v AS
SELECT g.gateway_id, g.epoch, g.from_seq, g.to_seq, g.since, coalesce(r.asked, 0) AS asked, r.asked_at
FROM telemetry.gap AS g
LEFT JOIN telemetry.resend AS r USING (gateway_id, epoch);
COMMENT ON VIEW telemetry.gap_v IS
'Messages that have not arrived, since when that is known, and how often the gateway was asked for them since it last got on.';

-- A will tells that a gateway went away; none comes when the broker fell with it, so silence tells it too. Gateways speak
-- of their own health once a minute.
CREATE OR REPLACE VIEW telemetry.gateway_link_v AS
SELECT
    gateway_id, online AND last_seen_at > now() - INTERVAL '15 minutes' AS online, since, last_seen_at, replay, birth
FROM telemetry.gateway_link;
COMMENT ON VIEW telemetry.gateway_link_v IS
'Whether a gateway is heard: no will since its last word, and a word in the last 15 minutes; and its last birth.';

CREATE OR REPLACE VIEW telemetry.dead_letter_v AS
SELECT dead_letter_id, received_at, topic, gateway, reason, detail, reading_count, times, octet_length(body) AS bytes
FROM telemetry.dead_letter;
COMMENT ON VIEW telemetry.dead_letter_v IS 'Dead letters without their bytes, for the console.';

CREATE OR REPLACE VIEW telemetry.loss_by_reason AS
SELECT gateway_id, reason, sum(reading_count)::bigint AS reading_count, max(newest_at) AS newest_at
FROM (
    SELECT gateway_id, reason, reading_count::bigint AS reading_count, to_at AS newest_at FROM telemetry.loss
    UNION ALL
    SELECT gateway_id, reason, readings, at FROM telemetry.epoch_closed WHERE readings > 0
) AS l
GROUP BY gateway_id, reason;
COMMENT ON VIEW telemetry.loss_by_reason IS
'Readings declared lost, by gateways or by the platform where nothing more will come, summed by the reason, for the console.';

CREATE OR REPLACE VIEW telemetry.gateway_hour_v AS
SELECT
    gateway_id, hour_at, minutes_heard, messages, backlog_messages, stored, duplicate, lost, dead, live_messages,
    late_1s, late_5s, late_30s, late_5min, late_most_s
FROM telemetry.gateway_hour;
COMMENT ON VIEW telemetry.gateway_hour_v IS 'How well gateways were heard, by hour of reception, for the data-quality page.';

CREATE OR REPLACE VIEW telemetry.throttled_v AS
SELECT gateway_id, messages, since, last_at FROM telemetry.throttled;
COMMENT ON VIEW telemetry.throttled_v IS 'How many signed messages the throttle left out, since when, and when last, for console and metrics.';

CREATE OR REPLACE VIEW telemetry.follower_v AS
SELECT n.name, coalesce(f.txid, '0') AS txid, coalesce(f.arrival_id, 0) AS arrival_id
FROM (VALUES ('rollup'), ('quality')) AS n (name)
LEFT JOIN telemetry.follower AS f USING (name);
COMMENT ON VIEW telemetry.follower_v IS
'How far this room''s followers of the arrivals have come, also those that never began; what they have not passed is kept.';

GRANT USAGE ON SCHEMA telemetry TO hanlu_ingest, hanlu_alerts, hanlu_trace, hanlu_registry;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA telemetry TO hanlu_ingest;
REVOKE UPDATE, DELETE ON telemetry.reading, telemetry.arrival, telemetry.loss FROM hanlu_ingest;
REVOKE INSERT, UPDATE, DELETE ON telemetry.arrival_gone FROM hanlu_ingest;
-- A view is written with its owner's rights: through one, what is taken away above would be possible after all.
REVOKE INSERT, UPDATE, DELETE ON telemetry.reading_v, telemetry.latest_v, telemetry.arrival_feed, telemetry.event_feed,
telemetry.feed_horizon, telemetry.gateway_account, telemetry.gap_v, telemetry.gateway_link_v, telemetry.dead_letter_v,
telemetry.loss_by_reason, telemetry.gateway_hour_v, telemetry.follower_v,
telemetry.throttled_v
FROM hanlu_ingest;
GRANT SELECT ON telemetry.reading_v, telemetry.latest_v, telemetry.arrival_feed, telemetry.event_feed,
telemetry.feed_horizon, telemetry.gateway_account, telemetry.gap_v, telemetry.gateway_link_v, telemetry.dead_letter_v,
telemetry.loss_by_reason, telemetry.gateway_hour_v, telemetry.throttled_v
TO hanlu_alerts, hanlu_trace, hanlu_registry;
