-- The subtasks of a task behind an id, in the order of ids, at most $3, with what they left behind.
--   $1 task_id uuid: the parent   $2 task_id uuid, exclusive   $3 limit int
-- Index: tasks_subtasks, then the primary key of task_output. No locks.
SELECT
    tasks.task_id,
    tasks.action::text AS action,
    tasks.status::text AS status,
    tasks.retry,
    tasks.result_status::text AS result_status,
    tasks.result_message,
    tasks.result_reason,
    coalesce(tasks.result_successes, '{}') AS result_successes,
    coalesce(tasks.result_failures, '{}') AS result_failures,
    coalesce(tasks.output, task_output.output) AS output
FROM tasks
LEFT JOIN task_output ON task_output.task_id = tasks.task_id
WHERE tasks.parent_task_id = $1
  AND tasks.task_id > $2
ORDER BY tasks.task_id
LIMIT $3
