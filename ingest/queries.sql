-- name: list_gateways
-- Every gateway with what its messages are held against.
SELECT gateway_id, code, partition, accepts_unsigned
FROM registry.gateway;

-- name: list_keys
-- Every gateway's public keys, revoked ones too: a message is judged by when it came.
SELECT
    gateway_id, kid, public_key,
    (extract(epoch FROM valid_from) * 1000)::bigint,
    (extract(epoch FROM revoked_at) * 1000)::bigint
FROM registry.gateway_key;

-- name: list_channels
-- Every channel by gateway and the name it has on the wire.
SELECT d.gateway_id, d.code || '/' || c.metric, c.channel_id, c.unit
FROM registry.channel AS c
JOIN registry.device AS d USING (device_id);

-- name: lock_spools
-- The accounts of these spools, locked until the transaction ends, in one order for everybody so that none waits in a circle.
SELECT e.gateway_id, e.epoch, e.watermark, e.highest, e.produced
FROM telemetry.gateway_epoch AS e
JOIN unnest(%(gateway_ids)s::bigint[], %(epochs)s::bytea[]) AS w (gateway_id, epoch) USING (gateway_id, epoch)
ORDER BY e.gateway_id, e.epoch
FOR UPDATE OF e;

-- name: open_spools
-- Accounts for spools heard for the first time.
INSERT INTO telemetry.gateway_epoch (gateway_id, epoch)
SELECT w.gateway_id, w.epoch
FROM unnest(%(gateway_ids)s::bigint[], %(epochs)s::bytea[]) AS w (gateway_id, epoch)
ORDER BY w.gateway_id, w.epoch
ON CONFLICT (gateway_id, epoch) DO NOTHING;

-- name: list_gaps
-- What is missing of these spools, and since when.
SELECT g.gateway_id, g.epoch, g.from_seq, g.to_seq, g.since
FROM telemetry.gap AS g
JOIN unnest(%(gateway_ids)s::bigint[], %(epochs)s::bytea[]) AS w (gateway_id, epoch) USING (gateway_id, epoch)
ORDER BY g.gateway_id, g.epoch, g.from_seq;

-- name: list_links
-- Those of these messages that have arrived: what recognises a repetition and what the chain is checked against. Of one
-- whose arrival is deleted the beginning of its digest, and no predecessor; nulls for one that has not arrived.
SELECT w.gateway_id, w.epoch, w.seq, coalesce(a.digest, g.digest), coalesce(a.prev, g.prev)
FROM unnest(%(gateway_ids)s::bigint[], %(epochs)s::bytea[], %(seqs)s::bigint[]) AS w (gateway_id, epoch, seq)
LEFT JOIN telemetry.arrival AS a
    ON a.gateway_id = w.gateway_id AND a.epoch = w.epoch AND a.seq = w.seq AND a.epoch IS NOT NULL
LEFT JOIN LATERAL (
    SELECT r.to_seq, substr(r.digests, (8 * (w.seq - r.from_seq) + 1)::integer, 8) AS digest, ''::bytea AS prev
    FROM telemetry.arrival_gone AS r
    WHERE a.arrival_id IS NULL AND r.gateway_id = w.gateway_id AND r.epoch = w.epoch AND r.from_seq <= w.seq
    ORDER BY r.from_seq DESC
    LIMIT 1
) AS g ON g.to_seq >= w.seq;

-- name: list_digests
-- Those of these messages without a number that have arrived.
SELECT a.gateway_id, a.digest
FROM unnest(%(gateway_ids)s::bigint[], %(digests)s::bytea[]) AS w (gateway_id, digest)
JOIN telemetry.arrival AS a ON a.gateway_id = w.gateway_id AND a.digest = w.digest AND a.epoch IS NULL;

-- name: copy_readings
-- The fast way in: all or nothing, refused at the first reading that is there already.
COPY telemetry.reading (channel_id, observed_at, value) FROM STDIN (FORMAT BINARY);

-- name: copy_judged_readings
-- The same with the quality of each.
COPY telemetry.reading (channel_id, observed_at, value, quality) FROM STDIN (FORMAT BINARY);

-- name: insert_readings
-- The patient way in: returns those that were not there yet.
INSERT INTO telemetry.reading (channel_id, observed_at, value, quality)
SELECT o.channel_id, 'epoch'::timestamptz + o.observed_ms * INTERVAL '1 millisecond', o.value, o.quality
FROM unnest(
    %(channel_ids)s::integer[], %(observed_ms)s::bigint[], %(values)s::double precision[], %(qualities)s::smallint[]
) AS o (channel_id, observed_ms, value, quality)
ON CONFLICT (channel_id, observed_at) DO NOTHING
RETURNING channel_id, (extract(epoch FROM observed_at) * 1000)::bigint;

-- name: list_readings
-- The values on record for these channels and times; the bounds let TimescaleDB leave other chunks alone.
SELECT r.channel_id, (extract(epoch FROM r.observed_at) * 1000)::bigint, r.value
FROM unnest(%(channel_ids)s::integer[], %(observed_ms)s::bigint[]) AS o (channel_id, observed_ms)
JOIN telemetry.reading AS r
    ON r.channel_id = o.channel_id
    AND r.observed_at = 'epoch'::timestamptz + o.observed_ms * INTERVAL '1 millisecond'
WHERE r.observed_at >= 'epoch'::timestamptz + %(first_ms)s::bigint * INTERVAL '1 millisecond'
    AND r.observed_at <= 'epoch'::timestamptz + %(last_ms)s::bigint * INTERVAL '1 millisecond';

-- name: insert_arrivals
-- One row a message, or several bare ones; its readings are the slice first..last of the flat arrays (empty when last < first).
INSERT INTO telemetry.arrival (
    gateway_id, epoch, seq, digest, prev, evidence, lane, replayed, received_at,
    reading_count, produced, stored, duplicate, lost, dead, channel_ids, observed_ms, "values", event, messages, qualities
)
SELECT
    m.gateway_id, m.epoch, m.seq, m.digest, m.prev, m.evidence, m.lane, m.replayed,
    'epoch'::timestamptz + m.received_ms * INTERVAL '1 millisecond',
    m.stored + m.duplicate + m.lost + m.dead, m.produced, m.stored, m.duplicate, m.lost, m.dead,
    (%(channel_ids)s::integer[])[m.first:m.last],
    (%(observed_ms)s::bigint[])[m.first:m.last],
    (%(values)s::double precision[])[m.first:m.last],
    m.event, m.messages,
    CASE WHEN m.judged THEN (%(qualities)s::smallint[])[m.first:m.last] END
