-- How many due tasks come before a queued one, counted up to $2.
--   $1 task_id uuid   $2 bound int
-- Index: the primary key, then tasks_ready, one range a priority. No locks.
SELECT count(*)
FROM (
    SELECT
    FROM tasks AS mine
    CROSS JOIN LATERAL generate_series(0, mine.priority::int) AS level (priority)
    CROSS JOIN LATERAL (
        SELECT
        FROM tasks
        WHERE tasks.queue = mine.queue
          AND tasks.priority = level.priority
          AND tasks.ready
          AND tasks.run_at <= now()
          AND (level.priority < mine.priority OR (tasks.run_at, tasks.task_id) < (mine.run_at, mine.task_id))
        LIMIT $2
    ) AS earlier
    WHERE mine.task_id = $1
    LIMIT $2
) AS bounded
