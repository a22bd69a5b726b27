-- name: anchor_contract
-- The contract in use: the newest deployment that is not lost.
SELECT
    chain_no, chain_id, contract, log_origin, genesis_head, state,
    nonce, raw_transactions, tx_hashes, max_fee_wei, tip_wei, signed_at, sent_at
FROM trace.chain
WHERE state <> 'lost'
ORDER BY chain_no DESC
LIMIT 1;

-- name: anchor_open
-- Anchors of a contract that are not final, and the newest final one, in order.
SELECT
    seq, tree_size, root_hash, prev_head, head, state, prepared_at,
    nonce, raw_transactions, tx_hashes, max_fee_wei, tip_wei, signed_at, sent_at, mined_tx, block_number, block_hash
FROM trace.anchor
WHERE chain_no = %(chain_no)s
    AND seq >= coalesce((SELECT max(f.seq) FROM trace.anchor AS f WHERE f.chain_no = %(chain_no)s AND f.state = 'final'), 0)
ORDER BY seq;

-- name: anchor_from
-- Anchors of a contract from one on: what a chain that went back has to be told again.
SELECT
    seq, tree_size, root_hash, prev_head, head, state, prepared_at,
    nonce, raw_transactions, tx_hashes, max_fee_wei, tip_wei, signed_at, sent_at, mined_tx, block_number, block_hash
FROM trace.anchor
WHERE chain_no = %(chain_no)s AND seq >= %(seq)s
ORDER BY seq;

-- name: anchor_held
-- Which of our anchors made this head.
SELECT seq FROM trace.anchor WHERE chain_no = %(chain_no)s AND head = %(head)s;

-- name: anchor_last_before
-- The anchor with this number: what the next call has to show.
SELECT prev_head, seq, tree_size, root_hash, head FROM trace.anchor WHERE chain_no = %(chain_no)s AND seq = %(seq)s;

-- name: chain_insert
-- Keep a signed deployment before it is sent.
INSERT INTO trace.chain
    (chain_id, contract, log_origin, genesis_head, state, nonce, raw_transactions, tx_hashes, max_fee_wei, tip_wei, signed_at)
VALUES
    (%(chain_id)s, %(contract)s, %(log_origin)s, %(genesis_head)s, 'prepared', %(nonce)s,
    ARRAY[%(raw)s::bytea], ARRAY[%(tx_hash)s::text], %(max_fee)s, %(tip)s, %(now)s);

-- name: chain_deployed
-- The chain shows the contract's code.
UPDATE trace.chain SET state = 'deployed', deployed_at = %(now)s WHERE chain_no = %(chain_no)s;

-- name: chain_lost
-- The contract is gone with its chain, or was never mined.
UPDATE trace.chain SET state = 'lost', lost_at = %(now)s WHERE chain_no = %(chain_no)s;

-- name: chain_sent
-- A node was given the deployment.
UPDATE trace.chain SET sent_at = %(now)s WHERE chain_no = %(chain_no)s;

-- name: chain_form
-- Keep a dearer form of the deployment before it is sent.
UPDATE trace.chain
SET raw_transactions = raw_transactions || %(raw)s::bytea,
    tx_hashes = tx_hashes || %(tx_hash)s::text,
    max_fee_wei = %(max_fee)s,
    tip_wei = %(tip)s,
    signed_at = %(now)s,
    sent_at = NULL
WHERE chain_no = %(chain_no)s;

-- name: anchor_insert
-- Keep a signed anchor before it is sent.
INSERT INTO trace.anchor
    (chain_no, seq, tree_size, root_hash, prev_head, head, state, nonce,
    raw_transactions, tx_hashes, max_fee_wei, tip_wei, prepared_at, signed_at)
VALUES
    (%(chain_no)s, %(seq)s, %(tree_size)s, %(root_hash)s, %(prev_head)s, %(head)s, 'prepared', %(nonce)s,
    ARRAY[%(raw)s::bytea], ARRAY[%(tx_hash)s::text], %(max_fee)s, %(tip)s, %(now)s, %(now)s);

-- name: anchor_form
-- Keep another signed form of an anchor before it is sent: dearer, or with another nonce.
UPDATE trace.anchor
SET raw_transactions = raw_transactions || %(raw)s::bytea,
    tx_hashes = tx_hashes || %(tx_hash)s::text,
    nonce = %(nonce)s,
    max_fee_wei = %(max_fee)s,
    tip_wei = %(tip)s,
    signed_at = %(now)s,
    sent_at = NULL
WHERE chain_no = %(chain_no)s AND seq = %(seq)s AND state IN ('prepared', 'sent');

-- name: anchor_sent
-- A node was given the anchor.
UPDATE trace.anchor
SET state = 'sent', sent_at = %(now)s
WHERE chain_no = %(chain_no)s AND seq = %(seq)s AND state IN ('prepared', 'sent');

-- name: anchor_mined
-- The contract's head shows the anchor.
UPDATE trace.anchor
SET state = 'mined', mined_tx = %(mined_tx)s, block_number = %(block_number)s, block_hash = %(block_hash)s, mined_at = %(now)s
WHERE chain_no = %(chain_no)s AND seq = %(seq)s AND state IN ('prepared', 'sent', 'mined');

