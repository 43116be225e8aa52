-- All schedules by name, each with its last tick.
-- Index: the primary keys. No locks.
SELECT
    schedules.name,
    schedules.cron,
    schedules.time_zone,
    extract(epoch FROM schedules.every)::float8 AS every_seconds,
    schedules.action::text AS action,
    schedules.queue::text AS queue,
    schedules.overlap::text AS overlap,
    schedules.missed::text AS missed,
    schedules.paused,
    schedules.next_at,
    schedules.error,
    last.fire_at AS last_fire_at,
    last.outcome::text AS last_outcome,
    last.task_id AS last_task_id
FROM schedules
LEFT JOIN LATERAL (
    SELECT ticks.fire_at, ticks.outcome, ticks.task_id
    FROM schedule_ticks AS ticks
    WHERE ticks.schedule = schedules.name
    ORDER BY ticks.schedule, ticks.fire_at DESC
    LIMIT 1
) AS last ON true
ORDER BY schedules.name