FROM unnest(
    %(gateway_ids)s::bigint[], %(epochs)s::bytea[], %(seqs)s::bigint[], %(digests)s::bytea[], %(prevs)s::bytea[],
    %(evidences)s::integer[], %(lanes)s::text[], %(replayeds)s::boolean[], %(received_ms)s::bigint[],
    %(produced)s::bigint[], %(stored)s::integer[], %(duplicate)s::integer[], %(lost)s::integer[], %(dead)s::integer[],
    %(firsts)s::integer[], %(lasts)s::integer[], %(events)s::bytea[], %(messages)s::integer[], %(judged)s::boolean[]
) AS m (
    gateway_id, epoch, seq, digest, prev, evidence, lane, replayed, received_ms,
    produced, stored, duplicate, lost, dead, first, last, event, messages, judged
)
ON CONFLICT DO NOTHING
RETURNING arrival_id, gateway_id, digest;

-- name: list_losses
-- Those of these losses that are on record already, each by its place in the arrays, from 1; no channel is ''.
SELECT w.place
FROM unnest(%(gateway_ids)s::bigint[], %(sources)s::text[], %(reasons)s::text[], %(channels)s::text[])
    WITH ORDINALITY AS w (gateway_id, source, reason, channel, place)
JOIN telemetry.loss AS l
    ON l.gateway_id = w.gateway_id AND l.source = w.source AND l.reason = w.reason
    AND coalesce(l.channel, '') = w.channel AND l.source <> '';

-- name: insert_loss
-- Readings a gateway declares lost.
INSERT INTO telemetry.loss (arrival_id, gateway_id, reason, reading_count, channel, from_at, to_at, detail, source)
VALUES (
    %(arrival_id)s, %(gateway_id)s, %(reason)s, %(reading_count)s, %(channel)s,
    'epoch'::timestamptz + %(from_ms)s::bigint * INTERVAL '1 millisecond',
    'epoch'::timestamptz + %(to_ms)s::bigint * INTERVAL '1 millisecond',
    %(detail)s, %(source)s
);

-- name: keep_dead_letter
-- What could not be taken, with its bytes; the same bytes for the same reason only count up. A letter that was resolved
-- is open again, as it comes now.
INSERT INTO telemetry.dead_letter AS d (
    arrival_id, received_at, topic, gateway, reason, detail, reading_count, body, body_sha256, times, places
)
VALUES (
    %(arrival_id)s, 'epoch'::timestamptz + %(received_ms)s::bigint * INTERVAL '1 millisecond', %(topic)s, %(gateway)s,
    %(reason)s, %(detail)s, %(reading_count)s, %(body)s, %(body_sha256)s, %(times)s, %(places)s::integer[]
)
ON CONFLICT (topic, reason, body_sha256) DO UPDATE SET
    times = d.times + excluded.times,
    arrival_id = CASE WHEN d.resolved_at IS NULL THEN d.arrival_id ELSE excluded.arrival_id END,
    received_at = CASE WHEN d.resolved_at IS NULL THEN d.received_at ELSE excluded.received_at END,
    detail = CASE WHEN d.resolved_at IS NULL THEN d.detail ELSE excluded.detail END,
    reading_count = CASE WHEN d.resolved_at IS NULL THEN d.reading_count ELSE excluded.reading_count END,
    places = CASE WHEN d.resolved_at IS NULL THEN d.places ELSE excluded.places END,
    noted_at = CASE WHEN d.resolved_at IS NULL THEN d.noted_at END,
    body = CASE WHEN d.resolved_at IS NULL THEN d.body ELSE excluded.body END,
    dropped_at = CASE WHEN d.resolved_at IS NULL THEN d.dropped_at END,
    resolved_at = NULL,
    outcome = NULL;

-- name: settle_spools
-- What a batch adds to the accounts of these spools.
UPDATE telemetry.gateway_epoch AS e
SET
    watermark = u.watermark,
    highest = u.highest,
    produced = u.produced,
    stored = e.stored + u.stored,
    duplicate = e.duplicate + u.duplicate,
    lost = e.lost + u.lost,
    dead = e.dead + u.dead,
    redelivered = e.redelivered + u.redelivered,
    last_at = now()
FROM unnest(
    %(gateway_ids)s::bigint[], %(epochs)s::bytea[], %(watermarks)s::bigint[], %(highests)s::bigint[],
    %(produced)s::bigint[], %(stored)s::bigint[], %(duplicate)s::bigint[], %(lost)s::bigint[], %(dead)s::bigint[],
    %(redelivered)s::bigint[]
) AS u (gateway_id, epoch, watermark, highest, produced, stored, duplicate, lost, dead, redelivered)
WHERE e.gateway_id = u.gateway_id AND e.epoch = u.epoch;

-- name: close_gaps
-- Gaps that are filled, or that begin elsewhere now.
DELETE FROM telemetry.gap AS g
USING unnest(%(gateway_ids)s::bigint[], %(epochs)s::bytea[], %(from_seqs)s::bigint[]) AS w (gateway_id, epoch, from_seq)
WHERE g.gateway_id = w.gateway_id AND g.epoch = w.epoch AND g.from_seq = w.from_seq;

-- name: open_gaps
-- Gaps that are new or end elsewhere now; a part of an older gap keeps its age.
INSERT INTO telemetry.gap (gateway_id, epoch, from_seq, to_seq, since)
SELECT w.gateway_id, w.epoch, w.from_seq, w.to_seq, coalesce(w.since, now())
FROM unnest(
    %(gateway_ids)s::bigint[], %(epochs)s::bytea[], %(from_seqs)s::bigint[], %(to_seqs)s::bigint[],
    %(since)s::timestamptz[]
) AS w (gateway_id, epoch, from_seq, to_seq, since)
ON CONFLICT (gateway_id, epoch, from_seq) DO UPDATE SET to_seq = excluded.to_seq;

