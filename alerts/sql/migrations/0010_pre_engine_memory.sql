-- The engine judges rooms and remembers by channel. What the two limits remembered before is not carried over: their
-- judges have another shape. An alarm that stands returns when the new engine starts, with the note judged_anew, and is
-- raised again when its condition still holds.
DROP TABLE alerts.rule_state;

ALTER TABLE alerts.memory
    ADD COLUMN unit text NOT NULL,
    ADD COLUMN step_ms bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN alerts.memory.unit IS 'SenML unit its values are in: what was measured in another one tells nothing.';
COMMENT ON COLUMN alerts.memory.step_ms IS 'How far the channel''s clock has stepped back, milliseconds; added to its instants when they are judged.';
