-- How a task stands, with who holds it: what says why it does not run. No row when there is none of that id.
--   $1 task_id uuid
-- Index: the primary keys. No locks.
SELECT
    tasks.queue::text AS queue,
    tasks.action::text AS action,
    tasks.status::text AS status,
    tasks.result_status::text AS result_status,
    tasks.result_reason,
    tasks.result_message,
    tasks.attempt,
    tasks.max_attempts::smallint AS max_attempts,
    tasks.priority::smallint AS priority,
    tasks.run_at::timestamptz AS run_at,
    extract(epoch FROM tasks.run_at - now())::float8 AS due_in_seconds,
    tasks.started_at,
    tasks.finished_at,
    tasks."terminated" AS terminated_at,
    tasks.terminated_by,
    tasks.waits_for::text AS waits_for,
    coalesce(tasks."after", '{}')::uuid[] AS predecessors,
    workers.worker_id AS holder_id,
    workers.name AS holder_name,
    extract(epoch FROM now() - workers.heartbeat_at)::float8 AS holder_silent_seconds,
    extract(epoch FROM workers.lease)::float8 AS holder_lease_seconds,
    tasks.claim_token IS NOT NULL AND tasks.status IN ('running', 'terminating') AS is_held
FROM tasks
LEFT JOIN claims ON claims.claim_token = tasks.claim_token
LEFT JOIN workers ON workers.worker_id = claims.worker_id
WHERE tasks.task_id = $1
