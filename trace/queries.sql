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

-- name: anchor_lock
-- Be the chain's only writer, for this session.
SELECT pg_try_advisory_lock(%(key)s) AS held;

-- name: anchor_unlock
-- Let another process write to the chain.
SELECT pg_advisory_unlock(%(key)s);

-- name: log_identity
-- The log of this database.
SELECT origin, verifier_key, created_at, created_by FROM trace.log;

-- name: checkpoint_newest
-- The newest signed checkpoint.
SELECT tree_size, root_hash, note, signed_at FROM trace.checkpoint ORDER BY tree_size DESC LIMIT 1;
