CREATE SCHEMA trace;
COMMENT ON SCHEMA trace IS 'What happened to things, and its proof; written only by hanlu_trace.';

CREATE TABLE trace.cursor (
    name text PRIMARY KEY,
    txid xid8 NOT NULL,
    arrival_id bigint NOT NULL
);

CREATE TABLE trace.event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_hash text NOT NULL,
    jcs_sha256 bytea NOT NULL CHECK (octet_length(jcs_sha256) = 32),
    event_type text NOT NULL
        CHECK (event_type IN ('ObjectEvent', 'AggregationEvent', 'TransactionEvent', 'TransformationEvent', 'AssociationEvent')),
    action text CHECK (action IN ('ADD', 'OBSERVE', 'DELETE')),
    event_time timestamptz NOT NULL,
    event_offset text NOT NULL,
    record_time timestamptz NOT NULL DEFAULT now(),
    biz_step text,
    disposition text,
    read_point text,
    biz_location text,
    transformation_id text,
    declared_error boolean NOT NULL DEFAULT false,
    source text NOT NULL,
    evidence smallint NOT NULL DEFAULT 0,
    document jsonb NOT NULL,
    canonical bytea NOT NULL,
    UNIQUE (event_hash, declared_error)
);
COMMENT ON TABLE trace.event IS 'Captured EPCIS events; the CBV hash is the identity, so what is captured twice counts once.';
COMMENT ON COLUMN trace.event.declared_error IS
'The event is an error declaration: CBV leaves errorDeclaration out of the hash, so it shares the hash of the event it takes back.';
COMMENT ON COLUMN trace.event.canonical IS 'RFC 8785 bytes of the event as captured: what jcs_sha256 and the proof are over.';
COMMENT ON COLUMN trace.event.source IS 'How it came: gateway:<code>, rest:<login>, simulator';
CREATE INDEX event_by_time ON trace.event (event_time, event_id);
CREATE INDEX event_by_name ON trace.event ((document ->> 'eventID'));
CREATE INDEX event_by_transformation ON trace.event (transformation_id) WHERE transformation_id IS NOT NULL;

CREATE TABLE trace.event_thing (
    event_id bigint NOT NULL REFERENCES trace.event,
    role text NOT NULL CHECK (role IN ('epc', 'quantity', 'parent', 'child', 'child_quantity', 'input', 'input_quantity', 'output', 'output_quantity', 'contained')),
    uri text NOT NULL,
    lot_uri text NOT NULL,
    quantity double precision,
    uom text
);
COMMENT ON TABLE trace.event_thing IS 'What an event is about, one row a thing.';
COMMENT ON COLUMN trace.event_thing.role IS
'The list of the event it stands in; contained: not named, but inside a named container at that time. Derived.';
COMMENT ON COLUMN trace.event_thing.lot_uri IS 'Canonical Digital Link down to the lot (01/10), or the thing itself where it has no lot.';
CREATE INDEX event_thing_uri ON trace.event_thing (uri);
CREATE INDEX event_thing_lot ON trace.event_thing (lot_uri, event_id);
CREATE INDEX event_thing_event ON trace.event_thing (event_id);

CREATE TABLE trace.edge (
    from_uri text NOT NULL,
    to_uri text NOT NULL,
    event_id bigint NOT NULL REFERENCES trace.event,
    kind text NOT NULL CHECK (kind IN ('transformation', 'aggregation', 'association')),
    PRIMARY KEY (from_uri, to_uri, event_id)
);
COMMENT ON TABLE trace.edge IS 'The lot graph: from becomes, or is packed into, to. Derived from events.';
CREATE INDEX edge_back ON trace.edge (to_uri, from_uri);
CREATE INDEX edge_event ON trace.edge (event_id);

CREATE TABLE trace.custody (
    lot_uri text NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz,
    location text NOT NULL,
    event_id bigint NOT NULL REFERENCES trace.event,
    PRIMARY KEY (lot_uri, event_id),
    CHECK (to_at > from_at)
);
CREATE INDEX custody_time ON trace.custody (lot_uri, from_at);
CREATE INDEX custody_place ON trace.custody (location, from_at);
COMMENT ON TABLE trace.custody IS 'A lot was at a location from one event to the next (to_at null: still there). Derived from events.';
COMMENT ON COLUMN trace.custody.location IS 'bizLocation URI, https://id.gs1.org/414/<gln>; joins registry.zone.gln or registry.site.gln.';