-- name: keep_latest
-- The newest reading of each channel by observation time; an older one that comes late changes nothing.
INSERT INTO telemetry.latest AS l (channel_id, observed_at, received_at, value, quality)
SELECT
    n.channel_id, 'epoch'::timestamptz + n.observed_ms * INTERVAL '1 millisecond',
    'epoch'::timestamptz + n.received_ms * INTERVAL '1 millisecond', n.value, n.quality
FROM unnest(
    %(channel_ids)s::integer[], %(observed_ms)s::bigint[], %(received_ms)s::bigint[], %(values)s::double precision[],
    %(qualities)s::smallint[]
) AS n (channel_id, observed_ms, received_ms, value, quality)
ORDER BY n.channel_id
ON CONFLICT (channel_id) DO UPDATE
SET
    observed_at = excluded.observed_at, received_at = excluded.received_at, value = excluded.value,
    quality = excluded.quality
WHERE l.observed_at < excluded.observed_at;

-- name: keep_links
-- Whether each of these gateways is heard, since when, and what it last said of itself: of one spool's births the one
-- with the highest number.
INSERT INTO telemetry.gateway_link AS l (
    gateway_id, online, since, last_seen_at, replay, birth, birth_epoch, birth_seq
)
SELECT
    n.gateway_id, n.online, 'epoch'::timestamptz + n.at_ms * INTERVAL '1 millisecond',
    'epoch'::timestamptz + coalesce(n.heard_ms, n.at_ms) * INTERVAL '1 millisecond',
    coalesce((n.birth ->> 'replay')::boolean, false), n.birth, n.birth_epoch, n.birth_seq
FROM unnest(
    %(gateway_ids)s::bigint[], %(online)s::boolean[], %(at_ms)s::bigint[], %(heard_ms)s::bigint[], %(births)s::jsonb[],
    %(birth_epochs)s::bytea[], %(birth_seqs)s::bigint[]
) AS n (gateway_id, online, at_ms, heard_ms, birth, birth_epoch, birth_seq)
ORDER BY n.gateway_id
ON CONFLICT (gateway_id) DO UPDATE
SET
    since = CASE WHEN l.online = excluded.online THEN l.since ELSE excluded.since END,
    online = excluded.online,
    last_seen_at = CASE WHEN excluded.online THEN excluded.last_seen_at ELSE l.last_seen_at END,
    (replay, birth, birth_epoch, birth_seq) = (
        SELECT
            CASE WHEN o.newer THEN excluded.replay ELSE l.replay END,
            CASE WHEN o.newer THEN excluded.birth ELSE l.birth END,
            CASE WHEN o.newer THEN excluded.birth_epoch ELSE l.birth_epoch END,
            CASE WHEN o.newer THEN excluded.birth_seq ELSE l.birth_seq END
        FROM (
            SELECT
                excluded.birth IS NOT NULL
                AND (l.birth_epoch IS DISTINCT FROM excluded.birth_epoch OR l.birth_seq <= excluded.birth_seq) AS newer
        ) AS o
    );

-- name: count_left
-- Messages left out by the throttle, by gateway; codes that are no gateway's are passed over.
INSERT INTO telemetry.throttled AS t (gateway_id, messages, since, last_at)
SELECT
    g.gateway_id, n.messages, 'epoch'::timestamptz + n.first_ms * INTERVAL '1 millisecond',
    'epoch'::timestamptz + n.last_ms * INTERVAL '1 millisecond'
FROM unnest(%(gateways)s::text[], %(messages)s::bigint[], %(first_ms)s::bigint[], %(last_ms)s::bigint[])
    AS n (code, messages, first_ms, last_ms)
JOIN registry.gateway AS g USING (code)
ORDER BY g.gateway_id
ON CONFLICT (gateway_id) DO UPDATE
SET messages = t.messages + excluded.messages, last_at = greatest(t.last_at, excluded.last_at);

-- name: announce
-- Wake whoever follows the arrivals; they poll as well, so a lost call delays and loses nothing.
SELECT pg_notify('hanlu_arrival', '');

-- name: begin_quality
-- The follower's row, once.
INSERT INTO telemetry.follower (name, txid, arrival_id)
VALUES ('quality', '0', 0)
ON CONFLICT (name) DO NOTHING;

-- name: lock_quality
-- How far the quality figures have come; no row while another worker adds up.
SELECT txid::text, arrival_id
FROM telemetry.follower
WHERE name = 'quality'
FOR UPDATE SKIP LOCKED;

-- name: end_of_quality_page
-- The last of the next arrivals whose transactions are over for everybody, and their number.
SELECT txid::text, arrival_id, place
FROM (
    SELECT txid, arrival_id, row_number() OVER (ORDER BY txid, arrival_id) AS place
    FROM telemetry.arrival
    WHERE (txid, arrival_id) > (%(txid)s::xid8, %(arrival_id)s::bigint)
        AND txid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY txid, arrival_id
    LIMIT %(most)s
) AS page
ORDER BY place DESC
LIMIT 1;

-- name: add_gateway_hours
-- Add a page of arrivals to their gateways' hours. A message is as late as its last reading was old when it came; beyond an
-- hour it is a record handed in later, not a late one.
INSERT INTO telemetry.gateway_hour AS h (
    gateway_id, hour_at, minutes_heard, messages, backlog_messages, stored, duplicate, lost, dead,
    live_messages, late_1s, late_5s, late_30s, late_5min, late_most_s
)
SELECT
    a.gateway_id,
    date_trunc('hour', a.received_at),
    bit_or(1::bigint << extract(minute FROM a.received_at)::integer),
    count(*),
    count(*) FILTER (WHERE a.lane = 'backlog'),
    sum(a.stored), sum(a.duplicate), sum(a.lost), sum(a.dead),
    count(a.late_s),
    count(*) FILTER (WHERE a.late_s <= 1),
    count(*) FILTER (WHERE a.late_s <= 5),
    count(*) FILTER (WHERE a.late_s <= 30),
    count(*) FILTER (WHERE a.late_s <= 300),
    max(a.late_s)
