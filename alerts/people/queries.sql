-- name: people_of_alarm
-- Everything planned and sent for one alarm, in order.
SELECT
    (extract(epoch FROM l.made_at) * 1000)::bigint AS at_ms, l.purpose, l.step, l.target, r.name, r.kind, l.state,
    CASE WHEN l.reason <> '' THEN l.reason ELSE coalesce(n.reason, '') END AS reason,
    coalesce(n.attempts, 0) AS attempts,
    CASE WHEN n.state = 'sent' THEN (extract(epoch FROM n.finished_at) * 1000)::bigint END AS sent_ms,
    coalesce(n.possible_repeat, false) AS possible_repeat, l.notification_id
FROM alerts.notification_line AS l
LEFT JOIN alerts.receiver AS r USING (receiver_id)
LEFT JOIN alerts.notification AS n USING (notification_id)
WHERE l.alarm_id = %(alarm_id)s
ORDER BY l.notification_line_id

-- The notifier -----------------------------------------------------------------------------------------------------------

-- name: people_lock
-- Become the only notifier of this database, for as long as the connection lives.
SELECT pg_try_advisory_lock(%(key)s) AS locked

-- name: people_cursor
-- How far the notifier has come in the journal.
SELECT txid::text AS txid, journal_id FROM alerts.journal_cursor WHERE name = 'people'

-- name: people_cursor_move
-- Move the cursor in the transaction of what the page caused.
INSERT INTO alerts.journal_cursor (name, txid, journal_id)
VALUES ('people', %(txid)s::xid8, %(journal_id)s)
ON CONFLICT (name) DO UPDATE SET txid = excluded.txid, journal_id = excluded.journal_id

-- name: people_page
-- The next journal entries after the cursor, in the order of the feed.
SELECT txid::text AS txid, journal_id, alarm_id, version, event
FROM alerts.journal_feed
WHERE (txid, journal_id) > (%(txid)s::xid8, %(journal_id)s)
ORDER BY journal_feed.txid, journal_id
LIMIT %(limit)s

-- name: people_facts
-- What messages know of alarms.
SELECT
    a.alarm_id, a.version,
    coalesce((
        SELECT max(j.version) FROM alerts.journal AS j
        WHERE j.alarm_id = a.alarm_id AND j.event = ANY(%(calling)s::text[])
    ), 0) AS called_version,
    (extract(epoch FROM coalesce((
        SELECT max(j.at) FROM alerts.journal AS j
        WHERE j.alarm_id = a.alarm_id AND j.event = ANY(%(calling)s::text[])
    ), a.raised_at)) * 1000)::bigint AS called_ms,
    a.kind, a.priority, a.process_state, a.suppression_state, a.explained_by, a.replayed, p.organisation_path, p.site_id,
    p.site_zh, p.site_en, p.zone_zh, p.zone_en, p.metric, p.unit, a.limit_value, a.peak, l.value,
    (extract(epoch FROM a.exceeded_at) * 1000)::bigint AS exceeded_ms,
    (extract(epoch FROM a.raised_at) * 1000)::bigint AS raised_ms,
    (extract(epoch FROM a.returned_at) * 1000)::bigint AS returned_ms,
    (extract(epoch FROM a.respond_by) * 1000)::bigint AS respond_by_ms,
    a.cause, r.document ->> 'title_zh' AS title_zh, r.document ->> 'title_en' AS title_en,
    r.document -> 'rationalization' ->> 'response_zh' AS response_zh,
    r.document -> 'rationalization' ->> 'response_en' AS response_en
FROM alerts.alarm AS a
JOIN alerts.alarm_place_v AS p USING (alarm_id)
LEFT JOIN alerts.rule AS r ON r.code = a.rule_code AND r.version = a.rule_version
LEFT JOIN telemetry.latest_v AS l ON l.channel_id = a.channel_id
WHERE a.alarm_id = ANY(%(alarm_ids)s::bigint[]) AND p.organisation_path IS NOT NULL

-- name: people_receivers
-- Every receiver, without secrets.
SELECT receiver_id, organisation_id, code, name, kind, lang, login, settings, line, enabled, version
FROM alerts.receiver
ORDER BY code

-- name: people_rotas
-- Every rota.
SELECT code, organisation_id, document, version FROM alerts.rota ORDER BY code

