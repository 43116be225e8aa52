-- Claims up to 20 tasks, shaped as the queue's own claim.
WITH next AS MATERIALIZED (
    SELECT task_id
    FROM tasks
    WHERE queue = 'default'
        AND priority = 5
        AND ready
        AND run_at <= now()
    ORDER BY run_at, task_id
    LIMIT 20
    FOR UPDATE SKIP LOCKED
)
UPDATE tasks
SET status = 'running',
    attempt = attempt + 1,
    started_at = now()
FROM next
WHERE tasks.task_id = next.task_id
RETURNING tasks.task_id
