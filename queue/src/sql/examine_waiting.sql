-- What has been due for longer than $1 seconds, by queue and action, as the 1000 longest waiting of each queue and
-- priority show it: whether a pause holds it, and whether a worker that is alive serves it, or may, since one of an
-- earlier version does not say what it serves.
--   $1 wait in seconds float8   $2 limit int: so many queues, the first by name
-- Index: tasks_ready, once for each queue to find its name, then one range a queue and priority.
WITH RECURSIVE queue (name, number) AS (
    SELECT min(tasks.queue), 1
    FROM tasks
    WHERE tasks.ready
    UNION ALL
    SELECT
        (
            SELECT min(tasks.queue)
            FROM tasks
            WHERE tasks.ready
              AND tasks.queue > queue.name
        ),
        queue.number + 1
    FROM queue
    WHERE queue.name IS NOT NULL
      AND queue.number < $2
)
SELECT
    queue.name::text AS queue,
    due.action::text AS action,
    count(*) AS tasks,
    EXISTS (
        SELECT
        FROM pauses
        WHERE coalesce(pauses.queue::text = queue.name::text, true)
          AND coalesce(pauses.action::text = due.action::text, true)
          AND coalesce(pauses."until" > now(), true)
    ) AS paused,
    EXISTS (
        SELECT
        FROM workers
        LEFT JOIN worker_queues ON worker_queues.worker_id = workers.worker_id
        WHERE workers.heartbeat_at > now() - workers.lease
          AND workers.draining_since IS NULL
          AND (
              worker_queues.worker_id IS NULL
              OR worker_queues.queue = queue.name::text AND due.action::text = ANY (worker_queues.actions)
          )
    ) AS served,
    extract(epoch FROM now() - min(due.run_at))::float8 AS oldest_seconds
FROM queue
CROSS JOIN generate_series(0, 9) AS level (priority)
CROSS JOIN LATERAL (
    SELECT tasks.action, tasks.run_at
    FROM tasks
    WHERE tasks.queue = queue.name
      AND tasks.priority = level.priority
      AND tasks.ready
      AND tasks.run_at <= now() - make_interval(secs => $1)
    ORDER BY tasks.run_at
    LIMIT 1000
) AS due
WHERE queue.name IS NOT NULL
GROUP BY queue.name, due.action
ORDER BY min(due.run_at), queue.name, due.action