-- name: people_policies
-- Every policy of escalation.
SELECT organisation_id, document, version FROM alerts.escalation

-- name: people_mutes
-- Mutes that have not ended.
SELECT
    mute_id, organisation_id, site_id, priorities,
    (extract(epoch FROM begins_at) * 1000)::bigint AS begins_ms,
    (extract(epoch FROM ends_at) * 1000)::bigint AS ends_ms
FROM alerts.mute
WHERE ends_at > %(now)s
ORDER BY mute_id

-- name: people_holidays
-- Days a person has said otherwise of.
SELECT day, work, name FROM alerts.holiday ORDER BY day

-- name: summons_begin
-- An alarm calls; one that calls already is not called anew.
INSERT INTO alerts.summons (alarm_id, version, begun_at, next_at)
SELECT %(alarm_id)s, %(version)s, %(now)s, %(now)s
WHERE NOT EXISTS (SELECT FROM alerts.summons WHERE alarm_id = %(alarm_id)s AND ended_at IS NULL)
ON CONFLICT DO NOTHING

-- name: summons_end
-- Nobody needs to be called any more.
UPDATE alerts.summons
SET ended_at = %(now)s, ended_by = %(event)s, next_at = NULL
WHERE alarm_id = %(alarm_id)s AND ended_at IS NULL
RETURNING summons_id, alarm_id, version, next_step, (extract(epoch FROM begun_at) * 1000)::bigint AS begun_ms

-- name: summons_of
-- The call of an alarm that stands, or else its last one.
SELECT summons_id, alarm_id, version, next_step, (extract(epoch FROM begun_at) * 1000)::bigint AS begun_ms
FROM alerts.summons
WHERE alarm_id = %(alarm_id)s
ORDER BY summons_id DESC
LIMIT 1

-- name: summons_due
-- Calls with a step that is due.
SELECT summons_id, alarm_id, version, next_step, (extract(epoch FROM begun_at) * 1000)::bigint AS begun_ms
FROM alerts.summons
WHERE ended_at IS NULL AND next_at <= %(now)s
ORDER BY next_at, summons_id
LIMIT %(limit)s

-- name: summons_step
-- A step is planned; the next one is due then, or never.
UPDATE alerts.summons SET next_step = %(next_step)s, next_at = %(next_at)s WHERE summons_id = %(summons_id)s

-- name: summons_skip
-- A step found nobody: the next one is due now.
UPDATE alerts.summons
SET next_at = %(now)s
WHERE alarm_id = ANY(%(alarm_ids)s::bigint[]) AND ended_at IS NULL AND next_at > %(now)s

-- name: summons_hasten
-- A message has failed for good: whoever comes next is called now.
UPDATE alerts.summons AS s
SET next_at = %(now)s
FROM alerts.notification_line AS l
WHERE l.notification_id = %(notification_id)s AND l.purpose = 'call' AND s.alarm_id = l.alarm_id
    AND s.version = l.version AND s.ended_at IS NULL AND s.next_at > %(now)s

-- name: summons_endings
-- How the calls of some alarms ended.
SELECT alarm_id, version, ended_by
FROM alerts.summons
WHERE alarm_id = ANY(%(alarm_ids)s::bigint[]) AND ended_by IS NOT NULL

-- name: line_told
-- Who was told of a call, or may have been, or is just being told.
SELECT DISTINCT r.code
FROM alerts.notification_line AS l
JOIN alerts.notification AS n USING (notification_id)
JOIN alerts.receiver AS r ON r.receiver_id = l.receiver_id
WHERE l.alarm_id = %(alarm_id)s AND l.version = %(version)s AND l.purpose <> 'return'
    AND (l.state = 'told' OR n.state = 'sending' OR n.possible_repeat)
ORDER BY r.code

-- name: line_there
-- Lines that are planned already.
SELECT alarm_id, version, purpose, step, target
FROM alerts.notification_line
WHERE alarm_id = ANY(%(alarm_ids)s::bigint[])

-- name: line_write
-- Plan a line; the key refuses one that is there.
INSERT INTO alerts.notification_line (
    alarm_id, version, purpose, step, target, receiver_id, notification_id, state, reason, made_at
)
VALUES (
    %(alarm_id)s, %(version)s, %(purpose)s, %(step)s, %(target)s, %(receiver_id)s, %(notification_id)s, %(state)s,
    %(reason)s, %(now)s
)