-- name: anchor_final
-- The anchor is buried as deep as asked.
UPDATE trace.anchor
SET state = 'final', final_at = %(now)s
WHERE chain_no = %(chain_no)s AND seq = %(seq)s AND state = 'mined';

-- name: anchor_reorged
-- The chain went back: these anchors are to be sent again.
UPDATE trace.anchor
SET state = 'sent', sent_at = NULL, mined_tx = NULL, block_number = NULL, block_hash = NULL, mined_at = NULL, final_at = NULL
WHERE chain_no = %(chain_no)s AND seq >= %(seq)s;

-- name: writer_lock
-- Be the only one at some work, as long as the connection lasts.
SELECT pg_try_advisory_lock(%(key)s) AS held;

-- name: writer_unlock
-- Let another process do the work.
SELECT pg_advisory_unlock(%(key)s);

-- name: log_identity
-- The log of this database.
SELECT origin, verifier_key, created_at, created_by FROM trace.log;

-- name: checkpoint_newest
-- The newest signed checkpoint.
SELECT tree_size, root_hash, note, signed_at FROM trace.checkpoint ORDER BY tree_size DESC LIMIT 1;

-- name: checkpoint_at
-- The signed checkpoint of one tree size.
SELECT tree_size, root_hash, note, signed_at FROM trace.checkpoint WHERE tree_size = %(tree_size)s;

-- name: checkpoint_anchored
-- The newest anchor that the chain in use holds, or that of one tree size.
SELECT a.seq, a.tree_size, a.root_hash, a.mined_tx, a.block_number, a.state, c.chain_id, c.contract
FROM trace.anchor AS a
JOIN trace.chain AS c USING (chain_no)
WHERE c.state = 'deployed' AND a.state IN ('mined', 'final')
    AND (%(size)s::bigint IS NULL OR a.tree_size = %(size)s::bigint)
ORDER BY a.chain_no DESC, a.seq DESC
LIMIT 1;

-- name: tiles_some
-- The named tiles, each as wide as it has grown.
SELECT t.level, t.tile_index, t.width, t.hashes
FROM unnest(%(levels)s::smallint[], %(indexes)s::bigint[]) AS wanted (level, tile_index)
JOIN trace.tile AS t USING (level, tile_index);

-- name: tile_write
-- Write a tile, or widen it; what it held must stay its beginning, else nothing is written.
INSERT INTO trace.tile (level, tile_index, width, hashes)
VALUES (%(level)s, %(tile_index)s, %(width)s, %(hashes)s)
ON CONFLICT (level, tile_index) DO UPDATE
SET width = excluded.width, hashes = excluded.hashes
WHERE tile.width <= excluded.width AND substring(excluded.hashes FOR 32 * tile.width) = tile.hashes;

-- name: lot_leaves
-- A lot's chain with the documents it commits to, oldest first.
SELECT
    l.lot_counter, l.leaf_index, l.leaf, l.leaf_hash, e.event_id, c.curve_chunk_id,
    coalesce(e.canonical, c.canonical) AS canonical
FROM trace.leaf AS l
LEFT JOIN trace.event AS e ON e.event_id = l.event_id
LEFT JOIN trace.curve_chunk AS c ON c.curve_chunk_id = l.curve_chunk_id
WHERE l.lot_uri = %(lot_uri)s
ORDER BY l.lot_counter
LIMIT %(most)s;

-- name: lots_standing
-- How many records some lots have, and what the chain in use holds of the log.
WITH newest AS (
    SELECT a.tree_size, lower(c.contract) AS contract
    FROM trace.anchor AS a
    JOIN trace.chain AS c USING (chain_no)
    WHERE c.state = 'deployed' AND a.state IN ('mined', 'final')
    ORDER BY a.chain_no DESC, a.seq DESC
    LIMIT 1
)
SELECT
    (
        SELECT coalesce(sum(l.newest), 0)::bigint
        FROM unnest(%(lots)s::text[]) AS w (lot_uri)
        CROSS JOIN LATERAL (SELECT max(t.lot_counter) AS newest FROM trace.leaf AS t WHERE t.lot_uri = w.lot_uri) AS l
    ) AS records,
    (SELECT tree_size FROM newest) AS anchored,
    (SELECT contract FROM newest) AS contract;

-- name: lot_exists
-- Whether any event speaks of the lot.
SELECT EXISTS (SELECT FROM trace.event_thing WHERE lot_uri = %(lot_uri)s) AS found;

-- name: walk_back
-- What a lot came from: every lot with the fewest steps to it, at most so many steps in all.
WITH RECURSIVE walk (uri, depth) AS (
    SELECT %(lot_uri)s::text, 0
    UNION
    SELECT e.from_uri, w.depth + 1
    FROM walk AS w
    JOIN trace.edge AS e ON e.to_uri = w.uri
    WHERE w.depth < %(max_depth)s
),
seen AS MATERIALIZED (SELECT uri, depth FROM walk LIMIT %(max_steps)s)
SELECT uri, min(depth) AS depth, (SELECT count(*) FROM seen) AS steps
FROM seen
GROUP BY uri
ORDER BY depth, uri;