FROM (
    SELECT
        gateway_id, received_at, lane, stored, duplicate, lost, dead,
        CASE WHEN lane = 'live' AND NOT replayed
            AND extract(epoch FROM received_at) * 1000 - observed_ms[cardinality(observed_ms)] <= 3600000
            THEN (extract(epoch FROM received_at) * 1000 - observed_ms[cardinality(observed_ms)])::double precision / 1000
        END AS late_s
    FROM telemetry.arrival
    WHERE (txid, arrival_id) > (%(txid)s::xid8, %(arrival_id)s::bigint)
        AND (txid, arrival_id) <= (%(end_txid)s::xid8, %(end_arrival_id)s::bigint)
) AS a
GROUP BY a.gateway_id, date_trunc('hour', a.received_at)
ORDER BY 1, 2
ON CONFLICT (gateway_id, hour_at) DO UPDATE SET
    minutes_heard = h.minutes_heard | excluded.minutes_heard,
    messages = h.messages + excluded.messages,
    backlog_messages = h.backlog_messages + excluded.backlog_messages,
    stored = h.stored + excluded.stored,
    duplicate = h.duplicate + excluded.duplicate,
    lost = h.lost + excluded.lost,
    dead = h.dead + excluded.dead,
    live_messages = h.live_messages + excluded.live_messages,
    late_1s = h.late_1s + excluded.late_1s,
    late_5s = h.late_5s + excluded.late_5s,
    late_30s = h.late_30s + excluded.late_30s,
    late_5min = h.late_5min + excluded.late_5min,
    late_most_s = greatest(h.late_most_s, excluded.late_most_s);

-- name: move_quality
-- The follower has come to the end of its page.
UPDATE telemetry.follower
SET txid = %(end_txid)s::xid8, arrival_id = %(end_arrival_id)s
WHERE name = 'quality';

-- name: forget_gateway_hours
-- Figures older than anybody asks for.
DELETE FROM telemetry.gateway_hour
WHERE hour_at < now() - %(days)s::integer * INTERVAL '1 day';

-- name: lock_letter
-- One open dead letter, locked until the transaction ends; no row when it is resolved or somebody else works on it.
SELECT
    d.dead_letter_id, (extract(epoch FROM d.received_at) * 1000)::bigint AS received_ms, d.topic, d.gateway, d.reason,
    d.detail, d.reading_count, d.body, d.body_sha256 AS digest, d.times::integer AS times, d.places, d.attempts,
    d.noted_at IS NOT NULL AS noted, d.dropped_at IS NOT NULL AS dropped, d.arrival_id, a.gateway_id, a.epoch,
    coalesce(a.evidence, 0) AS evidence, coalesce(a.reading_count, 0) AS arrived_count
FROM telemetry.dead_letter AS d
LEFT JOIN telemetry.arrival AS a USING (arrival_id)
WHERE d.dead_letter_id = %(dead_letter_id)s AND d.resolved_at IS NULL
FOR UPDATE OF d SKIP LOCKED;

-- name: new_letters
-- Dead letters the keeper has not looked at, the oldest first.
SELECT dead_letter_id FROM telemetry.dead_letter WHERE noted_at IS NULL ORDER BY dead_letter_id LIMIT %(most)s;

-- name: note_letter
-- The keeper has listed what the letter waits for.
UPDATE telemetry.dead_letter SET noted_at = now() WHERE dead_letter_id = %(dead_letter_id)s;

-- name: waiting_gateways
-- Gateways with open letters whose cause the registry may mend.
SELECT DISTINCT gateway
FROM telemetry.dead_letter_count
WHERE open_letters > 0 AND gateway <> '' AND reason = ANY(%(reasons)s::text[]);

-- name: waiting_letters
-- A gateway's open letters of these reasons after one of them, in order.
SELECT dead_letter_id
FROM telemetry.dead_letter
WHERE gateway = %(gateway)s AND reason = ANY(%(reasons)s::text[]) AND resolved_at IS NULL
    AND dead_letter_id > %(after)s AND dropped_at IS NULL
ORDER BY dead_letter_id
LIMIT %(most)s;

-- name: resolve_letter
-- The letter has come to its end; the row stays.
UPDATE telemetry.dead_letter
SET resolved_at = now(), tried_at = now(), noted_at = coalesce(noted_at, now()), outcome = %(outcome)s,
    reading_count = CASE %(outcome)s WHEN 'replayed' THEN 0 ELSE reading_count END,
    attempts = attempts + %(changed)s::integer
WHERE dead_letter_id = %(dead_letter_id)s;

-- name: keep_letter_open
-- What is still refused of a letter after a try.
UPDATE telemetry.dead_letter
SET tried_at = now(), detail = %(detail)s, reading_count = %(reading_count)s, places = %(places)s::integer[],
    attempts = attempts + %(changed)s::integer
WHERE dead_letter_id = %(dead_letter_id)s;

-- name: rename_letter
-- The letter is refused for another reason now; no row when there is one of these bytes for that reason already.
UPDATE telemetry.dead_letter AS d
SET reason = %(reason)s, detail = %(detail)s, tried_at = now()
WHERE d.dead_letter_id = %(dead_letter_id)s AND NOT EXISTS (
    SELECT FROM telemetry.dead_letter AS o
    WHERE o.topic = d.topic AND o.reason = %(reason)s AND o.body_sha256 = d.body_sha256
)
RETURNING dead_letter_id;

-- name: add_to_letter
-- Records of a message that are refused for another reason than before: they join the letter of that reason.
INSERT INTO telemetry.dead_letter AS d (
    arrival_id, received_at, topic, gateway, reason, detail, reading_count, body, body_sha256, places
)
VALUES (
    %(arrival_id)s, 'epoch'::timestamptz + %(received_ms)s::bigint * INTERVAL '1 millisecond', %(topic)s, %(gateway)s,
    %(reason)s, %(detail)s, %(reading_count)s, %(body)s, %(digest)s, %(places)s::integer[]
)
ON CONFLICT (topic, reason, body_sha256) DO UPDATE
SET
    reading_count = CASE WHEN d.resolved_at IS NULL THEN d.reading_count ELSE 0 END + excluded.reading_count,
    places = CASE
        WHEN d.resolved_at IS NOT NULL THEN excluded.places
        WHEN d.places IS NULL AND d.reading_count > 0 THEN NULL
        ELSE (SELECT array_agg(p ORDER BY p) FROM unnest(d.places || excluded.places) AS u (p))
    END,
    detail = CASE WHEN d.resolved_at IS NULL THEN d.detail || '; ' || excluded.detail ELSE excluded.detail END,
    body = excluded.body, dropped_at = NULL, resolved_at = NULL, outcome = NULL;

