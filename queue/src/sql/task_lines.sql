-- Tasks at a glance, in the order of the ids given; one that is not there is missing.
--   $1 task_id uuid[]
-- Index: the primary key. No locks.
SELECT
    tasks.task_id,
    tasks.parent_task_id,
    tasks.queue::text AS queue,
    tasks.action::text AS action,
    tasks.status::text AS status,
    tasks.result_status::text AS result_status,
    tasks.result_reason,
    tasks.result_message,
    tasks.attempt,
    tasks.max_attempts::smallint AS max_attempts,
    tasks.created::timestamptz AS created,
    tasks.run_at::timestamptz AS run_at,
    tasks.started_at,
    tasks.finished_at,
    CASE WHEN tasks.status <> 'queued'
        THEN extract(epoch FROM coalesce(tasks.finished_at, now()) - tasks.started_at)::float8 END AS took_seconds,
    coalesce(tasks.has_subtasks, false) AS has_subtasks
FROM unnest($1::uuid[]) WITH ORDINALITY AS given (task_id, place)
JOIN tasks ON tasks.task_id = given.task_id
ORDER BY given.place
