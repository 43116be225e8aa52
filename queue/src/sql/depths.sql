-- How much waits and how much is claimed, per queue and state, counted up to $1 rows each, and the age of the oldest
-- due task in seconds.
--   $1 bound int   $2 queues text[]
-- Index: tasks_ready, one range a queue and priority; what is claimed by the primary key. Walks dead entries: the
-- caller bounds how often.
WITH running AS MATERIALIZED (
    SELECT
        tasks.queue,
        count(*) AS count
    FROM (
        SELECT unnest(claims.task_ids) AS task_id
        FROM claims
        LIMIT $1
    ) AS claimed
    JOIN tasks ON tasks.task_id = claimed.task_id
    WHERE tasks.status IN ('running', 'terminating')
    GROUP BY tasks.queue
)
SELECT
    queue.name AS queue,
    sum(due.count)::bigint AS ready,
    sum(later.count)::bigint AS scheduled,
    coalesce((SELECT running.count FROM running WHERE running.queue = queue.name), 0) AS running,
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
