-- The main job's six subscriptions have become one saga. It begins where the last of them stood, or
-- it would do again what was done before the inbox forgot it; and it inherits their dead letters.

INSERT INTO cursors (subscription, xid, seq)
SELECT 'saga.incident_loop', old.xid, old.seq FROM cursors AS old
WHERE old.subscription IN ('incident.dossier', 'incident.review', 'task.runbook', 'task.actions',
                           'task.incident_resolved', 'knowledge.review')
ORDER BY old.xid, old.seq LIMIT 1;

DELETE FROM cursors
WHERE subscription IN ('incident.dossier', 'incident.review', 'task.runbook', 'task.actions',
                       'task.incident_resolved', 'knowledge.review');

ALTER TABLE dead_letters NO FORCE ROW LEVEL SECURITY;
WITH old AS (
    DELETE FROM dead_letters
    WHERE subscription IN ('incident.dossier', 'incident.review', 'task.runbook', 'task.actions',
                           'task.incident_resolved', 'knowledge.review')
      AND redriven_at IS NULL AND discarded_at IS NULL
    RETURNING *
)
INSERT INTO dead_letters (subscription, event_id, guild_id, attempts, reason, dead_at, event)
SELECT DISTINCT ON (event_id)
       'saga.incident_loop', event_id, guild_id, attempts, reason, dead_at, event
FROM old ORDER BY event_id, dead_at DESC;
ALTER TABLE dead_letters FORCE ROW LEVEL SECURITY;