CREATE TABLE trace.unsequenced (
    event_id bigint NOT NULL REFERENCES trace.event,
    lot_uri text NOT NULL,
    PRIMARY KEY (event_id, lot_uri)
);
COMMENT ON TABLE trace.unsequenced IS 'Events waiting for their leaf in a lot''s chain: written with the event, taken out with the leaf.';

CREATE TABLE trace.curve_due (
    lot_uri text NOT NULL,
    channel_id integer NOT NULL,
    event_id bigint NOT NULL REFERENCES trace.event,
    bucket_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (lot_uri, channel_id, event_id, bucket_at)
);
COMMENT ON TABLE trace.curve_due IS 'Pieces of curves whose readings or custody changed and which the log has not taken yet.';
COMMENT ON COLUMN trace.curve_due.event_id IS 'The event that began the custody.';
CREATE INDEX curve_due_age ON trace.curve_due (changed_at);

CREATE TABLE trace.curve_chunk (
    curve_chunk_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lot_uri text NOT NULL,
    channel_id integer NOT NULL,
    event_id bigint NOT NULL REFERENCES trace.event,
    bucket_at timestamptz NOT NULL,
    revision integer NOT NULL CHECK (revision > 0),
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL CHECK (to_at >= from_at),
    point_count integer NOT NULL,
    canonical bytea NOT NULL,
    UNIQUE (lot_uri, channel_id, event_id, bucket_at, revision)
);
COMMENT ON TABLE trace.curve_chunk IS 'A piece of a lot''s temperature curve as it was committed to the log; late readings make a higher revision.';
COMMENT ON COLUMN trace.curve_chunk.event_id IS 'The event that began the custody in which it was measured.';
COMMENT ON COLUMN trace.curve_chunk.to_at IS 'Last instant covered.';
COMMENT ON COLUMN trace.curve_chunk.canonical IS 'RFC 8785 bytes of the document; none of its points where the custody was taken back.';

CREATE TABLE trace.log (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    origin text NOT NULL,
    verifier_key text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL
);
COMMENT ON TABLE trace.log IS 'The one log of this database, created on purpose and never by running.';

CREATE TABLE trace.leaf (
    leaf_index bigint PRIMARY KEY CHECK (leaf_index >= 0),
    leaf_hash bytea NOT NULL UNIQUE CHECK (octet_length(leaf_hash) = 32),
    leaf bytea NOT NULL,
    event_id bigint REFERENCES trace.event,
    curve_chunk_id bigint REFERENCES trace.curve_chunk,
    lot_uri text NOT NULL,
    lot_counter integer NOT NULL CHECK (lot_counter > 0),
    UNIQUE (lot_uri, lot_counter),
    UNIQUE (event_id, lot_uri),
    UNIQUE (curve_chunk_id),
    CHECK ((event_id IS NULL) <> (curve_chunk_id IS NULL))
);
COMMENT ON TABLE trace.leaf IS 'Entries of the transparency log (RFC 9162); an event has one leaf for each lot it touches.';

CREATE TABLE trace.tile (
    level smallint NOT NULL,
    tile_index bigint NOT NULL,
    width smallint NOT NULL CHECK (width BETWEEN 1 AND 256),
    hashes bytea NOT NULL,
    PRIMARY KEY (level, tile_index),
    CHECK (octet_length(hashes) = 32 * width)
);
COMMENT ON TABLE trace.tile IS
'Hash tiles as C2SP tlog-tiles lays them out; a tile only grows, so an older, narrower one is its first bytes.';

CREATE TABLE trace.checkpoint (
    tree_size bigint PRIMARY KEY CHECK (tree_size > 0),
    root_hash bytea NOT NULL CHECK (octet_length(root_hash) = 32),
    note text NOT NULL,
    signed_at timestamptz NOT NULL
);

