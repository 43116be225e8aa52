-- How much waits, per queue and state, counted up to $1 rows each, and the age of the oldest due task in seconds.
--   $1 bound int   $2 queues text[]
-- Index: tasks_ready, one range a queue and priority. Walks dead entries: the caller bounds how often.
SELECT
    queue.name AS queue,
    sum(due.count)::bigint AS ready,
    sum(later.count)::bigint AS scheduled,
    coalesce(extract(epoch FROM now() - min(due.oldest)), 0)::float8 AS oldest_ready_age_seconds
FROM unnest($2::text[]) AS queue (name)
CROSS JOIN generate_series(0, 9) AS level (priority)
CROSS JOIN LATERAL (
    SELECT count(*) AS count, min(run_at) AS oldest
    FROM (
        SELECT run_at
        FROM tasks
        WHERE tasks.queue = queue.name
          AND tasks.priority = level.priority
          AND tasks.ready
          AND tasks.run_at <= now()
        ORDER BY run_at
        LIMIT $1
    ) AS bounded
) AS due
CROSS JOIN LATERAL (
    SELECT count(*) AS count
    FROM (
        SELECT
        FROM tasks
        WHERE tasks.queue = queue.name
          AND tasks.priority = level.priority
          AND tasks.ready
          AND tasks.run_at > now()
        LIMIT $1
    ) AS bounded
) AS later
GROUP BY queue.name