-- name: line_settle
-- Lines nobody is told after all, and why.
UPDATE alerts.notification_line AS l
SET state = 'dropped', reason = new.reason
FROM unnest(%(line_id)s::bigint[], %(reason)s::text[]) AS new (line_id, reason)
WHERE l.notification_line_id = new.line_id

-- name: line_settle_all
-- What became of every line of a message that was still to be told.
UPDATE alerts.notification_line
SET state = %(state)s, reason = %(reason)s
WHERE notification_id = %(notification_id)s AND state = 'waiting'

-- name: line_waiting
-- What a message has to tell.
SELECT notification_line_id, alarm_id, version, purpose, step, target
FROM alerts.notification_line
WHERE notification_id = %(notification_id)s AND state = 'waiting'
ORDER BY notification_line_id

-- name: line_move
-- Put the lines of messages into another one.
UPDATE alerts.notification_line
SET notification_id = %(into)s
WHERE notification_id = ANY(%(others)s::bigint[]) AND state = 'waiting'

-- name: notification_gather
-- The message that gathers a group for a receiver; it goes when the most urgent of its lines may.
INSERT INTO alerts.notification (receiver_id, purpose, group_key, priority, made_at, due_at)
VALUES (%(receiver_id)s, %(purpose)s, %(group_key)s, %(priority)s, %(now)s, %(due_at)s)
ON CONFLICT (receiver_id, purpose, group_key) WHERE state = 'waiting' AND attempts = 0
DO UPDATE SET
    due_at = least(notification.due_at, excluded.due_at),
    priority = least(notification.priority, excluded.priority)
RETURNING notification_id

-- name: notification_last
-- When receivers were last sent, or are just being sent, a message of a group.
SELECT receiver_id, group_key, (extract(epoch FROM max(coalesce(finished_at, due_at))) * 1000)::bigint AS at_ms
FROM alerts.notification
WHERE state IN ('sent', 'sending') AND receiver_id = ANY(%(receiver_ids)s::bigint[])
    AND made_at > %(now)s::timestamptz - INTERVAL '1 day'
GROUP BY receiver_id, group_key

-- name: notification_due
-- One message that is due for every line that is free, the most urgent first.
SELECT DISTINCT ON (r.line) n.notification_id, n.receiver_id, r.line, n.priority
FROM alerts.notification AS n
JOIN alerts.receiver AS r USING (receiver_id)
WHERE n.state = 'waiting' AND n.due_at <= %(now)s AND r.line <> ALL(%(busy)s::text[])
ORDER BY r.line, n.priority, n.due_at, n.notification_id

-- name: notification_backlog
-- Messages that are due for a receiver and of which nothing was sent yet.
SELECT notification_id
FROM alerts.notification
WHERE receiver_id = %(receiver_id)s AND state = 'waiting' AND attempts = 0 AND purpose = 'call' AND due_at <= %(now)s
ORDER BY notification_id

-- name: notification_lock
-- A message, held until the transaction ends.
SELECT
    notification_id, uuid::text AS uuid, receiver_id, purpose, group_key, priority, state, attempts, possible_repeat,
    (extract(epoch FROM made_at) * 1000)::bigint AS made_ms,
    (extract(epoch FROM due_at) * 1000)::bigint AS due_ms
FROM alerts.notification
WHERE notification_id = %(notification_id)s
FOR UPDATE

-- name: notification_sending
-- On record before the channel is called.
UPDATE alerts.notification
SET state = 'sending', attempts = %(attempt)s, content = %(content)s, message = %(message)s
WHERE notification_id = %(notification_id)s

-- name: notification_later
-- It waits; nothing was sent.
UPDATE alerts.notification SET due_at = %(due_at)s WHERE notification_id = %(notification_id)s

-- name: notification_again
-- It is tried again, perhaps with a repetition.
UPDATE alerts.notification
SET state = 'waiting', due_at = %(due_at)s, reason = %(reason)s, possible_repeat = possible_repeat OR %(lost)s
WHERE notification_id = %(notification_id)s AND state = 'sending' AND attempts = %(attempt)s