-- name: walk_forward
-- What became of a lot: every lot with the fewest steps to it, at most so many steps in all.
WITH RECURSIVE walk (uri, depth) AS (
    SELECT %(lot_uri)s::text, 0
    UNION
    SELECT e.to_uri, w.depth + 1
    FROM walk AS w
    JOIN trace.edge AS e ON e.from_uri = w.uri
    WHERE w.depth < %(max_depth)s
),
seen AS MATERIALIZED (SELECT uri, depth FROM walk LIMIT %(max_steps)s)
SELECT uri, min(depth) AS depth, (SELECT count(*) FROM seen) AS steps
FROM seen
GROUP BY uri
ORDER BY depth, uri;

-- name: edges_among
-- The edges between these lots, with the event that made each and the quantities it names.
SELECT
    e.from_uri, e.to_uri, e.kind, e.event_id, ev.event_hash, ev.event_time, ev.biz_step, ev.biz_location,
    used.quantity AS from_quantity, used.uom AS from_uom, made.quantity AS to_quantity, made.uom AS to_uom
FROM trace.edge AS e
JOIN trace.event AS ev USING (event_id)
LEFT JOIN LATERAL (
    SELECT sum(t.quantity) AS quantity, max(t.uom) AS uom
    FROM trace.event_thing AS t
    WHERE t.event_id = e.event_id AND t.lot_uri = e.from_uri AND t.role IN ('input_quantity', 'child_quantity')
) AS used ON true
LEFT JOIN LATERAL (
    SELECT sum(t.quantity) AS quantity, max(t.uom) AS uom
    FROM trace.event_thing AS t
    WHERE t.event_id = e.event_id AND t.lot_uri = e.to_uri AND t.role = 'output_quantity'
) AS made ON true
WHERE e.from_uri = ANY(%(uris)s) AND e.to_uri = ANY(%(uris)s)
ORDER BY ev.event_time, e.event_id, e.from_uri, e.to_uri;

-- name: lot_events
-- The events that speak of a lot, with how, oldest first.
SELECT
    e.event_id, e.event_hash, e.event_type, e.action, e.event_time, e.event_offset, e.record_time,
    e.biz_step, e.disposition, e.read_point, e.biz_location, e.declared_error, e.source, e.evidence, e.canonical,
    t.roles, t.quantity, t.uom,
    EXISTS (
        SELECT FROM trace.event AS d WHERE d.event_hash = e.event_hash AND d.declared_error AND NOT e.declared_error
    ) AS taken_back
FROM (
    SELECT event_id, array_agg(DISTINCT role) AS roles, sum(quantity) AS quantity, max(uom) AS uom
    FROM trace.event_thing
    WHERE lot_uri = %(lot_uri)s
    GROUP BY event_id
) AS t
JOIN trace.event AS e USING (event_id)
ORDER BY e.event_time, e.event_id;

-- name: places
-- Zones and sites by their GLN, with who runs them; a zone's own GLN wins.
SELECT DISTINCT ON (place.gln)
    place.gln, place.zone, place.name_zh, place.name_en, s.kind, s.code AS site, s.name_zh AS site_zh,
    s.name_en AS site_en, s.latitude, s.longitude, o.path AS organisation_path,
    p.gln AS participant_gln, p.name_zh AS participant_zh, p.name_en AS participant_en, p.role AS participant_role
FROM (
    SELECT z.gln, z.site_id, z.code AS zone, z.name_zh, z.name_en, 1 AS preference
    FROM registry.zone AS z WHERE z.gln = ANY(%(glns)s)
    UNION ALL
    SELECT t.gln, t.site_id, NULL, t.name_zh, t.name_en, 2
    FROM registry.site AS t WHERE t.gln = ANY(%(glns)s)
) AS place
JOIN registry.site AS s USING (site_id)
JOIN registry.organisation AS o USING (organisation_id)
LEFT JOIN registry.participant AS p USING (participant_id)
ORDER BY place.gln, place.preference;

-- name: participants
-- Organisations by their GLN.
SELECT gln, name_zh, name_en, role FROM registry.participant WHERE gln = ANY(%(glns)s);

-- name: products
-- Products by their GTIN.
SELECT gtin, name_zh, name_en, limit_profile_code FROM registry.product WHERE gtin = ANY(%(gtins)s);

-- name: product_limits
-- The limits in force for a product, per metric.
SELECT l.metric, l.low, l.high, l.code
FROM registry.product AS p
JOIN registry.limit_profile_now AS l ON l.code = p.limit_profile_code
WHERE p.gtin = %(gtin)s;

-- name: lot_stays
-- Where a lot stood and since which event, oldest first.
SELECT c.from_at, c.to_at, c.location, c.event_id, e.event_hash
FROM trace.custody AS c
JOIN trace.event AS e USING (event_id)
WHERE c.lot_uri = %(lot_uri)s
ORDER BY c.from_at, c.location;

-- name: lot_curves
-- What the thermometers of a lot's places measured while it stood there.
SELECT
    c.from_at, c.location, p.channel_id, p.channel, p.metric, p.unit, p.no_data_s, p.zone, p.zone_zh, p.zone_en,
    p.limit_profile, p.low, p.high, r.instants, r.figures
FROM trace.custody AS c
JOIN trace.place_channel_v AS p USING (location)
CROSS JOIN LATERAL (
    SELECT
        array_agg((extract(epoch FROM t.observed_at) * 1000)::bigint ORDER BY t.observed_at) AS instants,
        array_agg(t.value ORDER BY t.observed_at) AS figures
    FROM telemetry.reading_v AS t
    WHERE t.channel_id = p.channel_id
        AND t.observed_at >= c.from_at
        AND t.observed_at < coalesce(c.to_at, %(now)s)
        AND t.quality < 2
) AS r
WHERE c.lot_uri = %(lot_uri)s
ORDER BY c.from_at, p.metric, p.channel;

