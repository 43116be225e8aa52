-- Pauses a queue, an action, or an action of a queue, from now on; a pause of it that is there is written anew. Pauses
-- that hold no more are cleared away.
--   $1 queue text or NULL: any   $2 action text or NULL: any   $3 reason text or NULL   $4 who, text; NULL: the session's user
--   $5 until timestamptz or NULL   $6 for so long instead, interval or NULL
-- Locks: the rows that it writes. Wakes the workers, which changes nothing for them.
WITH expired AS (
    DELETE FROM pauses
    WHERE "until" <= now()
      AND (queue, action) IS DISTINCT FROM ($1::text, $2::text)
)
INSERT INTO pauses (queue, action, reason, paused_by, "until")
VALUES ($1::text, $2::text, $3, coalesce($4, session_user), coalesce($5::timestamptz, now() + $6::interval))
ON CONFLICT ON CONSTRAINT pauses_are_one_a_queue_and_action DO UPDATE
SET reason = excluded.reason,
    paused_at = excluded.paused_at,
    paused_by = excluded.paused_by,
    "until" = excluded."until"