-- name: has_arrived
-- Whether these very bytes are on record as a message, by their place in the spool or by their digest.
SELECT EXISTS (
    SELECT FROM telemetry.arrival
    WHERE gateway_id = %(gateway_id)s AND epoch = %(epoch)s AND seq = %(seq)s AND digest = %(digest)s
        AND epoch IS NOT NULL
) OR EXISTS (
    SELECT FROM telemetry.arrival_gone
    WHERE gateway_id = %(gateway_id)s AND epoch = %(epoch)s AND from_seq <= %(seq)s AND to_seq >= %(seq)s
        AND substr(digests, (8 * (%(seq)s::bigint - from_seq) + 1)::integer, 8) = substr(%(digest)s::bytea, 1, 8)
) OR EXISTS (
    SELECT FROM telemetry.arrival
    WHERE gateway_id = %(gateway_id)s AND digest = %(digest)s AND epoch IS NULL
);

-- name: record_replay
-- An attempt that changed something, once: the key refuses a second one.
INSERT INTO telemetry.replay (
    dead_letter_id, attempt, done_by, gateway_id, epoch, arrival_id, stored, duplicate, lost, revived
)
VALUES (
    %(dead_letter_id)s, %(attempt)s, %(done_by)s, %(gateway_id)s, %(epoch)s, %(arrival_id)s, %(stored)s,
    %(duplicate)s, %(lost)s, %(revived)s
);

-- name: revive_account
-- Readings move from the dead to what became of them; the sum stays.
UPDATE telemetry.gateway_epoch
SET
    stored = stored + %(stored)s, duplicate = duplicate + %(duplicate)s, lost = lost + %(lost)s,
    dead = dead - %(revived)s
WHERE gateway_id = %(gateway_id)s AND epoch = %(epoch)s AND dead >= %(revived)s;

-- name: add_waiting
-- Readings that wait for channels to be approved; a gateway lists so many names and no more.
INSERT INTO telemetry.unapproved AS u (gateway_id, name, unit, first_seen, last_seen, readings_waiting)
SELECT
    %(gateway_id)s, n.name, n.unit, m.at, m.at, n.readings
FROM unnest(%(names)s::text[], %(units)s::text[], %(counts)s::bigint[]) AS n (name, unit, readings),
    (SELECT 'epoch'::timestamptz + %(received_ms)s::bigint * INTERVAL '1 millisecond' AS at) AS m
WHERE EXISTS (SELECT FROM telemetry.unapproved AS k WHERE k.gateway_id = %(gateway_id)s AND k.name = n.name)
    OR (SELECT count(*) FROM telemetry.unapproved AS k WHERE k.gateway_id = %(gateway_id)s) < %(most)s
ORDER BY n.name
ON CONFLICT (gateway_id, name) DO UPDATE
SET
    unit = excluded.unit,
    first_seen = least(u.first_seen, excluded.first_seen),
    last_seen = greatest(u.last_seen, excluded.last_seen),
    readings_waiting = u.readings_waiting + excluded.readings_waiting;

-- name: take_waiting
-- Readings that wait no longer.
UPDATE telemetry.unapproved AS u
SET readings_waiting = greatest(0, u.readings_waiting - n.readings)
FROM unnest(%(names)s::text[], %(counts)s::bigint[]) AS n (name, readings)
WHERE u.gateway_id = %(gateway_id)s AND u.name = n.name;

-- name: new_births
-- Births that have not been held against the registry.
SELECT l.gateway_id, l.birth -> 'channels', md5(l.birth::text)
FROM telemetry.gateway_link AS l
LEFT JOIN telemetry.birth_noted AS n USING (gateway_id)
WHERE l.birth IS NOT NULL AND (n.birth_md5 IS NULL OR n.birth_md5 <> md5(l.birth::text))
ORDER BY l.gateway_id
LIMIT %(most)s;

-- name: note_birth
-- A birth has been held against the registry.
INSERT INTO telemetry.birth_noted (gateway_id, birth_md5)
VALUES (%(gateway_id)s, %(birth_md5)s)
ON CONFLICT (gateway_id) DO UPDATE SET birth_md5 = excluded.birth_md5, at = now();

-- name: add_announced
-- Channels of a birth that the registry does not know; those of an earlier birth are announced no longer.
WITH gone AS (
    UPDATE telemetry.unapproved
    SET announced = false
    WHERE gateway_id = %(gateway_id)s AND announced AND name <> ALL(%(names)s::text[])
)
INSERT INTO telemetry.unapproved AS u (gateway_id, name, unit, period_s, first_seen, last_seen, announced)
SELECT %(gateway_id)s, n.name, n.unit, n.period_s, now(), now(), true
FROM unnest(%(names)s::text[], %(units)s::text[], %(periods)s::double precision[]) AS n (name, unit, period_s)
WHERE EXISTS (SELECT FROM telemetry.unapproved AS k WHERE k.gateway_id = %(gateway_id)s AND k.name = n.name)
    OR (SELECT count(*) FROM telemetry.unapproved AS k WHERE k.gateway_id = %(gateway_id)s) < %(most)s
ORDER BY n.name
ON CONFLICT (gateway_id, name) DO UPDATE
SET unit = excluded.unit, period_s = excluded.period_s, last_seen = excluded.last_seen, announced = true;

-- name: forget_approved
-- Names that wait for nothing any more: approved and nothing held back, or neither announced nor waited for.
DELETE FROM telemetry.unapproved AS u
WHERE u.readings_waiting = 0 AND (
    NOT u.announced OR EXISTS (
        SELECT FROM registry.device AS d
        JOIN registry.channel AS c USING (device_id)
        WHERE d.gateway_id = u.gateway_id
            AND d.code = split_part(u.name, '/', 1)
            AND c.metric = substr(u.name, strpos(u.name, '/') + 1)
    )
);

-- name: list_letters
-- Dead letters before one of them, the newest first; every filter may be null. Codes limit to gateways a person sees.
SELECT
    dead_letter_id, (extract(epoch FROM received_at) * 1000)::bigint AS received_ms, topic, gateway, reason, detail,
    reading_count, times, bytes, attempts, dropped_at IS NOT NULL AS dropped, outcome,
    (extract(epoch FROM resolved_at) * 1000)::bigint AS resolved_ms,
    (extract(epoch FROM tried_at) * 1000)::bigint AS tried_ms
