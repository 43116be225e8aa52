-- For how long nobody has led (NULL: somebody does), and how many workers are alive that could.
SELECT
    CASE WHEN active_instance.lease_expires_at < now() THEN
        extract(epoch FROM now() - active_instance.lease_expires_at)
    END::float8 AS vacant_seconds,
    (
        SELECT count(*)
        FROM workers
        WHERE workers.heartbeat_at > now() - workers.lease
    ) AS alive,
    (
        SELECT coalesce(extract(epoch FROM now() - min(workers.started_at)), 0)
        FROM workers
        WHERE workers.heartbeat_at > now() - workers.lease
    )::float8 AS oldest_alive_seconds
FROM active_instance
