-- The first $2 subtasks of each task, by its id, at a glance.
--   $1 task_id uuid[]: the parents   $2 limit int
-- BETWEEN, and the order: else the planner may take the primary key and walk all younger tasks.
-- Index: tasks_subtasks. No locks.
SELECT
    first.task_id,
    first.parent_task_id,
    first.queue::text AS queue,
    first.action::text AS action,
    first.status::text AS status,
    first.result_status::text AS result_status,
    first.result_reason,
    first.result_message,
    first.attempt,
    first.max_attempts::smallint AS max_attempts,
    first.created::timestamptz AS created,
    first.run_at::timestamptz AS run_at,
    first.started_at,
    first.finished_at,
    CASE WHEN first.status <> 'queued'
        THEN extract(epoch FROM coalesce(first.finished_at, now()) - first.started_at)::float8 END AS took_seconds,
    coalesce(first.has_subtasks, false) AS has_subtasks
FROM unnest($1::uuid[]) WITH ORDINALITY AS given (task_id, place)
CROSS JOIN LATERAL (
    SELECT
        tasks.task_id, tasks.parent_task_id, tasks.queue, tasks.action, tasks.status, tasks.result_status,
        tasks.result_reason, tasks.result_message, tasks.attempt, tasks.max_attempts, tasks.created, tasks.run_at, tasks.started_at,
        tasks.finished_at, tasks.has_subtasks
    FROM tasks
    WHERE tasks.parent_task_id BETWEEN given.task_id AND given.task_id
    ORDER BY tasks.parent_task_id, tasks.task_id
    LIMIT $2
) AS first
ORDER BY given.place, first.task_id