-- name: find_lots
-- Lots whose identity or product name holds a text, those with the newest event first.
WITH named AS (
    SELECT '/01/' || gtin || '/%%' AS form
    FROM registry.product
    WHERE name_zh ILIKE %(form)s OR name_en ILIKE %(form)s
)
SELECT t.lot_uri, max(e.event_time) AS newest, count(DISTINCT e.event_id) AS events
FROM trace.event_thing AS t
JOIN trace.event AS e USING (event_id)
WHERE t.lot_uri ILIKE %(form)s
    OR EXISTS (SELECT FROM named WHERE t.lot_uri LIKE 'https://id.gs1.org' || named.form)
GROUP BY t.lot_uri
ORDER BY newest DESC, t.lot_uri
LIMIT %(most)s;

-- name: scan
-- Count an opening of a printed code and return (first time, times); nothing about the person is kept.
INSERT INTO trace.scan AS s (code) VALUES (%(code)s)
ON CONFLICT (code) DO UPDATE SET times = s.times + 1, last_at = now()
RETURNING first_at, times;

-- name: capture_lock
-- One capture at a time: projections are rewritten from what is committed, so two must not look past each other.
SELECT pg_advisory_xact_lock(%(key)s);

-- name: event_insert
-- Keep an event; one that is known already gives no row.
INSERT INTO trace.event
    (event_hash, jcs_sha256, event_type, action, event_time, event_offset, record_time, biz_step, disposition,
    read_point, biz_location, transformation_id, declared_error, source, evidence, document, canonical)
VALUES
    (%(event_hash)s, %(jcs_sha256)s, %(event_type)s, %(action)s, %(event_time)s, %(event_offset)s, %(record_time)s,
    %(biz_step)s, %(disposition)s, %(read_point)s, %(biz_location)s, %(transformation_id)s, %(declared_error)s,
    %(source)s, %(evidence)s, %(document)s, %(canonical)s)
ON CONFLICT (event_hash, declared_error) DO NOTHING
RETURNING event_id;

-- name: things_insert
-- What an event is about, and the chains its leaves will join.
WITH things AS (
    INSERT INTO trace.event_thing (event_id, role, uri, lot_uri, quantity, uom)
    SELECT %(event_id)s, t.role, t.uri, t.lot_uri, t.quantity, t.uom
    FROM unnest(
        %(roles)s::text[], %(uris)s::text[], %(lot_uris)s::text[], %(quantities)s::double precision[], %(uoms)s::text[]
    ) AS t (role, uri, lot_uri, quantity, uom)
    RETURNING event_id, lot_uri
)
INSERT INTO trace.unsequenced (event_id, lot_uri)
SELECT DISTINCT event_id, lot_uri FROM things
ON CONFLICT DO NOTHING;

-- name: facts_of_lots
-- The events that count for some lots, with the things that are of these lots.
SELECT
    e.event_id, e.event_type, e.action, e.event_time, e.biz_step, e.read_point, e.biz_location, e.transformation_id,
    t.role, t.uri, t.lot_uri, t.quantity, t.uom
FROM trace.event_thing AS t
JOIN trace.valid_event_v AS e USING (event_id)
WHERE t.lot_uri = ANY(%(lots)s)
ORDER BY e.event_id;

-- name: facts_of_edges
-- The events that count among some, and all told of the same transformations, with all their named things.
SELECT
    e.event_id, e.event_type, e.action, e.event_time, e.biz_step, e.read_point, e.biz_location, e.transformation_id,
    t.role, t.uri, t.lot_uri, t.quantity, t.uom
FROM trace.valid_event_v AS e
JOIN trace.event_thing AS t USING (event_id)
WHERE t.role <> 'contained' AND (
    e.event_id = ANY(%(events)s)
    OR e.transformation_id IN (SELECT o.transformation_id FROM trace.event AS o WHERE o.event_id = ANY(%(events)s))
)
ORDER BY e.event_id;

-- name: events_told_with
-- Some events, those of the same transformations, and those an error declaration among them takes back.
SELECT DISTINCT e.event_id, e.event_type
FROM trace.event AS o
JOIN trace.event AS e
    ON e.event_id = o.event_id
    OR e.transformation_id = o.transformation_id
    OR (e.event_hash = o.event_hash AND o.declared_error)
WHERE o.event_id = ANY(%(events)s);

-- name: edges_clear
-- Forget the edges of some events.
DELETE FROM trace.edge WHERE event_id = ANY(%(events)s);

-- name: edges_insert
-- Keep edges.
INSERT INTO trace.edge (from_uri, to_uri, event_id, kind)
SELECT * FROM unnest(%(from_uris)s::text[], %(to_uris)s::text[], %(events)s::bigint[], %(kinds)s::text[])
ON CONFLICT DO NOTHING;

-- name: lots_of_events
-- The lots some events speak of.
SELECT DISTINCT lot_uri FROM trace.event_thing WHERE event_id = ANY(%(events)s);

