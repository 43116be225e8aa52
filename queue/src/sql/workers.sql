-- The workers by name, at most $1, each with the queues that it serves, by name as well.
--   $1 limit int
-- Index: the primary key of worker_queues. No locks.
SELECT
    workers.worker_id,
    workers.name,
    workers.version,
    CASE
        WHEN workers.heartbeat_at < now() - workers.lease THEN 'silent'
        WHEN workers.draining_since IS NOT NULL THEN 'draining'
        ELSE 'working'
    END AS state,
    workers.started_at,
    extract(epoch FROM now() - workers.heartbeat_at)::float8 AS heartbeat_age_seconds,
    extract(epoch FROM workers.lease)::float8 AS lease_seconds,
    workers.draining_since,
    EXISTS (
        SELECT
        FROM active_instance
        WHERE identity = workers.worker_id
          AND lease_expires_at > now()
    ) AS leads,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'queue', served.queue,
            'actions', to_jsonb(served.actions),
            'slots', served.slots,
            'running', served.running,
            'free_slots', served.free_slots,
            'claimed_per_second', served.claimed_per_second,
            'finished_per_second', served.finished_per_second
        ) ORDER BY served.queue), '[]')
        FROM worker_queues AS served
        WHERE served.worker_id = workers.worker_id
    ) AS queues
FROM workers
ORDER BY workers.name, workers.worker_id
LIMIT $1
