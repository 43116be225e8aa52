-- Workers whose lease has run out for longer than $1 seconds, and which are still there, with the tasks in their
-- claims.
--   $1 grace in seconds float8
-- Index: claims_worker.
SELECT
    workers.worker_id,
    workers.name,
    extract(epoch FROM now() - workers.heartbeat_at)::float8 AS silent_seconds,
    extract(epoch FROM workers.lease)::float8 AS lease_seconds,
    (
        SELECT coalesce(sum(cardinality(claims.task_ids)), 0)
        FROM claims
        WHERE claims.worker_id = workers.worker_id
    )::bigint AS tasks
FROM workers
WHERE workers.heartbeat_at < now() - workers.lease - make_interval(secs => $1)
ORDER BY workers.heartbeat_at, workers.worker_id
