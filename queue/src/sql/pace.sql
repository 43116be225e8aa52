-- How fast the tasks created since an instant were done: one row, over those of them that have run and ended. Times in
-- seconds; the wait is that of a task's last attempt, from due to claimed. NULL times when no task has ended.
--   $1 since timestamptz
-- Index: the primary key. Reads and sorts every such task: for a report, not for a loop of a worker.
SELECT
    count(*) AS ended,
    extract(epoch FROM max(done.finished_at) - min(done.created))::float8 AS last_seconds,
    extract(epoch FROM percentile_disc(0.95) WITHIN GROUP (ORDER BY done.finished_at) - min(done.created))::float8
        AS p95_seconds,
    percentile_cont(0.50) WITHIN GROUP (ORDER BY done.wait) AS wait_p50_seconds,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY done.wait) AS wait_p95_seconds,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY done.wait) AS wait_p99_seconds
FROM (
    SELECT
        tasks.created,
        tasks.finished_at,
        extract(epoch FROM tasks.started_at - tasks.run_at)::float8 AS wait
    FROM tasks
    WHERE tasks.task_id >= task_id_floor($1)
      AND tasks.finished_at IS NOT NULL
      AND tasks.started_at IS NOT NULL
) AS done
