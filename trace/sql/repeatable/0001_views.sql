CREATE OR REPLACE VIEW trace.dead_letter_v AS
SELECT arrival_id, at, reason, detail, octet_length(body) AS bytes FROM trace.dead_letter;
COMMENT ON VIEW trace.dead_letter_v IS 'Refused events, for the console.';

CREATE OR REPLACE VIEW trace.custody_v AS
SELECT lot_uri, from_at, to_at, location FROM trace.custody;
COMMENT ON VIEW trace.custody_v IS 'Which lot stood where and when, for alerts and stock.';

CREATE OR REPLACE VIEW trace.trouble_v AS
SELECT name, since, detail FROM trace.trouble;
COMMENT ON VIEW trace.trouble_v IS 'What keeps feed, log or anchor from its work now, for the console.';

CREATE OR REPLACE VIEW trace.place_channel_v AS
SELECT
    'https://id.gs1.org/414/' || place.gln AS location,
    c.channel_id, c.channel, c.metric, c.unit, c.no_data_s, c.zone, c.zone_zh, c.zone_en, c.limit_profile, c.low, c.high
FROM registry.channel_v AS c
JOIN registry.site AS s USING (site_id)
CROSS JOIN LATERAL (SELECT c.zone_gln UNION SELECT s.gln) AS place (gln)
WHERE place.gln IS NOT NULL AND c.metric IN ('air_temperature', 'product_temperature');
COMMENT ON VIEW trace.place_channel_v IS
'Thermometers of a place: of the zone with that GLN, or of all zones of the site with that GLN.';

CREATE OR REPLACE VIEW trace.ambient_product_v AS
SELECT p.gtin
FROM registry.product AS p
WHERE p.limit_profile_code IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM registry.limit_profile_now AS l
        WHERE l.code = p.limit_profile_code
            AND l.metric IN ('air_temperature', 'product_temperature')
            AND (l.low IS NOT NULL OR l.high IS NOT NULL)
    );
COMMENT ON VIEW trace.ambient_product_v IS
'Products whose profile sets no temperature limit, such as fertiliser: their lots have no cold chain to commit.';

CREATE OR REPLACE VIEW trace.valid_event_v AS
SELECT e.*
FROM trace.event AS e
WHERE NOT e.declared_error
    AND NOT EXISTS (SELECT FROM trace.event AS d WHERE d.event_hash = e.event_hash AND d.declared_error);
COMMENT ON VIEW trace.valid_event_v IS 'Events that count: neither error declarations nor taken back by one.';

CREATE OR REPLACE VIEW trace.follower_v AS
SELECT n.name, coalesce(c.txid, '0') AS txid, coalesce(c.arrival_id, 0) AS arrival_id
FROM (VALUES ('arrival')) AS n (name)
LEFT JOIN trace.cursor AS c USING (name);
COMMENT ON VIEW trace.follower_v IS
'How far this room has followed the arrivals of readings, also before it began; ingest keeps what it has not passed, and every arrival with an event.';

GRANT USAGE ON SCHEMA trace TO hanlu_trace, hanlu_alerts;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA trace TO hanlu_trace;
REVOKE UPDATE, DELETE ON trace.event, trace.leaf, trace.checkpoint, trace.curve_chunk, trace.log FROM hanlu_trace;
-- A view is written with its owner's rights: through these, events and even products could be changed after all.
REVOKE INSERT, UPDATE, DELETE ON trace.dead_letter_v, trace.custody_v, trace.trouble_v, trace.place_channel_v,
trace.ambient_product_v, trace.valid_event_v, trace.follower_v FROM hanlu_trace;
GRANT SELECT ON trace.dead_letter_v, trace.custody_v, trace.trouble_v TO hanlu_alerts;
