-- The sums over the dead letters. A letter's sums move with every change of its row, in the same transaction.
CREATE OR REPLACE FUNCTION telemetry.count_dead_letter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE telemetry.dead_letter_count
        SET
            letters = letters - 1,
            open_letters = open_letters - (OLD.resolved_at IS NULL)::integer,
            messages = messages - CASE TG_OP WHEN 'UPDATE' THEN OLD.times ELSE 0 END,
            open_messages = open_messages - CASE WHEN OLD.resolved_at IS NULL THEN OLD.times ELSE 0 END,
            open_readings = open_readings - CASE WHEN OLD.resolved_at IS NULL THEN OLD.reading_count ELSE 0 END,
            bytes = bytes - OLD.bytes,
            dropped = dropped - (OLD.dropped_at IS NOT NULL)::integer,
            folded = folded + CASE TG_OP WHEN 'DELETE' THEN OLD.times ELSE 0 END
        WHERE gateway = coalesce(OLD.gateway, '') AND reason = OLD.reason;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO telemetry.dead_letter_count AS c (
            gateway, reason, letters, open_letters, messages, open_messages, open_readings, bytes, dropped,
            newest_id, newest_at
        )
        VALUES (
            coalesce(NEW.gateway, ''), NEW.reason, 1,
            (NEW.resolved_at IS NULL)::integer,
            NEW.times,
            CASE WHEN NEW.resolved_at IS NULL THEN NEW.times ELSE 0 END,
            CASE WHEN NEW.resolved_at IS NULL THEN NEW.reading_count ELSE 0 END,
            NEW.bytes,
            (NEW.dropped_at IS NOT NULL)::integer,
            NEW.dead_letter_id, NEW.received_at
        )
        ON CONFLICT (gateway, reason) DO UPDATE SET
            letters = c.letters + excluded.letters,
            open_letters = c.open_letters + excluded.open_letters,
            messages = c.messages + excluded.messages,
            open_messages = c.open_messages + excluded.open_messages,
            open_readings = c.open_readings + excluded.open_readings,
            bytes = c.bytes + excluded.bytes,
            dropped = c.dropped + excluded.dropped,
            newest_id = greatest(c.newest_id, excluded.newest_id),
            newest_at = greatest(c.newest_at, excluded.newest_at);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER dead_letter_counted
AFTER INSERT OR UPDATE OR DELETE ON telemetry.dead_letter
FOR EACH ROW EXECUTE FUNCTION telemetry.count_dead_letter();

CREATE OR REPLACE VIEW telemetry.dead_letter_count_v AS
SELECT
    nullif(c.gateway, '') AS gateway, c.reason, c.letters, c.open_letters, c.messages, c.open_messages,
    c.open_readings, c.bytes, c.dropped, c.folded, c.newest_at, d.detail AS newest_detail
FROM telemetry.dead_letter_count AS c
LEFT JOIN telemetry.dead_letter AS d ON d.dead_letter_id = c.newest_id;
COMMENT ON VIEW telemetry.dead_letter_count_v IS
'Dead letters by gateway (null where the topic names none) and reason, with the newest one''s words; open: neither replayed nor closed.';

CREATE OR REPLACE VIEW telemetry.unapproved_channel AS
SELECT
    u.gateway_id, u.name, u.unit, u.period_s, u.first_seen, u.last_seen, u.readings_waiting, u.announced
FROM telemetry.unapproved AS u
WHERE NOT EXISTS (
    SELECT FROM registry.device AS d
    JOIN registry.channel AS c USING (device_id)
    WHERE d.gateway_id = u.gateway_id
        AND d.code = split_part(u.name, '/', 1)
        AND c.metric = substr(u.name, strpos(u.name, '/') + 1)
);
COMMENT ON VIEW telemetry.unapproved_channel IS
'Channels that wait to be approved: announced at birth or heard of in readings, which wait as dead letters and are stored once the registry knows the name.';
COMMENT ON COLUMN telemetry.unapproved_channel.period_s IS 'Seconds between readings as announced; null where never announced.';
COMMENT ON COLUMN telemetry.unapproved_channel.readings_waiting IS 'Readings held back so far.';

REVOKE UPDATE, DELETE ON telemetry.replay FROM hanlu_ingest;
REVOKE INSERT, UPDATE, DELETE ON telemetry.dead_letter_count_v, telemetry.unapproved_channel FROM hanlu_ingest;
GRANT SELECT ON telemetry.dead_letter_count_v, telemetry.unapproved_channel
TO hanlu_ingest, hanlu_alerts, hanlu_trace, hanlu_registry;
