ALTER TABLE alerts.notification_attempt
    DROP CONSTRAINT notification_attempt_outcome_check,
    ADD CONSTRAINT notification_attempt_outcome_check
    CHECK (outcome IN ('begun', 'sent', 'retry', 'limited', 'lost', 'permanent'));
COMMENT ON COLUMN alerts.notification_attempt.outcome IS
'begun, sent, retry (refused for now), limited (too many: its line waits until retry_at), lost (no answer: it may have been told), permanent (refused for good).';
