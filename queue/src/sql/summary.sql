-- What became of the tasks created since an instant: one row an action and outcome, in that order.
--   $1 since timestamptz
-- Index: the primary key. Reads every such task: for a report, not for a loop of a worker.
SELECT
    tasks.action::text AS action,
    tasks.status::text AS status,
    tasks.result_status::text AS result_status,
    count(*) AS tasks,
    sum(tasks.attempt)::bigint AS attempts,
    count(*) FILTER (WHERE tasks.attempt > 1) AS repeated
FROM tasks
WHERE tasks.task_id >= task_id_floor($1)
GROUP BY
    tasks.action,
    tasks.status,
    tasks.result_status
ORDER BY
    tasks.action,
    tasks.status,
    tasks.result_status
