-- A role that only looks: the history of readings is asked for and exported through it, so that no mistake there can
-- write anything.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hanlu_reader') THEN
        BEGIN
            CREATE ROLE hanlu_reader NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database of this server made it a moment ago
        END;
    END IF;
    GRANT hanlu_reader TO CURRENT_USER;
END
$$;