FROM telemetry.dead_letter
WHERE (%(dead_letter_id)s::bigint IS NULL OR dead_letter_id = %(dead_letter_id)s)
    AND (%(before)s::bigint IS NULL OR dead_letter_id < %(before)s)
    AND (%(gateway)s::text IS NULL OR gateway = %(gateway)s)
    AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(open)s::boolean IS NULL OR (resolved_at IS NULL) = %(open)s)
    AND (%(codes)s::text[] IS NULL OR gateway = ANY(%(codes)s))
ORDER BY dead_letter_id DESC
LIMIT %(most)s;

-- name: letter_body
-- The bytes of a dead letter; empty when they were dropped.
SELECT body FROM telemetry.dead_letter WHERE dead_letter_id = %(dead_letter_id)s;

-- name: letter_replays
-- What replays of a letter moved.
SELECT attempt, (extract(epoch FROM at) * 1000)::bigint AS at_ms, done_by, stored, duplicate, lost, revived
FROM telemetry.replay
WHERE dead_letter_id = %(dead_letter_id)s
ORDER BY attempt;

-- name: letter_counts
-- Dead letters by gateway and reason; codes limit to gateways a person sees.
SELECT gateway, reason, letters, open_letters, messages, open_messages, open_readings, bytes, dropped, folded
FROM telemetry.dead_letter_count_v
WHERE messages > 0 AND (%(codes)s::text[] IS NULL OR gateway = ANY(%(codes)s))
ORDER BY open_messages DESC, gateway NULLS FIRST, reason
LIMIT %(most)s;

-- name: gateway_codes
-- Gateways below a node of the organisation tree.
SELECT g.code
FROM registry.gateway AS g
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
WHERE starts_with(o.path, %(scope)s);

-- name: stale_gaps
-- The oldest missing ranges of the newest spool of gateways that are heard, and how often these were asked for: those
-- only that may be asked by now, whoever was asked longest ago first, so that none who never answer keep others waiting.
SELECT
    s.gateway_id, s.epoch, s.code, s.partition, s.watermark, g.from_seq, g.to_seq, s.asked, s.asked_s
FROM (
    SELECT
        e.gateway_id, e.epoch, w.code, w.partition, e.watermark,
        CASE WHEN r.watermark = e.watermark THEN r.asked ELSE 0 END AS asked,
        extract(epoch FROM now() - r.asked_at)::double precision AS asked_s
    FROM (SELECT DISTINCT gateway_id, epoch FROM telemetry.gap) AS m
    JOIN telemetry.gateway_epoch AS e USING (gateway_id, epoch)
    JOIN telemetry.gateway_link AS l USING (gateway_id)
    JOIN registry.gateway AS w USING (gateway_id)
    LEFT JOIN telemetry.resend AS r USING (gateway_id, epoch)
    WHERE l.online
        AND e.first_at = (SELECT max(n.first_at) FROM telemetry.gateway_epoch AS n WHERE n.gateway_id = e.gateway_id)
) AS s
CROSS JOIN LATERAL (
    SELECT o.from_seq, o.to_seq, o.since FROM telemetry.gap AS o
    WHERE o.gateway_id = s.gateway_id AND o.epoch = s.epoch
    ORDER BY o.from_seq
    LIMIT %(ranges)s
) AS g
WHERE g.since < now() - %(age_s)s::double precision * INTERVAL '1 second' AND (s.asked = 0
    OR s.asked_s >= least(
        %(pause_most_s)s::double precision, %(pause_s)s::double precision * power(2, least(s.asked - 1, 60))
    ))
ORDER BY s.asked_s DESC NULLS FIRST, s.gateway_id, s.epoch, g.from_seq
LIMIT %(most)s;

-- name: claim_resend
-- Whoever gets the row asks; no row when another keeper has just asked.
INSERT INTO telemetry.resend AS r (gateway_id, epoch, asked, asked_at, watermark)
VALUES (%(gateway_id)s, %(epoch)s, 1, now(), %(watermark)s)
ON CONFLICT (gateway_id, epoch) DO UPDATE
SET
    asked = CASE WHEN r.watermark = excluded.watermark THEN r.asked + 1 ELSE 1 END,
    asked_at = now(), watermark = excluded.watermark
WHERE r.asked_at < now() - %(pause_s)s::double precision * INTERVAL '1 second'
RETURNING r.asked;

-- name: forget_resends
-- Spools of which nothing is missing any more.
DELETE FROM telemetry.resend AS r
WHERE NOT EXISTS (SELECT FROM telemetry.gap AS g WHERE g.gateway_id = r.gateway_id AND g.epoch = r.epoch);

-- name: replaced_epochs
-- Spools with missing messages that fell silent before a newer one of their gateway began, long enough ago.
SELECT DISTINCT e.gateway_id, e.epoch
FROM telemetry.gap AS g
JOIN telemetry.gateway_epoch AS e USING (gateway_id, epoch)
JOIN telemetry.gateway_epoch AS n ON n.gateway_id = e.gateway_id AND n.first_at > e.last_at
WHERE n.first_at < now() - %(age_s)s::double precision * INTERVAL '1 second'
LIMIT %(most)s;

-- name: close_epoch
-- What is missing of the spool will not come: all its gateway claims to have produced is accounted for from now on.
WITH missing AS (
    DELETE FROM telemetry.gap WHERE gateway_id = %(gateway_id)s AND epoch = %(epoch)s
    RETURNING to_seq - from_seq + 1 AS messages
), account AS (
    UPDATE telemetry.gateway_epoch
    SET watermark = highest, lost = produced - stored - duplicate - dead
    WHERE gateway_id = %(gateway_id)s AND epoch = %(epoch)s
    RETURNING lost
)
INSERT INTO telemetry.epoch_closed AS c (gateway_id, epoch, at, done_by, reason, messages, readings)
SELECT
    %(gateway_id)s, %(epoch)s, now(), %(done_by)s, %(reason)s, (SELECT coalesce(sum(messages), 0) FROM missing),
    account.lost - %(lost)s::bigint
FROM account
ON CONFLICT (gateway_id, epoch) DO UPDATE SET
    messages = c.messages + excluded.messages, readings = c.readings + excluded.readings, at = excluded.at,
    done_by = excluded.done_by, reason = excluded.reason;

