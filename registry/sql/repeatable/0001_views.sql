CREATE OR REPLACE VIEW registry.limit_profile_now AS
SELECT DISTINCT ON (code, metric) *
FROM registry.limit_profile
WHERE effective_from <= (now() AT TIME ZONE 'Asia/Shanghai')::date
ORDER BY code, metric, effective_from DESC;
COMMENT ON VIEW registry.limit_profile_now IS 'The limits in force today (China time).';

CREATE OR REPLACE VIEW registry.channel_v AS
SELECT
    c.channel_id,
    g.code || '/' || d.code || '/' || c.metric AS channel,
    d.code || '/' || c.metric AS wire_name,
    c.metric,
    c.unit,
    c.period_s,
    d.device_id,
    d.code AS device,
    d.kind AS device_kind,
    g.gateway_id,
    g.code AS gateway,
    g.partition,
    z.zone_id,
    z.code AS zone,
    z.name_zh AS zone_zh,
    z.name_en AS zone_en,
    z.gln AS zone_gln,
    s.site_id,
    s.code AS site,
    s.name_zh AS site_zh,
    s.name_en AS site_en,
    s.kind AS site_kind,
    o.path AS organisation_path,
    p.code AS limit_profile,
    p.low,
    p.high,
    p.deadband,
    p.on_delay_s,
    p.off_delay_s,
    coalesce(p.no_data_s, greatest(10 * c.period_s, 300)::integer) AS no_data_s,
    coalesce(p.priority, 3::smallint) AS priority
FROM registry.channel AS c
JOIN registry.device AS d USING (device_id)
JOIN registry.gateway AS g USING (gateway_id)
LEFT JOIN registry.zone AS z USING (zone_id)
JOIN registry.site AS s ON s.site_id = coalesce(z.site_id, g.site_id)
JOIN registry.organisation AS o USING (organisation_id)
LEFT JOIN registry.limit_profile_now AS p
    ON p.code = coalesce(c.limit_profile_code, z.limit_profile_code) AND p.metric = c.metric;
COMMENT ON VIEW registry.channel_v IS 'A channel with where it stands, whose it is and its limits in force; the contract with ingest, alerts and trace.';

GRANT USAGE ON SCHEMA registry TO hanlu_registry, hanlu_ingest, hanlu_alerts, hanlu_trace;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA registry TO hanlu_registry;
GRANT USAGE ON SEQUENCE registry.organisation_organisation_id_seq TO hanlu_registry;
REVOKE UPDATE, DELETE ON registry.audit FROM hanlu_registry;
REVOKE INSERT, UPDATE, DELETE ON registry.limit_profile_now, registry.channel_v FROM hanlu_registry;
GRANT SELECT ON registry.organisation, registry.level_name, registry.limit_profile, registry.limit_profile_now,
registry.product, registry.participant, registry.site, registry.zone, registry.gateway, registry.gateway_key,
registry.device, registry.channel, registry.channel_v TO hanlu_ingest, hanlu_alerts, hanlu_trace;
GRANT SELECT ON registry.gateway_config TO hanlu_ingest;
