-- The names of the queues that somebody serves, that are paused, or in which tasks are queued, at most $1.
--   $1 limit int
-- Index: tasks_ready, from one queue to the next, at most $1 times: two entries each, but for dead ones at the very
-- left. No locks.
WITH RECURSIVE waiting (queue, number) AS (
    (
        SELECT tasks.queue::text, 1
        FROM tasks
        WHERE tasks.ready
        ORDER BY tasks.queue
        LIMIT 1
    )
    UNION ALL
    SELECT
        (
            SELECT tasks.queue::text
            FROM tasks
            WHERE tasks.ready
              AND tasks.queue > waiting.queue
            ORDER BY tasks.queue
            LIMIT 1
        ),
        waiting.number + 1
    FROM waiting
    WHERE waiting.queue IS NOT NULL
      AND waiting.number < $1
)
SELECT queue FROM waiting WHERE queue IS NOT NULL
UNION
SELECT queue FROM worker_queues
UNION
SELECT queue::text FROM pauses WHERE queue IS NOT NULL
ORDER BY queue
LIMIT $1
