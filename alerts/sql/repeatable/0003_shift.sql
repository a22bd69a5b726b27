-- After 0001, which grants everything in the schema: what is signed stays as it was signed.
REVOKE UPDATE, DELETE ON alerts.staffing, alerts.handover, alerts.handover_taken FROM hanlu_alerts;
