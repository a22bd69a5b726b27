-- The sum of all migrations, written by pg_dump; never edited by hand.

CREATE SCHEMA alerts;

COMMENT ON SCHEMA alerts IS 'Alarms and their journal; written only by hanlu_alerts.';

CREATE SCHEMA hanlu;

CREATE SCHEMA registry;

COMMENT ON SCHEMA registry IS 'Who and where; written only by hanlu_registry.';

CREATE SCHEMA telemetry;

COMMENT ON SCHEMA telemetry IS 'What was measured; written only by hanlu_ingest.';

CREATE SCHEMA trace;

COMMENT ON SCHEMA trace IS 'What happened to things, and its proof; written only by hanlu_trace.';

CREATE FUNCTION alerts.stock_levels() RETURNS TABLE(site_id bigint, item text, item_zh text, item_en text, quantity double precision, unit text, minimum double precision, reserve double precision, expires_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    IF to_regclass('stock.level_v') IS NOT NULL THEN
        RETURN QUERY EXECUTE
            'SELECT site_id::bigint, item::text, item_zh::text, item_en::text, quantity::double precision, unit::text,'
            ' minimum::double precision, reserve::double precision, expires_at::timestamptz FROM stock.level_v';
    END IF;
END
$$;

COMMENT ON FUNCTION alerts.stock_levels() IS 'Levels by site and item as stock.level_v states them; none while there is no such view.';

CREATE FUNCTION telemetry.china_day(moment timestamp with time zone) RETURNS date
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ((moment AT TIME ZONE '08:00:00'::interval))::date AS timezone;
END;

COMMENT ON FUNCTION telemetry.china_day(moment timestamp with time zone) IS 'The day of China time (UTC+8) a moment falls on.';

CREATE FUNCTION telemetry.china_midnight(day date) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ((day)::timestamp without time zone AT TIME ZONE '08:00:00'::interval) AS timezone;
END;

COMMENT ON FUNCTION telemetry.china_midnight(day date) IS 'The beginning of a day of China time.';

CREATE TABLE registry.channel (
    channel_id integer NOT NULL,
    device_id bigint NOT NULL,
    metric text NOT NULL,
    unit text NOT NULL,
    period_s double precision NOT NULL,
    limit_profile_code text,
    CONSTRAINT channel_period_s_check CHECK ((period_s > (0)::double precision))
);

COMMENT ON COLUMN registry.channel.limit_profile_code IS 'Overrides the zone''s profile for this channel; null takes the zone''s.';

CREATE FUNCTION telemetry.chunk_span() RETURNS interval
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (r.rate > (8000)::double precision) THEN '02:00:00'::interval
             WHEN (r.rate > (3000)::double precision) THEN '04:00:00'::interval
             WHEN (r.rate > (1500)::double precision) THEN '12:00:00'::interval
             WHEN (r.rate > (150)::double precision) THEN '1 day'::interval
             ELSE '7 days'::interval
         END AS "case"
    FROM ( SELECT COALESCE(sum(((1)::double precision / channel.period_s)), (0)::double precision) AS rate
            FROM registry.channel) r;
END;

COMMENT ON FUNCTION telemetry.chunk_span() IS 'How long a chunk of readings should be for the readings a second that the registered channels promise.';

CREATE FUNCTION telemetry.chunks(table_name text) RETURNS TABLE(from_at timestamp with time zone, to_at timestamp with time zone, about_rows bigint, bytes bigint)
    LANGUAGE plpgsql STABLE
    AS $_$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        RETURN QUERY EXECUTE
            'SELECT k.range_start, k.range_end, greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)'
            ' FROM timescaledb_information.chunks AS k'
            ' JOIN pg_class AS c ON c.oid = format(''%I.%I'', k.chunk_schema, k.chunk_name)::regclass'
            ' WHERE k.hypertable_schema = ''telemetry'' AND k.hypertable_name = $1'
            USING table_name;
    END IF;
END
$_$;

COMMENT ON FUNCTION telemetry.chunks(table_name text) IS 'The chunks of a table of this schema: from, to (not included), rows as last counted, bytes with indices; none without TimescaleDB.';

CREATE FUNCTION telemetry.community_edition() RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT ((EXISTS ( SELECT
            FROM pg_extension
           WHERE (pg_extension.extname = 'timescaledb'::name))) AND (COALESCE(current_setting('timescaledb.license'::text, true), ''::text) = 'timescale'::text));
END;

COMMENT ON FUNCTION telemetry.community_edition() IS 'Whether the server has TimescaleDB under its own licence, and so compression; the Apache edition says "apache".';

CREATE FUNCTION telemetry.count_dead_letter() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION telemetry.gap_limit(period_s double precision) RETURNS interval
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT make_interval(secs => LEAST(GREATEST(((3)::double precision * period_s), (60)::double precision), (172800)::double precision)) AS make_interval;
END;

COMMENT ON FUNCTION telemetry.gap_limit(period_s double precision) IS 'Two readings further apart have unknown time between them: three periods of the channel, at least a minute, at most two days.';

CREATE TABLE telemetry.hourly (
    channel_id integer NOT NULL,
    hour_at timestamp with time zone NOT NULL,
    readings integer NOT NULL,
    uncertain integer NOT NULL,
    bad integer NOT NULL,
    covered_s real NOT NULL,
    "least" double precision,
    "greatest" double precision,
    mean double precision,
    weighted double precision,
    first_at timestamp with time zone,
    first_value double precision,
    last_at timestamp with time zone,
    last_value double precision
);

COMMENT ON TABLE telemetry.hourly IS 'What a channel measured in one hour, derived from its readings; written again whenever late readings change it.';

COMMENT ON COLUMN telemetry.hourly.hour_at IS 'Beginning of the hour, which ends before the next one.';

COMMENT ON COLUMN telemetry.hourly.readings IS 'Readings that count: good and uncertain ones. Bad ones are counted in bad and used for nothing.';

COMMENT ON COLUMN telemetry.hourly.uncertain IS 'Those of them that are uncertain.';

COMMENT ON COLUMN telemetry.hourly.covered_s IS 'Seconds of the hour that lie between two readings close enough to know the value in between.';

COMMENT ON COLUMN telemetry.hourly.mean IS 'Sum by number of readings: what a report over samples needs.';

COMMENT ON COLUMN telemetry.hourly.weighted IS 'Integral over the covered time by its length; null where nothing is covered.';

CREATE TABLE telemetry.reading (
    channel_id integer NOT NULL,
    observed_at timestamp with time zone NOT NULL,
    value double precision NOT NULL,
    quality smallint DEFAULT 0 NOT NULL
)
WITH (autovacuum_freeze_min_age='0');

COMMENT ON TABLE telemetry.reading IS 'One value of one channel at one instant; the key makes a reading count once, whatever is delivered twice.';

COMMENT ON COLUMN telemetry.reading.quality IS '0 good, 1 uncertain, 2 bad';

CREATE VIEW telemetry.reading_v AS
 SELECT channel_id,
    observed_at,
    value,
    quality
   FROM telemetry.reading;

COMMENT ON VIEW telemetry.reading_v IS 'Readings, for alerts and trace.';

CREATE FUNCTION telemetry.hours_from_readings(channel_ids integer[], hours timestamp with time zone[]) RETURNS SETOF telemetry.hourly
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 WITH point AS (
          SELECT w.channel_id,
             w.hour_at,
             (c.unit = '/'::text) AS stepped,
             (EXTRACT(epoch FROM telemetry.gap_limit(c.period_s)))::double precision AS gap,
             (date_part('epoch'::text, r.observed_at) - date_part('epoch'::text, w.hour_at)) AS s,
             r.observed_at,
             r.value,
             r.quality
            FROM ((UNNEST(hours_from_readings.channel_ids, hours_from_readings.hours) w(channel_id, hour_at)
              JOIN registry.channel c USING (channel_id))
              CROSS JOIN LATERAL (( SELECT b.observed_at,
                     b.value,
                     b.quality
                    FROM telemetry.reading_v b
                   WHERE ((b.channel_id = w.channel_id) AND (b.quality < 2) AND (b.observed_at >= (w.hour_at - telemetry.gap_limit(c.period_s))) AND (b.observed_at < w.hour_at))
                   ORDER BY b.observed_at DESC
                  LIMIT 1)
                 UNION ALL
                  SELECT i.observed_at,
                     i.value,
                     i.quality
                    FROM telemetry.reading_v i
                   WHERE ((i.channel_id = w.channel_id) AND (i.observed_at >= w.hour_at) AND (i.observed_at < (w.hour_at + '01:00:00'::interval)))
                 UNION ALL
                 ( SELECT a.observed_at,
                     a.value,
                     a.quality
                    FROM telemetry.reading_v a
                   WHERE ((a.channel_id = w.channel_id) AND (a.quality < 2) AND (a.observed_at >= (w.hour_at + '01:00:00'::interval)) AND (a.observed_at < ((w.hour_at + '01:00:00'::interval) + telemetry.gap_limit(c.period_s))))
                   ORDER BY a.observed_at
                  LIMIT 1)) r)
         ), line AS (
          SELECT p_1.channel_id,
             p_1.hour_at,
             p_1.stepped,
             p_1.gap,
             p_1.s,
             p_1.observed_at,
             p_1.value,
             p_1.quality,
             lag(p_1.s) OVER o AS s0,
             lead(p_1.s) OVER o AS s1,
             lead(p_1.value) OVER o AS value1,
             ((p_1.quality < 2) AND (p_1.s >= (0)::double precision) AND (p_1.s < (3600)::double precision)) AS counts
            FROM point p_1
           WINDOW o AS (PARTITION BY p_1.channel_id, p_1.hour_at, (p_1.quality < 2) ORDER BY p_1.s)
         ), piece AS (
          SELECT l.channel_id,
             l.hour_at,
             l.stepped,
             l.gap,
             l.s,
             l.observed_at,
             l.value,
             l.quality,
             l.s0,
             l.s1,
             l.value1,
             l.counts,
             t.width,
                 CASE
                     WHEN l.stepped THEN l.value
                     ELSE (l.value + (((l.value1 - l.value) * (((t.a + t.b) / (2)::double precision) - l.s)) / (l.s1 - l.s)))
                 END AS middle
            FROM (line l
              CROSS JOIN LATERAL ( SELECT GREATEST(l.s, (0)::double precision) AS a,
                     LEAST(l.s1, (3600)::double precision) AS b,
                         CASE
                             WHEN ((l.quality < 2) AND ((l.s1 - l.s) <= l.gap)) THEN GREATEST((LEAST(l.s1, (3600)::double precision) - GREATEST(l.s, (0)::double precision)), (0)::double precision)
                             ELSE (0)::double precision
                         END AS width) t)
         )
  SELECT p.channel_id,
     p.hour_at,
     (count(*) FILTER (WHERE p.counts))::integer AS count,
     (count(*) FILTER (WHERE (p.counts AND (p.quality = 1))))::integer AS count,
     (count(*) FILTER (WHERE (p.quality > 1)))::integer AS count,
     (sum(p.width))::real AS sum,
     min(p.value) FILTER (WHERE p.counts) AS min,
     max(p.value) FILTER (WHERE p.counts) AS max,
     avg(p.value) FILTER (WHERE p.counts) AS avg,
     (sum((p.middle * p.width)) FILTER (WHERE (p.width > (0)::double precision)) / sum(p.width) FILTER (WHERE (p.width > (0)::double precision))),
     min(p.observed_at) FILTER (WHERE p.counts) AS min,
     max(p.value) FILTER (WHERE (p.counts AND (COALESCE(p.s0, ('-1'::integer)::double precision) < (0)::double precision))) AS max,
     max(p.observed_at) FILTER (WHERE p.counts) AS max,
     max(p.value) FILTER (WHERE (p.counts AND (COALESCE(p.s1, (3600)::double precision) >= (3600)::double precision))) AS max
    FROM piece p
   GROUP BY p.channel_id, p.hour_at
  HAVING (bool_or((p.counts OR (p.quality > 1))) OR (sum(p.width) > (0)::double precision));
END;

COMMENT ON FUNCTION telemetry.hours_from_readings(channel_ids integer[], hours timestamp with time zone[]) IS 'Hours calculated from the readings, for parallel arrays of channels and beginnings of hours. Between two readings the value is on a straight line, of a dimensionless channel (a switch, a share) as it was. Source: OPC 10000-13 3.1.5, 3.1.6, 4.2.2.5.';

CREATE TABLE telemetry.hour_due (
    channel_id integer NOT NULL,
    hour_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.05');

COMMENT ON TABLE telemetry.hour_due IS 'Hours whose readings changed since they were rolled up; until then a question to them is answered from the readings.';

COMMENT ON COLUMN telemetry.hour_due.due_at IS 'Not before: an hour under way is rolled up once, when its readings have come.';

CREATE TABLE telemetry.kept (
    channel_id integer NOT NULL,
    raw_from timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    hour_from timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT kept_check CHECK ((hour_from <= raw_from))
);

COMMENT ON TABLE telemetry.kept IS 'Before these instants retention has deleted: roll-ups there stand for good, whatever arrives late.';

CREATE FUNCTION telemetry.hours(channel integer, from_at timestamp with time zone, to_at timestamp with time zone) RETURNS SETOF telemetry.hourly
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 WITH due AS MATERIALIZED (
          SELECT array_agg(d.channel_id) AS channel_ids,
             array_agg(d.hour_at) AS hours
            FROM (telemetry.hour_due d
              LEFT JOIN telemetry.kept k USING (channel_id))
           WHERE ((d.channel_id = hours.channel) AND (d.hour_at >= hours.from_at) AND (d.hour_at < hours.to_at) AND (d.hour_at >= COALESCE(k.raw_from, '-infinity'::timestamp with time zone)))
         )
  SELECT h.channel_id,
     h.hour_at,
     h.readings,
     h.uncertain,
     h.bad,
     h.covered_s,
     h."least",
     h."greatest",
     h.mean,
     h.weighted,
     h.first_at,
     h.first_value,
     h.last_at,
     h.last_value
    FROM telemetry.hourly h
   WHERE ((h.channel_id = hours.channel) AND (h.hour_at >= hours.from_at) AND (h.hour_at < hours.to_at) AND (h.hour_at <> ALL (COALESCE(( SELECT due.hours
            FROM due), '{}'::timestamp with time zone[]))))
 UNION ALL
  SELECT f.channel_id,
     f.hour_at,
     f.readings,
     f.uncertain,
     f.bad,
     f.covered_s,
     f."least",
     f."greatest",
     f.mean,
     f.weighted,
     f.first_at,
     f.first_value,
     f.last_at,
     f.last_value
    FROM due,
     LATERAL telemetry.hours_from_readings(due.channel_ids, due.hours) f(channel_id, hour_at, readings, uncertain, bad, covered_s, "least", "greatest", mean, weighted, first_at, first_value, last_at, last_value);
END;

COMMENT ON FUNCTION telemetry.hours(channel integer, from_at timestamp with time zone, to_at timestamp with time zone) IS 'The hours of a channel that begin in a span, in no order; those that wait to be rolled up are calculated from their readings.';

CREATE TABLE telemetry.daily (
    channel_id integer NOT NULL,
    day date NOT NULL,
    readings integer NOT NULL,
    uncertain integer NOT NULL,
    bad integer NOT NULL,
    covered_s real NOT NULL,
    "least" double precision,
    "greatest" double precision,
    mean double precision,
    weighted double precision,
    first_at timestamp with time zone,
    first_value double precision,
    last_at timestamp with time zone,
    last_value double precision
);

COMMENT ON TABLE telemetry.daily IS 'What a channel measured in one day of China time (UTC+8), derived from its hours.';

CREATE FUNCTION telemetry.days_from_hours(channel integer, days date[]) RETURNS SETOF telemetry.daily
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT days_from_hours.channel AS channel,
     d.day,
     (sum(h.readings))::integer AS sum,
     (sum(h.uncertain))::integer AS sum,
     (sum(h.bad))::integer AS sum,
     sum(h.covered_s) AS sum,
     min(h."least") AS min,
     max(h."greatest") AS max,
     (sum((h.mean * (h.readings)::double precision)) / (NULLIF(sum(h.readings), 0))::double precision),
     (sum((h.weighted * h.covered_s)) / NULLIF(sum(h.covered_s), (0)::double precision)),
     min(h.first_at) AS min,
     (array_agg(h.first_value ORDER BY h.first_at))[1] AS array_agg,
     max(h.last_at) AS max,
     (array_agg(h.last_value ORDER BY h.last_at DESC NULLS LAST))[1] AS array_agg
    FROM (unnest(days_from_hours.days) d(day)
      CROSS JOIN LATERAL telemetry.hours(days_from_hours.channel, telemetry.china_midnight(d.day), telemetry.china_midnight((d.day + 1))) h(channel_id, hour_at, readings, uncertain, bad, covered_s, "least", "greatest", mean, weighted, first_at, first_value, last_at, last_value))
   GROUP BY d.day;
END;

COMMENT ON FUNCTION telemetry.days_from_hours(channel integer, days date[]) IS 'Days of a channel calculated from its hours.';

CREATE TABLE telemetry.day_due (
    channel_id integer NOT NULL,
    day date NOT NULL,
    due_at timestamp with time zone NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.05');

COMMENT ON TABLE telemetry.day_due IS 'Days of which an hour was rolled up since they were.';

CREATE FUNCTION telemetry.days(channel integer, from_day date, to_day date) RETURNS SETOF telemetry.daily
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 WITH due AS MATERIALIZED (
          SELECT COALESCE(array_agg(DISTINCT d.day), '{}'::date[]) AS days
            FROM (( SELECT w.day
                    FROM telemetry.day_due w
                   WHERE ((w.channel_id = days.channel) AND (w.day >= days.from_day) AND (w.day < days.to_day))
                 UNION ALL
                  SELECT telemetry.china_day(w.hour_at) AS china_day
                    FROM telemetry.hour_due w
                   WHERE ((w.channel_id = days.channel) AND (w.hour_at >= telemetry.china_midnight(days.from_day)) AND (w.hour_at < telemetry.china_midnight(days.to_day)))) d
              LEFT JOIN telemetry.kept k ON ((k.channel_id = days.channel)))
           WHERE (telemetry.china_midnight(d.day) >= COALESCE(k.hour_from, '-infinity'::timestamp with time zone))
         )
  SELECT r.channel_id,
     r.day,
     r.readings,
     r.uncertain,
     r.bad,
     r.covered_s,
     r."least",
     r."greatest",
     r.mean,
     r.weighted,
     r.first_at,
     r.first_value,
     r.last_at,
     r.last_value
    FROM telemetry.daily r
   WHERE ((r.channel_id = days.channel) AND (r.day >= days.from_day) AND (r.day < days.to_day) AND (r.day <> ALL (COALESCE(( SELECT due.days
            FROM due), '{}'::date[]))))
 UNION ALL
  SELECT f.channel_id,
     f.day,
     f.readings,
     f.uncertain,
     f.bad,
     f.covered_s,
     f."least",
     f."greatest",
     f.mean,
     f.weighted,
     f.first_at,
     f.first_value,
     f.last_at,
     f.last_value
    FROM due,
     LATERAL telemetry.days_from_hours(days.channel, due.days) f(channel_id, day, readings, uncertain, bad, covered_s, "least", "greatest", mean, weighted, first_at, first_value, last_at, last_value);
END;

COMMENT ON FUNCTION telemetry.days(channel integer, from_day date, to_day date) IS 'The days of a channel in a span of days of China time, the end left out, in no order; those that changed are calculated from their hours.';

CREATE FUNCTION telemetry.drop_chunk(table_name text, from_at timestamp with time zone, to_at timestamp with time zone) RETURNS integer
    LANGUAGE plpgsql
    AS $_$
DECLARE
    dropped integer;
BEGIN
    EXECUTE 'SELECT count(*)::integer FROM drop_chunks($1, older_than => $3, newer_than => $2)'
    INTO dropped USING format('telemetry.%I', table_name)::regclass, from_at, to_at;
    RETURN dropped;
END
$_$;

COMMENT ON FUNCTION telemetry.drop_chunk(table_name text, from_at timestamp with time zone, to_at timestamp with time zone) IS 'Drops the chunks of a table of this schema that lie in a span; acts with the rights of who calls it, so for the owner only.';

CREATE TABLE alerts.acknowledge_link (
    token_sha256 bytea NOT NULL,
    notification_id bigint NOT NULL,
    receiver_id bigint NOT NULL,
    alarm_ids bigint[] NOT NULL,
    versions integer[] NOT NULL,
    made_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT acknowledge_link_check CHECK ((expires_at > made_at)),
    CONSTRAINT acknowledge_link_check1 CHECK (((cardinality(alarm_ids) = cardinality(versions)) AND (cardinality(alarm_ids) > 0))),
    CONSTRAINT acknowledge_link_token_sha256_check CHECK ((octet_length(token_sha256) = 32))
);

COMMENT ON TABLE alerts.acknowledge_link IS 'One-use links of messages that acknowledge; only hashes, so a copy of this table opens nothing.';

COMMENT ON COLUMN alerts.acknowledge_link.versions IS 'Versions of the calls the message was about, alarm by alarm.';

CREATE TABLE alerts.alarm (
    alarm_id bigint NOT NULL,
    channel_id integer,
    kind text NOT NULL,
    priority smallint NOT NULL,
    process_state text NOT NULL,
    suppression_state text DEFAULT 'NONE'::text NOT NULL,
    limit_value double precision,
    exceeded_at timestamp with time zone NOT NULL,
    raised_at timestamp with time zone NOT NULL,
    detected_at timestamp with time zone NOT NULL,
    returned_at timestamp with time zone,
    acknowledged_at timestamp with time zone,
    acknowledged_by text,
    note text,
    peak double precision,
    peak_at timestamp with time zone,
    replayed boolean DEFAULT false NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    site_id bigint,
    item text,
    item_zh text,
    item_en text,
    rule_code text,
    rule_version integer,
    cause text DEFAULT 'unknown'::text NOT NULL,
    hold_reason text,
    explained_by bigint,
    latches boolean DEFAULT false NOT NULL,
    called_at timestamp with time zone,
    respond_by timestamp with time zone,
    re_alarm_at timestamp with time zone,
    assignee text,
    plant_hold text,
    respond_s integer,
    re_alarm_s integer,
    unit text,
    CONSTRAINT alarm_hold CHECK (((suppression_state <> 'SUPPRESSED_BY_DESIGN'::text) OR (hold_reason IS NOT NULL))),
    CONSTRAINT alarm_kind_check CHECK ((kind = ANY (ARRAY['high'::text, 'low'::text, 'high_high'::text, 'low_low'::text, 'rate'::text, 'time_to_limit'::text, 'dose'::text, 'out_of_range'::text, 'no_data'::text, 'gap'::text, 'stuck'::text, 'drift'::text, 'door'::text, 'power'::text, 'compressor'::text, 'defrost_long'::text, 'defrost_often'::text, 'defrost_recovery'::text, 'spool'::text, 'clock'::text, 'calibration'::text, 'stock'::text, 'reserve'::text, 'expiry'::text]))),
    CONSTRAINT alarm_priority_check CHECK (((priority >= 1) AND (priority <= 3))),
    CONSTRAINT alarm_process_state_check CHECK ((process_state = ANY (ARRAY['NORMAL'::text, 'UNACKNOWLEDGED'::text, 'ACKNOWLEDGED'::text, 'RTN_UNACKNOWLEDGED'::text, 'LATCHED_UNACKNOWLEDGED'::text, 'LATCHED_ACKNOWLEDGED'::text]))),
    CONSTRAINT alarm_subject CHECK (((channel_id IS NULL) = ((item IS NOT NULL) AND (site_id IS NOT NULL)))),
    CONSTRAINT alarm_suppression_state_check CHECK ((suppression_state = ANY (ARRAY['NONE'::text, 'SHELVED'::text, 'SUPPRESSED_BY_DESIGN'::text, 'OUT_OF_SERVICE'::text])))
);

COMMENT ON TABLE alerts.alarm IS 'One occurrence of an alarm, from being raised to normal; a channel and kind have at most one that is not NORMAL and not returned.';

COMMENT ON COLUMN alerts.alarm.channel_id IS 'What measured it; null for goods at a place (site_id, item).';

COMMENT ON COLUMN alerts.alarm.exceeded_at IS 'Observation time at which the limit was first exceeded (start of the excursion).';

COMMENT ON COLUMN alerts.alarm.raised_at IS 'Observation time at which the on-delay had passed.';

COMMENT ON COLUMN alerts.alarm.detected_at IS 'Platform time of raising.';

COMMENT ON COLUMN alerts.alarm.peak IS 'Worst value between exceeded_at and returned_at; late readings correct it, and the journal says so.';

COMMENT ON COLUMN alerts.alarm.version IS 'Counts journal entries; acknowledging names the version it saw.';

COMMENT ON COLUMN alerts.alarm.item IS 'Goods the alarm is about, by the key of the stock view; item_zh and item_en are how people call them.';

COMMENT ON COLUMN alerts.alarm.rule_code IS 'Rule and version that raised it; null for alarms from before rules were data.';

COMMENT ON COLUMN alerts.alarm.cause IS 'What probably lies behind it, as far as the readings tell (hanlu.alerts.kind.Cause); may change while it stands.';

COMMENT ON COLUMN alerts.alarm.hold_reason IS 'Why nobody is called while suppressed: hanlu.alerts.kind.Hold, or what the person said who shelved it.';

COMMENT ON COLUMN alerts.alarm.explained_by IS 'The alarm (power, gateway) that explains this one and speaks for it.';

COMMENT ON COLUMN alerts.alarm.latches IS 'Its rule waits for a reset.';

COMMENT ON COLUMN alerts.alarm.called_at IS 'Platform time at which it first asked for a person; null while it never did.';

COMMENT ON COLUMN alerts.alarm.respond_by IS 'called_at plus the rule''s time to respond.';

COMMENT ON COLUMN alerts.alarm.re_alarm_at IS 'When an acknowledged alarm that still stands calls again; null never.';

COMMENT ON COLUMN alerts.alarm.assignee IS 'Login of the person who took it on.';

COMMENT ON COLUMN alerts.alarm.plant_hold IS 'Why the plant''s logic holds it now (hanlu.alerts.kind.Hold), whatever the suppression state shows: it may be shelved as well.';

COMMENT ON COLUMN alerts.alarm.respond_s IS 'Its rule''s time to respond, seconds.';

COMMENT ON COLUMN alerts.alarm.re_alarm_s IS 'Seconds from an acknowledgement until it calls again, by its rule; null never.';

COMMENT ON COLUMN alerts.alarm.unit IS 'SenML unit of limit_value and peak when it was raised; null for what has none.';

ALTER TABLE alerts.alarm ALTER COLUMN alarm_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.alarm_alarm_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE registry.device (
    device_id bigint NOT NULL,
    gateway_id bigint NOT NULL,
    zone_id bigint,
    code text NOT NULL,
    kind text NOT NULL,
    CONSTRAINT device_code_check CHECK ((code ~ '^[a-z0-9][a-z0-9-]{0,39}$'::text))
);

CREATE TABLE registry.gateway (
    gateway_id bigint NOT NULL,
    site_id bigint NOT NULL,
    code text NOT NULL,
    partition smallint NOT NULL,
    accepts_unsigned boolean DEFAULT false NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT gateway_code_check CHECK ((code ~ '^[a-z0-9][a-z0-9-]{0,39}$'::text)),
    CONSTRAINT gateway_partition_check CHECK (((partition >= 0) AND (partition <= 63)))
);

COMMENT ON COLUMN registry.gateway.revoked_at IS 'Since when nothing is taken from it any more; a new enrolment clears it.';

CREATE TABLE registry.limit_profile (
    limit_profile_id bigint NOT NULL,
    code text NOT NULL,
    effective_from date NOT NULL,
    metric text DEFAULT 'air_temperature'::text NOT NULL,
    unit text DEFAULT 'Cel'::text NOT NULL,
    low double precision,
    high double precision,
    deadband double precision DEFAULT 0.5 NOT NULL,
    on_delay_s integer DEFAULT 600 NOT NULL,
    off_delay_s integer DEFAULT 60 NOT NULL,
    no_data_s integer DEFAULT 600 NOT NULL,
    priority smallint DEFAULT 2 NOT NULL,
    source text NOT NULL,
    CONSTRAINT limit_profile_check CHECK (((low IS NULL) OR (high IS NULL) OR (low < high))),
    CONSTRAINT limit_profile_deadband_check CHECK ((deadband >= (0)::double precision)),
    CONSTRAINT limit_profile_no_data_s_check CHECK (((no_data_s >= 10) AND (no_data_s <= 604800))),
    CONSTRAINT limit_profile_off_delay_s_check CHECK (((off_delay_s >= 0) AND (off_delay_s <= 86400))),
    CONSTRAINT limit_profile_on_delay_s_check CHECK (((on_delay_s >= 0) AND (on_delay_s <= 86400))),
    CONSTRAINT limit_profile_priority_check CHECK (((priority >= 1) AND (priority <= 3)))
);

COMMENT ON TABLE registry.limit_profile IS 'Dated, sourced limits of a product or room class: editable records, never constants.';

COMMENT ON COLUMN registry.limit_profile.priority IS '1 critical, 2 high, 3 low';

CREATE VIEW registry.limit_profile_now AS
 SELECT DISTINCT ON (code, metric) limit_profile_id,
    code,
    effective_from,
    metric,
    unit,
    low,
    high,
    deadband,
    on_delay_s,
    off_delay_s,
    no_data_s,
    priority,
    source
   FROM registry.limit_profile
  WHERE (effective_from <= ((now() AT TIME ZONE 'Asia/Shanghai'::text))::date)
  ORDER BY code, metric, effective_from DESC;

COMMENT ON VIEW registry.limit_profile_now IS 'The limits in force today (China time).';

CREATE TABLE registry.organisation (
    organisation_id bigint NOT NULL,
    parent_id bigint,
    level smallint NOT NULL,
    code text NOT NULL,
    name_zh text NOT NULL,
    name_en text NOT NULL,
    path text NOT NULL,
    CONSTRAINT organisation_check CHECK (((parent_id IS NULL) = (level = 1))),
    CONSTRAINT organisation_path_check CHECK ((path ~ '^/([0-9]+/)+$'::text))
);

COMMENT ON COLUMN registry.organisation.path IS 'Ids from the root, /1/4/9/: a person scoped to a node sees every path that starts with it.';

CREATE TABLE registry.site (
    site_id bigint NOT NULL,
    organisation_id bigint NOT NULL,
    participant_id bigint,
    code text NOT NULL,
    name_zh text NOT NULL,
    name_en text NOT NULL,
    kind text NOT NULL,
    gln text,
    latitude double precision,
    longitude double precision,
    CONSTRAINT site_gln_check CHECK ((gln ~ '^[0-9]{13}$'::text)),
    CONSTRAINT site_kind_check CHECK ((kind = ANY (ARRAY['field'::text, 'pre_cooler'::text, 'cold_store'::text, 'truck'::text, 'locker'::text, 'shop'::text, 'drone'::text, 'depot'::text]))),
    CONSTRAINT site_latitude_check CHECK (((latitude >= ('-90'::integer)::double precision) AND (latitude <= (90)::double precision))),
    CONSTRAINT site_longitude_check CHECK (((longitude >= ('-180'::integer)::double precision) AND (longitude <= (180)::double precision)))
);

CREATE TABLE registry.zone (
    zone_id bigint NOT NULL,
    site_id bigint NOT NULL,
    code text NOT NULL,
    name_zh text NOT NULL,
    name_en text NOT NULL,
    gln text,
    limit_profile_code text,
    CONSTRAINT zone_gln_check CHECK ((gln ~ '^[0-9]{13}$'::text))
);

COMMENT ON COLUMN registry.zone.gln IS 'GLN of the room as a location; events name it as https://id.gs1.org/414/<gln>.';

CREATE VIEW registry.channel_v AS
 SELECT c.channel_id,
    ((((g.code || '/'::text) || d.code) || '/'::text) || c.metric) AS channel,
    ((d.code || '/'::text) || c.metric) AS wire_name,
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
    COALESCE(p.no_data_s, (GREATEST(((10)::double precision * c.period_s), (300)::double precision))::integer) AS no_data_s,
    COALESCE(p.priority, (3)::smallint) AS priority
   FROM ((((((registry.channel c
     JOIN registry.device d USING (device_id))
     JOIN registry.gateway g USING (gateway_id))
     LEFT JOIN registry.zone z USING (zone_id))
     JOIN registry.site s ON ((s.site_id = COALESCE(z.site_id, g.site_id))))
     JOIN registry.organisation o USING (organisation_id))
     LEFT JOIN registry.limit_profile_now p ON (((p.code = COALESCE(c.limit_profile_code, z.limit_profile_code)) AND (p.metric = c.metric))));

COMMENT ON VIEW registry.channel_v IS 'A channel with where it stands, whose it is and its limits in force; the contract with ingest, alerts and trace.';

CREATE VIEW alerts.alarm_place_v AS
 SELECT a.alarm_id,
    COALESCE(c.organisation_path, o.path) AS organisation_path,
    COALESCE(c.site_id, s.site_id) AS site_id,
    COALESCE(c.site, s.code) AS site,
    COALESCE(c.site_zh, s.name_zh) AS site_zh,
    COALESCE(c.site_en, s.name_en) AS site_en,
    c.zone_id,
    COALESCE(c.zone, ((c.gateway || '~'::text) || c.device), a.item) AS zone,
    COALESCE(c.zone_zh, c.device, a.item_zh) AS zone_zh,
    COALESCE(c.zone_en, c.device, a.item_en) AS zone_en,
    c.gateway_id,
    c.gateway,
    c.device,
    COALESCE(c.metric, a.kind) AS metric,
    COALESCE(c.unit, ''::text) AS unit,
    COALESCE(c.period_s, (0)::double precision) AS period_s,
    c.low,
    c.high,
    c.limit_profile
   FROM (((alerts.alarm a
     LEFT JOIN registry.channel_v c USING (channel_id))
     LEFT JOIN registry.site s ON ((s.site_id = a.site_id)))
     LEFT JOIN registry.organisation o ON ((o.organisation_id = s.organisation_id)));

COMMENT ON VIEW alerts.alarm_place_v IS 'Where an alarm is and whose, for alarms of channels and of goods alike; joins alerts.alarm by alarm_id.';

CREATE VIEW alerts.alarm_v AS
 SELECT alarm_id,
    channel_id,
    kind,
    priority,
    process_state,
    suppression_state,
    limit_value,
    exceeded_at,
    raised_at,
    returned_at,
    acknowledged_at,
    peak,
    peak_at,
    replayed
   FROM alerts.alarm;

COMMENT ON VIEW alerts.alarm_v IS 'Alarms for the trace room; who acknowledged is not in it.';

CREATE TABLE alerts.calibration (
    calibration_id bigint NOT NULL,
    channel_id integer NOT NULL,
    due_on date NOT NULL,
    certificate text DEFAULT ''::text NOT NULL,
    actor text NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE alerts.calibration IS 'When a channel''s sensor is to be calibrated next, append only: the latest entry holds.';

ALTER TABLE alerts.calibration ALTER COLUMN calibration_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.calibration_calibration_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE alerts.cursor (
    name text NOT NULL,
    txid xid8 NOT NULL,
    arrival_id bigint NOT NULL
);

COMMENT ON TABLE alerts.cursor IS 'How far a follower of telemetry.arrival_feed has come; moves in the transaction of what it caused.';

CREATE TABLE alerts.escalation (
    organisation_id bigint NOT NULL,
    document jsonb NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by text NOT NULL
);

COMMENT ON TABLE alerts.escalation IS 'Who is called for alarms of a node of the organisation tree, and when the node above is.';

COMMENT ON COLUMN alerts.escalation.document IS 'A hanlu.alerts.people.escalation.Policy as JSON.';

CREATE TABLE alerts.excursion (
    excursion_id bigint NOT NULL,
    channel_id integer NOT NULL,
    side text NOT NULL,
    limit_value double precision NOT NULL,
    standing boolean NOT NULL,
    from_at timestamp with time zone NOT NULL,
    to_at timestamp with time zone,
    span_to timestamp with time zone,
    known_until timestamp with time zone,
    minutes double precision,
    unknown_minutes double precision,
    degree_minutes double precision,
    peak double precision,
    peak_at timestamp with time zone,
    mean double precision,
    kinetic double precision,
    readings integer DEFAULT 0 NOT NULL,
    digest text,
    kinetic_day double precision,
    known_day double precision,
    kinetic_month double precision,
    known_month double precision,
    windows_at timestamp with time zone,
    computed_at timestamp with time zone NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    corrections integer DEFAULT 0 NOT NULL,
    merged_into bigint,
    unit text DEFAULT ''::text NOT NULL,
    gap_ms bigint DEFAULT 600000 NOT NULL,
    CONSTRAINT excursion_check CHECK (((digest IS NULL) = (readings = 0))),
    CONSTRAINT excursion_check1 CHECK (((NOT standing) OR ((to_at IS NULL) AND (span_to IS NULL)))),
    CONSTRAINT excursion_gap_ms_check CHECK ((gap_ms > 0)),
    CONSTRAINT excursion_side_check CHECK ((side = ANY (ARRAY['high'::text, 'low'::text])))
);

COMMENT ON TABLE alerts.excursion IS 'A span beyond a limit, one row however many alarms (high, high_high) it raised; figures as of computed_at.';

COMMENT ON COLUMN alerts.excursion.limit_value IS 'The outer limit of its alarms, in the channel''s unit; what lies beyond an inner one lies beyond it too.';

COMMENT ON COLUMN alerts.excursion.from_at IS 'Where the limit was crossed, interpolated; what the alarm says where no reading is left.';

COMMENT ON COLUMN alerts.excursion.to_at IS 'Where it was crossed back; null while it stands.';

COMMENT ON COLUMN alerts.excursion.span_to IS 'When the last of its alarms returned.';

COMMENT ON COLUMN alerts.excursion.known_until IS 'Newest reading used.';

COMMENT ON COLUMN alerts.excursion.unknown_minutes IS 'Of gaps inside: neither within the limit nor beyond it.';

COMMENT ON COLUMN alerts.excursion.kinetic IS 'Mean kinetic temperature over the excursion, degrees Celsius; null for other units.';

COMMENT ON COLUMN alerts.excursion.digest IS 'SHA-256 of the readings used (hanlu.alerts.excursion.figures.digest).';

COMMENT ON COLUMN alerts.excursion.kinetic_day IS 'Over the 24 h, and kinetic_month over the 30 d, before its end or known_until; known_* are the minutes known in them.';

COMMENT ON COLUMN alerts.excursion.windows_at IS 'When those were computed; null: they are due.';

COMMENT ON COLUMN alerts.excursion.version IS 'The latest entry of alerts.excursion_version.';

COMMENT ON COLUMN alerts.excursion.corrections IS 'How many of them are corrections by late data.';

COMMENT ON COLUMN alerts.excursion.merged_into IS 'The excursion it turned out to be a part of; this row is kept for its number.';

COMMENT ON COLUMN alerts.excursion.unit IS 'SenML unit of the channel when it began.';

COMMENT ON COLUMN alerts.excursion.gap_ms IS 'Readings further apart, in milliseconds, had unknown time between them when it began.';

CREATE TABLE alerts.excursion_alarm (
    alarm_id bigint NOT NULL,
    excursion_id bigint NOT NULL
);

COMMENT ON TABLE alerts.excursion_alarm IS 'Which excursion an alarm belongs to: one, whatever is done twice.';

ALTER TABLE alerts.excursion ALTER COLUMN excursion_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.excursion_excursion_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE alerts.excursion_version (
    excursion_id bigint NOT NULL,
    version integer NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    why text NOT NULL,
    before jsonb,
    after jsonb NOT NULL,
    CONSTRAINT excursion_version_version_check CHECK ((version > 0)),
    CONSTRAINT excursion_version_why_check CHECK ((why = ANY (ARRAY['begun'::text, 'grew'::text, 'ended'::text, 'late_data'::text, 'joined'::text, 'merged'::text])))
);

COMMENT ON TABLE alerts.excursion_version IS 'Every change of figures that were reported, append only: what was said before and what after, and why.';

COMMENT ON COLUMN alerts.excursion_version.why IS 'begun; grew (it still stands; written once an hour); ended; late_data (readings came that belong into what had been reported); joined (an alarm of an outer limit belongs to it); merged.';

CREATE VIEW alerts.follower_v AS
 SELECT n.name,
    COALESCE(c.txid, '0'::xid8) AS txid,
    COALESCE(c.arrival_id, (0)::bigint) AS arrival_id
   FROM (( VALUES ('engine'::text), ('excursion'::text)) n(name)
     LEFT JOIN alerts.cursor c USING (name));

COMMENT ON VIEW alerts.follower_v IS 'How far this room''s followers of the arrivals have come, also those that never began; ingest keeps what they have not passed.';

CREATE TABLE alerts.handover (
    handover_id bigint NOT NULL,
    site_id bigint NOT NULL,
    corrects bigint,
    body text NOT NULL,
    facts jsonb NOT NULL,
    signed_by text NOT NULL,
    signed_at timestamp with time zone NOT NULL,
    CONSTRAINT handover_body_check CHECK ((char_length(body) <= 4000)),
    CONSTRAINT handover_check CHECK ((corrects < handover_id))
);

COMMENT ON TABLE alerts.handover IS 'What one shift tells the next about a site, append only: a correction is a new note that names the old one, once.';

COMMENT ON COLUMN alerts.handover.facts IS 'What stood open when it was signed, as hanlu.alerts.shift.handover.Facts.';

COMMENT ON COLUMN alerts.handover.signed_by IS 'Login of the person who hands over.';

ALTER TABLE alerts.handover ALTER COLUMN handover_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.handover_handover_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE alerts.handover_taken (
    handover_id bigint NOT NULL,
    signed_by text NOT NULL,
    taken_by text NOT NULL,
    taken_at timestamp with time zone NOT NULL,
    remark text DEFAULT ''::text NOT NULL,
    CONSTRAINT handover_taken_remark_check CHECK ((char_length(remark) <= 500)),
    CONSTRAINT handover_two_people CHECK ((taken_by <> signed_by))
);

COMMENT ON TABLE alerts.handover_taken IS 'The second signature: another person has read the note and takes over. Append only.';

CREATE TABLE alerts.holiday (
    day date NOT NULL,
    work boolean NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by text NOT NULL
);

COMMENT ON TABLE alerts.holiday IS 'Days that are otherwise than the official calendar says (China time).';

COMMENT ON COLUMN alerts.holiday.work IS 'True: a working day; false: a day off.';

CREATE TABLE alerts.journal (
    journal_id bigint NOT NULL,
    txid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    alarm_id bigint NOT NULL,
    version integer NOT NULL,
    at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    event text NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    actor text NOT NULL,
    value double precision,
    note text DEFAULT ''::text NOT NULL
);

COMMENT ON TABLE alerts.journal IS 'Every transition once, append only; the unique pair is what makes a repeated run harmless.';

COMMENT ON COLUMN alerts.journal.at IS 'When it happened: observation time for the process, platform time for people.';

COMMENT ON COLUMN alerts.journal.event IS 'Words of hanlu.alerts.alarm (Event, SuppressionEvent), correct (a late reading changed the record), cause, assign, explain';

COMMENT ON COLUMN alerts.journal.actor IS 'engine, or the login of a person';

CREATE TABLE alerts.journal_cursor (
    name text NOT NULL,
    txid xid8 NOT NULL,
    journal_id bigint NOT NULL
);

COMMENT ON TABLE alerts.journal_cursor IS 'How far a follower of alerts.journal_feed has come; moves in the transaction of what it caused.';

CREATE VIEW alerts.journal_feed AS
 SELECT txid,
    journal_id,
    alarm_id,
    version,
    at,
    recorded_at,
    event,
    from_state,
    to_state,
    actor,
    value,
    note
   FROM alerts.journal
  WHERE (txid < pg_snapshot_xmin(pg_current_snapshot()));

COMMENT ON VIEW alerts.journal_feed IS 'Journal entries whose transaction is over for every snapshot: follow it by (txid, journal_id) > cursor, in that order.';

ALTER TABLE alerts.journal ALTER COLUMN journal_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.journal_journal_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE alerts.memory (
    channel_id integer NOT NULL,
    state jsonb NOT NULL,
    unit text NOT NULL,
    step_ms bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE alerts.memory IS 'What the judges remember of a channel (hanlu.alerts.judge.room.Memory), so that a kill loses nothing; changes with its readings, in the transaction of what they caused.';

COMMENT ON COLUMN alerts.memory.unit IS 'SenML unit its values are in: what was measured in another one tells nothing.';

COMMENT ON COLUMN alerts.memory.step_ms IS 'How far the channel''s clock has stepped back, milliseconds; added to its instants when they are judged.';

CREATE TABLE alerts.mute (
    mute_id bigint NOT NULL,
    organisation_id bigint NOT NULL,
    site_id bigint,
    priorities smallint[] NOT NULL,
    begins_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    reason text NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    made_by text NOT NULL,
    CONSTRAINT mute_check CHECK ((begins_at < ends_at)),
    CONSTRAINT mute_priorities_check CHECK (((priorities <@ ARRAY[(1)::smallint, (2)::smallint, (3)::smallint]) AND (cardinality(priorities) > 0))),
    CONSTRAINT mute_reason_check CHECK ((reason <> ''::text))
);

COMMENT ON TABLE alerts.mute IS 'Times in which nobody is told of some alarms; the alarms themselves stand in the console as ever.';

COMMENT ON COLUMN alerts.mute.site_id IS 'One site; null = all below the organisation.';

ALTER TABLE alerts.mute ALTER COLUMN mute_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.mute_mute_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE alerts.notification (
    notification_id bigint NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    receiver_id bigint NOT NULL,
    purpose text NOT NULL,
    group_key text NOT NULL,
    priority smallint NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    made_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    possible_repeat boolean DEFAULT false NOT NULL,
    content text,
    message text,
    CONSTRAINT notification_check CHECK (((state = ANY (ARRAY['sent'::text, 'failed'::text, 'dropped'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT notification_check1 CHECK (((state <> ALL (ARRAY['failed'::text, 'dropped'::text])) OR (reason <> ''::text))),
    CONSTRAINT notification_priority_check CHECK (((priority >= 1) AND (priority <= 3))),
    CONSTRAINT notification_purpose_check CHECK ((purpose = ANY (ARRAY['call'::text, 'return'::text, 'digest'::text, 'test'::text]))),
    CONSTRAINT notification_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'sending'::text, 'sent'::text, 'failed'::text, 'dropped'::text])))
);

COMMENT ON TABLE alerts.notification IS 'One message to one receiver, about one alarm or several of one site.';

COMMENT ON COLUMN alerts.notification.group_key IS 'What is put into one message while it waits, e.g. site:7.';

COMMENT ON COLUMN alerts.notification.possible_repeat IS 'The channel''s answer to an earlier attempt was lost; the text says so too.';

COMMENT ON COLUMN alerts.notification.content IS 'Hash of what it is about, to tell repeated ones; null while it gathers.';

COMMENT ON COLUMN alerts.notification.message IS 'The text as it was sent, without the link that acknowledges.';

CREATE TABLE alerts.notification_attempt (
    notification_attempt_id bigint NOT NULL,
    notification_id bigint NOT NULL,
    number integer NOT NULL,
    at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    retry_at timestamp with time zone,
    line text NOT NULL,
    CONSTRAINT notification_attempt_outcome_check CHECK ((outcome = ANY (ARRAY['begun'::text, 'sent'::text, 'retry'::text, 'limited'::text, 'lost'::text, 'permanent'::text])))
);

COMMENT ON TABLE alerts.notification_attempt IS 'Every attempt, append only: begun before the call, what came of it after.';

COMMENT ON COLUMN alerts.notification_attempt.outcome IS 'begun, sent, retry (refused for now), limited (too many: its line waits until retry_at), lost (no answer: it may have been told), permanent (refused for good).';

ALTER TABLE alerts.notification_attempt ALTER COLUMN notification_attempt_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.notification_attempt_notification_attempt_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE alerts.notification_line (
    notification_line_id bigint NOT NULL,
    alarm_id bigint NOT NULL,
    version integer NOT NULL,
    purpose text NOT NULL,
    step integer NOT NULL,
    target text NOT NULL,
    receiver_id bigint,
    notification_id bigint,
    state text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    made_at timestamp with time zone NOT NULL,
    CONSTRAINT notification_line_check CHECK (((state <> 'dropped'::text) OR (reason <> ''::text))),
    CONSTRAINT notification_line_check1 CHECK (((notification_id IS NOT NULL) OR (state = 'dropped'::text))),
    CONSTRAINT notification_line_purpose_check CHECK ((purpose = ANY (ARRAY['call'::text, 'return'::text, 'digest'::text]))),
    CONSTRAINT notification_line_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'told'::text, 'failed'::text, 'dropped'::text])))
);

COMMENT ON TABLE alerts.notification_line IS 'That somebody is to be told of an alarm, or why not; its key makes planning harmless to repeat.';

COMMENT ON COLUMN alerts.notification_line.target IS 'Code of the receiver, or rota:<code> when it names nobody, or - when no policy names anybody.';

ALTER TABLE alerts.notification_line ALTER COLUMN notification_line_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.notification_line_notification_line_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE alerts.notification ALTER COLUMN notification_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.notification_notification_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE alerts.people_history (
    people_history_id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    actor text NOT NULL,
    subject text NOT NULL,
    code text NOT NULL,
    document jsonb,
    CONSTRAINT people_history_subject_check CHECK ((subject = ANY (ARRAY['receiver'::text, 'rota'::text, 'escalation'::text, 'holiday'::text, 'mute'::text])))
);

COMMENT ON TABLE alerts.people_history IS 'Every version of receivers (without secrets), rotas, policies, holidays and mutes; append only; null = taken away.';

ALTER TABLE alerts.people_history ALTER COLUMN people_history_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.people_history_people_history_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE alerts.receiver (
    receiver_id bigint NOT NULL,
    organisation_id bigint NOT NULL,
    code text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    lang text DEFAULT 'zh'::text NOT NULL,
    login text,
    settings jsonb NOT NULL,
    line text NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by text NOT NULL,
    CONSTRAINT receiver_code_check CHECK ((code ~ '^[a-z0-9][a-z0-9-]{0,39}$'::text)),
    CONSTRAINT receiver_kind_check CHECK ((kind = ANY (ARRAY['email'::text, 'webhook'::text, 'wecom'::text, 'dingtalk'::text, 'feishu'::text, 'sms'::text]))),
    CONSTRAINT receiver_lang_check CHECK ((lang = ANY (ARRAY['zh'::text, 'en'::text])))
);

COMMENT ON TABLE alerts.receiver IS 'Where messages go: a person''s number or address, or a group''s bot.';

COMMENT ON COLUMN alerts.receiver.login IS 'Sign-in name of the person behind it, who acknowledges by its links; null for groups.';

COMMENT ON COLUMN alerts.receiver.settings IS 'What is no secret, by kind (hanlu.alerts.people.model).';

COMMENT ON COLUMN alerts.receiver.line IS 'Hash of what the channel counts its limits by (a bot''s key, a number): receivers of one line share its limits.';

ALTER TABLE alerts.receiver ALTER COLUMN receiver_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.receiver_receiver_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE alerts.receiver_secret (
    receiver_id bigint NOT NULL,
    secret jsonb NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE alerts.receiver_secret IS 'Keys, tokens and secret addresses of receivers; read by hanlu_alerts only, shown to nobody.';

CREATE TABLE alerts.rota (
    code text NOT NULL,
    organisation_id bigint NOT NULL,
    document jsonb NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by text NOT NULL,
    CONSTRAINT rota_code_check CHECK ((code ~ '^[a-z0-9][a-z0-9-]{0,39}$'::text))
);

COMMENT ON COLUMN alerts.rota.document IS 'A hanlu.alerts.people.rota.Rota as JSON.';

CREATE TABLE alerts.rule (
    code text NOT NULL,
    version integer NOT NULL,
    document jsonb NOT NULL,
    withdrawn boolean DEFAULT false NOT NULL,
    author text NOT NULL,
    note text DEFAULT ''::text NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT rule_code_check CHECK ((code ~ '^[a-z0-9][a-z0-9-]{0,59}$'::text)),
    CONSTRAINT rule_version_check CHECK ((version >= 1))
);

COMMENT ON TABLE alerts.rule IS 'Alarm rules, append only: the highest version of a code is in force unless it is withdrawn.';

COMMENT ON COLUMN alerts.rule.document IS 'A hanlu.alerts.rules.model.Rule as JSON.';

COMMENT ON COLUMN alerts.rule.author IS 'Login of a person, or hanlu for what is shipped.';

CREATE TABLE alerts.staffing (
    staffing_id bigint NOT NULL,
    organisation_id bigint NOT NULL,
    operators smallint NOT NULL,
    actor text NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT staffing_operators_check CHECK (((operators >= 1) AND (operators <= 500)))
);

COMMENT ON TABLE alerts.staffing IS 'How many operators are on shift at a time for an organisation and what lies below it, append only: the latest entry of the nearest organisation holds; without any it is one.';

ALTER TABLE alerts.staffing ALTER COLUMN staffing_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.staffing_staffing_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE alerts.summons (
    summons_id bigint NOT NULL,
    alarm_id bigint NOT NULL,
    version integer NOT NULL,
    begun_at timestamp with time zone NOT NULL,
    next_step integer DEFAULT 0 NOT NULL,
    next_at timestamp with time zone,
    ended_at timestamp with time zone,
    ended_by text,
    CONSTRAINT summons_check CHECK (((ended_at IS NULL) = (ended_by IS NULL)))
);

COMMENT ON TABLE alerts.summons IS 'An alarm''s call for a person, from its first message until somebody has acknowledged.';

COMMENT ON COLUMN alerts.summons.version IS 'Version of the alarm whose journal entry called (raise, unsuppress, re_alarm).';

COMMENT ON COLUMN alerts.summons.next_at IS 'When the next step of the escalation is due; null: there is none left.';

COMMENT ON COLUMN alerts.summons.ended_by IS 'The journal event that ended it.';

ALTER TABLE alerts.summons ALTER COLUMN summons_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.summons_summons_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE alerts.suppression (
    channel_id integer NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    reason text NOT NULL,
    note text DEFAULT ''::text NOT NULL,
    actor text NOT NULL,
    since timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    CONSTRAINT suppression_check CHECK (((state <> 'SHELVED'::text) OR (expires_at IS NOT NULL))),
    CONSTRAINT suppression_state_check CHECK ((state = ANY (ARRAY['SHELVED'::text, 'SUPPRESSED_BY_DESIGN'::text, 'OUT_OF_SERVICE'::text])))
);

COMMENT ON TABLE alerts.suppression IS 'Points (a channel and a kind, or * for every kind) that a person has suppressed now; what the plant''s logic holds stands on the alarm itself.';

COMMENT ON COLUMN alerts.suppression.expires_at IS 'When it ends by itself; a shelf without an end there is not.';

CREATE TABLE alerts.suppression_journal (
    suppression_journal_id bigint NOT NULL,
    channel_id integer NOT NULL,
    kind text NOT NULL,
    at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    event text NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    note text DEFAULT ''::text NOT NULL,
    actor text NOT NULL,
    expires_at timestamp with time zone
);

COMMENT ON TABLE alerts.suppression_journal IS 'Every change of alerts.suppression, append only, also where no alarm stands.';

ALTER TABLE alerts.suppression_journal ALTER COLUMN suppression_journal_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME alerts.suppression_journal_suppression_journal_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE alerts.watch_span (
    singleton boolean DEFAULT true NOT NULL,
    since timestamp with time zone NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT watch_span_singleton_check CHECK (singleton)
);

COMMENT ON TABLE alerts.watch_span IS 'The one span in which an engine has listened without a longer pause; silence outside proves nothing.';

CREATE TABLE alerts.watched (
    channel_id integer NOT NULL,
    since timestamp with time zone NOT NULL
);

COMMENT ON TABLE alerts.watched IS 'Since when the engine has waited for a channel that was never heard; survives restarts, so they excuse no silence.';

CREATE TABLE hanlu.migration (
    room text NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE registry.audit (
    audit_id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    person_id bigint,
    action text NOT NULL,
    subject text DEFAULT ''::text NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL
);

COMMENT ON TABLE registry.audit IS 'Who did what: sign-ins, acknowledgements, exports. Append only.';

ALTER TABLE registry.audit ALTER COLUMN audit_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.audit_audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE registry.broker_login (
    gateway_id bigint NOT NULL,
    password_hash text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    previous_hash text,
    previous_until timestamp with time zone,
    CONSTRAINT broker_login_check CHECK (((previous_hash IS NULL) = (previous_until IS NULL)))
);

COMMENT ON TABLE registry.broker_login IS 'How gateways sign in to the broker; random passwords of 192 bits, kept as salted hashes.';

COMMENT ON COLUMN registry.broker_login.password_hash IS 'PBKDF2 with HMAC-SHA-512 as Mosquitto writes it ($7$rounds$salt$digest), so that its password file needs no clear text.';

COMMENT ON COLUMN registry.broker_login.previous_hash IS 'The password before, good until previous_until where the broker asks us.';

ALTER TABLE registry.channel ALTER COLUMN channel_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.channel_channel_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE registry.device ALTER COLUMN device_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.device_device_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE registry.enrolment (
    enrolment_id bigint NOT NULL,
    gateway_id bigint NOT NULL,
    token_sha256 bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    created_by bigint,
    expires_at timestamp with time zone NOT NULL,
    withdrawn_at timestamp with time zone,
    CONSTRAINT enrolment_check CHECK ((expires_at > created_at)),
    CONSTRAINT enrolment_token_sha256_check CHECK ((octet_length(token_sha256) = 32))
);

COMMENT ON TABLE registry.enrolment IS 'One-time tokens by which a gateway brings its public key; only their hash is kept.';

ALTER TABLE registry.enrolment ALTER COLUMN enrolment_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.enrolment_enrolment_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE registry.enrolment_use (
    enrolment_id bigint NOT NULL,
    kid bytea NOT NULL,
    used_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE registry.enrolment_use IS 'The one key a token brought; the key of this table is what makes a token single-use. The same key may ask again until the token expires, for answers get lost.';

CREATE TABLE registry.gateway_config (
    gateway_id bigint NOT NULL,
    version bigint NOT NULL,
    config text NOT NULL,
    set_at timestamp with time zone NOT NULL,
    set_by bigint,
    CONSTRAINT gateway_config_config_check CHECK ((length(config) <= 200000)),
    CONSTRAINT gateway_config_version_check CHECK ((version > 0))
);

COMMENT ON TABLE registry.gateway_config IS 'The remote configuration a gateway shall have; it says at its birth which one it has, and is sent this one until that is it or is refused.';

COMMENT ON COLUMN registry.gateway_config.version IS 'Rises with every change, above anything the gateway has named.';

COMMENT ON COLUMN registry.gateway_config.config IS 'TOML, the sections a gateway takes from afar; no secrets.';

ALTER TABLE registry.gateway ALTER COLUMN gateway_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.gateway_gateway_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE registry.gateway_key (
    kid bytea NOT NULL,
    gateway_id bigint NOT NULL,
    public_key bytea NOT NULL,
    valid_from timestamp with time zone DEFAULT now() NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT gateway_key_kid_check CHECK ((octet_length(kid) = 8)),
    CONSTRAINT gateway_key_public_key_check CHECK ((octet_length(public_key) = 32))
);

CREATE TABLE registry.ignored_channel (
    gateway_id bigint NOT NULL,
    name text NOT NULL,
    ignored_at timestamp with time zone NOT NULL,
    ignored_by bigint
);

COMMENT ON TABLE registry.ignored_channel IS 'Channels an administrator does not want; their readings stay dead letters with their bytes.';

CREATE TABLE registry.level_name (
    level smallint NOT NULL,
    name_zh text NOT NULL,
    name_en text NOT NULL,
    CONSTRAINT level_name_level_check CHECK (((level >= 1) AND (level <= 9)))
);

COMMENT ON TABLE registry.level_name IS 'What the levels of the organisation tree are called here, e.g. 省 市 县 乡 村.';

ALTER TABLE registry.limit_profile ALTER COLUMN limit_profile_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.limit_profile_limit_profile_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE registry.organisation ALTER COLUMN organisation_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.organisation_organisation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE registry.participant (
    participant_id bigint NOT NULL,
    organisation_id bigint NOT NULL,
    gln text NOT NULL,
    name_zh text NOT NULL,
    name_en text NOT NULL,
    role text NOT NULL,
    CONSTRAINT participant_gln_check CHECK ((gln ~ '^[0-9]{13}$'::text)),
    CONSTRAINT participant_role_check CHECK ((role = ANY (ARRAY['producer'::text, 'cooperative'::text, 'store'::text, 'carrier'::text, 'shop'::text, 'input_dealer'::text, 'laboratory'::text])))
);

COMMENT ON TABLE registry.participant IS 'Organisations that act on goods; names are of organisations, never of natural persons.';

ALTER TABLE registry.participant ALTER COLUMN participant_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.participant_participant_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE registry.person (
    person_id bigint NOT NULL,
    organisation_id bigint NOT NULL,
    login text NOT NULL,
    display_name text NOT NULL,
    roles text[] NOT NULL,
    password_hash text NOT NULL,
    disabled_at timestamp with time zone,
    CONSTRAINT person_login_check CHECK ((login ~ '^[a-z0-9._@-]{2,64}$'::text)),
    CONSTRAINT person_roles_check CHECK (((roles <@ ARRAY['operator'::text, 'inspector'::text, 'admin'::text]) AND (cardinality(roles) > 0)))
);

COMMENT ON COLUMN registry.person.roles IS 'operator: console and alarms; inspector: trace and exports; admin: everything, and people';

ALTER TABLE registry.person ALTER COLUMN person_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.person_person_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE registry.product (
    product_id bigint NOT NULL,
    gtin text NOT NULL,
    name_zh text NOT NULL,
    name_en text NOT NULL,
    limit_profile_code text NOT NULL,
    CONSTRAINT product_gtin_check CHECK ((gtin ~ '^[0-9]{14}$'::text))
);

ALTER TABLE registry.product ALTER COLUMN product_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.product_product_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE registry.session (
    token_sha256 bytea NOT NULL,
    person_id bigint NOT NULL,
    csrf text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT session_token_sha256_check CHECK ((octet_length(token_sha256) = 32))
);

COMMENT ON TABLE registry.session IS 'Sign-ins; only the hash of the cookie is kept, so a copy of this table opens nothing.';

COMMENT ON COLUMN registry.session.expires_at IS 'The absolute end, whatever happens; the idle end counts from last_seen_at.';

CREATE TABLE registry.signin_failure (
    login_sha256 bytea NOT NULL,
    failures integer NOT NULL,
    last_at timestamp with time zone NOT NULL,
    locked_until timestamp with time zone NOT NULL,
    CONSTRAINT signin_failure_failures_check CHECK ((failures >= 0)),
    CONSTRAINT signin_failure_login_sha256_check CHECK ((octet_length(login_sha256) = 32))
);

COMMENT ON TABLE registry.signin_failure IS 'Wrong passwords in a row for a sign-in name, whether such a person exists or not, so that a lock tells nobody which names do.';

ALTER TABLE registry.site ALTER COLUMN site_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.site_site_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE registry.zone ALTER COLUMN zone_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.zone_zone_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE telemetry.arrival (
    arrival_id bigint NOT NULL,
    txid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    gateway_id bigint NOT NULL,
    epoch bytea,
    seq bigint,
    digest bytea NOT NULL,
    prev bytea,
    evidence smallint NOT NULL,
    lane text NOT NULL,
    replayed boolean DEFAULT false NOT NULL,
    received_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    reading_count integer DEFAULT 0 NOT NULL,
    produced bigint DEFAULT 0 NOT NULL,
    stored integer DEFAULT 0 NOT NULL,
    duplicate integer DEFAULT 0 NOT NULL,
    lost integer DEFAULT 0 NOT NULL,
    dead integer DEFAULT 0 NOT NULL,
    channel_ids integer[] DEFAULT '{}'::integer[] NOT NULL,
    observed_ms bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    "values" double precision[] DEFAULT '{}'::double precision[] NOT NULL,
    event bytea,
    messages integer DEFAULT 1 NOT NULL,
    qualities smallint[],
    CONSTRAINT arrival_check CHECK (((epoch IS NULL) = (seq IS NULL))),
    CONSTRAINT arrival_check1 CHECK (((cardinality(channel_ids) = cardinality(observed_ms)) AND (cardinality(channel_ids) = cardinality("values")))),
    CONSTRAINT arrival_check2 CHECK ((reading_count = (((stored + duplicate) + lost) + dead))),
    CONSTRAINT arrival_check3 CHECK ((cardinality(qualities) = cardinality(channel_ids))),
    CONSTRAINT arrival_digest_check CHECK ((octet_length(digest) = 32)),
    CONSTRAINT arrival_epoch_check CHECK ((octet_length(epoch) = 16)),
    CONSTRAINT arrival_lane_check CHECK ((lane = ANY (ARRAY['live'::text, 'backlog'::text, 'event'::text, 'birth'::text]))),
    CONSTRAINT arrival_messages_check CHECK ((messages > 0)),
    CONSTRAINT arrival_prev_check CHECK ((octet_length(prev) = 32)),
    CONSTRAINT arrival_seq_check CHECK ((seq > 0))
)
WITH (autovacuum_vacuum_scale_factor='0.02');

COMMENT ON TABLE telemetry.arrival IS 'One accepted message; what alarms, the live page, roll-ups and the log follow, each with a cursor of its own.';

COMMENT ON COLUMN telemetry.arrival.txid IS 'Transaction that wrote the row: a follower reads rows whose transaction every snapshot sees, so overtaking commits hide nothing.';

COMMENT ON COLUMN telemetry.arrival.produced IS 'Running total the gateway claims for its epoch up to and with this message.';

COMMENT ON COLUMN telemetry.arrival.channel_ids IS 'The readings newly stored by this message (duplicates are not repeated), parallel to observed_ms and values.';

COMMENT ON COLUMN telemetry.arrival.event IS 'EPCIS JSON bytes as they came, for the trace room to capture.';

COMMENT ON COLUMN telemetry.arrival.messages IS 'Messages in this row: one, or several bare ones of one gateway and lane that came together; their digest is SHA-256 of their digests in order.';

COMMENT ON COLUMN telemetry.arrival.qualities IS 'Parallel to channel_ids: 1 uncertain, 2 bad, 0 good; null when all are good.';

ALTER TABLE telemetry.arrival ALTER COLUMN arrival_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME telemetry.arrival_arrival_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW telemetry.arrival_feed AS
 SELECT txid,
    arrival_id,
    gateway_id,
    epoch,
    seq,
    digest,
    evidence,
    lane,
    replayed,
    received_at,
    recorded_at,
    channel_ids,
    observed_ms,
    "values",
    qualities
   FROM telemetry.arrival
  WHERE (txid < pg_snapshot_xmin(pg_current_snapshot()));

COMMENT ON VIEW telemetry.arrival_feed IS 'Arrivals whose transaction is over for every snapshot: follow it by (txid, arrival_id) > cursor, in that order.';

CREATE TABLE telemetry.arrival_gone (
    gateway_id bigint NOT NULL,
    epoch bytea NOT NULL,
    from_seq bigint NOT NULL,
    to_seq bigint NOT NULL,
    digests bytea NOT NULL,
    CONSTRAINT arrival_gone_check CHECK ((octet_length(digests) = (8 * ((to_seq - from_seq) + 1)))),
    CONSTRAINT arrival_gone_from_seq_check CHECK ((from_seq > 0))
);

COMMENT ON TABLE telemetry.arrival_gone IS 'Messages whose arrival retention has deleted, by runs of sequence numbers: one that comes again is known for a repetition, another one at its place for a fork. Runs never overlap; an arrival kept for its own sake may lie inside one.';

COMMENT ON COLUMN telemetry.arrival_gone.digests IS 'The first 8 bytes of each message''s digest, in order.';

CREATE TABLE telemetry.birth_noted (
    gateway_id bigint NOT NULL,
    birth_md5 text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE telemetry.birth_noted IS 'Which birth of a gateway was last held against the registry.';

CREATE TABLE telemetry.configure (
    gateway_id bigint NOT NULL,
    version bigint NOT NULL,
    asked integer NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    CONSTRAINT configure_asked_check CHECK ((asked > 0))
);

COMMENT ON TABLE telemetry.configure IS 'How often a gateway was sent the remote configuration of this version, and when.';

CREATE TABLE telemetry.dead_letter (
    dead_letter_id bigint NOT NULL,
    arrival_id bigint,
    received_at timestamp with time zone NOT NULL,
    topic text NOT NULL,
    gateway text,
    reason text NOT NULL,
    detail text NOT NULL,
    reading_count integer DEFAULT 0 NOT NULL,
    body bytea NOT NULL,
    body_sha256 bytea NOT NULL,
    times bigint DEFAULT 1 NOT NULL,
    places integer[],
    attempts integer DEFAULT 0 NOT NULL,
    noted_at timestamp with time zone,
    tried_at timestamp with time zone,
    resolved_at timestamp with time zone,
    outcome text,
    bytes integer GENERATED ALWAYS AS (octet_length(body)) STORED NOT NULL,
    dropped_at timestamp with time zone,
    CONSTRAINT dead_letter_body_sha256_check CHECK ((octet_length(body_sha256) = 32)),
    CONSTRAINT dead_letter_check CHECK (((resolved_at IS NULL) = (outcome IS NULL)))
);

COMMENT ON TABLE telemetry.dead_letter IS 'What could not be taken, with its bytes and the reason; the same bytes sent again only count up.';

COMMENT ON COLUMN telemetry.dead_letter.reading_count IS 'Readings still refused; what a replay has stored is counted in telemetry.replay.';

COMMENT ON COLUMN telemetry.dead_letter.places IS 'Which records of the pack are still refused, from 0, ascending; null: not told apart, or the whole payload.';

COMMENT ON COLUMN telemetry.dead_letter.attempts IS 'Replays that changed something; numbers the rows of telemetry.replay.';

COMMENT ON COLUMN telemetry.dead_letter.noted_at IS 'When the keeper first looked at it.';

COMMENT ON COLUMN telemetry.dead_letter.outcome IS 'How it was resolved: replayed (its records were stored), taken (accepted as a message), arrived (the gateway had sent it again), nothing_to_store, joined (another letter of the same bytes tells the reason), closed (by a person).';

COMMENT ON COLUMN telemetry.dead_letter.bytes IS 'Length of the body that is kept.';

COMMENT ON COLUMN telemetry.dead_letter.dropped_at IS 'When the body was dropped for space; reason, digest and counts stay.';

CREATE TABLE telemetry.dead_letter_count (
    gateway text NOT NULL,
    reason text NOT NULL,
    letters bigint DEFAULT 0 NOT NULL,
    open_letters bigint DEFAULT 0 NOT NULL,
    messages bigint DEFAULT 0 NOT NULL,
    open_messages bigint DEFAULT 0 NOT NULL,
    open_readings bigint DEFAULT 0 NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    dropped bigint DEFAULT 0 NOT NULL,
    folded bigint DEFAULT 0 NOT NULL,
    newest_id bigint,
    newest_at timestamp with time zone
)
WITH (fillfactor='50');

COMMENT ON TABLE telemetry.dead_letter_count IS 'Sums over telemetry.dead_letter, kept by its trigger, so that nobody has to read it whole; gateway is empty where the topic names none.';

COMMENT ON COLUMN telemetry.dead_letter_count.messages IS 'Deliveries, repetitions of the same bytes included; open_messages those of letters not resolved.';

COMMENT ON COLUMN telemetry.dead_letter_count.bytes IS 'Of the bodies still kept.';

COMMENT ON COLUMN telemetry.dead_letter_count.dropped IS 'Letters whose body was dropped for space.';

COMMENT ON COLUMN telemetry.dead_letter_count.folded IS 'Deliveries of letters that were removed for space after their body; they stay in messages.';

CREATE VIEW telemetry.dead_letter_count_v AS
 SELECT NULLIF(c.gateway, ''::text) AS gateway,
    c.reason,
    c.letters,
    c.open_letters,
    c.messages,
    c.open_messages,
    c.open_readings,
    c.bytes,
    c.dropped,
    c.folded,
    c.newest_at,
    d.detail AS newest_detail
   FROM (telemetry.dead_letter_count c
     LEFT JOIN telemetry.dead_letter d ON ((d.dead_letter_id = c.newest_id)));

COMMENT ON VIEW telemetry.dead_letter_count_v IS 'Dead letters by gateway (null where the topic names none) and reason, with the newest one''s words; open: neither replayed nor closed.';

ALTER TABLE telemetry.dead_letter ALTER COLUMN dead_letter_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME telemetry.dead_letter_dead_letter_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW telemetry.dead_letter_v AS
 SELECT dead_letter_id,
    received_at,
    topic,
    gateway,
    reason,
    detail,
    reading_count,
    times,
    octet_length(body) AS bytes
   FROM telemetry.dead_letter;

COMMENT ON VIEW telemetry.dead_letter_v IS 'Dead letters without their bytes, for the console.';

CREATE TABLE telemetry.epoch_closed (
    gateway_id bigint NOT NULL,
    epoch bytea NOT NULL,
    at timestamp with time zone NOT NULL,
    done_by text NOT NULL,
    reason text NOT NULL,
    messages bigint NOT NULL,
    readings bigint NOT NULL,
    CONSTRAINT epoch_closed_messages_check CHECK ((messages >= 0))
);

COMMENT ON TABLE telemetry.epoch_closed IS 'Spools whose missing messages will not come: declared lost by the platform, with the reason, and corrected when some come after all.';

COMMENT ON COLUMN telemetry.epoch_closed.messages IS 'Sequence numbers that never arrived.';

COMMENT ON COLUMN telemetry.epoch_closed.readings IS 'Readings these must have held by the gateway''s own count; part of lost in the account.';

CREATE VIEW telemetry.event_feed AS
 SELECT txid,
    arrival_id,
    gateway_id,
    digest,
    evidence,
    received_at,
    event
   FROM telemetry.arrival
  WHERE ((event IS NOT NULL) AND (txid < pg_snapshot_xmin(pg_current_snapshot())));

COMMENT ON VIEW telemetry.event_feed IS 'EPCIS documents that came through gateways, for the trace room to capture.';

CREATE VIEW telemetry.feed_horizon AS
 SELECT min(recorded_at) AS held_since
   FROM telemetry.arrival
  WHERE (txid >= pg_snapshot_xmin(pg_current_snapshot()));

COMMENT ON VIEW telemetry.feed_horizon IS 'Since when an older open transaction keeps arrivals out of the feed, null when it keeps none: a follower that sees nothing new knows nothing of the time after.';

CREATE TABLE telemetry.follower (
    name text NOT NULL,
    txid xid8 NOT NULL,
    arrival_id bigint NOT NULL
);

COMMENT ON TABLE telemetry.follower IS 'How far this room''s own followers of the arrivals have come.';

CREATE VIEW telemetry.follower_v AS
 SELECT n.name,
    COALESCE(f.txid, '0'::xid8) AS txid,
    COALESCE(f.arrival_id, (0)::bigint) AS arrival_id
   FROM (( VALUES ('rollup'::text), ('quality'::text)) n(name)
     LEFT JOIN telemetry.follower f USING (name));

COMMENT ON VIEW telemetry.follower_v IS 'How far this room''s followers of the arrivals have come, also those that never began; what they have not passed is kept.';

CREATE TABLE telemetry.gap (
    gateway_id bigint NOT NULL,
    epoch bytea NOT NULL,
    from_seq bigint NOT NULL,
    to_seq bigint NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT gap_check CHECK ((to_seq >= from_seq))
);

COMMENT ON TABLE telemetry.gap IS 'Sequence numbers not yet arrived below the highest seen, inclusive ranges.';

CREATE TABLE telemetry.resend (
    gateway_id bigint NOT NULL,
    epoch bytea NOT NULL,
    asked integer NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    watermark bigint NOT NULL,
    CONSTRAINT resend_asked_check CHECK ((asked > 0))
);

COMMENT ON TABLE telemetry.resend IS 'How often a gateway was asked for what is missing of a spool since it last got on, and when.';

CREATE VIEW telemetry.gap_v AS
 SELECT g.gateway_id,
    g.epoch,
    g.from_seq,
    g.to_seq,
    g.since,
    COALESCE(r.asked, 0) AS asked,
    r.asked_at
   FROM (telemetry.gap g
     LEFT JOIN telemetry.resend r USING (gateway_id, epoch));

COMMENT ON VIEW telemetry.gap_v IS 'Messages that have not arrived, since when that is known, and how often the gateway was asked for them since it last got on.';

CREATE TABLE telemetry.gateway_epoch (
    gateway_id bigint NOT NULL,
    epoch bytea NOT NULL,
    watermark bigint DEFAULT 0 NOT NULL,
    highest bigint DEFAULT 0 NOT NULL,
    produced bigint DEFAULT 0 NOT NULL,
    stored bigint DEFAULT 0 NOT NULL,
    duplicate bigint DEFAULT 0 NOT NULL,
    lost bigint DEFAULT 0 NOT NULL,
    dead bigint DEFAULT 0 NOT NULL,
    redelivered bigint DEFAULT 0 NOT NULL,
    first_at timestamp with time zone DEFAULT now() NOT NULL,
    last_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE telemetry.gateway_epoch IS 'The account of one spool: every seq up to watermark is committed; produced is the claim at the highest seq seen.';

COMMENT ON COLUMN telemetry.gateway_epoch.redelivered IS 'Whole messages that came again and were recognised.';

CREATE VIEW telemetry.gateway_account AS
 SELECT gateway_id,
    (sum(produced))::bigint AS produced,
    (sum(stored))::bigint AS stored,
    (sum(duplicate))::bigint AS duplicate,
    (sum(lost))::bigint AS lost,
    (sum(dead))::bigint AS dead,
    (sum(redelivered))::bigint AS redelivered,
    (sum(((((produced - stored) - duplicate) - lost) - dead)))::bigint AS outstanding,
    max(last_at) AS last_at
   FROM telemetry.gateway_epoch
  GROUP BY gateway_id;

COMMENT ON VIEW telemetry.gateway_account IS 'Per gateway, readings: produced = stored + duplicate + declared lost + dead letters once nothing is outstanding.';

CREATE TABLE telemetry.gateway_hour (
    gateway_id bigint NOT NULL,
    hour_at timestamp with time zone NOT NULL,
    minutes_heard bigint NOT NULL,
    messages bigint NOT NULL,
    backlog_messages bigint NOT NULL,
    stored bigint NOT NULL,
    duplicate bigint NOT NULL,
    lost bigint NOT NULL,
    dead bigint NOT NULL,
    live_messages bigint NOT NULL,
    late_1s bigint NOT NULL,
    late_5s bigint NOT NULL,
    late_30s bigint NOT NULL,
    late_5min bigint NOT NULL,
    late_most_s double precision,
    CONSTRAINT gateway_hour_minutes_heard_check CHECK ((minutes_heard >= 0))
);

COMMENT ON TABLE telemetry.gateway_hour IS 'How well a gateway was heard in an hour of reception; derived from the arrivals, kept for the data-quality page.';

COMMENT ON COLUMN telemetry.gateway_hour.minutes_heard IS 'Bit n is set when a message was received in minute n of the hour.';

COMMENT ON COLUMN telemetry.gateway_hour.live_messages IS 'Messages with readings sent as they happened: those whose lateness, reception less observation, is counted.';

COMMENT ON COLUMN telemetry.gateway_hour.late_5s IS 'Of the live messages those at most 5 s late; the other columns likewise, each including the ones before.';

COMMENT ON COLUMN telemetry.gateway_hour.late_most_s IS 'Seconds of the latest live message; negative when the device''s clock is ahead.';

CREATE VIEW telemetry.gateway_hour_v AS
 SELECT gateway_id,
    hour_at,
    minutes_heard,
    messages,
    backlog_messages,
    stored,
    duplicate,
    lost,
    dead,
    live_messages,
    late_1s,
    late_5s,
    late_30s,
    late_5min,
    late_most_s
   FROM telemetry.gateway_hour;

COMMENT ON VIEW telemetry.gateway_hour_v IS 'How well gateways were heard, by hour of reception, for the data-quality page.';

CREATE TABLE telemetry.gateway_link (
    gateway_id bigint NOT NULL,
    online boolean NOT NULL,
    since timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    replay boolean DEFAULT false NOT NULL,
    birth jsonb,
    birth_epoch bytea,
    birth_seq bigint
);

COMMENT ON TABLE telemetry.gateway_link IS 'Whether the platform hears the gateway: birth, any message, and the will.';

COMMENT ON COLUMN telemetry.gateway_link.birth_seq IS 'Place of the birth in the spool birth_epoch: an older one that comes later (out of the backlog, or again) changes nothing.';

CREATE VIEW telemetry.gateway_link_v AS
 SELECT gateway_id,
    (online AND (last_seen_at > (now() - '00:15:00'::interval))) AS online,
    since,
    last_seen_at,
    replay,
    birth
   FROM telemetry.gateway_link;

COMMENT ON VIEW telemetry.gateway_link_v IS 'Whether a gateway is heard: no will since its last word, and a word in the last 15 minutes; and its last birth.';

CREATE TABLE telemetry.held (
    hold_id bigint NOT NULL,
    channel_id integer NOT NULL,
    from_at timestamp with time zone NOT NULL,
    to_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE telemetry.held IS 'The channels and times a hold was found to mean, once found never forgotten: a sensor moved elsewhere keeps what it measured there.';

CREATE TABLE telemetry.ingest_session (
    client_id text NOT NULL,
    partitions smallint[] NOT NULL,
    worker uuid,
    backend_pid integer,
    expires_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    since timestamp with time zone,
    takeovers bigint DEFAULT 0 NOT NULL,
    CONSTRAINT ingest_session_partitions_check CHECK ((cardinality(partitions) > 0))
);

COMMENT ON TABLE telemetry.ingest_session IS 'Leases on the MQTT sessions of ingest: held while expires_at is ahead and the holder''s connection lives.';

COMMENT ON COLUMN telemetry.ingest_session.takeovers IS 'How often it went to another worker that had not been handed it.';

CREATE TABLE telemetry.ingest_worker (
    worker uuid NOT NULL,
    name text NOT NULL,
    backend_pid integer NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE telemetry.ingest_worker IS 'Ingest workers that live, those that wait for a session too: each takes its share.';

CREATE TABLE telemetry.latest (
    channel_id integer NOT NULL,
    observed_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    value double precision NOT NULL,
    quality smallint DEFAULT 0 NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.05', autovacuum_vacuum_cost_delay='0', fillfactor='50');

COMMENT ON TABLE telemetry.latest IS 'Newest reading per channel by observation time, derived; rebuilt from reading at will.';

CREATE VIEW telemetry.latest_v AS
 SELECT channel_id,
    observed_at,
    received_at,
    value,
    quality
   FROM telemetry.latest;

COMMENT ON VIEW telemetry.latest_v IS 'Newest reading per channel, for the console.';

CREATE TABLE telemetry.legal_hold (
    hold_id bigint NOT NULL,
    kind text NOT NULL,
    code text NOT NULL,
    from_at timestamp with time zone NOT NULL,
    to_at timestamp with time zone,
    reason text NOT NULL,
    placed_by text NOT NULL,
    placed_at timestamp with time zone DEFAULT now() NOT NULL,
    released_by text,
    released_at timestamp with time zone,
    CONSTRAINT legal_hold_check CHECK ((to_at > from_at)),
    CONSTRAINT legal_hold_check1 CHECK (((kind = 'all'::text) = (code = ''::text))),
    CONSTRAINT legal_hold_check2 CHECK (((released_by IS NULL) = (released_at IS NULL))),
    CONSTRAINT legal_hold_kind_check CHECK ((kind = ANY (ARRAY['all'::text, 'site'::text, 'zone'::text, 'channel'::text, 'lot'::text]))),
    CONSTRAINT legal_hold_reason_check CHECK ((reason <> ''::text))
);

COMMENT ON TABLE telemetry.legal_hold IS 'What must not be deleted whatever the rules say; released, never removed.';

COMMENT ON COLUMN telemetry.legal_hold.to_at IS 'End of the held time; null holds what is still to come.';

ALTER TABLE telemetry.legal_hold ALTER COLUMN hold_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME telemetry.legal_hold_hold_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE telemetry.loss (
    loss_id bigint NOT NULL,
    arrival_id bigint NOT NULL,
    gateway_id bigint NOT NULL,
    reason text NOT NULL,
    reading_count integer NOT NULL,
    channel text,
    from_at timestamp with time zone,
    to_at timestamp with time zone,
    detail text DEFAULT ''::text NOT NULL,
    source text DEFAULT ''::text NOT NULL,
    CONSTRAINT loss_reading_count_check CHECK ((reading_count > 0))
);

COMMENT ON TABLE telemetry.loss IS 'Readings a gateway declares lost, with the reason: part of the proof, never silent.';

COMMENT ON COLUMN telemetry.loss.source IS 'Names what was lost, so that the same loss declared again counts as duplicate; empty when every declaration counts.';

CREATE VIEW telemetry.loss_by_reason AS
 SELECT gateway_id,
    reason,
    (sum(reading_count))::bigint AS reading_count,
    max(newest_at) AS newest_at
   FROM ( SELECT loss.gateway_id,
            loss.reason,
            (loss.reading_count)::bigint AS reading_count,
            loss.to_at AS newest_at
           FROM telemetry.loss
        UNION ALL
         SELECT epoch_closed.gateway_id,
            epoch_closed.reason,
            epoch_closed.readings,
            epoch_closed.at
           FROM telemetry.epoch_closed
          WHERE (epoch_closed.readings > 0)) l
  GROUP BY gateway_id, reason;

COMMENT ON VIEW telemetry.loss_by_reason IS 'Readings declared lost, by gateways or by the platform where nothing more will come, summed by the reason, for the console.';

ALTER TABLE telemetry.loss ALTER COLUMN loss_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME telemetry.loss_loss_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE telemetry.rebirth (
    gateway_id bigint NOT NULL,
    asked integer NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    CONSTRAINT rebirth_asked_check CHECK ((asked > 0))
);

COMMENT ON TABLE telemetry.rebirth IS 'Gateways that speak and never announced themselves, and how often they were asked to.';

CREATE TABLE telemetry.replay (
    dead_letter_id bigint NOT NULL,
    attempt integer NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    done_by text NOT NULL,
    gateway_id bigint NOT NULL,
    epoch bytea,
    arrival_id bigint,
    stored integer DEFAULT 0 NOT NULL,
    duplicate integer DEFAULT 0 NOT NULL,
    lost integer DEFAULT 0 NOT NULL,
    revived integer NOT NULL,
    CONSTRAINT replay_attempt_check CHECK ((attempt > 0)),
    CONSTRAINT replay_duplicate_check CHECK ((duplicate >= 0)),
    CONSTRAINT replay_lost_check CHECK ((lost >= 0)),
    CONSTRAINT replay_revived_check CHECK ((revived >= 0)),
    CONSTRAINT replay_stored_check CHECK ((stored >= 0))
);

COMMENT ON TABLE telemetry.replay IS 'What replays of parts of messages moved out of the dead: each attempt of a letter once, whoever tries; append only.';

COMMENT ON COLUMN telemetry.replay.arrival_id IS 'The arrival that tells the followers of the readings newly stored.';

COMMENT ON COLUMN telemetry.replay.revived IS 'Readings no longer counted as dead in the account of the spool.';

CREATE TABLE telemetry.retention_rule (
    kind text NOT NULL,
    code text NOT NULL,
    raw_days integer,
    hour_days integer,
    day_days integer,
    note text DEFAULT ''::text NOT NULL,
    set_by text NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL,
    arrival_days integer,
    CONSTRAINT retention_rule_arrival_days_check CHECK ((arrival_days >= 7)),
    CONSTRAINT retention_rule_check CHECK (((kind = 'all'::text) = (code = ''::text))),
    CONSTRAINT retention_rule_check1 CHECK ((COALESCE(raw_days, 2147483647) <= COALESCE(hour_days, 2147483647))),
    CONSTRAINT retention_rule_check2 CHECK ((COALESCE(hour_days, 2147483647) <= COALESCE(day_days, 2147483647))),
    CONSTRAINT retention_rule_check3 CHECK (((arrival_days IS NULL) OR (kind = 'all'::text))),
    CONSTRAINT retention_rule_day_days_check CHECK ((day_days > 0)),
    CONSTRAINT retention_rule_hour_days_check CHECK ((hour_days > 0)),
    CONSTRAINT retention_rule_kind_check CHECK ((kind = ANY (ARRAY['all'::text, 'site'::text, 'site_kind'::text, 'metric'::text]))),
    CONSTRAINT retention_rule_raw_days_check CHECK ((raw_days > 0))
);

COMMENT ON TABLE telemetry.retention_rule IS 'How long readings, hours and days are kept, in days; null is for ever. "all" is for channels no other rule names; of several others the longest counts.';

COMMENT ON COLUMN telemetry.retention_rule.arrival_days IS 'How long arrivals are kept, in days, in the rule for all; null is for ever.';

CREATE TABLE telemetry.retention_run (
    run_id bigint NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    run_by text NOT NULL,
    rules jsonb NOT NULL,
    holds jsonb NOT NULL,
    planned jsonb NOT NULL,
    deleted jsonb DEFAULT '{}'::jsonb NOT NULL,
    failure text
);

COMMENT ON TABLE telemetry.retention_run IS 'One row for each run that may delete: by which rules, what it meant to delete and what it did; no end means it was cut off.';

ALTER TABLE telemetry.retention_run ALTER COLUMN run_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME telemetry.retention_run_run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE telemetry.throttled (
    gateway_id bigint NOT NULL,
    messages bigint NOT NULL,
    since timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    CONSTRAINT throttled_messages_check CHECK ((messages > 0))
)
WITH (fillfactor='50');

COMMENT ON TABLE telemetry.throttled IS 'Signed messages left out because their gateway sent more than it may: it keeps them and sends them again. Counted since the first one.';

CREATE VIEW telemetry.throttled_v AS
 SELECT gateway_id,
    messages,
    since,
    last_at
   FROM telemetry.throttled;

COMMENT ON VIEW telemetry.throttled_v IS 'How many signed messages the throttle left out, since when, and when last, for console and metrics.';

CREATE TABLE telemetry.unapproved (
    gateway_id bigint NOT NULL,
    name text NOT NULL,
    unit text DEFAULT ''::text NOT NULL,
    period_s double precision,
    first_seen timestamp with time zone NOT NULL,
    last_seen timestamp with time zone NOT NULL,
    readings_waiting bigint DEFAULT 0 NOT NULL,
    announced boolean DEFAULT false NOT NULL
);

COMMENT ON TABLE telemetry.unapproved IS 'Channels a gateway announced at birth or sent readings of that the registry did not know at that time.';

CREATE VIEW telemetry.unapproved_channel AS
 SELECT gateway_id,
    name,
    unit,
    period_s,
    first_seen,
    last_seen,
    readings_waiting,
    announced
   FROM telemetry.unapproved u
  WHERE (NOT (EXISTS ( SELECT
           FROM (registry.device d
             JOIN registry.channel c USING (device_id))
          WHERE ((d.gateway_id = u.gateway_id) AND (d.code = split_part(u.name, '/'::text, 1)) AND (c.metric = substr(u.name, (strpos(u.name, '/'::text) + 1)))))));

COMMENT ON VIEW telemetry.unapproved_channel IS 'Channels that wait to be approved: announced at birth or heard of in readings, which wait as dead letters and are stored once the registry knows the name.';

COMMENT ON COLUMN telemetry.unapproved_channel.period_s IS 'Seconds between readings as announced; null where never announced.';

COMMENT ON COLUMN telemetry.unapproved_channel.readings_waiting IS 'Readings held back so far.';

CREATE VIEW trace.ambient_product_v AS
 SELECT gtin
   FROM registry.product p
  WHERE ((limit_profile_code IS NOT NULL) AND (NOT (EXISTS ( SELECT
           FROM registry.limit_profile_now l
          WHERE ((l.code = p.limit_profile_code) AND (l.metric = ANY (ARRAY['air_temperature'::text, 'product_temperature'::text])) AND ((l.low IS NOT NULL) OR (l.high IS NOT NULL)))))));

COMMENT ON VIEW trace.ambient_product_v IS 'Products whose profile sets no temperature limit, such as fertiliser: their lots have no cold chain to commit.';

CREATE TABLE trace.anchor (
    chain_no integer NOT NULL,
    seq bigint NOT NULL,
    tree_size bigint NOT NULL,
    root_hash bytea NOT NULL,
    prev_head bytea NOT NULL,
    head bytea NOT NULL,
    state text NOT NULL,
    nonce bigint NOT NULL,
    raw_transactions bytea[] NOT NULL,
    tx_hashes text[] NOT NULL,
    max_fee_wei numeric(78,0) NOT NULL,
    tip_wei numeric(78,0),
    prepared_at timestamp with time zone NOT NULL,
    signed_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    mined_tx text,
    block_number bigint,
    block_hash text,
    mined_at timestamp with time zone,
    final_at timestamp with time zone,
    CONSTRAINT anchor_head_check CHECK ((octet_length(head) = 32)),
    CONSTRAINT anchor_prev_head_check CHECK ((octet_length(prev_head) = 32)),
    CONSTRAINT anchor_root_hash_check CHECK ((octet_length(root_hash) = 32)),
    CONSTRAINT anchor_seq_check CHECK ((seq > 0)),
    CONSTRAINT anchor_state_check CHECK ((state = ANY (ARRAY['prepared'::text, 'sent'::text, 'mined'::text, 'final'::text])))
);

COMMENT ON TABLE trace.anchor IS 'One contract call per anchor; the signed transaction is stored before it is sent.';

COMMENT ON COLUMN trace.anchor.head IS 'What the contract''s slot holds once this anchor is mined: keccak256(prev_head, seq, tree_size, root_hash).';

COMMENT ON COLUMN trace.anchor.raw_transactions IS 'Every signed form with this nonce, the newest last: a higher fee makes a new one, and any of them may be mined.';

CREATE TABLE trace.capture_job (
    capture_id text NOT NULL,
    source text NOT NULL,
    behaviour text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    success boolean,
    captured integer DEFAULT 0 NOT NULL,
    duplicate integer DEFAULT 0 NOT NULL,
    errors jsonb DEFAULT '[]'::jsonb NOT NULL,
    CONSTRAINT capture_job_behaviour_check CHECK ((behaviour = ANY (ARRAY['rollback'::text, 'proceed'::text])))
);

CREATE TABLE trace.chain (
    chain_no integer NOT NULL,
    chain_id bigint NOT NULL,
    contract text NOT NULL,
    log_origin text NOT NULL,
    genesis_head bytea NOT NULL,
    state text NOT NULL,
    nonce bigint NOT NULL,
    raw_transactions bytea[] NOT NULL,
    tx_hashes text[] NOT NULL,
    max_fee_wei numeric(78,0) NOT NULL,
    tip_wei numeric(78,0),
    signed_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    deployed_at timestamp with time zone,
    lost_at timestamp with time zone,
    CONSTRAINT chain_genesis_head_check CHECK ((octet_length(genesis_head) = 32)),
    CONSTRAINT chain_state_check CHECK ((state = ANY (ARRAY['prepared'::text, 'deployed'::text, 'lost'::text])))
);

COMMENT ON TABLE trace.chain IS 'Deployed anchor contracts; the newest that is not lost is in use.';

COMMENT ON COLUMN trace.chain.state IS 'prepared: signed, not seen on the chain yet; lost: its chain was wiped or the deployment could not be mined';

COMMENT ON COLUMN trace.chain.tip_wei IS 'Priority fee; null where the chain has no EIP-1559 and max_fee_wei is the gas price.';

ALTER TABLE trace.chain ALTER COLUMN chain_no ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME trace.chain_chain_no_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE trace.checkpoint (
    tree_size bigint NOT NULL,
    root_hash bytea NOT NULL,
    note text NOT NULL,
    signed_at timestamp with time zone NOT NULL,
    CONSTRAINT checkpoint_root_hash_check CHECK ((octet_length(root_hash) = 32)),
    CONSTRAINT checkpoint_tree_size_check CHECK ((tree_size > 0))
);

CREATE TABLE trace.cursor (
    name text NOT NULL,
    txid xid8 NOT NULL,
    arrival_id bigint NOT NULL
);

CREATE TABLE trace.curve_chunk (
    curve_chunk_id bigint NOT NULL,
    lot_uri text NOT NULL,
    channel_id integer NOT NULL,
    event_id bigint NOT NULL,
    bucket_at timestamp with time zone NOT NULL,
    revision integer NOT NULL,
    from_at timestamp with time zone NOT NULL,
    to_at timestamp with time zone NOT NULL,
    point_count integer NOT NULL,
    canonical bytea NOT NULL,
    CONSTRAINT curve_chunk_check CHECK ((to_at >= from_at)),
    CONSTRAINT curve_chunk_revision_check CHECK ((revision > 0))
);

COMMENT ON TABLE trace.curve_chunk IS 'A piece of a lot''s temperature curve as it was committed to the log; late readings make a higher revision.';

COMMENT ON COLUMN trace.curve_chunk.event_id IS 'The event that began the custody in which it was measured.';

COMMENT ON COLUMN trace.curve_chunk.to_at IS 'Last instant covered.';

COMMENT ON COLUMN trace.curve_chunk.canonical IS 'RFC 8785 bytes of the document; none of its points where the custody was taken back.';

ALTER TABLE trace.curve_chunk ALTER COLUMN curve_chunk_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME trace.curve_chunk_curve_chunk_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE trace.curve_due (
    lot_uri text NOT NULL,
    channel_id integer NOT NULL,
    event_id bigint NOT NULL,
    bucket_at timestamp with time zone NOT NULL,
    changed_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE trace.curve_due IS 'Pieces of curves whose readings or custody changed and which the log has not taken yet.';

COMMENT ON COLUMN trace.curve_due.event_id IS 'The event that began the custody.';

CREATE TABLE trace.custody (
    lot_uri text NOT NULL,
    from_at timestamp with time zone NOT NULL,
    to_at timestamp with time zone,
    location text NOT NULL,
    event_id bigint NOT NULL,
    CONSTRAINT custody_check CHECK ((to_at > from_at))
);

COMMENT ON TABLE trace.custody IS 'A lot was at a location from one event to the next (to_at null: still there). Derived from events.';

COMMENT ON COLUMN trace.custody.location IS 'bizLocation URI, https://id.gs1.org/414/<gln>; joins registry.zone.gln or registry.site.gln.';

CREATE VIEW trace.custody_v AS
 SELECT lot_uri,
    from_at,
    to_at,
    location
   FROM trace.custody;

COMMENT ON VIEW trace.custody_v IS 'Which lot stood where and when, for alerts and stock.';

CREATE TABLE trace.dead_letter (
    arrival_id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    body bytea NOT NULL
);

COMMENT ON TABLE trace.dead_letter IS 'EPCIS documents from gateways that break the standard, with their bytes and the reason.';

CREATE VIEW trace.dead_letter_v AS
 SELECT arrival_id,
    at,
    reason,
    detail,
    octet_length(body) AS bytes
   FROM trace.dead_letter;

COMMENT ON VIEW trace.dead_letter_v IS 'Refused events, for the console.';

CREATE TABLE trace.edge (
    from_uri text NOT NULL,
    to_uri text NOT NULL,
    event_id bigint NOT NULL,
    kind text NOT NULL,
    CONSTRAINT edge_kind_check CHECK ((kind = ANY (ARRAY['transformation'::text, 'aggregation'::text, 'association'::text])))
);

COMMENT ON TABLE trace.edge IS 'The lot graph: from becomes, or is packed into, to. Derived from events.';

CREATE TABLE trace.event (
    event_id bigint NOT NULL,
    event_hash text NOT NULL,
    jcs_sha256 bytea NOT NULL,
    event_type text NOT NULL,
    action text,
    event_time timestamp with time zone NOT NULL,
    event_offset text NOT NULL,
    record_time timestamp with time zone DEFAULT now() NOT NULL,
    biz_step text,
    disposition text,
    read_point text,
    biz_location text,
    transformation_id text,
    declared_error boolean DEFAULT false NOT NULL,
    source text NOT NULL,
    evidence smallint DEFAULT 0 NOT NULL,
    document jsonb NOT NULL,
    canonical bytea NOT NULL,
    CONSTRAINT event_action_check CHECK ((action = ANY (ARRAY['ADD'::text, 'OBSERVE'::text, 'DELETE'::text]))),
    CONSTRAINT event_event_type_check CHECK ((event_type = ANY (ARRAY['ObjectEvent'::text, 'AggregationEvent'::text, 'TransactionEvent'::text, 'TransformationEvent'::text, 'AssociationEvent'::text]))),
    CONSTRAINT event_jcs_sha256_check CHECK ((octet_length(jcs_sha256) = 32))
);

COMMENT ON TABLE trace.event IS 'Captured EPCIS events; the CBV hash is the identity, so what is captured twice counts once.';

COMMENT ON COLUMN trace.event.declared_error IS 'The event is an error declaration: CBV leaves errorDeclaration out of the hash, so it shares the hash of the event it takes back.';

COMMENT ON COLUMN trace.event.source IS 'How it came: gateway:<code>, rest:<login>, simulator';

COMMENT ON COLUMN trace.event.canonical IS 'RFC 8785 bytes of the event as captured: what jcs_sha256 and the proof are over.';

ALTER TABLE trace.event ALTER COLUMN event_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME trace.event_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE trace.event_thing (
    event_id bigint NOT NULL,
    role text NOT NULL,
    uri text NOT NULL,
    lot_uri text NOT NULL,
    quantity double precision,
    uom text,
    CONSTRAINT event_thing_role_check CHECK ((role = ANY (ARRAY['epc'::text, 'quantity'::text, 'parent'::text, 'child'::text, 'child_quantity'::text, 'input'::text, 'input_quantity'::text, 'output'::text, 'output_quantity'::text, 'contained'::text])))
);

COMMENT ON TABLE trace.event_thing IS 'What an event is about, one row a thing.';

COMMENT ON COLUMN trace.event_thing.role IS 'The list of the event it stands in; contained: not named, but inside a named container at that time. Derived.';

COMMENT ON COLUMN trace.event_thing.lot_uri IS 'Canonical Digital Link down to the lot (01/10), or the thing itself where it has no lot.';

CREATE VIEW trace.follower_v AS
 SELECT n.name,
    COALESCE(c.txid, '0'::xid8) AS txid,
    COALESCE(c.arrival_id, (0)::bigint) AS arrival_id
   FROM (( VALUES ('arrival'::text)) n(name)
     LEFT JOIN trace.cursor c USING (name));

COMMENT ON VIEW trace.follower_v IS 'How far this room has followed the arrivals of readings, also before it began; ingest keeps what it has not passed, and every arrival with an event.';

CREATE TABLE trace.label (
    code text NOT NULL,
    lot_uri text NOT NULL,
    issued_at timestamp with time zone DEFAULT now() NOT NULL,
    issued_by text NOT NULL,
    state text DEFAULT 'issued'::text NOT NULL,
    CONSTRAINT label_state_check CHECK ((state = ANY (ARRAY['issued'::text, 'activated'::text, 'shipped'::text, 'sold'::text, 'recalled'::text, 'voided'::text])))
);

COMMENT ON COLUMN trace.label.code IS 'The Digital Link path printed in the QR code.';

CREATE TABLE trace.leaf (
    leaf_index bigint NOT NULL,
    leaf_hash bytea NOT NULL,
    leaf bytea NOT NULL,
    event_id bigint,
    curve_chunk_id bigint,
    lot_uri text NOT NULL,
    lot_counter integer NOT NULL,
    CONSTRAINT leaf_check CHECK (((event_id IS NULL) <> (curve_chunk_id IS NULL))),
    CONSTRAINT leaf_leaf_hash_check CHECK ((octet_length(leaf_hash) = 32)),
    CONSTRAINT leaf_leaf_index_check CHECK ((leaf_index >= 0)),
    CONSTRAINT leaf_lot_counter_check CHECK ((lot_counter > 0))
);

COMMENT ON TABLE trace.leaf IS 'Entries of the transparency log (RFC 9162); an event has one leaf for each lot it touches.';

CREATE TABLE trace.log (
    singleton boolean DEFAULT true NOT NULL,
    origin text NOT NULL,
    verifier_key text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    CONSTRAINT log_singleton_check CHECK (singleton)
);

COMMENT ON TABLE trace.log IS 'The one log of this database, created on purpose and never by running.';

CREATE VIEW trace.place_channel_v AS
 SELECT ('https://id.gs1.org/414/'::text || place.gln) AS location,
    c.channel_id,
    c.channel,
    c.metric,
    c.unit,
    c.no_data_s,
    c.zone,
    c.zone_zh,
    c.zone_en,
    c.limit_profile,
    c.low,
    c.high
   FROM ((registry.channel_v c
     JOIN registry.site s USING (site_id))
     CROSS JOIN LATERAL ( SELECT c.zone_gln
        UNION
         SELECT s.gln) place(gln))
  WHERE ((place.gln IS NOT NULL) AND (c.metric = ANY (ARRAY['air_temperature'::text, 'product_temperature'::text])));

COMMENT ON VIEW trace.place_channel_v IS 'Thermometers of a place: of the zone with that GLN, or of all zones of the site with that GLN.';

CREATE TABLE trace.scan (
    code text NOT NULL,
    first_at timestamp with time zone DEFAULT now() NOT NULL,
    last_at timestamp with time zone DEFAULT now() NOT NULL,
    times bigint DEFAULT 1 NOT NULL
);

COMMENT ON TABLE trace.scan IS 'How often a printed code was opened; no address and nothing about the person.';

CREATE TABLE trace.tile (
    level smallint NOT NULL,
    tile_index bigint NOT NULL,
    width smallint NOT NULL,
    hashes bytea NOT NULL,
    CONSTRAINT tile_check CHECK ((octet_length(hashes) = (32 * width))),
    CONSTRAINT tile_width_check CHECK (((width >= 1) AND (width <= 256)))
);

COMMENT ON TABLE trace.tile IS 'Hash tiles as C2SP tlog-tiles lays them out; a tile only grows, so an older, narrower one is its first bytes.';

CREATE TABLE trace.trouble (
    name text NOT NULL,
    since timestamp with time zone NOT NULL,
    detail text NOT NULL,
    CONSTRAINT trouble_name_check CHECK ((name = ANY (ARRAY['feed'::text, 'sequence'::text, 'anchor'::text])))
);

COMMENT ON TABLE trace.trouble IS 'What keeps one of the room''s loops from its work right now; empty when all is well.';

CREATE VIEW trace.trouble_v AS
 SELECT name,
    since,
    detail
   FROM trace.trouble;

COMMENT ON VIEW trace.trouble_v IS 'What keeps feed, log or anchor from its work now, for the console.';

CREATE TABLE trace.unsequenced (
    event_id bigint NOT NULL,
    lot_uri text NOT NULL
);

COMMENT ON TABLE trace.unsequenced IS 'Events waiting for their leaf in a lot''s chain: written with the event, taken out with the leaf.';

CREATE VIEW trace.valid_event_v AS
 SELECT event_id,
    event_hash,
    jcs_sha256,
    event_type,
    action,
    event_time,
    event_offset,
    record_time,
    biz_step,
    disposition,
    read_point,
    biz_location,
    transformation_id,
    declared_error,
    source,
    evidence,
    document,
    canonical
   FROM trace.event e
  WHERE ((NOT declared_error) AND (NOT (EXISTS ( SELECT
           FROM trace.event d
          WHERE ((d.event_hash = e.event_hash) AND d.declared_error)))));

COMMENT ON VIEW trace.valid_event_v IS 'Events that count: neither error declarations nor taken back by one.';

ALTER TABLE ONLY alerts.acknowledge_link
    ADD CONSTRAINT acknowledge_link_pkey PRIMARY KEY (token_sha256);

ALTER TABLE ONLY alerts.alarm
    ADD CONSTRAINT alarm_channel_id_kind_raised_at_key UNIQUE (channel_id, kind, raised_at);

ALTER TABLE ONLY alerts.alarm
    ADD CONSTRAINT alarm_item_once UNIQUE (site_id, item, kind, raised_at);

ALTER TABLE ONLY alerts.alarm
    ADD CONSTRAINT alarm_pkey PRIMARY KEY (alarm_id);

ALTER TABLE ONLY alerts.calibration
    ADD CONSTRAINT calibration_pkey PRIMARY KEY (calibration_id);

ALTER TABLE ONLY alerts.cursor
    ADD CONSTRAINT cursor_pkey PRIMARY KEY (name);

ALTER TABLE ONLY alerts.escalation
    ADD CONSTRAINT escalation_pkey PRIMARY KEY (organisation_id);

ALTER TABLE ONLY alerts.excursion_alarm
    ADD CONSTRAINT excursion_alarm_pkey PRIMARY KEY (alarm_id);

ALTER TABLE ONLY alerts.excursion
    ADD CONSTRAINT excursion_pkey PRIMARY KEY (excursion_id);

ALTER TABLE ONLY alerts.excursion_version
    ADD CONSTRAINT excursion_version_pkey PRIMARY KEY (excursion_id, version);

ALTER TABLE ONLY alerts.handover
    ADD CONSTRAINT handover_corrects_key UNIQUE (corrects);

ALTER TABLE ONLY alerts.handover
    ADD CONSTRAINT handover_handover_id_signed_by_key UNIQUE (handover_id, signed_by);

ALTER TABLE ONLY alerts.handover
    ADD CONSTRAINT handover_handover_id_site_id_key UNIQUE (handover_id, site_id);

ALTER TABLE ONLY alerts.handover
    ADD CONSTRAINT handover_pkey PRIMARY KEY (handover_id);

ALTER TABLE ONLY alerts.handover_taken
    ADD CONSTRAINT handover_taken_pkey PRIMARY KEY (handover_id);

ALTER TABLE ONLY alerts.holiday
    ADD CONSTRAINT holiday_pkey PRIMARY KEY (day);

ALTER TABLE ONLY alerts.journal
    ADD CONSTRAINT journal_alarm_id_version_key UNIQUE (alarm_id, version);

ALTER TABLE ONLY alerts.journal_cursor
    ADD CONSTRAINT journal_cursor_pkey PRIMARY KEY (name);

ALTER TABLE ONLY alerts.journal
    ADD CONSTRAINT journal_pkey PRIMARY KEY (journal_id);

ALTER TABLE ONLY alerts.memory
    ADD CONSTRAINT memory_pkey PRIMARY KEY (channel_id);

ALTER TABLE ONLY alerts.mute
    ADD CONSTRAINT mute_pkey PRIMARY KEY (mute_id);

ALTER TABLE ONLY alerts.notification_attempt
    ADD CONSTRAINT notification_attempt_notification_id_number_outcome_key UNIQUE (notification_id, number, outcome);

ALTER TABLE ONLY alerts.notification_attempt
    ADD CONSTRAINT notification_attempt_pkey PRIMARY KEY (notification_attempt_id);

ALTER TABLE ONLY alerts.notification_line
    ADD CONSTRAINT notification_line_alarm_id_version_purpose_step_target_key UNIQUE (alarm_id, version, purpose, step, target);

ALTER TABLE ONLY alerts.notification_line
    ADD CONSTRAINT notification_line_pkey PRIMARY KEY (notification_line_id);

ALTER TABLE ONLY alerts.notification
    ADD CONSTRAINT notification_pkey PRIMARY KEY (notification_id);

ALTER TABLE ONLY alerts.notification
    ADD CONSTRAINT notification_uuid_key UNIQUE (uuid);

ALTER TABLE ONLY alerts.people_history
    ADD CONSTRAINT people_history_pkey PRIMARY KEY (people_history_id);

ALTER TABLE ONLY alerts.receiver
    ADD CONSTRAINT receiver_code_key UNIQUE (code);

ALTER TABLE ONLY alerts.receiver
    ADD CONSTRAINT receiver_pkey PRIMARY KEY (receiver_id);

ALTER TABLE ONLY alerts.receiver_secret
    ADD CONSTRAINT receiver_secret_pkey PRIMARY KEY (receiver_id);

ALTER TABLE ONLY alerts.rota
    ADD CONSTRAINT rota_pkey PRIMARY KEY (code);

ALTER TABLE ONLY alerts.rule
    ADD CONSTRAINT rule_pkey PRIMARY KEY (code, version);

ALTER TABLE ONLY alerts.staffing
    ADD CONSTRAINT staffing_pkey PRIMARY KEY (staffing_id);

ALTER TABLE ONLY alerts.summons
    ADD CONSTRAINT summons_alarm_id_version_key UNIQUE (alarm_id, version);

ALTER TABLE ONLY alerts.summons
    ADD CONSTRAINT summons_pkey PRIMARY KEY (summons_id);

ALTER TABLE ONLY alerts.suppression_journal
    ADD CONSTRAINT suppression_journal_pkey PRIMARY KEY (suppression_journal_id);

ALTER TABLE ONLY alerts.suppression
    ADD CONSTRAINT suppression_pkey PRIMARY KEY (channel_id, kind);

ALTER TABLE ONLY alerts.watch_span
    ADD CONSTRAINT watch_span_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY alerts.watched
    ADD CONSTRAINT watched_pkey PRIMARY KEY (channel_id);

ALTER TABLE ONLY hanlu.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (room, name);

ALTER TABLE ONLY registry.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (audit_id);

ALTER TABLE ONLY registry.broker_login
    ADD CONSTRAINT broker_login_pkey PRIMARY KEY (gateway_id);

ALTER TABLE ONLY registry.channel
    ADD CONSTRAINT channel_device_id_metric_key UNIQUE (device_id, metric);

ALTER TABLE ONLY registry.channel
    ADD CONSTRAINT channel_pkey PRIMARY KEY (channel_id);

ALTER TABLE ONLY registry.device
    ADD CONSTRAINT device_gateway_id_code_key UNIQUE (gateway_id, code);

ALTER TABLE ONLY registry.device
    ADD CONSTRAINT device_pkey PRIMARY KEY (device_id);

ALTER TABLE ONLY registry.enrolment
    ADD CONSTRAINT enrolment_pkey PRIMARY KEY (enrolment_id);

ALTER TABLE ONLY registry.enrolment
    ADD CONSTRAINT enrolment_token_sha256_key UNIQUE (token_sha256);

ALTER TABLE ONLY registry.enrolment_use
    ADD CONSTRAINT enrolment_use_pkey PRIMARY KEY (enrolment_id);

ALTER TABLE ONLY registry.gateway
    ADD CONSTRAINT gateway_code_key UNIQUE (code);

ALTER TABLE ONLY registry.gateway_config
    ADD CONSTRAINT gateway_config_pkey PRIMARY KEY (gateway_id);

ALTER TABLE ONLY registry.gateway_key
    ADD CONSTRAINT gateway_key_pkey PRIMARY KEY (kid);

ALTER TABLE ONLY registry.gateway
    ADD CONSTRAINT gateway_pkey PRIMARY KEY (gateway_id);

ALTER TABLE ONLY registry.ignored_channel
    ADD CONSTRAINT ignored_channel_pkey PRIMARY KEY (gateway_id, name);

ALTER TABLE ONLY registry.level_name
    ADD CONSTRAINT level_name_pkey PRIMARY KEY (level);

ALTER TABLE ONLY registry.limit_profile
    ADD CONSTRAINT limit_profile_code_metric_effective_from_key UNIQUE (code, metric, effective_from);

ALTER TABLE ONLY registry.limit_profile
    ADD CONSTRAINT limit_profile_pkey PRIMARY KEY (limit_profile_id);

ALTER TABLE ONLY registry.organisation
    ADD CONSTRAINT organisation_code_key UNIQUE (code);

ALTER TABLE ONLY registry.organisation
    ADD CONSTRAINT organisation_path_key UNIQUE (path);

ALTER TABLE ONLY registry.organisation
    ADD CONSTRAINT organisation_pkey PRIMARY KEY (organisation_id);

ALTER TABLE ONLY registry.participant
    ADD CONSTRAINT participant_gln_key UNIQUE (gln);

ALTER TABLE ONLY registry.participant
    ADD CONSTRAINT participant_pkey PRIMARY KEY (participant_id);

ALTER TABLE ONLY registry.person
    ADD CONSTRAINT person_login_key UNIQUE (login);

ALTER TABLE ONLY registry.person
    ADD CONSTRAINT person_pkey PRIMARY KEY (person_id);

ALTER TABLE ONLY registry.product
    ADD CONSTRAINT product_gtin_key UNIQUE (gtin);

ALTER TABLE ONLY registry.product
    ADD CONSTRAINT product_pkey PRIMARY KEY (product_id);

ALTER TABLE ONLY registry.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (token_sha256);

ALTER TABLE ONLY registry.signin_failure
    ADD CONSTRAINT signin_failure_pkey PRIMARY KEY (login_sha256);

ALTER TABLE ONLY registry.site
    ADD CONSTRAINT site_code_key UNIQUE (code);

ALTER TABLE ONLY registry.site
    ADD CONSTRAINT site_gln_key UNIQUE (gln);

ALTER TABLE ONLY registry.site
    ADD CONSTRAINT site_pkey PRIMARY KEY (site_id);

ALTER TABLE ONLY registry.zone
    ADD CONSTRAINT zone_code_key UNIQUE (code);

ALTER TABLE ONLY registry.zone
    ADD CONSTRAINT zone_gln_key UNIQUE (gln);

ALTER TABLE ONLY registry.zone
    ADD CONSTRAINT zone_pkey PRIMARY KEY (zone_id);

ALTER TABLE ONLY telemetry.arrival_gone
    ADD CONSTRAINT arrival_gone_pkey PRIMARY KEY (gateway_id, epoch, from_seq);

ALTER TABLE ONLY telemetry.arrival
    ADD CONSTRAINT arrival_pkey PRIMARY KEY (arrival_id);

ALTER TABLE ONLY telemetry.birth_noted
    ADD CONSTRAINT birth_noted_pkey PRIMARY KEY (gateway_id);

ALTER TABLE ONLY telemetry.configure
    ADD CONSTRAINT configure_pkey PRIMARY KEY (gateway_id);

ALTER TABLE ONLY telemetry.daily
    ADD CONSTRAINT daily_pkey PRIMARY KEY (channel_id, day);

ALTER TABLE ONLY telemetry.day_due
    ADD CONSTRAINT day_due_pkey PRIMARY KEY (channel_id, day);

ALTER TABLE ONLY telemetry.dead_letter_count
    ADD CONSTRAINT dead_letter_count_pkey PRIMARY KEY (gateway, reason);

ALTER TABLE ONLY telemetry.dead_letter
    ADD CONSTRAINT dead_letter_pkey PRIMARY KEY (dead_letter_id);

ALTER TABLE ONLY telemetry.dead_letter
    ADD CONSTRAINT dead_letter_topic_reason_body_sha256_key UNIQUE (topic, reason, body_sha256);

ALTER TABLE ONLY telemetry.epoch_closed
    ADD CONSTRAINT epoch_closed_pkey PRIMARY KEY (gateway_id, epoch);

ALTER TABLE ONLY telemetry.follower
    ADD CONSTRAINT follower_pkey PRIMARY KEY (name);

ALTER TABLE ONLY telemetry.gap
    ADD CONSTRAINT gap_pkey PRIMARY KEY (gateway_id, epoch, from_seq);

ALTER TABLE ONLY telemetry.gateway_epoch
    ADD CONSTRAINT gateway_epoch_pkey PRIMARY KEY (gateway_id, epoch);

ALTER TABLE ONLY telemetry.gateway_hour
    ADD CONSTRAINT gateway_hour_pkey PRIMARY KEY (gateway_id, hour_at);

ALTER TABLE ONLY telemetry.gateway_link
    ADD CONSTRAINT gateway_link_pkey PRIMARY KEY (gateway_id);

ALTER TABLE ONLY telemetry.held
    ADD CONSTRAINT held_pkey PRIMARY KEY (hold_id, channel_id, from_at);

ALTER TABLE ONLY telemetry.hour_due
    ADD CONSTRAINT hour_due_pkey PRIMARY KEY (channel_id, hour_at);

ALTER TABLE ONLY telemetry.hourly
    ADD CONSTRAINT hourly_pkey PRIMARY KEY (channel_id, hour_at);

ALTER TABLE ONLY telemetry.ingest_session
    ADD CONSTRAINT ingest_session_pkey PRIMARY KEY (client_id);

ALTER TABLE ONLY telemetry.ingest_worker
    ADD CONSTRAINT ingest_worker_pkey PRIMARY KEY (worker);

ALTER TABLE ONLY telemetry.kept
    ADD CONSTRAINT kept_pkey PRIMARY KEY (channel_id);

ALTER TABLE ONLY telemetry.latest
    ADD CONSTRAINT latest_pkey PRIMARY KEY (channel_id);

ALTER TABLE ONLY telemetry.legal_hold
    ADD CONSTRAINT legal_hold_pkey PRIMARY KEY (hold_id);

ALTER TABLE ONLY telemetry.loss
    ADD CONSTRAINT loss_arrival_id_key UNIQUE (arrival_id);

ALTER TABLE ONLY telemetry.loss
    ADD CONSTRAINT loss_pkey PRIMARY KEY (loss_id);

ALTER TABLE ONLY telemetry.reading
    ADD CONSTRAINT reading_pkey PRIMARY KEY (channel_id, observed_at);

ALTER TABLE ONLY telemetry.rebirth
    ADD CONSTRAINT rebirth_pkey PRIMARY KEY (gateway_id);

ALTER TABLE ONLY telemetry.replay
    ADD CONSTRAINT replay_arrival_id_key UNIQUE (arrival_id);

ALTER TABLE ONLY telemetry.replay
    ADD CONSTRAINT replay_pkey PRIMARY KEY (dead_letter_id, attempt);

ALTER TABLE ONLY telemetry.resend
    ADD CONSTRAINT resend_pkey PRIMARY KEY (gateway_id, epoch);

ALTER TABLE ONLY telemetry.retention_rule
    ADD CONSTRAINT retention_rule_pkey PRIMARY KEY (kind, code);

ALTER TABLE ONLY telemetry.retention_run
    ADD CONSTRAINT retention_run_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY telemetry.throttled
    ADD CONSTRAINT throttled_pkey PRIMARY KEY (gateway_id);

ALTER TABLE ONLY telemetry.unapproved
    ADD CONSTRAINT unapproved_pkey PRIMARY KEY (gateway_id, name);

ALTER TABLE ONLY trace.anchor
    ADD CONSTRAINT anchor_chain_no_head_key UNIQUE (chain_no, head);

ALTER TABLE ONLY trace.anchor
    ADD CONSTRAINT anchor_pkey PRIMARY KEY (chain_no, seq);

ALTER TABLE ONLY trace.capture_job
    ADD CONSTRAINT capture_job_pkey PRIMARY KEY (capture_id);

ALTER TABLE ONLY trace.chain
    ADD CONSTRAINT chain_pkey PRIMARY KEY (chain_no);

ALTER TABLE ONLY trace.checkpoint
    ADD CONSTRAINT checkpoint_pkey PRIMARY KEY (tree_size);

ALTER TABLE ONLY trace.cursor
    ADD CONSTRAINT cursor_pkey PRIMARY KEY (name);

ALTER TABLE ONLY trace.curve_chunk
    ADD CONSTRAINT curve_chunk_lot_uri_channel_id_event_id_bucket_at_revision_key UNIQUE (lot_uri, channel_id, event_id, bucket_at, revision);

ALTER TABLE ONLY trace.curve_chunk
    ADD CONSTRAINT curve_chunk_pkey PRIMARY KEY (curve_chunk_id);

ALTER TABLE ONLY trace.curve_due
    ADD CONSTRAINT curve_due_pkey PRIMARY KEY (lot_uri, channel_id, event_id, bucket_at);

ALTER TABLE ONLY trace.custody
    ADD CONSTRAINT custody_pkey PRIMARY KEY (lot_uri, event_id);

ALTER TABLE ONLY trace.dead_letter
    ADD CONSTRAINT dead_letter_pkey PRIMARY KEY (arrival_id);

ALTER TABLE ONLY trace.edge
    ADD CONSTRAINT edge_pkey PRIMARY KEY (from_uri, to_uri, event_id);

ALTER TABLE ONLY trace.event
    ADD CONSTRAINT event_event_hash_declared_error_key UNIQUE (event_hash, declared_error);

ALTER TABLE ONLY trace.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY trace.label
    ADD CONSTRAINT label_pkey PRIMARY KEY (code);

ALTER TABLE ONLY trace.leaf
    ADD CONSTRAINT leaf_curve_chunk_id_key UNIQUE (curve_chunk_id);

ALTER TABLE ONLY trace.leaf
    ADD CONSTRAINT leaf_event_id_lot_uri_key UNIQUE (event_id, lot_uri);

ALTER TABLE ONLY trace.leaf
    ADD CONSTRAINT leaf_leaf_hash_key UNIQUE (leaf_hash);

ALTER TABLE ONLY trace.leaf
    ADD CONSTRAINT leaf_lot_uri_lot_counter_key UNIQUE (lot_uri, lot_counter);

ALTER TABLE ONLY trace.leaf
    ADD CONSTRAINT leaf_pkey PRIMARY KEY (leaf_index);

ALTER TABLE ONLY trace.log
    ADD CONSTRAINT log_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY trace.scan
    ADD CONSTRAINT scan_pkey PRIMARY KEY (code);

ALTER TABLE ONLY trace.tile
    ADD CONSTRAINT tile_pkey PRIMARY KEY (level, tile_index);

ALTER TABLE ONLY trace.trouble
    ADD CONSTRAINT trouble_pkey PRIMARY KEY (name);

ALTER TABLE ONLY trace.unsequenced
    ADD CONSTRAINT unsequenced_pkey PRIMARY KEY (event_id, lot_uri);

CREATE INDEX acknowledge_link_age ON alerts.acknowledge_link USING btree (expires_at);

CREATE INDEX acknowledge_link_of ON alerts.acknowledge_link USING btree (notification_id);

CREATE UNIQUE INDEX alarm_active ON alerts.alarm USING btree (channel_id, kind) WHERE (process_state = ANY (ARRAY['UNACKNOWLEDGED'::text, 'ACKNOWLEDGED'::text]));

CREATE INDEX alarm_by_time ON alerts.alarm USING btree (raised_at DESC);

CREATE INDEX alarm_called ON alerts.alarm USING btree (called_at) INCLUDE (alarm_id, channel_id, site_id, item, kind, priority, raised_at, returned_at, acknowledged_at, respond_by) WHERE (called_at IS NOT NULL);

CREATE INDEX alarm_explained ON alerts.alarm USING btree (explained_by) WHERE (explained_by IS NOT NULL);

CREATE UNIQUE INDEX alarm_item_active ON alerts.alarm USING btree (site_id, item, kind) WHERE ((process_state = ANY (ARRAY['UNACKNOWLEDGED'::text, 'ACKNOWLEDGED'::text])) AND (item IS NOT NULL));

CREATE INDEX alarm_never_called ON alerts.alarm USING btree (detected_at) INCLUDE (alarm_id, channel_id, site_id, suppression_state, hold_reason) WHERE (called_at IS NULL);

CREATE INDEX alarm_open ON alerts.alarm USING btree (process_state, priority, raised_at DESC) WHERE (process_state <> 'NORMAL'::text);

CREATE INDEX alarm_open_point ON alerts.alarm USING btree (channel_id, kind) WHERE (process_state <> 'NORMAL'::text);

CREATE INDEX alarm_re_alarm ON alerts.alarm USING btree (re_alarm_at) WHERE (re_alarm_at IS NOT NULL);

CREATE INDEX calibration_channel ON alerts.calibration USING btree (channel_id, calibration_id DESC);

CREATE INDEX excursion_alarm_of ON alerts.excursion_alarm USING btree (excursion_id);

CREATE INDEX excursion_by_time ON alerts.excursion USING btree (from_at DESC);

CREATE INDEX excursion_channel ON alerts.excursion USING btree (channel_id, from_at);

CREATE UNIQUE INDEX excursion_standing ON alerts.excursion USING btree (channel_id, side) WHERE (standing AND (merged_into IS NULL));

CREATE INDEX excursion_windows_due ON alerts.excursion USING btree (excursion_id) WHERE ((windows_at IS NULL) AND (merged_into IS NULL));

CREATE INDEX handover_site ON alerts.handover USING btree (site_id, handover_id DESC);

CREATE INDEX journal_feed_order ON alerts.journal USING btree (txid, journal_id);

CREATE INDEX notification_attempt_line ON alerts.notification_attempt USING btree (line, at DESC);

CREATE INDEX notification_content ON alerts.notification USING btree (receiver_id, content) WHERE (content IS NOT NULL);

CREATE INDEX notification_due ON alerts.notification USING btree (due_at) WHERE (state = 'waiting'::text);

CREATE UNIQUE INDEX notification_gathering ON alerts.notification USING btree (receiver_id, purpose, group_key) WHERE ((state = 'waiting'::text) AND (attempts = 0));

CREATE INDEX notification_line_of ON alerts.notification_line USING btree (notification_id);

CREATE INDEX notification_of ON alerts.notification USING btree (receiver_id, notification_id DESC);

CREATE INDEX staffing_organisation ON alerts.staffing USING btree (organisation_id, staffing_id DESC);

CREATE INDEX summons_due ON alerts.summons USING btree (next_at) WHERE ((ended_at IS NULL) AND (next_at IS NOT NULL));

CREATE UNIQUE INDEX summons_open ON alerts.summons USING btree (alarm_id) WHERE (ended_at IS NULL);

CREATE INDEX suppression_expiry ON alerts.suppression USING btree (expires_at) WHERE (expires_at IS NOT NULL);

CREATE INDEX suppression_journal_channel ON alerts.suppression_journal USING btree (channel_id, suppression_journal_id);

CREATE INDEX audit_at ON registry.audit USING btree (at DESC);

CREATE UNIQUE INDEX enrolment_open ON registry.enrolment USING btree (gateway_id) WHERE (withdrawn_at IS NULL);

COMMENT ON INDEX registry.enrolment_open IS 'A gateway has one token at a time: a new one withdraws the one before.';

CREATE INDEX organisation_path ON registry.organisation USING btree (path text_pattern_ops);

CREATE INDEX session_expiry ON registry.session USING btree (expires_at);

CREATE INDEX session_person ON registry.session USING btree (person_id);

CREATE INDEX signin_failure_age ON registry.signin_failure USING btree (last_at);

CREATE INDEX arrival_event_order ON telemetry.arrival USING btree (txid, arrival_id) WHERE (event IS NOT NULL);

CREATE INDEX arrival_feed_order ON telemetry.arrival USING btree (txid, arrival_id);

CREATE UNIQUE INDEX arrival_identity ON telemetry.arrival USING btree (gateway_id, epoch, seq) WHERE (epoch IS NOT NULL);

CREATE UNIQUE INDEX arrival_unsigned_identity ON telemetry.arrival USING btree (gateway_id, digest) WHERE (epoch IS NULL);

CREATE INDEX day_due_order ON telemetry.day_due USING btree (due_at);

CREATE INDEX dead_letter_body ON telemetry.dead_letter USING btree (gateway, dead_letter_id) WHERE (dropped_at IS NULL);

CREATE INDEX dead_letter_of_arrival ON telemetry.dead_letter USING btree (arrival_id) WHERE (arrival_id IS NOT NULL);

CREATE INDEX dead_letter_of_gateway ON telemetry.dead_letter USING btree (gateway, dead_letter_id);

CREATE INDEX dead_letter_of_reason ON telemetry.dead_letter USING btree (reason, dead_letter_id);

CREATE INDEX dead_letter_open ON telemetry.dead_letter USING btree (gateway, reason, dead_letter_id) WHERE (resolved_at IS NULL);

CREATE INDEX dead_letter_resolved_body ON telemetry.dead_letter USING btree (resolved_at) WHERE ((resolved_at IS NOT NULL) AND (dropped_at IS NULL));

CREATE INDEX dead_letter_unnoted ON telemetry.dead_letter USING btree (dead_letter_id) WHERE (noted_at IS NULL);

CREATE INDEX gateway_hour_age ON telemetry.gateway_hour USING btree (hour_at);

CREATE INDEX hour_due_order ON telemetry.hour_due USING btree (due_at);

CREATE UNIQUE INDEX loss_identity ON telemetry.loss USING btree (gateway_id, source, reason, channel) NULLS NOT DISTINCT WHERE (source <> ''::text);

CREATE INDEX replay_spool ON telemetry.replay USING btree (gateway_id, epoch);

CREATE INDEX curve_due_age ON trace.curve_due USING btree (changed_at);

CREATE INDEX custody_place ON trace.custody USING btree (location, from_at);

CREATE INDEX custody_time ON trace.custody USING btree (lot_uri, from_at);

CREATE INDEX edge_back ON trace.edge USING btree (to_uri, from_uri);

CREATE INDEX edge_event ON trace.edge USING btree (event_id);

CREATE INDEX event_by_name ON trace.event USING btree (((document ->> 'eventID'::text)));

CREATE INDEX event_by_time ON trace.event USING btree (event_time, event_id);

CREATE INDEX event_by_transformation ON trace.event USING btree (transformation_id) WHERE (transformation_id IS NOT NULL);

CREATE INDEX event_thing_event ON trace.event_thing USING btree (event_id);

CREATE INDEX event_thing_lot ON trace.event_thing USING btree (lot_uri, event_id);

CREATE INDEX event_thing_uri ON trace.event_thing USING btree (uri);

CREATE INDEX label_lot ON trace.label USING btree (lot_uri);

CREATE TRIGGER dead_letter_counted AFTER INSERT OR DELETE OR UPDATE ON telemetry.dead_letter FOR EACH ROW EXECUTE FUNCTION telemetry.count_dead_letter();

ALTER TABLE ONLY alerts.acknowledge_link
    ADD CONSTRAINT acknowledge_link_notification_id_fkey FOREIGN KEY (notification_id) REFERENCES alerts.notification(notification_id);

ALTER TABLE ONLY alerts.acknowledge_link
    ADD CONSTRAINT acknowledge_link_receiver_id_fkey FOREIGN KEY (receiver_id) REFERENCES alerts.receiver(receiver_id);

ALTER TABLE ONLY alerts.alarm
    ADD CONSTRAINT alarm_explained_by_fkey FOREIGN KEY (explained_by) REFERENCES alerts.alarm(alarm_id);

ALTER TABLE ONLY alerts.excursion_alarm
    ADD CONSTRAINT excursion_alarm_alarm_id_fkey FOREIGN KEY (alarm_id) REFERENCES alerts.alarm(alarm_id);

ALTER TABLE ONLY alerts.excursion_alarm
    ADD CONSTRAINT excursion_alarm_excursion_id_fkey FOREIGN KEY (excursion_id) REFERENCES alerts.excursion(excursion_id);

ALTER TABLE ONLY alerts.excursion
    ADD CONSTRAINT excursion_merged_into_fkey FOREIGN KEY (merged_into) REFERENCES alerts.excursion(excursion_id);

ALTER TABLE ONLY alerts.excursion_version
    ADD CONSTRAINT excursion_version_excursion_id_fkey FOREIGN KEY (excursion_id) REFERENCES alerts.excursion(excursion_id);

ALTER TABLE ONLY alerts.handover
    ADD CONSTRAINT handover_corrects_site_id_fkey FOREIGN KEY (corrects, site_id) REFERENCES alerts.handover(handover_id, site_id);

ALTER TABLE ONLY alerts.handover_taken
    ADD CONSTRAINT handover_taken_handover_id_signed_by_fkey FOREIGN KEY (handover_id, signed_by) REFERENCES alerts.handover(handover_id, signed_by);

ALTER TABLE ONLY alerts.journal
    ADD CONSTRAINT journal_alarm_id_fkey FOREIGN KEY (alarm_id) REFERENCES alerts.alarm(alarm_id);

ALTER TABLE ONLY alerts.notification_attempt
    ADD CONSTRAINT notification_attempt_notification_id_fkey FOREIGN KEY (notification_id) REFERENCES alerts.notification(notification_id);

ALTER TABLE ONLY alerts.notification_line
    ADD CONSTRAINT notification_line_alarm_id_fkey FOREIGN KEY (alarm_id) REFERENCES alerts.alarm(alarm_id);

ALTER TABLE ONLY alerts.notification_line
    ADD CONSTRAINT notification_line_notification_id_fkey FOREIGN KEY (notification_id) REFERENCES alerts.notification(notification_id);

ALTER TABLE ONLY alerts.notification_line
    ADD CONSTRAINT notification_line_receiver_id_fkey FOREIGN KEY (receiver_id) REFERENCES alerts.receiver(receiver_id);

ALTER TABLE ONLY alerts.notification
    ADD CONSTRAINT notification_receiver_id_fkey FOREIGN KEY (receiver_id) REFERENCES alerts.receiver(receiver_id);

ALTER TABLE ONLY alerts.receiver_secret
    ADD CONSTRAINT receiver_secret_receiver_id_fkey FOREIGN KEY (receiver_id) REFERENCES alerts.receiver(receiver_id) ON DELETE CASCADE;

ALTER TABLE ONLY alerts.summons
    ADD CONSTRAINT summons_alarm_id_fkey FOREIGN KEY (alarm_id) REFERENCES alerts.alarm(alarm_id);

ALTER TABLE ONLY registry.audit
    ADD CONSTRAINT audit_person_id_fkey FOREIGN KEY (person_id) REFERENCES registry.person(person_id);

ALTER TABLE ONLY registry.broker_login
    ADD CONSTRAINT broker_login_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES registry.gateway(gateway_id);

ALTER TABLE ONLY registry.channel
    ADD CONSTRAINT channel_device_id_fkey FOREIGN KEY (device_id) REFERENCES registry.device(device_id);

ALTER TABLE ONLY registry.device
    ADD CONSTRAINT device_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES registry.gateway(gateway_id);

ALTER TABLE ONLY registry.device
    ADD CONSTRAINT device_zone_id_fkey FOREIGN KEY (zone_id) REFERENCES registry.zone(zone_id);

ALTER TABLE ONLY registry.enrolment
    ADD CONSTRAINT enrolment_created_by_fkey FOREIGN KEY (created_by) REFERENCES registry.person(person_id);

ALTER TABLE ONLY registry.enrolment
    ADD CONSTRAINT enrolment_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES registry.gateway(gateway_id);

ALTER TABLE ONLY registry.enrolment_use
    ADD CONSTRAINT enrolment_use_enrolment_id_fkey FOREIGN KEY (enrolment_id) REFERENCES registry.enrolment(enrolment_id);

ALTER TABLE ONLY registry.enrolment_use
    ADD CONSTRAINT enrolment_use_kid_fkey FOREIGN KEY (kid) REFERENCES registry.gateway_key(kid);

ALTER TABLE ONLY registry.gateway_config
    ADD CONSTRAINT gateway_config_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES registry.gateway(gateway_id);

ALTER TABLE ONLY registry.gateway_config
    ADD CONSTRAINT gateway_config_set_by_fkey FOREIGN KEY (set_by) REFERENCES registry.person(person_id);

ALTER TABLE ONLY registry.gateway_key
    ADD CONSTRAINT gateway_key_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES registry.gateway(gateway_id);

ALTER TABLE ONLY registry.gateway
    ADD CONSTRAINT gateway_site_id_fkey FOREIGN KEY (site_id) REFERENCES registry.site(site_id);

ALTER TABLE ONLY registry.ignored_channel
    ADD CONSTRAINT ignored_channel_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES registry.gateway(gateway_id);

ALTER TABLE ONLY registry.ignored_channel
    ADD CONSTRAINT ignored_channel_ignored_by_fkey FOREIGN KEY (ignored_by) REFERENCES registry.person(person_id);

ALTER TABLE ONLY registry.organisation
    ADD CONSTRAINT organisation_level_fkey FOREIGN KEY (level) REFERENCES registry.level_name(level);

ALTER TABLE ONLY registry.organisation
    ADD CONSTRAINT organisation_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES registry.organisation(organisation_id);

ALTER TABLE ONLY registry.participant
    ADD CONSTRAINT participant_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES registry.organisation(organisation_id);

ALTER TABLE ONLY registry.person
    ADD CONSTRAINT person_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES registry.organisation(organisation_id);

ALTER TABLE ONLY registry.session
    ADD CONSTRAINT session_person_id_fkey FOREIGN KEY (person_id) REFERENCES registry.person(person_id) ON DELETE CASCADE;

ALTER TABLE ONLY registry.site
    ADD CONSTRAINT site_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES registry.organisation(organisation_id);

ALTER TABLE ONLY registry.site
    ADD CONSTRAINT site_participant_id_fkey FOREIGN KEY (participant_id) REFERENCES registry.participant(participant_id);

ALTER TABLE ONLY registry.zone
    ADD CONSTRAINT zone_site_id_fkey FOREIGN KEY (site_id) REFERENCES registry.site(site_id);

ALTER TABLE ONLY telemetry.dead_letter
    ADD CONSTRAINT dead_letter_arrival_id_fkey FOREIGN KEY (arrival_id) REFERENCES telemetry.arrival(arrival_id);

ALTER TABLE ONLY telemetry.held
    ADD CONSTRAINT held_hold_id_fkey FOREIGN KEY (hold_id) REFERENCES telemetry.legal_hold(hold_id);

ALTER TABLE ONLY telemetry.loss
    ADD CONSTRAINT loss_arrival_id_fkey FOREIGN KEY (arrival_id) REFERENCES telemetry.arrival(arrival_id);

ALTER TABLE ONLY telemetry.replay
    ADD CONSTRAINT replay_arrival_id_fkey FOREIGN KEY (arrival_id) REFERENCES telemetry.arrival(arrival_id);

ALTER TABLE ONLY trace.anchor
    ADD CONSTRAINT anchor_chain_no_fkey FOREIGN KEY (chain_no) REFERENCES trace.chain(chain_no);

ALTER TABLE ONLY trace.anchor
    ADD CONSTRAINT anchor_tree_size_fkey FOREIGN KEY (tree_size) REFERENCES trace.checkpoint(tree_size);

ALTER TABLE ONLY trace.curve_chunk
    ADD CONSTRAINT curve_chunk_event_id_fkey FOREIGN KEY (event_id) REFERENCES trace.event(event_id);

ALTER TABLE ONLY trace.curve_due
    ADD CONSTRAINT curve_due_event_id_fkey FOREIGN KEY (event_id) REFERENCES trace.event(event_id);

ALTER TABLE ONLY trace.custody
    ADD CONSTRAINT custody_event_id_fkey FOREIGN KEY (event_id) REFERENCES trace.event(event_id);

ALTER TABLE ONLY trace.edge
    ADD CONSTRAINT edge_event_id_fkey FOREIGN KEY (event_id) REFERENCES trace.event(event_id);

ALTER TABLE ONLY trace.event_thing
    ADD CONSTRAINT event_thing_event_id_fkey FOREIGN KEY (event_id) REFERENCES trace.event(event_id);

ALTER TABLE ONLY trace.leaf
    ADD CONSTRAINT leaf_curve_chunk_id_fkey FOREIGN KEY (curve_chunk_id) REFERENCES trace.curve_chunk(curve_chunk_id);

ALTER TABLE ONLY trace.leaf
    ADD CONSTRAINT leaf_event_id_fkey FOREIGN KEY (event_id) REFERENCES trace.event(event_id);

ALTER TABLE ONLY trace.unsequenced
    ADD CONSTRAINT unsequenced_event_id_fkey FOREIGN KEY (event_id) REFERENCES trace.event(event_id);

GRANT USAGE ON SCHEMA alerts TO hanlu_alerts;
GRANT USAGE ON SCHEMA alerts TO hanlu_trace;

GRANT USAGE ON SCHEMA registry TO hanlu_registry;
GRANT USAGE ON SCHEMA registry TO hanlu_ingest;
GRANT USAGE ON SCHEMA registry TO hanlu_alerts;
GRANT USAGE ON SCHEMA registry TO hanlu_trace;
GRANT USAGE ON SCHEMA registry TO hanlu_reader;

GRANT USAGE ON SCHEMA telemetry TO hanlu_ingest;
GRANT USAGE ON SCHEMA telemetry TO hanlu_alerts;
GRANT USAGE ON SCHEMA telemetry TO hanlu_trace;
GRANT USAGE ON SCHEMA telemetry TO hanlu_registry;
GRANT USAGE ON SCHEMA telemetry TO hanlu_reader;

GRANT USAGE ON SCHEMA trace TO hanlu_trace;
GRANT USAGE ON SCHEMA trace TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.channel TO hanlu_registry;
GRANT SELECT ON TABLE registry.channel TO hanlu_ingest;
GRANT SELECT ON TABLE registry.channel TO hanlu_alerts;
GRANT SELECT ON TABLE registry.channel TO hanlu_trace;
GRANT SELECT ON TABLE registry.channel TO hanlu_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.hourly TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.hourly TO hanlu_reader;
GRANT SELECT ON TABLE telemetry.hourly TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.hourly TO hanlu_trace;

GRANT SELECT,INSERT ON TABLE telemetry.reading TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.reading_v TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.reading_v TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.reading_v TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.reading_v TO hanlu_registry;
GRANT SELECT ON TABLE telemetry.reading_v TO hanlu_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.hour_due TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.hour_due TO hanlu_reader;
GRANT SELECT ON TABLE telemetry.hour_due TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.hour_due TO hanlu_trace;

GRANT SELECT ON TABLE telemetry.kept TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.kept TO hanlu_reader;
GRANT SELECT ON TABLE telemetry.kept TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.kept TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.daily TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.daily TO hanlu_reader;
GRANT SELECT ON TABLE telemetry.daily TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.daily TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.day_due TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.day_due TO hanlu_reader;
GRANT SELECT ON TABLE telemetry.day_due TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.day_due TO hanlu_trace;

REVOKE ALL ON FUNCTION telemetry.drop_chunk(table_name text, from_at timestamp with time zone, to_at timestamp with time zone) FROM PUBLIC;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.acknowledge_link TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.alarm TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.device TO hanlu_registry;
GRANT SELECT ON TABLE registry.device TO hanlu_ingest;
GRANT SELECT ON TABLE registry.device TO hanlu_alerts;
GRANT SELECT ON TABLE registry.device TO hanlu_trace;

GRANT SELECT(device_id) ON TABLE registry.device TO hanlu_reader;

GRANT SELECT(gateway_id) ON TABLE registry.device TO hanlu_reader;

GRANT SELECT(code) ON TABLE registry.device TO hanlu_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.gateway TO hanlu_registry;
GRANT SELECT ON TABLE registry.gateway TO hanlu_ingest;
GRANT SELECT ON TABLE registry.gateway TO hanlu_alerts;
GRANT SELECT ON TABLE registry.gateway TO hanlu_trace;

GRANT SELECT(gateway_id) ON TABLE registry.gateway TO hanlu_reader;

GRANT SELECT(code) ON TABLE registry.gateway TO hanlu_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.limit_profile TO hanlu_registry;
GRANT SELECT ON TABLE registry.limit_profile TO hanlu_ingest;
GRANT SELECT ON TABLE registry.limit_profile TO hanlu_alerts;
GRANT SELECT ON TABLE registry.limit_profile TO hanlu_trace;

GRANT SELECT ON TABLE registry.limit_profile_now TO hanlu_registry;
GRANT SELECT ON TABLE registry.limit_profile_now TO hanlu_ingest;
GRANT SELECT ON TABLE registry.limit_profile_now TO hanlu_alerts;
GRANT SELECT ON TABLE registry.limit_profile_now TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.organisation TO hanlu_registry;
GRANT SELECT ON TABLE registry.organisation TO hanlu_ingest;
GRANT SELECT ON TABLE registry.organisation TO hanlu_alerts;
GRANT SELECT ON TABLE registry.organisation TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.site TO hanlu_registry;
GRANT SELECT ON TABLE registry.site TO hanlu_ingest;
GRANT SELECT ON TABLE registry.site TO hanlu_alerts;
GRANT SELECT ON TABLE registry.site TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.zone TO hanlu_registry;
GRANT SELECT ON TABLE registry.zone TO hanlu_ingest;
GRANT SELECT ON TABLE registry.zone TO hanlu_alerts;
GRANT SELECT ON TABLE registry.zone TO hanlu_trace;

GRANT SELECT ON TABLE registry.channel_v TO hanlu_registry;
GRANT SELECT ON TABLE registry.channel_v TO hanlu_ingest;
GRANT SELECT ON TABLE registry.channel_v TO hanlu_alerts;
GRANT SELECT ON TABLE registry.channel_v TO hanlu_trace;
GRANT SELECT ON TABLE registry.channel_v TO hanlu_reader;

GRANT SELECT ON TABLE alerts.alarm_place_v TO hanlu_alerts;

GRANT SELECT ON TABLE alerts.alarm_v TO hanlu_alerts;
GRANT SELECT ON TABLE alerts.alarm_v TO hanlu_trace;

GRANT SELECT,INSERT ON TABLE alerts.calibration TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.cursor TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.escalation TO hanlu_alerts;

GRANT SELECT,INSERT,UPDATE ON TABLE alerts.excursion TO hanlu_alerts;

GRANT SELECT,INSERT,UPDATE ON TABLE alerts.excursion_alarm TO hanlu_alerts;

GRANT SELECT,INSERT ON TABLE alerts.excursion_version TO hanlu_alerts;

GRANT SELECT ON TABLE alerts.follower_v TO hanlu_alerts;

GRANT SELECT,INSERT ON TABLE alerts.handover TO hanlu_alerts;

GRANT SELECT,INSERT ON TABLE alerts.handover_taken TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.holiday TO hanlu_alerts;

GRANT SELECT,INSERT ON TABLE alerts.journal TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.journal_cursor TO hanlu_alerts;

GRANT SELECT ON TABLE alerts.journal_feed TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.memory TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.mute TO hanlu_alerts;

GRANT SELECT,INSERT,UPDATE ON TABLE alerts.notification TO hanlu_alerts;

GRANT SELECT,INSERT ON TABLE alerts.notification_attempt TO hanlu_alerts;

GRANT SELECT,INSERT,UPDATE ON TABLE alerts.notification_line TO hanlu_alerts;

GRANT SELECT,INSERT ON TABLE alerts.people_history TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.receiver TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.receiver_secret TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.rota TO hanlu_alerts;

GRANT SELECT,INSERT ON TABLE alerts.rule TO hanlu_alerts;

GRANT SELECT,INSERT ON TABLE alerts.staffing TO hanlu_alerts;

GRANT SELECT,INSERT,UPDATE ON TABLE alerts.summons TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.suppression TO hanlu_alerts;

GRANT SELECT,INSERT ON TABLE alerts.suppression_journal TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.watch_span TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE alerts.watched TO hanlu_alerts;

GRANT SELECT,INSERT ON TABLE registry.audit TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.broker_login TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.enrolment TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.enrolment_use TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.gateway_config TO hanlu_registry;
GRANT SELECT ON TABLE registry.gateway_config TO hanlu_ingest;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.gateway_key TO hanlu_registry;
GRANT SELECT ON TABLE registry.gateway_key TO hanlu_ingest;
GRANT SELECT ON TABLE registry.gateway_key TO hanlu_alerts;
GRANT SELECT ON TABLE registry.gateway_key TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.ignored_channel TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.level_name TO hanlu_registry;
GRANT SELECT ON TABLE registry.level_name TO hanlu_ingest;
GRANT SELECT ON TABLE registry.level_name TO hanlu_alerts;
GRANT SELECT ON TABLE registry.level_name TO hanlu_trace;

GRANT USAGE ON SEQUENCE registry.organisation_organisation_id_seq TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.participant TO hanlu_registry;
GRANT SELECT ON TABLE registry.participant TO hanlu_ingest;
GRANT SELECT ON TABLE registry.participant TO hanlu_alerts;
GRANT SELECT ON TABLE registry.participant TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.person TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.product TO hanlu_registry;
GRANT SELECT ON TABLE registry.product TO hanlu_ingest;
GRANT SELECT ON TABLE registry.product TO hanlu_alerts;
GRANT SELECT ON TABLE registry.product TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.session TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.signin_failure TO hanlu_registry;

GRANT SELECT,INSERT ON TABLE telemetry.arrival TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.arrival_feed TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.arrival_feed TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.arrival_feed TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.arrival_feed TO hanlu_registry;

GRANT SELECT ON TABLE telemetry.arrival_gone TO hanlu_ingest;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.birth_noted TO hanlu_ingest;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.configure TO hanlu_ingest;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.dead_letter TO hanlu_ingest;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.dead_letter_count TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.dead_letter_count_v TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.dead_letter_count_v TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.dead_letter_count_v TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.dead_letter_count_v TO hanlu_registry;

GRANT SELECT ON TABLE telemetry.dead_letter_v TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.dead_letter_v TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.dead_letter_v TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.dead_letter_v TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.epoch_closed TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.event_feed TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.event_feed TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.event_feed TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.event_feed TO hanlu_registry;

GRANT SELECT ON TABLE telemetry.feed_horizon TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.feed_horizon TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.feed_horizon TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.feed_horizon TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.follower TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.follower_v TO hanlu_ingest;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.gap TO hanlu_ingest;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.resend TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.gap_v TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.gap_v TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.gap_v TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.gap_v TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.gateway_epoch TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.gateway_account TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.gateway_account TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.gateway_account TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.gateway_account TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.gateway_hour TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.gateway_hour_v TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.gateway_hour_v TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.gateway_hour_v TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.gateway_hour_v TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.gateway_link TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.gateway_link_v TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.gateway_link_v TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.gateway_link_v TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.gateway_link_v TO hanlu_registry;

GRANT SELECT ON TABLE telemetry.held TO hanlu_ingest;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.ingest_session TO hanlu_ingest;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.ingest_worker TO hanlu_ingest;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.latest TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.latest_v TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.latest_v TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.latest_v TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.latest_v TO hanlu_registry;
GRANT SELECT ON TABLE telemetry.latest_v TO hanlu_reader;

GRANT SELECT ON TABLE telemetry.legal_hold TO hanlu_ingest;

GRANT SELECT,INSERT ON TABLE telemetry.loss TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.loss_by_reason TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.loss_by_reason TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.loss_by_reason TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.loss_by_reason TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.rebirth TO hanlu_ingest;

GRANT SELECT,INSERT ON TABLE telemetry.replay TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.retention_rule TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.retention_run TO hanlu_ingest;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.throttled TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.throttled_v TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.throttled_v TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.throttled_v TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.throttled_v TO hanlu_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE telemetry.unapproved TO hanlu_ingest;

GRANT SELECT ON TABLE telemetry.unapproved_channel TO hanlu_ingest;
GRANT SELECT ON TABLE telemetry.unapproved_channel TO hanlu_alerts;
GRANT SELECT ON TABLE telemetry.unapproved_channel TO hanlu_trace;
GRANT SELECT ON TABLE telemetry.unapproved_channel TO hanlu_registry;

GRANT SELECT ON TABLE trace.ambient_product_v TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.anchor TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.capture_job TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.chain TO hanlu_trace;

GRANT SELECT,INSERT ON TABLE trace.checkpoint TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.cursor TO hanlu_trace;

GRANT SELECT,INSERT ON TABLE trace.curve_chunk TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.curve_due TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.custody TO hanlu_trace;

GRANT SELECT ON TABLE trace.custody_v TO hanlu_trace;
GRANT SELECT ON TABLE trace.custody_v TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.dead_letter TO hanlu_trace;

GRANT SELECT ON TABLE trace.dead_letter_v TO hanlu_trace;
GRANT SELECT ON TABLE trace.dead_letter_v TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.edge TO hanlu_trace;

GRANT SELECT,INSERT ON TABLE trace.event TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.event_thing TO hanlu_trace;

GRANT SELECT ON TABLE trace.follower_v TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.label TO hanlu_trace;

GRANT SELECT,INSERT ON TABLE trace.leaf TO hanlu_trace;

GRANT SELECT,INSERT ON TABLE trace.log TO hanlu_trace;

GRANT SELECT ON TABLE trace.place_channel_v TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.scan TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.tile TO hanlu_trace;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.trouble TO hanlu_trace;

GRANT SELECT ON TABLE trace.trouble_v TO hanlu_trace;
GRANT SELECT ON TABLE trace.trouble_v TO hanlu_alerts;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE trace.unsequenced TO hanlu_trace;

GRANT SELECT ON TABLE trace.valid_event_v TO hanlu_trace;