-- name: gateway_id_of
-- The number of a gateway.
SELECT gateway_id FROM registry.gateway WHERE code = %(gateway)s;

-- name: missing_of_gateway
-- The spools of a gateway of which something is missing: since when, how many messages, and how many readings these hold
-- by the gateway's own count; its newest spool is the one that began last.
SELECT
    e.epoch, sum(g.to_seq - g.from_seq + 1)::bigint AS messages,
    (e.produced - e.stored - e.duplicate - e.lost - e.dead) AS readings,
    (extract(epoch FROM min(g.since)) * 1000)::bigint AS since_ms,
    (extract(epoch FROM e.last_at) * 1000)::bigint AS last_ms
FROM registry.gateway AS w
JOIN telemetry.gateway_epoch AS e USING (gateway_id)
JOIN telemetry.gap AS g USING (gateway_id, epoch)
WHERE w.code = %(gateway)s
GROUP BY e.gateway_id, e.epoch
ORDER BY min(g.since), e.epoch;

-- name: lost_of_epoch
-- What the account of a spool counts as lost, locked until the transaction ends; no row without an account.
SELECT lost FROM telemetry.gateway_epoch WHERE gateway_id = %(gateway_id)s AND epoch = %(epoch)s FOR UPDATE;

-- name: correct_closed
-- Messages declared lost that came after all: what they brought is lost no longer.
WITH wrong AS (
    SELECT
        e.gateway_id, e.epoch, e.produced - e.stored - e.duplicate - e.lost - e.dead AS outstanding,
        e.highest - (
            SELECT coalesce(sum(r.to_seq - r.from_seq + 1), 0) FROM telemetry.arrival_gone AS r
            WHERE r.gateway_id = e.gateway_id AND r.epoch = e.epoch
        ) - (
            SELECT count(*) FROM telemetry.arrival AS a
            WHERE a.gateway_id = e.gateway_id AND a.epoch = e.epoch AND a.epoch IS NOT NULL AND NOT EXISTS (
                SELECT FROM telemetry.arrival_gone AS r
                WHERE r.gateway_id = a.gateway_id AND r.epoch = a.epoch AND a.seq BETWEEN r.from_seq AND r.to_seq
            )
        ) AS messages
    FROM telemetry.epoch_closed AS c
    JOIN telemetry.gateway_epoch AS e USING (gateway_id, epoch)
    WHERE e.watermark = e.highest AND e.produced <> e.stored + e.duplicate + e.lost + e.dead
    FOR UPDATE OF e
), account AS (
    UPDATE telemetry.gateway_epoch AS e
    SET lost = e.lost + w.outstanding
    FROM wrong AS w
    WHERE e.gateway_id = w.gateway_id AND e.epoch = w.epoch
)
UPDATE telemetry.epoch_closed AS c
SET readings = c.readings + w.outstanding, messages = w.messages
FROM wrong AS w
WHERE c.gateway_id = w.gateway_id AND c.epoch = w.epoch;

-- name: unannounced
-- Gateways that sign and are heard, and have never announced themselves: those that may be asked by now.
SELECT s.gateway_id, s.code, s.partition, s.asked, s.asked_s
FROM (
    SELECT
        l.gateway_id, w.code, w.partition, coalesce(r.asked, 0) AS asked,
        extract(epoch FROM now() - r.asked_at)::double precision AS asked_s
    FROM telemetry.gateway_link AS l
    JOIN registry.gateway AS w USING (gateway_id)
    LEFT JOIN telemetry.rebirth AS r USING (gateway_id)
    WHERE l.birth IS NULL AND l.online
        AND l.since < now() - %(age_s)s::double precision * INTERVAL '1 second'
        AND EXISTS (SELECT FROM telemetry.gateway_epoch AS e WHERE e.gateway_id = l.gateway_id)
) AS s
WHERE s.asked = 0
    OR s.asked_s >= least(
        %(pause_most_s)s::double precision, %(pause_s)s::double precision * power(2, least(s.asked - 1, 60))
    )
ORDER BY s.asked_s DESC NULLS FIRST, s.gateway_id
LIMIT %(most)s;

-- name: claim_rebirth
-- Whoever gets the row asks; no row when another keeper has just asked.
INSERT INTO telemetry.rebirth AS r (gateway_id, asked, asked_at)
VALUES (%(gateway_id)s, 1, now())
ON CONFLICT (gateway_id) DO UPDATE SET asked = r.asked + 1, asked_at = now()
WHERE r.asked_at < now() - %(pause_s)s::double precision * INTERVAL '1 second'
RETURNING r.asked;

-- name: forget_rebirths
-- Gateways that have announced themselves.
DELETE FROM telemetry.rebirth AS r
USING telemetry.gateway_link AS l
WHERE l.gateway_id = r.gateway_id AND l.birth IS NOT NULL;

-- name: announce_gaps
-- Wake whoever watches what is missing; they poll as well.
SELECT pg_notify('hanlu_gap', '');

-- name: letter_space
-- What the dead letters of each gateway take, the noisiest first.
SELECT gateway, sum(bytes)::bigint, sum(letters)::bigint
FROM telemetry.dead_letter_count
GROUP BY gateway
HAVING sum(bytes) > 0 OR sum(letters) > 0
ORDER BY 2 DESC, 3 DESC;

-- name: oldest_resolved
-- Resolved dead letters, the longest resolved first; bodies: only those that still have theirs.
SELECT dead_letter_id, bytes
FROM telemetry.dead_letter
WHERE resolved_at IS NOT NULL AND (dropped_at IS NULL OR NOT %(bodies)s::boolean)
    AND (%(gateway)s::text IS NULL OR coalesce(gateway, '') = %(gateway)s)
ORDER BY resolved_at
LIMIT %(most)s;

-- name: oldest_letters
-- Dead letters of a gateway, the oldest first; bodies: only those that still have theirs.
SELECT dead_letter_id, bytes
FROM telemetry.dead_letter
WHERE gateway IS NOT DISTINCT FROM nullif(%(gateway)s, '') AND (dropped_at IS NULL OR NOT %(bodies)s::boolean)
ORDER BY dead_letter_id
LIMIT %(most)s;

-- name: drop_body
-- The bytes go; reason, digest and counts stay.
UPDATE telemetry.dead_letter SET body = '', dropped_at = now()
WHERE dead_letter_id = %(dead_letter_id)s AND dropped_at IS NULL;