-- name: notification_finish
-- It is over: sent, failed or dropped.
UPDATE alerts.notification
SET state = %(state)s, reason = %(reason)s, finished_at = %(now)s
WHERE notification_id = ANY(%(notification_ids)s::bigint[]) AND state IN ('waiting', 'sending')

-- name: notification_interrupted
-- Messages that were being sent when the notifier ended.
SELECT n.notification_id, n.attempts, r.line
FROM alerts.notification AS n
JOIN alerts.receiver AS r USING (receiver_id)
WHERE n.state = 'sending' AND n.purpose <> 'test'
ORDER BY n.notification_id

-- name: notification_sent_lately
-- What a receiver was sent, or may have been, since a time.
SELECT n.content, (extract(epoch FROM max(t.at)) * 1000)::bigint AS at_ms
FROM alerts.notification AS n
JOIN alerts.notification_attempt AS t USING (notification_id)
WHERE n.receiver_id = %(receiver_id)s AND n.notification_id <> %(notification_id)s AND n.content IS NOT NULL
    AND t.outcome IN ('sent', 'lost') AND t.at > %(since)s
GROUP BY n.content

-- name: attempt_write
-- An attempt begins, or what came of it.
INSERT INTO alerts.notification_attempt (notification_id, number, at, outcome, detail, retry_at, line)
VALUES (%(notification_id)s, %(number)s, %(now)s, %(outcome)s, %(detail)s, %(retry_at)s, %(line)s)
ON CONFLICT DO NOTHING

-- name: attempt_ends
-- When attempts of a line ended (or began, where the end is not known), and until when it is blocked.
SELECT (extract(epoch FROM at) * 1000)::bigint AS at_ms,
    (extract(epoch FROM CASE WHEN outcome = 'limited' THEN retry_at END) * 1000)::bigint AS blocked_ms
FROM alerts.notification_attempt
WHERE line = %(line)s AND at > %(since)s AND outcome <> 'begun'
UNION ALL
SELECT (extract(epoch FROM b.at) * 1000)::bigint, NULL
FROM alerts.notification_attempt AS b
WHERE b.line = %(line)s AND b.at > %(since)s AND b.outcome = 'begun'
    AND NOT EXISTS (
        SELECT FROM alerts.notification_attempt AS e
        WHERE e.notification_id = b.notification_id AND e.number = b.number AND e.outcome <> 'begun'
    )

-- name: secret_of
-- What is needed to send to a receiver; for the moment of sending only.
SELECT r.kind, r.settings, coalesce(s.secret, '{}') AS secret
FROM alerts.receiver AS r
LEFT JOIN alerts.receiver_secret AS s USING (receiver_id)
WHERE r.receiver_id = %(receiver_id)s

-- name: link_write
-- A link that acknowledges, by its hash.
INSERT INTO alerts.acknowledge_link (token_sha256, notification_id, receiver_id, alarm_ids, versions, made_at, expires_at)
VALUES (
    %(token_sha256)s, %(notification_id)s, %(receiver_id)s, %(alarm_ids)s, %(versions)s, %(now)s, %(expires_at)s
)

-- name: link_forget
-- Take away links that expired long ago.
DELETE FROM alerts.acknowledge_link WHERE expires_at < %(before)s

-- name: test_begin
-- A test message, on record before the channel is called.
INSERT INTO alerts.notification (
    receiver_id, purpose, group_key, priority, state, made_at, due_at, attempts, message
)
VALUES (%(receiver_id)s, 'test', 'test', 3, 'sending', %(now)s, %(now)s, 1, %(message)s)
RETURNING notification_id, uuid::text AS uuid

-- name: test_late
-- Test messages whose sender has gone: nobody knows.
UPDATE alerts.notification
SET state = 'failed', reason = 'lost', finished_at = %(now)s
WHERE purpose = 'test' AND state = 'sending' AND made_at < %(before)s

-- What people agree on ----------------------------------------------------------------------------------------------------

-- name: receiver_add
-- A new receiver.
INSERT INTO alerts.receiver (organisation_id, code, name, kind, lang, login, settings, line, enabled, changed_by)
VALUES (
    %(organisation_id)s, %(code)s, %(name)s, %(kind)s, %(lang)s, %(login)s, %(settings)s, %(line)s, %(enabled)s,
    %(actor)s
)
RETURNING receiver_id

