-- Runs after 0001_views.sql, which grants the room everything in its schema.
REVOKE UPDATE, DELETE ON alerts.excursion_version FROM hanlu_alerts;
REVOKE DELETE ON alerts.excursion, alerts.excursion_alarm FROM hanlu_alerts;
