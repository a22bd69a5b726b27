-- One role per room that writes, each the owner of nothing and the writer of one schema. Processes connect as the
-- installing user and step down with SET ROLE, so one URL is all an operator configures.
DO $$
DECLARE
    room text;
BEGIN
    FOREACH room IN ARRAY ARRAY['hanlu_registry', 'hanlu_ingest', 'hanlu_alerts', 'hanlu_trace']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = room) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', room);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of this server made it a moment ago
            END;
        END IF;
        EXECUTE format('GRANT %I TO CURRENT_USER', room);
    END LOOP;
END
$$;
