-- Roll-ups: how an hour follows from readings, and how a question is answered while some hours wait to be rolled up.

CREATE OR REPLACE FUNCTION telemetry.gap_limit(period_s double precision)
RETURNS interval LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT make_interval(secs => least(greatest(3 * period_s, 60), 172800));
END;
COMMENT ON FUNCTION telemetry.gap_limit(double precision) IS
'Two readings further apart have unknown time between them: three periods of the channel, at least a minute, at most two days.';

CREATE OR REPLACE FUNCTION telemetry.china_day(moment timestamptz)
RETURNS date LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    -- A fixed offset: China keeps one time and has had no summer time since 1991.
    SELECT (moment AT TIME ZONE INTERVAL '8 hours')::date;
END;
COMMENT ON FUNCTION telemetry.china_day(timestamptz) IS 'The day of China time (UTC+8) a moment falls on.';

CREATE OR REPLACE FUNCTION telemetry.china_midnight(day date)
RETURNS timestamptz LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT day::timestamp AT TIME ZONE INTERVAL '8 hours';
END;
COMMENT ON FUNCTION telemetry.china_midnight(date) IS 'The beginning of a day of China time.';

CREATE OR REPLACE FUNCTION telemetry.hours_from_readings(channel_ids integer[], hours timestamptz[])
RETURNS SETOF telemetry.hourly LANGUAGE sql STABLE
BEGIN ATOMIC
    -- Readings of the hour, and where they are near enough the last before and the first after it.
    WITH point AS (
        SELECT
            w.channel_id, w.hour_at, c.unit = '/' AS stepped,
            extract(epoch FROM telemetry.gap_limit(c.period_s))::double precision AS gap,
            date_part('epoch', r.observed_at) - date_part('epoch', w.hour_at) AS s,
            r.observed_at, r.value, r.quality
        FROM unnest(channel_ids, hours) AS w (channel_id, hour_at)
        JOIN registry.channel AS c USING (channel_id)
        CROSS JOIN LATERAL (
            (
                SELECT b.observed_at, b.value, b.quality
                FROM telemetry.reading_v AS b
                WHERE b.channel_id = w.channel_id AND b.quality < 2
                    AND b.observed_at >= w.hour_at - telemetry.gap_limit(c.period_s) AND b.observed_at < w.hour_at
                ORDER BY b.observed_at DESC
                LIMIT 1
            )
            UNION ALL
            SELECT i.observed_at, i.value, i.quality
            FROM telemetry.reading_v AS i
            WHERE i.channel_id = w.channel_id
                AND i.observed_at >= w.hour_at AND i.observed_at < w.hour_at + INTERVAL '1 hour'
            UNION ALL
            (
                SELECT a.observed_at, a.value, a.quality
                FROM telemetry.reading_v AS a
                WHERE a.channel_id = w.channel_id AND a.quality < 2
                    AND a.observed_at >= w.hour_at + INTERVAL '1 hour'
                    AND a.observed_at < w.hour_at + INTERVAL '1 hour' + telemetry.gap_limit(c.period_s)
                ORDER BY a.observed_at
                LIMIT 1
            )
        ) AS r
    ),
    line AS (
        SELECT
            p.*, lag(p.s) OVER o AS s0, lead(p.s) OVER o AS s1, lead(p.value) OVER o AS value1,
            p.quality < 2 AND p.s >= 0 AND p.s < 3600 AS counts
        FROM point AS p
        WINDOW o AS (PARTITION BY p.channel_id, p.hour_at, p.quality < 2 ORDER BY p.s)
    ),
    piece AS (
        -- The stretch to the next reading, as far as it lies in the hour, and the value at its two ends.
        SELECT
            l.*, t.width,
            CASE
                WHEN l.stepped THEN l.value
                ELSE l.value + (l.value1 - l.value) * ((t.a + t.b) / 2 - l.s) / (l.s1 - l.s)
            END AS middle
        FROM line AS l
        CROSS JOIN LATERAL (
            SELECT
                greatest(l.s, 0) AS a, least(l.s1, 3600) AS b,
                CASE
                    WHEN l.quality < 2 AND l.s1 - l.s <= l.gap
                        THEN greatest(least(l.s1, 3600) - greatest(l.s, 0), 0)
                    ELSE 0
                END AS width
        ) AS t
    )
    SELECT
        p.channel_id, p.hour_at,
        count(*) FILTER (WHERE p.counts)::integer,
        count(*) FILTER (WHERE p.counts AND p.quality = 1)::integer,
        count(*) FILTER (WHERE p.quality > 1)::integer,
        sum(p.width)::real,
        min(p.value) FILTER (WHERE p.counts),
        max(p.value) FILTER (WHERE p.counts),
        avg(p.value) FILTER (WHERE p.counts),
        sum(p.middle * p.width) FILTER (WHERE p.width > 0) / sum(p.width) FILTER (WHERE p.width > 0),
        min(p.observed_at) FILTER (WHERE p.counts),
        max(p.value) FILTER (WHERE p.counts AND coalesce(p.s0, -1) < 0),
        max(p.observed_at) FILTER (WHERE p.counts),
        max(p.value) FILTER (WHERE p.counts AND coalesce(p.s1, 3600) >= 3600)
    FROM piece AS p
    GROUP BY p.channel_id, p.hour_at
    HAVING bool_or(p.counts OR p.quality > 1) OR sum(p.width) > 0;