-- name: fold_letter
-- The row goes too; its deliveries stay counted by gateway and reason.
DELETE FROM telemetry.dead_letter WHERE dead_letter_id = %(dead_letter_id)s;

-- name: lock_any_letter
-- One dead letter, open or not, locked until the transaction ends; no row when somebody else works on it.
SELECT
    d.dead_letter_id, (extract(epoch FROM d.received_at) * 1000)::bigint AS received_ms, d.topic, d.gateway, d.reason,
    d.detail, d.reading_count, d.body, d.body_sha256 AS digest, d.times::integer AS times, d.places, d.attempts,
    d.noted_at IS NOT NULL AND d.resolved_at IS NULL AS noted, d.dropped_at IS NOT NULL AS dropped, d.arrival_id,
    a.gateway_id, a.epoch, coalesce(a.evidence, 0) AS evidence, coalesce(a.reading_count, 0) AS arrived_count
FROM telemetry.dead_letter AS d
LEFT JOIN telemetry.arrival AS a USING (arrival_id)
WHERE d.dead_letter_id = %(dead_letter_id)s
FOR UPDATE OF d SKIP LOCKED;

-- name: add_session
-- A session that ingest workers share out; one that is known keeps its holder.
INSERT INTO telemetry.ingest_session AS s (client_id, partitions)
VALUES (%(client_id)s, %(partitions)s::smallint[])
ON CONFLICT (client_id) DO UPDATE SET partitions = excluded.partitions
WHERE s.partitions <> excluded.partitions;

-- name: greet
-- The worker lives, for so long.
INSERT INTO telemetry.ingest_worker (worker, name, backend_pid, expires_at)
VALUES (
    %(worker)s, %(name)s, pg_backend_pid(),
    clock_timestamp() + %(lease_s)s::double precision * INTERVAL '1 second'
)
ON CONFLICT (worker) DO UPDATE SET backend_pid = excluded.backend_pid, expires_at = excluded.expires_at;

-- name: count_workers
-- Workers that live: their time is not over, and the connection they last spoke on is there.
SELECT count(*)
FROM telemetry.ingest_worker AS w
WHERE w.expires_at >= clock_timestamp() AND EXISTS (
    SELECT FROM pg_stat_activity AS a
    WHERE a.pid = w.backend_pid AND a.application_name = 'hanlu ingest ' || w.worker
);

-- name: renew_sessions
-- Hold these sessions on; returns those that are the worker's still.
UPDATE telemetry.ingest_session
SET
    expires_at = clock_timestamp() + %(lease_s)s::double precision * INTERVAL '1 second',
    backend_pid = pg_backend_pid()
WHERE worker = %(worker)s AND client_id = ANY(%(client_ids)s::text[])
RETURNING client_id;

-- name: claim_session
-- Take one of these sessions that nobody holds: handed back, its time over, or its holder's connection gone.
UPDATE telemetry.ingest_session AS s
SET
    worker = %(worker)s,
    backend_pid = pg_backend_pid(),
    expires_at = clock_timestamp() + %(lease_s)s::double precision * INTERVAL '1 second',
    since = clock_timestamp(),
    takeovers = s.takeovers + (s.worker IS NOT NULL)::integer
WHERE s.client_id = (
    SELECT f.client_id
    FROM telemetry.ingest_session AS f
    WHERE f.client_id = ANY(%(client_ids)s::text[]) AND (
        f.worker IS NULL OR f.expires_at < clock_timestamp() OR NOT EXISTS (
            SELECT FROM pg_stat_activity AS a
            WHERE a.pid = f.backend_pid AND a.application_name = 'hanlu ingest ' || f.worker
        )
    )
    ORDER BY f.client_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING s.client_id;

-- name: hand_back_sessions
-- These sessions are free for other workers.
UPDATE telemetry.ingest_session
SET worker = NULL, backend_pid = NULL, expires_at = '-infinity'
WHERE worker = %(worker)s AND client_id = ANY(%(client_ids)s::text[]);

-- name: take_leave
-- The worker ends; with it go those that ended without a word long ago.
DELETE FROM telemetry.ingest_worker
WHERE worker = %(worker)s OR expires_at < now() - INTERVAL '1 day';

-- name: unconfigured
-- Gateways that are heard and whose last birth named an older configuration than the registry holds for them, unless it
-- said that this very one cannot be: those that may be sent it by now.
SELECT s.gateway_id, s.code, s.partition, s.version, s.config, s.asked, s.asked_s
FROM (
    SELECT
        c.gateway_id, w.code, w.partition, c.version, c.config, coalesce(r.asked, 0) AS asked,
        extract(epoch FROM now() - r.asked_at)::double precision AS asked_s
    FROM registry.gateway_config AS c
    JOIN registry.gateway AS w USING (gateway_id)
    JOIN telemetry.gateway_link AS l USING (gateway_id)
    LEFT JOIN telemetry.configure AS r ON r.gateway_id = c.gateway_id AND r.version = c.version
    WHERE l.online AND l.birth IS NOT NULL AND NOT l.replay AND w.revoked_at IS NULL
        AND coalesce((l.birth ->> 'config_version')::bigint, 0) < c.version
        AND NOT starts_with(coalesce(l.birth ->> 'config_error', ''), 'version ' || c.version || ':')
) AS s
WHERE s.asked = 0
    OR s.asked_s >= least(
        %(pause_most_s)s::double precision, %(pause_s)s::double precision * power(2, least(s.asked - 1, 60))
    )
ORDER BY s.asked_s DESC NULLS FIRST, s.gateway_id
LIMIT %(most)s;

-- name: claim_configure
-- Whoever gets the row sends it; no row when another keeper has just sent this version.
INSERT INTO telemetry.configure AS r (gateway_id, version, asked, asked_at)
VALUES (%(gateway_id)s, %(version)s, 1, now())
ON CONFLICT (gateway_id) DO UPDATE SET
    version = excluded.version,
    asked = CASE WHEN r.version = excluded.version THEN r.asked + 1 ELSE 1 END,
    asked_at = now()
WHERE r.version <> excluded.version OR r.asked_at < now() - %(pause_s)s::double precision * INTERVAL '1 second'
RETURNING r.asked;
