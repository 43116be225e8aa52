-- The worker that holds a task; no row when it is not held, or its worker has been declared dead.
--   $1 task_id uuid
-- Index: the primary keys of tasks, claims and workers. No locks.
SELECT
    workers.worker_id,
    workers.name
FROM tasks
JOIN claims ON claims.claim_token = tasks.claim_token
JOIN workers ON workers.worker_id = claims.worker_id
WHERE tasks.task_id = $1
  AND tasks.status IN ('running', 'terminating')