END;
COMMENT ON FUNCTION telemetry.hours_from_readings(integer[], timestamptz[]) IS
'Hours calculated from the readings, for parallel arrays of channels and beginnings of hours. Between two readings the value is on a straight line, of a dimensionless channel (a switch, a share) as it was. Source: OPC 10000-13 3.1.5, 3.1.6, 4.2.2.5.';

CREATE OR REPLACE FUNCTION telemetry.hours(channel integer, from_at timestamptz, to_at timestamptz)
RETURNS SETOF telemetry.hourly LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH due AS MATERIALIZED (
        SELECT array_agg(d.channel_id) AS channel_ids, array_agg(d.hour_at) AS hours
        FROM telemetry.hour_due AS d
        LEFT JOIN telemetry.kept AS k USING (channel_id)
        WHERE d.channel_id = channel AND d.hour_at >= from_at AND d.hour_at < to_at
            AND d.hour_at >= coalesce(k.raw_from, '-infinity')
    )
    SELECT h.*
    FROM telemetry.hourly AS h
    WHERE h.channel_id = channel AND h.hour_at >= from_at AND h.hour_at < to_at
        AND h.hour_at <> ALL (coalesce((SELECT due.hours FROM due), '{}'))
    UNION ALL
    SELECT f.* FROM due, telemetry.hours_from_readings(due.channel_ids, due.hours) AS f;
END;
COMMENT ON FUNCTION telemetry.hours(integer, timestamptz, timestamptz) IS
'The hours of a channel that begin in a span, in no order; those that wait to be rolled up are calculated from their readings.';

CREATE OR REPLACE FUNCTION telemetry.days_from_hours(channel integer, days date[])
RETURNS SETOF telemetry.daily LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT
        channel, d.day,
        sum(h.readings)::integer, sum(h.uncertain)::integer, sum(h.bad)::integer, sum(h.covered_s)::real,
        min(h.least), max(h.greatest),
        sum(h.mean * h.readings) / nullif(sum(h.readings), 0),
        sum(h.weighted * h.covered_s) / nullif(sum(h.covered_s), 0),
        min(h.first_at), (array_agg(h.first_value ORDER BY h.first_at))[1],
        max(h.last_at), (array_agg(h.last_value ORDER BY h.last_at DESC NULLS LAST))[1]
    FROM unnest(days) AS d (day)
    CROSS JOIN LATERAL telemetry.hours(
        channel, telemetry.china_midnight(d.day), telemetry.china_midnight(d.day + 1)
    ) AS h
    GROUP BY d.day;
END;
COMMENT ON FUNCTION telemetry.days_from_hours(integer, date[]) IS 'Days of a channel calculated from its hours.';

CREATE OR REPLACE FUNCTION telemetry.days(channel integer, from_day date, to_day date)
RETURNS SETOF telemetry.daily LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH due AS MATERIALIZED (
        SELECT coalesce(array_agg(DISTINCT d.day), '{}') AS days
        FROM (
            SELECT w.day FROM telemetry.day_due AS w
            WHERE w.channel_id = channel AND w.day >= from_day AND w.day < to_day
            UNION ALL
            SELECT telemetry.china_day(w.hour_at) FROM telemetry.hour_due AS w
            WHERE w.channel_id = channel AND w.hour_at >= telemetry.china_midnight(from_day)
                AND w.hour_at < telemetry.china_midnight(to_day)
        ) AS d
        LEFT JOIN telemetry.kept AS k ON k.channel_id = channel
        WHERE telemetry.china_midnight(d.day) >= coalesce(k.hour_from, '-infinity')
    )
    SELECT r.*
    FROM telemetry.daily AS r
    WHERE r.channel_id = channel AND r.day >= from_day AND r.day < to_day
        AND r.day <> ALL (coalesce((SELECT due.days FROM due), '{}'))
    UNION ALL
    SELECT f.* FROM due, telemetry.days_from_hours(channel, due.days) AS f;
END;
COMMENT ON FUNCTION telemetry.days(integer, date, date) IS
'The days of a channel in a span of days of China time, the end left out, in no order; those that changed are calculated from their hours.';

GRANT USAGE ON SCHEMA telemetry, registry TO hanlu_reader;
GRANT SELECT ON telemetry.reading_v, telemetry.latest_v, telemetry.hourly, telemetry.daily, telemetry.hour_due,
telemetry.day_due, telemetry.kept, registry.channel, registry.channel_v TO hanlu_reader;
GRANT SELECT (gateway_id, code) ON registry.gateway TO hanlu_reader;
GRANT SELECT (device_id, gateway_id, code) ON registry.device TO hanlu_reader;
GRANT SELECT ON telemetry.hourly, telemetry.daily, telemetry.hour_due, telemetry.day_due, telemetry.kept
TO hanlu_alerts, hanlu_trace;
-- What may be deleted, and what was, is for the command that runs as the owner.
REVOKE INSERT, UPDATE, DELETE ON telemetry.kept, telemetry.retention_rule, telemetry.legal_hold, telemetry.held,
telemetry.retention_run FROM hanlu_ingest;