-- name: containers_touched
-- The containers some events name, and everything they were ever packed into.
WITH RECURSIVE up (uri, depth) AS (
    SELECT DISTINCT t.uri, 0
    FROM trace.event_thing AS t
    WHERE t.event_id = ANY(%(events)s)
        AND t.role <> 'contained'
        AND EXISTS (
            SELECT FROM trace.event_thing AS p
            JOIN trace.event AS e USING (event_id)
            WHERE p.uri = t.uri AND p.role = 'parent' AND e.event_type = 'AggregationEvent'
        )
    UNION
    SELECT p.uri, up.depth + 1
    FROM up
    JOIN trace.event_thing AS c ON c.uri = up.uri AND c.role = 'child'
    JOIN trace.event AS e ON e.event_id = c.event_id AND e.event_type = 'AggregationEvent'
    JOIN trace.event_thing AS p ON p.event_id = c.event_id AND p.role = 'parent'
    WHERE up.depth < 8
)
SELECT DISTINCT uri FROM up;

-- name: packings_below
-- What filled or emptied some containers and all that ever lay in them.
WITH RECURSIVE down (uri, depth) AS (
    SELECT unnest(%(containers)s::text[]), 0
    UNION
    SELECT c.uri, down.depth + 1
    FROM down
    JOIN trace.event_thing AS p ON p.uri = down.uri AND p.role = 'parent'
    JOIN trace.event AS e ON e.event_id = p.event_id AND e.event_type = 'AggregationEvent'
    JOIN trace.event_thing AS c ON c.event_id = p.event_id AND c.role = 'child'
    WHERE down.depth < 8
)
SELECT
    e.event_id, e.event_type, e.action, e.event_time, e.biz_step, e.read_point, e.biz_location, e.transformation_id,
    t.role, t.uri, t.lot_uri, t.quantity, t.uom
FROM (
    SELECT DISTINCT p.event_id
    FROM down
    JOIN trace.event_thing AS p ON p.uri = down.uri AND p.role = 'parent'
) AS found
JOIN trace.valid_event_v AS e USING (event_id)
JOIN trace.event_thing AS t USING (event_id)
WHERE e.event_type = 'AggregationEvent' AND t.role <> 'contained'
ORDER BY e.event_id;

-- name: events_naming
-- The events that name some containers, with which of them, the lots they name and those noted as contained.
SELECT
    e.event_id, e.event_time,
    array_agg(DISTINCT t.uri) FILTER (WHERE t.role <> 'contained' AND t.uri = ANY(%(containers)s)) AS containers,
    array_agg(DISTINCT t.lot_uri) FILTER (WHERE t.role <> 'contained') AS named,
    array_agg(DISTINCT t.lot_uri) FILTER (WHERE t.role = 'contained') AS contained
FROM trace.event AS e
JOIN trace.event_thing AS t USING (event_id)
WHERE e.event_id IN (
    SELECT n.event_id FROM trace.event_thing AS n WHERE n.uri = ANY(%(containers)s) AND n.role <> 'contained'
)
GROUP BY e.event_id, e.event_time;

-- name: contained_clear
-- Lots no longer thought to lie in what an event names.
DELETE FROM trace.event_thing
WHERE event_id = %(event_id)s AND role = 'contained' AND lot_uri = ANY(%(lots)s);

-- name: contained_insert
-- Lots that lay in what an event names, and the chains that leaf is still to join.
WITH things AS (
    INSERT INTO trace.event_thing (event_id, role, uri, lot_uri)
    SELECT %(event_id)s, 'contained', lot, lot FROM unnest(%(lots)s::text[]) AS lot
    RETURNING event_id, lot_uri
)
INSERT INTO trace.unsequenced (event_id, lot_uri)
SELECT event_id, lot_uri
FROM things
WHERE NOT EXISTS (SELECT FROM trace.leaf AS l WHERE l.event_id = things.event_id AND l.lot_uri = things.lot_uri)
ON CONFLICT DO NOTHING;

-- name: trucks
-- Places that move.
SELECT 'https://id.gs1.org/414/' || place.gln AS location
FROM registry.site AS s
CROSS JOIN LATERAL (
    SELECT s.gln UNION SELECT z.gln FROM registry.zone AS z WHERE z.site_id = s.site_id
) AS place (gln)
WHERE s.kind = 'truck' AND place.gln IS NOT NULL;

-- name: custody_of_lots
-- Custody as it is noted.
SELECT lot_uri, from_at, to_at, location, event_id FROM trace.custody WHERE lot_uri = ANY(%(lots)s);

-- name: custody_clear
-- Forget custodies that no longer follow from the events, and have their curves looked at again.
WITH gone AS (
    DELETE FROM trace.custody AS c
    USING unnest(%(lots)s::text[], %(events)s::bigint[]) AS old (lot_uri, event_id)
    WHERE c.lot_uri = old.lot_uri AND c.event_id = old.event_id
    RETURNING c.lot_uri, c.event_id
)
INSERT INTO trace.curve_due (lot_uri, channel_id, event_id, bucket_at, changed_at)
SELECT DISTINCT k.lot_uri, k.channel_id, k.event_id, k.bucket_at, %(now)s::timestamptz
FROM gone
JOIN trace.curve_chunk AS k USING (lot_uri, event_id)
ON CONFLICT (lot_uri, channel_id, event_id, bucket_at) DO UPDATE SET changed_at = excluded.changed_at;

