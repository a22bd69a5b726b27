-- Events are rare among arrivals: without this, whoever follows them reads every arrival since the last one, every second.
CREATE INDEX arrival_event_order ON telemetry.arrival (txid, arrival_id) WHERE event IS NOT NULL;