-- name: receiver_change
-- Another version of a receiver; its code and kind stay.
UPDATE alerts.receiver
SET name = %(name)s, lang = %(lang)s, login = %(login)s, settings = %(settings)s, line = %(line)s,
    enabled = %(enabled)s, changed_by = %(actor)s, changed_at = now(), version = version + 1
WHERE code = %(code)s AND organisation_id = %(organisation_id)s AND version = %(version)s
RETURNING receiver_id

-- name: secret_write
-- The secret of a receiver, in the place of the one before.
INSERT INTO alerts.receiver_secret (receiver_id, secret)
VALUES (%(receiver_id)s, %(secret)s)
ON CONFLICT (receiver_id) DO UPDATE SET secret = excluded.secret, changed_at = now()

-- name: rota_write
-- A new version of a rota; the one it replaces must be the one the person saw.
INSERT INTO alerts.rota (code, organisation_id, document, changed_by)
VALUES (%(code)s, %(organisation_id)s, %(document)s, %(actor)s)
ON CONFLICT (code) DO UPDATE SET
    document = excluded.document, changed_by = excluded.changed_by, changed_at = now(), version = rota.version + 1
WHERE rota.version = %(version)s AND rota.organisation_id = excluded.organisation_id
RETURNING version

-- name: rota_delete
-- Take a rota away.
DELETE FROM alerts.rota WHERE code = %(code)s AND organisation_id = %(organisation_id)s

-- name: policy_write
-- A new version of a policy; the one it replaces must be the one the person saw.
INSERT INTO alerts.escalation (organisation_id, document, changed_by)
VALUES (%(organisation_id)s, %(document)s, %(actor)s)
ON CONFLICT (organisation_id) DO UPDATE SET
    document = excluded.document, changed_by = excluded.changed_by, changed_at = now(), version = escalation.version + 1
WHERE escalation.version = %(version)s
RETURNING version

-- name: policy_delete
-- Take a policy away: alarms below go to the node above at once.
DELETE FROM alerts.escalation WHERE organisation_id = %(organisation_id)s

-- name: holiday_write
-- Say how a day is to be judged.
INSERT INTO alerts.holiday (day, work, name, changed_by)
VALUES (%(day)s, %(work)s, %(name)s, %(actor)s)
ON CONFLICT (day) DO UPDATE SET
    work = excluded.work, name = excluded.name, changed_by = excluded.changed_by, changed_at = now()

-- name: holiday_delete
-- Leave a day to the official calendar again.
DELETE FROM alerts.holiday WHERE day = %(day)s

-- name: mute_add
-- Begin a mute.
INSERT INTO alerts.mute (organisation_id, site_id, priorities, begins_at, ends_at, reason, made_by)
VALUES (%(organisation_id)s, %(site_id)s, %(priorities)s, %(begins_at)s, %(ends_at)s, %(reason)s, %(actor)s)
RETURNING mute_id

-- name: mute_end
-- End a mute before its time.
UPDATE alerts.mute
SET ends_at = greatest(%(now)s, begins_at + INTERVAL '1 millisecond')
WHERE mute_id = %(mute_id)s AND organisation_id = %(organisation_id)s AND ends_at > %(now)s
RETURNING mute_id

-- name: history_write
-- What was agreed, for later.
INSERT INTO alerts.people_history (actor, subject, code, document)
VALUES (%(actor)s, %(subject)s, %(code)s, %(document)s)

-- Links that acknowledge -------------------------------------------------------------------------------------------------

-- name: link_of
-- A link by its hash.
SELECT l.token_sha256, l.alarm_ids, l.versions, r.code AS receiver, r.login, r.lang,
    (extract(epoch FROM l.expires_at) * 1000)::bigint AS expires_ms,
    (extract(epoch FROM l.used_at) * 1000)::bigint AS used_ms
FROM alerts.acknowledge_link AS l
JOIN alerts.receiver AS r USING (receiver_id)
WHERE l.token_sha256 = %(token_sha256)s

-- name: link_burn
-- Use a link; only one request ever does.
UPDATE alerts.acknowledge_link
SET used_at = %(now)s
WHERE token_sha256 = %(token_sha256)s AND used_at IS NULL AND expires_at > %(now)s
RETURNING notification_id

-- Pages ------------------------------------------------------------------------------------------------------------------