-- name: custody_insert
-- Note custodies, and have the curves of their time looked at.
WITH fresh AS (
    INSERT INTO trace.custody (lot_uri, from_at, to_at, location, event_id)
    SELECT *
    FROM unnest(
        %(lots)s::text[], %(from_ats)s::timestamptz[], %(to_ats)s::timestamptz[], %(locations)s::text[], %(events)s::bigint[]
    )
    RETURNING lot_uri, from_at, to_at, location, event_id
)
INSERT INTO trace.curve_due (lot_uri, channel_id, event_id, bucket_at, changed_at)
SELECT f.lot_uri, p.channel_id, f.event_id, bucket_at, %(now)s::timestamptz
FROM fresh AS f
JOIN trace.place_channel_v AS p USING (location)
CROSS JOIN LATERAL generate_series(
    date_bin(make_interval(secs => %(bucket_s)s), f.from_at, '1970-01-01Z'),
    least(f.to_at, f.from_at + make_interval(days => %(most_days)s), %(now)s) - INTERVAL '1 millisecond',
    make_interval(secs => %(bucket_s)s)
) AS bucket_at
WHERE NOT EXISTS (
    SELECT FROM trace.ambient_product_v AS g WHERE f.lot_uri LIKE 'https://id.gs1.org/01/' || g.gtin || '%%'
)
ON CONFLICT (lot_uri, channel_id, event_id, bucket_at) DO UPDATE SET changed_at = excluded.changed_at;

-- name: label_issued
-- Keep that a lot's code was printed; printing again changes nothing.
INSERT INTO trace.label (code, lot_uri, issued_by) VALUES (%(code)s, %(lot_uri)s, %(issued_by)s)
ON CONFLICT (code) DO NOTHING;

-- name: log_insert
-- Record the log's creation; there is one.
INSERT INTO trace.log (origin, verifier_key, created_by, created_at)
VALUES (%(origin)s, %(verifier_key)s, %(created_by)s, %(now)s);

-- name: sequence_lock
-- Be the only one to append until the transaction ends.
SELECT pg_try_advisory_xact_lock(%(key)s) AS held;

-- name: sequence_end
-- Where the stored leaves end.
SELECT coalesce(max(leaf_index) + 1, 0) AS size FROM trace.leaf;

-- name: unsequenced_take
-- Take events out of the queue, the oldest first.
WITH taken AS (
    DELETE FROM trace.unsequenced
    WHERE (event_id, lot_uri) IN (
        SELECT event_id, lot_uri FROM trace.unsequenced ORDER BY event_id, lot_uri LIMIT %(most)s
    )
    RETURNING event_id, lot_uri
)
SELECT t.event_id, t.lot_uri, e.event_hash, e.jcs_sha256
FROM taken AS t
JOIN trace.event AS e USING (event_id)
ORDER BY t.event_id, t.lot_uri;

-- name: curve_take
-- Take the pieces of curves that are ripe out of the queue: their end is past for their channel, or for the clock.
WITH ripe AS (
    SELECT d.lot_uri, d.channel_id, d.event_id, d.bucket_at
    FROM trace.curve_due AS d
    LEFT JOIN trace.custody AS c USING (lot_uri, event_id)
    LEFT JOIN telemetry.latest_v AS l ON l.channel_id = d.channel_id
    CROSS JOIN LATERAL (
        SELECT least(c.to_at, d.bucket_at + make_interval(secs => %(bucket_s)s)) AS at
    ) AS piece_end
    WHERE d.changed_at <= %(settled)s
        AND (
            c.lot_uri IS NULL
            OR l.observed_at >= piece_end.at
            OR (piece_end.at <= %(silent)s AND coalesce(l.received_at <= %(silent)s, true))
        )
    ORDER BY d.changed_at
    LIMIT %(most)s
)
DELETE FROM trace.curve_due AS d
USING ripe AS r
WHERE (d.lot_uri, d.channel_id, d.event_id, d.bucket_at) = (r.lot_uri, r.channel_id, r.event_id, r.bucket_at)
RETURNING d.lot_uri, d.channel_id, d.event_id, d.bucket_at;

-- name: curve_pieces
-- What the log would say now about some pieces of curves, and what it said last: of each short span the first reading.
SELECT
    w.lot_uri, w.channel_id, w.event_id, w.bucket_at, c.from_at, c.to_at, c.location, e.event_hash, p.channel, p.unit,
    r.instants, r.figures, k.revision, k.canonical
FROM unnest(%(lots)s::text[], %(channels)s::integer[], %(events)s::bigint[], %(buckets)s::timestamptz[])
    AS w (lot_uri, channel_id, event_id, bucket_at)
