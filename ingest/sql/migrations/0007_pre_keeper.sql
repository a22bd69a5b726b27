CREATE TABLE telemetry.resend (
    gateway_id bigint NOT NULL,
    epoch bytea NOT NULL,
    asked integer NOT NULL CHECK (asked > 0),
    asked_at timestamptz NOT NULL,
    watermark bigint NOT NULL,
    PRIMARY KEY (gateway_id, epoch)
);
COMMENT ON TABLE telemetry.resend IS 'How often a gateway was asked for what is missing of a spool since it last got on, and when.';

CREATE TABLE telemetry.epoch_closed (
    gateway_id bigint NOT NULL,
    epoch bytea NOT NULL,
    at timestamptz NOT NULL,
    done_by text NOT NULL,
    reason text NOT NULL,
    messages bigint NOT NULL CHECK (messages >= 0),
    readings bigint NOT NULL,
    PRIMARY KEY (gateway_id, epoch)
);
COMMENT ON TABLE telemetry.epoch_closed IS 'Spools whose missing messages will not come: declared lost by the platform, with the reason, and corrected when some come after all.';
COMMENT ON COLUMN telemetry.epoch_closed.messages IS 'Sequence numbers that never arrived.';
COMMENT ON COLUMN telemetry.epoch_closed.readings IS 'Readings these must have held by the gateway''s own count; part of lost in the account.';

CREATE TABLE telemetry.rebirth (
    gateway_id bigint PRIMARY KEY,
    asked integer NOT NULL CHECK (asked > 0),
    asked_at timestamptz NOT NULL
);
COMMENT ON TABLE telemetry.rebirth IS 'Gateways that speak and never announced themselves, and how often they were asked to.';
