CREATE OR REPLACE VIEW trace.dead_letter_v AS
SELECT arrival_id, at, reason, detail, octet_length(body) AS bytes FROM trace.dead_letter;
COMMENT ON VIEW trace.dead_letter_v IS 'Refused events, for the console.';

CREATE OR REPLACE VIEW trace.custody_v AS
SELECT lot_uri, from_at, to_at, location FROM trace.custody;
COMMENT ON VIEW trace.custody_v IS 'Which lot stood where and when, for alerts and stock.';

GRANT USAGE ON SCHEMA trace TO hanlu_trace, hanlu_alerts;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA trace TO hanlu_trace;
REVOKE UPDATE, DELETE ON trace.event, trace.leaf, trace.checkpoint FROM hanlu_trace;
GRANT SELECT ON trace.dead_letter_v, trace.custody_v TO hanlu_alerts;