JOIN trace.event AS e USING (event_id)
LEFT JOIN trace.custody AS c USING (lot_uri, event_id)
LEFT JOIN trace.place_channel_v AS p ON p.channel_id = w.channel_id AND p.location = c.location
LEFT JOIN LATERAL (
    SELECT
        array_agg((extract(epoch FROM s.observed_at) * 1000)::bigint ORDER BY s.observed_at) AS instants,
        array_agg(s.value ORDER BY s.observed_at) AS figures
    FROM (
        SELECT DISTINCT ON (span.at) t.observed_at, t.value
        FROM telemetry.reading_v AS t
        CROSS JOIN LATERAL date_bin(make_interval(secs => %(sample_s)s), t.observed_at, '1970-01-01Z') AS span (at)
        WHERE t.channel_id = p.channel_id
            AND t.observed_at >= greatest(c.from_at, w.bucket_at)
            AND t.observed_at < least(c.to_at, w.bucket_at + make_interval(secs => %(bucket_s)s))
            AND t.quality < 2
        ORDER BY span.at, t.observed_at
    ) AS s
) AS r ON true
LEFT JOIN LATERAL (
    SELECT h.revision, h.canonical
    FROM trace.curve_chunk AS h
    WHERE (h.lot_uri, h.channel_id, h.event_id, h.bucket_at) = (w.lot_uri, w.channel_id, w.event_id, w.bucket_at)
    ORDER BY h.revision DESC
    LIMIT 1
) AS k ON true
ORDER BY w.bucket_at, w.lot_uri, w.channel_id, w.event_id;

-- name: curve_chunk_insert
-- Keep a piece of a curve as the log commits to it.
INSERT INTO trace.curve_chunk
    (lot_uri, channel_id, event_id, bucket_at, revision, from_at, to_at, point_count, canonical)
VALUES
    (%(lot_uri)s, %(channel_id)s, %(event_id)s, %(bucket_at)s, %(revision)s, %(from_at)s, %(to_at)s, %(point_count)s,
    %(canonical)s)
RETURNING curve_chunk_id;

-- name: lot_ends
-- The newest leaf of each of some lots.
SELECT w.lot_uri, l.lot_counter, l.leaf_hash
FROM unnest(%(lots)s::text[]) AS w (lot_uri)
CROSS JOIN LATERAL (
    SELECT t.lot_counter, t.leaf_hash
    FROM trace.leaf AS t
    WHERE t.lot_uri = w.lot_uri
    ORDER BY t.lot_counter DESC
    LIMIT 1
) AS l;

-- name: leaf_insert
-- Append a leaf.
INSERT INTO trace.leaf (leaf_index, leaf_hash, leaf, event_id, curve_chunk_id, lot_uri, lot_counter)
VALUES (%(leaf_index)s, %(leaf_hash)s, %(leaf)s, %(event_id)s, %(curve_chunk_id)s, %(lot_uri)s, %(lot_counter)s);

-- name: checkpoint_insert
-- Keep a signed checkpoint.
INSERT INTO trace.checkpoint (tree_size, root_hash, note, signed_at)
VALUES (%(tree_size)s, %(root_hash)s, %(note)s, greatest(%(now)s, (SELECT max(signed_at) FROM trace.checkpoint)));

-- name: cursor_read
-- How far the room has followed a feed.
SELECT txid::text AS txid, arrival_id FROM trace.cursor WHERE name = %(name)s;

-- name: cursor_write
-- Note how far the room has followed a feed.
INSERT INTO trace.cursor (name, txid, arrival_id)
VALUES (%(name)s, %(txid)s::xid8, %(arrival_id)s)
ON CONFLICT (name) DO UPDATE SET txid = excluded.txid, arrival_id = excluded.arrival_id;

-- name: event_feed_next
-- EPCIS documents from gateways after the cursor, in the order of the feed.
SELECT f.txid::text AS txid, f.arrival_id, g.code AS gateway, f.evidence, f.event
FROM telemetry.event_feed AS f
LEFT JOIN registry.gateway AS g USING (gateway_id)
WHERE (f.txid, f.arrival_id) > (%(txid)s::xid8, %(arrival_id)s)
ORDER BY f.txid, f.arrival_id
LIMIT %(most)s;

-- name: arrival_feed_next
-- Arrivals after the cursor, in the order of the feed: which channels brought readings of when.
SELECT f.txid::text AS txid, f.arrival_id, f.channel_ids, f.observed_ms
FROM telemetry.arrival_feed AS f
WHERE (f.txid, f.arrival_id) > (%(txid)s::xid8, %(arrival_id)s)
ORDER BY f.txid, f.arrival_id
LIMIT %(most)s;

-- name: curve_mark
-- Have the pieces of curves looked at that new readings belong to.
INSERT INTO trace.curve_due (lot_uri, channel_id, event_id, bucket_at, changed_at)
SELECT c.lot_uri, b.channel_id, c.event_id, b.bucket_at, %(now)s::timestamptz
FROM unnest(%(channels)s::integer[], %(buckets)s::timestamptz[]) AS b (channel_id, bucket_at)
JOIN trace.place_channel_v AS p ON p.channel_id = b.channel_id
JOIN trace.custody AS c
    ON c.location = p.location
    AND c.from_at < b.bucket_at + make_interval(secs => %(bucket_s)s)
    AND (c.to_at IS NULL OR c.to_at > b.bucket_at)
    AND b.bucket_at < c.from_at + make_interval(days => %(most_days)s)
WHERE NOT EXISTS (
    SELECT FROM trace.ambient_product_v AS g WHERE c.lot_uri LIKE 'https://id.gs1.org/01/' || g.gtin || '%%'
)
ON CONFLICT (lot_uri, channel_id, event_id, bucket_at) DO UPDATE SET changed_at = excluded.changed_at
WHERE curve_due.bucket_at + make_interval(secs => %(bucket_s)s) <= excluded.changed_at;

