ALTER TABLE telemetry.gateway_link ADD COLUMN birth_epoch bytea, ADD COLUMN birth_seq bigint;
COMMENT ON COLUMN telemetry.gateway_link.birth_seq IS 'Place of the birth in the spool birth_epoch: an older one that comes later (out of the backlog, or again) changes nothing.';
