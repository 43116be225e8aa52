-- Reads what a settlement has made of tasks, and of the tasks above them that changed in the same transaction: those
-- that ended with the last of their subtasks, or are to run again.
--   $1 task_id uuid[]: tasks that it settled
-- What one transaction settles is `updated` at one instant, its own. Index: the primary key.
WITH RECURSIVE changed AS (
    SELECT tasks.task_id, tasks.parent_task_id, tasks.status, tasks.updated
    FROM unnest($1::uuid[]) AS given (task_id)
    JOIN tasks ON tasks.task_id = given.task_id
    UNION
    SELECT tasks.task_id, tasks.parent_task_id, tasks.status, tasks.updated
    FROM changed
    JOIN tasks ON tasks.task_id = changed.parent_task_id
    WHERE changed.status IN ('complete', 'terminated')
      AND tasks.status IN ('complete', 'terminated', 'queued')
      AND tasks.updated = changed.updated
)
SELECT
    changed.task_id,
    tasks.parent_task_id,
    tasks.root_task_id,
    tasks.claim_token,
    tasks.queue::text AS queue,
    tasks.action::text AS action,
    tasks.status::text AS status,
    tasks.attempt,
    tasks.result_status::text AS result_status,
    tasks.result_reason,
    tasks.result_message,
    tasks.request_context,
    tasks.created,
    tasks.finished_at
FROM changed
JOIN tasks ON tasks.task_id = changed.task_id