-- name: dead_letter_insert
-- Keep a document that breaks the standard, with the reason.
INSERT INTO trace.dead_letter (arrival_id, at, reason, detail, body)
VALUES (%(arrival_id)s, %(now)s, %(reason)s, %(detail)s, %(body)s)
ON CONFLICT DO NOTHING;

-- name: trouble_note
-- Say that a loop cannot do its work now.
INSERT INTO trace.trouble (name, since, detail)
VALUES (%(name)s, %(now)s, %(detail)s)
ON CONFLICT (name) DO UPDATE SET detail = excluded.detail;

-- name: trouble_clear
-- The loop works again.
DELETE FROM trace.trouble WHERE name = %(name)s;

-- name: fsck_leaves
-- Every leaf with what it commits to, in order.
SELECT
    l.leaf_index, l.leaf_hash, l.leaf, l.lot_uri, l.lot_counter, e.event_hash, e.document AS shown,
    coalesce(e.canonical, c.canonical) AS canonical
FROM trace.leaf AS l
LEFT JOIN trace.event AS e ON e.event_id = l.event_id
LEFT JOIN trace.curve_chunk AS c ON c.curve_chunk_id = l.curve_chunk_id
ORDER BY l.leaf_index;

-- name: fsck_checkpoints
-- Every checkpoint, the smallest first.
SELECT tree_size, root_hash, note FROM trace.checkpoint ORDER BY tree_size;

-- name: fsck_tiles
-- Every tile.
SELECT level, tile_index, hashes FROM trace.tile ORDER BY level, tile_index;

-- name: fsck_forgotten
-- Events that neither have their leaf in a lot's chain nor wait for it.
SELECT DISTINCT t.event_id, t.lot_uri
FROM trace.event_thing AS t
WHERE NOT EXISTS (SELECT FROM trace.leaf AS l WHERE l.event_id = t.event_id AND l.lot_uri = t.lot_uri)
    AND NOT EXISTS (SELECT FROM trace.unsequenced AS u WHERE u.event_id = t.event_id AND u.lot_uri = t.lot_uri)
ORDER BY t.event_id, t.lot_uri;

-- name: fsck_anchors
-- Every anchor with its contract and its checkpoint.
SELECT
    a.chain_no, a.seq, a.tree_size, a.root_hash, a.prev_head, a.head, c.contract, c.genesis_head,
    k.root_hash AS checkpoint_root
FROM trace.anchor AS a
JOIN trace.chain AS c USING (chain_no)
JOIN trace.checkpoint AS k USING (tree_size)
ORDER BY a.chain_no, a.seq;

-- name: capture_job_insert
-- Keep what became of a capture.
INSERT INTO trace.capture_job (capture_id, source, behaviour, created_at, finished_at, success, captured, duplicate, errors)
VALUES
    (%(capture_id)s, %(source)s, %(behaviour)s, %(created_at)s, %(finished_at)s, %(success)s, %(captured)s,
    %(duplicate)s, %(errors)s);

-- name: capture_job
-- What became of a capture.
SELECT capture_id, source, behaviour, created_at, finished_at, success, captured, duplicate, errors
FROM trace.capture_job
WHERE capture_id = %(capture_id)s;

-- name: events_page
-- Events in the order of time, after a place in that order.
SELECT e.event_id, e.event_time, e.canonical
FROM trace.event AS e
WHERE (e.event_time, e.event_id) > (%(after_time)s, %(after_id)s)
    AND (%(event_types)s::text[] IS NULL OR e.event_type = ANY(%(event_types)s))
    AND (%(biz_steps)s::text[] IS NULL OR e.biz_step = ANY(%(biz_steps)s))
    AND (%(from_time)s::timestamptz IS NULL OR e.event_time >= %(from_time)s)
    AND (%(to_time)s::timestamptz IS NULL OR e.event_time < %(to_time)s)
ORDER BY e.event_time, e.event_id
LIMIT %(most)s;

-- name: events_page_of_things
-- Events that name certain things in certain roles, in the order of time, after a place in that order.
WITH named AS (
    SELECT t.event_id
    FROM unnest(%(numbers)s::integer[], %(roles)s::text[], %(uris)s::text[]) AS w (number, role, uri)
    JOIN trace.event_thing AS t ON t.uri = w.uri AND t.role = w.role
    GROUP BY t.event_id
    HAVING count(DISTINCT w.number) = %(criteria)s
)
SELECT e.event_id, e.event_time, e.canonical
FROM named
JOIN trace.event AS e USING (event_id)
WHERE (e.event_time, e.event_id) > (%(after_time)s, %(after_id)s)
    AND (%(event_types)s::text[] IS NULL OR e.event_type = ANY(%(event_types)s))
    AND (%(biz_steps)s::text[] IS NULL OR e.biz_step = ANY(%(biz_steps)s))
    AND (%(from_time)s::timestamptz IS NULL OR e.event_time >= %(from_time)s)
    AND (%(to_time)s::timestamptz IS NULL OR e.event_time < %(to_time)s)
ORDER BY e.event_time, e.event_id
LIMIT %(most)s;

-- name: events_called
-- The event with an identifier or hash, and the declaration that takes it back.
SELECT e.event_id, e.event_time, e.canonical
FROM trace.event AS e
WHERE e.event_hash = %(name)s OR e.document ->> 'eventID' = %(name)s
ORDER BY e.event_time, e.event_id
LIMIT %(most)s;
