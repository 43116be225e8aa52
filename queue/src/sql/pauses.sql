-- The pauses that hold, those of whole queues first. No locks.
SELECT
    queue::text AS queue,
    action::text AS action,
    reason::text AS reason,
    paused_at,
    paused_by::text AS paused_by,
    "until"
FROM pauses
WHERE coalesce("until" > now(), true)
ORDER BY action NULLS FIRST, queue NULLS FIRST
