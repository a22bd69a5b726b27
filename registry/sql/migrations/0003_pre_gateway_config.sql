CREATE TABLE registry.gateway_config (
    gateway_id bigint PRIMARY KEY REFERENCES registry.gateway,
    version bigint NOT NULL CHECK (version > 0),
    config text NOT NULL CHECK (length(config) <= 200000),
    set_at timestamptz NOT NULL,
    set_by bigint REFERENCES registry.person
);
COMMENT ON TABLE registry.gateway_config IS 'The remote configuration a gateway shall have; it says at its birth which one it has, and is sent this one until that is it or is refused.';
COMMENT ON COLUMN registry.gateway_config.version IS 'Rises with every change, above anything the gateway has named.';
COMMENT ON COLUMN registry.gateway_config.config IS 'TOML, the sections a gateway takes from afar; no secrets.';
