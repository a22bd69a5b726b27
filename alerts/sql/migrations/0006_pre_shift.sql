-- What the shift needs: the alarm load read without touching every alarm, how many operators share it, and handover notes.

-- Alarms from before rules were data all called when they were detected.
UPDATE alerts.alarm SET called_at = detected_at WHERE called_at IS NULL AND rule_code IS NULL AND suppression_state = 'NONE';

-- A changed alarm gets new index entries anyway (its state is in the index of what is open), so the dates cost little here.
CREATE INDEX alarm_called ON alerts.alarm (called_at)
INCLUDE (alarm_id, channel_id, site_id, item, kind, priority, raised_at, returned_at, acknowledged_at, respond_by)
WHERE called_at IS NOT NULL;
CREATE INDEX alarm_never_called ON alerts.alarm (detected_at)
INCLUDE (alarm_id, channel_id, site_id, suppression_state, hold_reason)
WHERE called_at IS NULL;

CREATE TABLE alerts.staffing (
    staffing_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL,
    operators smallint NOT NULL CHECK (operators BETWEEN 1 AND 500),
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE alerts.staffing IS
'How many operators are on shift at a time for an organisation and what lies below it, append only: the latest entry of the nearest organisation holds; without any it is one.';
CREATE INDEX staffing_organisation ON alerts.staffing (organisation_id, staffing_id DESC);

CREATE TABLE alerts.handover (
    handover_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id bigint NOT NULL,
    corrects bigint,
    body text NOT NULL CHECK (char_length(body) <= 4000),
    facts jsonb NOT NULL,
    signed_by text NOT NULL,
    signed_at timestamptz NOT NULL,
    UNIQUE (handover_id, site_id),
    UNIQUE (handover_id, signed_by),
    UNIQUE (corrects),
    FOREIGN KEY (corrects, site_id) REFERENCES alerts.handover (handover_id, site_id),
    CHECK (corrects < handover_id)
);
COMMENT ON TABLE alerts.handover IS 'What one shift tells the next about a site, append only: a correction is a new note that names the old one, once.';
COMMENT ON COLUMN alerts.handover.facts IS 'What stood open when it was signed, as hanlu.alerts.shift.handover.Facts.';
COMMENT ON COLUMN alerts.handover.signed_by IS 'Login of the person who hands over.';
CREATE INDEX handover_site ON alerts.handover (site_id, handover_id DESC);

CREATE TABLE alerts.handover_taken (
    handover_id bigint PRIMARY KEY,
    signed_by text NOT NULL,
    taken_by text NOT NULL,
    taken_at timestamptz NOT NULL,
    remark text NOT NULL DEFAULT '' CHECK (char_length(remark) <= 500),
    FOREIGN KEY (handover_id, signed_by) REFERENCES alerts.handover (handover_id, signed_by),
    CONSTRAINT handover_two_people CHECK (taken_by <> signed_by)
);
COMMENT ON TABLE alerts.handover_taken IS 'The second signature: another person has read the note and takes over. Append only.';
