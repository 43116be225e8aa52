-- One task as it stands; no row when there is none.
--   $1 task_id uuid
-- Index: the primary key. No locks.
SELECT
    tasks.task_id,
    tasks.action,
    tasks.queue,
    tasks.status::text AS status,
    tasks.attempt,
    tasks.max_attempts,
    tasks.run_at,
    tasks.created,
    tasks.started_at,
    tasks.finished_at,
    tasks.result_status::text AS result_status,
    tasks.result_message,
    tasks.result_reason,
    tasks.result_error_count,
    coalesce(tasks.result_successes, '{}') AS result_successes,
    coalesce(tasks.result_failures, '{}') AS result_failures,
    coalesce(tasks.output, task_output.output) AS output,
    tasks.design_hash,
    tasks."terminated" AS terminated_at,
    tasks.terminated_by
FROM tasks
LEFT JOIN task_output ON task_output.task_id = tasks.task_id
WHERE tasks.task_id = $1
