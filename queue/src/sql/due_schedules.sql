-- The schedules that are due or will be soon, at most $1, those that wait longest first. What is due soon lets the
-- leader sleep until just then.
--   $1 limit int   $2 how soon, in seconds float8
-- Reads all rows of schedules: there is no index on what a tick changes. No locks.
SELECT
    name,
    queue,
    action,
    revision,
    cron,
    time_zone,
    (extract(epoch FROM every) * 1000000)::bigint AS every_us,
    starts_at,
    ticked_to,
    missed::text AS missed,
    missed_max,
    (extract(epoch FROM missed_after) * 1000000)::bigint AS missed_after_us,
    now() AS now,
    extract(epoch FROM next_at - now())::float8 AS due_in_seconds
FROM schedules
WHERE NOT paused
  AND (next_at IS NULL OR next_at <= now() + make_interval(secs => $2))
ORDER BY next_at NULLS FIRST, name
LIMIT $1
