-- Messages of a gateway that do not come although later ones have: an alarm on the gateway's own health channel.
ALTER TABLE alerts.alarm
    DROP CONSTRAINT alarm_kind_check,
    ADD CONSTRAINT alarm_kind_check CHECK (kind IN ('high', 'low', 'no_data', 'gap'));