CREATE TABLE trace.chain (
    chain_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain_id bigint NOT NULL,
    contract text NOT NULL,
    log_origin text NOT NULL,
    genesis_head bytea NOT NULL CHECK (octet_length(genesis_head) = 32),
    state text NOT NULL CHECK (state IN ('prepared', 'deployed', 'lost')),
    nonce bigint NOT NULL,
    raw_transactions bytea[] NOT NULL,
    tx_hashes text[] NOT NULL,
    max_fee_wei numeric(78) NOT NULL,
    tip_wei numeric(78),
    signed_at timestamptz NOT NULL,
    sent_at timestamptz,
    deployed_at timestamptz,
    lost_at timestamptz
);
COMMENT ON TABLE trace.chain IS 'Deployed anchor contracts; the newest that is not lost is in use.';
COMMENT ON COLUMN trace.chain.state IS 'prepared: signed, not seen on the chain yet; lost: its chain was wiped or the deployment could not be mined';
COMMENT ON COLUMN trace.chain.tip_wei IS 'Priority fee; null where the chain has no EIP-1559 and max_fee_wei is the gas price.';

CREATE TABLE trace.anchor (
    chain_no integer NOT NULL REFERENCES trace.chain,
    seq bigint NOT NULL CHECK (seq > 0),
    tree_size bigint NOT NULL REFERENCES trace.checkpoint,
    root_hash bytea NOT NULL CHECK (octet_length(root_hash) = 32),
    prev_head bytea NOT NULL CHECK (octet_length(prev_head) = 32),
    head bytea NOT NULL CHECK (octet_length(head) = 32),
    state text NOT NULL CHECK (state IN ('prepared', 'sent', 'mined', 'final')),
    nonce bigint NOT NULL,
    raw_transactions bytea[] NOT NULL,
    tx_hashes text[] NOT NULL,
    max_fee_wei numeric(78) NOT NULL,
    tip_wei numeric(78),
    prepared_at timestamptz NOT NULL,
    signed_at timestamptz NOT NULL,
    sent_at timestamptz,
    mined_tx text,
    block_number bigint,
    block_hash text,
    mined_at timestamptz,
    final_at timestamptz,
    PRIMARY KEY (chain_no, seq),
    UNIQUE (chain_no, head)
);
COMMENT ON TABLE trace.anchor IS 'One contract call per anchor; the signed transaction is stored before it is sent.';
COMMENT ON COLUMN trace.anchor.raw_transactions IS 'Every signed form with this nonce, the newest last: a higher fee makes a new one, and any of them may be mined.';
COMMENT ON COLUMN trace.anchor.head IS 'What the contract''s slot holds once this anchor is mined: keccak256(prev_head, seq, tree_size, root_hash).';

CREATE TABLE trace.trouble (
    name text PRIMARY KEY CHECK (name IN ('feed', 'sequence', 'anchor')),
    since timestamptz NOT NULL,
    detail text NOT NULL
);
COMMENT ON TABLE trace.trouble IS 'What keeps one of the room''s loops from its work right now; empty when all is well.';

CREATE TABLE trace.label (
    code text PRIMARY KEY,
    lot_uri text NOT NULL,
    issued_at timestamptz NOT NULL DEFAULT now(),
    issued_by text NOT NULL,
    state text NOT NULL DEFAULT 'issued' CHECK (state IN ('issued', 'activated', 'shipped', 'sold', 'recalled', 'voided'))
);
COMMENT ON COLUMN trace.label.code IS 'The Digital Link path printed in the QR code.';
CREATE INDEX label_lot ON trace.label (lot_uri);

CREATE TABLE trace.scan (
    code text PRIMARY KEY,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    times bigint NOT NULL DEFAULT 1
);
COMMENT ON TABLE trace.scan IS 'How often a printed code was opened; no address and nothing about the person.';

CREATE TABLE trace.capture_job (
    capture_id text PRIMARY KEY,
    source text NOT NULL,
    behaviour text NOT NULL CHECK (behaviour IN ('rollback', 'proceed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    success boolean,
    captured integer NOT NULL DEFAULT 0,
    duplicate integer NOT NULL DEFAULT 0,
    errors jsonb NOT NULL DEFAULT '[]'
);

CREATE TABLE trace.dead_letter (
    arrival_id bigint PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL,
    detail text NOT NULL,
    body bytea NOT NULL
);
COMMENT ON TABLE trace.dead_letter IS 'EPCIS documents from gateways that break the standard, with their bytes and the reason.';
