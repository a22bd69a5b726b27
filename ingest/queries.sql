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
-- Those of these messages that have arrived: what recognises a repetition and what the chain is checked against.
SELECT a.gateway_id, a.epoch, a.seq, a.digest, a.prev
FROM unnest(%(gateway_ids)s::bigint[], %(epochs)s::bytea[], %(seqs)s::bigint[]) AS w (gateway_id, epoch, seq)
JOIN telemetry.arrival AS a
    ON a.gateway_id = w.gateway_id AND a.epoch = w.epoch AND a.seq = w.seq AND a.epoch IS NOT NULL;

-- name: list_digests
-- Those of these messages without a number that have arrived.
SELECT a.gateway_id, a.digest
FROM unnest(%(gateway_ids)s::bigint[], %(digests)s::bytea[]) AS w (gateway_id, digest)
JOIN telemetry.arrival AS a ON a.gateway_id = w.gateway_id AND a.digest = w.digest AND a.epoch IS NULL;

-- name: copy_readings
-- The fast way in: all or nothing, refused at the first reading that is there already.
COPY telemetry.reading (channel_id, observed_at, value) FROM STDIN (FORMAT BINARY);

-- name: insert_readings
-- The patient way in: returns those that were not there yet.
INSERT INTO telemetry.reading (channel_id, observed_at, value)
SELECT o.channel_id, 'epoch'::timestamptz + o.observed_ms * INTERVAL '1 millisecond', o.value
FROM unnest(%(channel_ids)s::integer[], %(observed_ms)s::bigint[], %(values)s::double precision[])
    AS o (channel_id, observed_ms, value)
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
-- One row a message; its readings are the slice first..last of the flat arrays (empty when last < first).
INSERT INTO telemetry.arrival (
    gateway_id, epoch, seq, digest, prev, evidence, lane, replayed, received_at,
    reading_count, produced, stored, duplicate, lost, dead, channel_ids, observed_ms, "values", event
)
SELECT
    m.gateway_id, m.epoch, m.seq, m.digest, m.prev, m.evidence, m.lane, m.replayed,
    'epoch'::timestamptz + m.received_ms * INTERVAL '1 millisecond',
    m.stored + m.duplicate + m.lost + m.dead, m.produced, m.stored, m.duplicate, m.lost, m.dead,
    (%(channel_ids)s::integer[])[m.first:m.last],
    (%(observed_ms)s::bigint[])[m.first:m.last],
    (%(values)s::double precision[])[m.first:m.last],
    m.event
FROM unnest(
    %(gateway_ids)s::bigint[], %(epochs)s::bytea[], %(seqs)s::bigint[], %(digests)s::bytea[], %(prevs)s::bytea[],
    %(evidences)s::integer[], %(lanes)s::text[], %(replayeds)s::boolean[], %(received_ms)s::bigint[],
    %(produced)s::bigint[], %(stored)s::integer[], %(duplicate)s::integer[], %(lost)s::integer[], %(dead)s::integer[],
    %(firsts)s::integer[], %(lasts)s::integer[], %(events)s::bytea[]
) AS m (
    gateway_id, epoch, seq, digest, prev, evidence, lane, replayed, received_ms,
    produced, stored, duplicate, lost, dead, first, last, event
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
-- What could not be taken, with its bytes; the same bytes for the same reason only count up.
INSERT INTO telemetry.dead_letter AS d (
    arrival_id, received_at, topic, gateway, reason, detail, reading_count, body, body_sha256, times
)
VALUES (
    %(arrival_id)s, 'epoch'::timestamptz + %(received_ms)s::bigint * INTERVAL '1 millisecond', %(topic)s, %(gateway)s,
    %(reason)s, %(detail)s, %(reading_count)s, %(body)s, %(body_sha256)s, %(times)s
)
ON CONFLICT (topic, reason, body_sha256) DO UPDATE SET times = d.times + excluded.times;

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
INSERT INTO telemetry.latest AS l (channel_id, observed_at, received_at, value)
SELECT
    n.channel_id, 'epoch'::timestamptz + n.observed_ms * INTERVAL '1 millisecond',
    'epoch'::timestamptz + n.received_ms * INTERVAL '1 millisecond', n.value
FROM unnest(
    %(channel_ids)s::integer[], %(observed_ms)s::bigint[], %(received_ms)s::bigint[], %(values)s::double precision[]
) AS n (channel_id, observed_ms, received_ms, value)
ORDER BY n.channel_id
ON CONFLICT (channel_id) DO UPDATE
SET observed_at = excluded.observed_at, received_at = excluded.received_at, value = excluded.value
WHERE l.observed_at < excluded.observed_at;

-- name: keep_links
-- Whether each of these gateways is heard, since when, and what it last said of itself.
INSERT INTO telemetry.gateway_link AS l (gateway_id, online, since, last_seen_at, replay, birth)
SELECT
    n.gateway_id, n.online, 'epoch'::timestamptz + n.at_ms * INTERVAL '1 millisecond',
    'epoch'::timestamptz + coalesce(n.heard_ms, n.at_ms) * INTERVAL '1 millisecond',
    coalesce((n.birth ->> 'replay')::boolean, false), n.birth
FROM unnest(
    %(gateway_ids)s::bigint[], %(online)s::boolean[], %(at_ms)s::bigint[], %(heard_ms)s::bigint[], %(births)s::jsonb[]
) AS n (gateway_id, online, at_ms, heard_ms, birth)
ORDER BY n.gateway_id
ON CONFLICT (gateway_id) DO UPDATE
SET
    since = CASE WHEN l.online = excluded.online THEN l.since ELSE excluded.since END,
    online = excluded.online,
    last_seen_at = CASE WHEN excluded.online THEN excluded.last_seen_at ELSE l.last_seen_at END,
    replay = CASE WHEN excluded.birth IS NULL THEN l.replay ELSE excluded.replay END,
    birth = coalesce(excluded.birth, l.birth);

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
-- Add a page of arrivals to their gateways' hours. A message is as late as its last reading was old when it came.
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
        CASE WHEN lane = 'live' AND NOT replayed AND cardinality(observed_ms) > 0
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