-- name: page_organisations
-- The nodes of a subtree, as a tree is read.
SELECT organisation_id, code, name_zh, name_en, path
FROM registry.organisation
WHERE path LIKE %(scope)s || '%%'
ORDER BY path

-- name: page_above
-- The nodes above and at the head of a subtree, with their names.
SELECT organisation_id, code, name_zh, name_en, path
FROM registry.organisation
WHERE %(scope)s LIKE path || '%%' AND path <> %(scope)s
ORDER BY path

-- name: page_sites
-- The sites of a subtree.
SELECT s.site_id, s.organisation_id, s.code, s.name_zh, s.name_en
FROM registry.site AS s
JOIN registry.organisation AS o USING (organisation_id)
WHERE o.path LIKE %(scope)s || '%%'
ORDER BY s.code

-- name: page_mutes
-- Mutes of a subtree: those that stand or are to come, and the last that ended.
SELECT m.mute_id, m.organisation_id, o.name_zh AS organisation_zh, o.name_en AS organisation_en, s.name_zh AS site_zh,
    s.name_en AS site_en, m.priorities, (extract(epoch FROM m.begins_at) * 1000)::bigint AS begins_ms,
    (extract(epoch FROM m.ends_at) * 1000)::bigint AS ends_ms, m.reason, m.made_by
FROM alerts.mute AS m
JOIN registry.organisation AS o USING (organisation_id)
LEFT JOIN registry.site AS s USING (site_id)
WHERE o.path LIKE %(scope)s || '%%'
ORDER BY m.ends_at > %(now)s DESC, m.ends_at DESC
LIMIT 50

-- name: page_log
-- Messages to receivers of a subtree, the newest first.
SELECT
    n.notification_id, r.code, r.name, r.kind, n.purpose, n.priority, n.state, n.reason, n.attempts, n.possible_repeat,
    n.message, (extract(epoch FROM n.made_at) * 1000)::bigint AS made_ms,
    (extract(epoch FROM n.due_at) * 1000)::bigint AS due_ms,
    (extract(epoch FROM n.finished_at) * 1000)::bigint AS finished_ms,
    coalesce((
        SELECT array_agg(DISTINCT l.alarm_id) FROM alerts.notification_line AS l
        WHERE l.notification_id = n.notification_id
    ), '{}') AS alarm_ids
FROM alerts.notification AS n
JOIN alerts.receiver AS r USING (receiver_id)
JOIN registry.organisation AS o USING (organisation_id)
WHERE o.path LIKE %(scope)s || '%%'
    AND (%(state)s::text IS NULL OR n.state = %(state)s)
    AND (%(code)s::text IS NULL OR r.code = %(code)s)
    AND (%(before)s::bigint IS NULL OR n.notification_id < %(before)s)
ORDER BY n.notification_id DESC
LIMIT %(limit)s

-- name: page_attempts
-- The attempts of messages.
SELECT notification_id, number, (extract(epoch FROM at) * 1000)::bigint AS at_ms, outcome, detail,
    (extract(epoch FROM retry_at) * 1000)::bigint AS retry_ms
FROM alerts.notification_attempt
WHERE notification_id = ANY(%(notification_ids)s::bigint[])
ORDER BY notification_attempt_id

-- name: page_untold
-- Alarms of a subtree that call a person and of which nobody is told because nobody was found.
SELECT count(DISTINCT l.alarm_id) AS count
FROM alerts.notification_line AS l
JOIN alerts.summons AS s ON s.alarm_id = l.alarm_id AND s.version = l.version AND s.ended_at IS NULL
JOIN alerts.alarm_place_v AS p ON p.alarm_id = l.alarm_id
WHERE l.state = 'dropped' AND l.reason IN ('nobody_named', 'nobody_on_call', 'receiver_off', 'unknown_receiver')
    AND p.organisation_path LIKE %(scope)s || '%%'
    AND NOT EXISTS (
        SELECT FROM alerts.notification_line AS t
        WHERE t.alarm_id = l.alarm_id AND t.version = l.version AND t.state IN ('told', 'waiting')
    )

-- name: page_versions
-- Which versions of rotas and policies there are.
SELECT 'rota' AS subject, code, organisation_id, version FROM alerts.rota
UNION ALL
SELECT 'escalation', organisation_id::text, organisation_id, version FROM alerts.escalation
