-- Runs after 0001_views.sql, which grants the room everything in its schema.
REVOKE UPDATE, DELETE ON alerts.people_history, alerts.notification_attempt FROM hanlu_alerts;
REVOKE DELETE ON alerts.notification, alerts.notification_line, alerts.summons FROM hanlu_alerts;
REVOKE ALL ON alerts.receiver_secret FROM PUBLIC;
