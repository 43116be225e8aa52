-- Claims up to $3 due tasks of one queue, lowest priority first and in order of run_at, from the given keys on: marks
-- them running, counts the attempt, writes one row of claims. Nothing that is paused. Returns one row a task; with
-- none, one row of NULLs, so that the caller always learns the database's time, and a number that stands for what is
-- paused of the queue, NULL when nothing is.
--   $1 queue text             $2 actions text[], the ones this worker knows
--   $3 limit int              $4 claim token uuid, fresh             $5 worker id uuid
--   $6 priorities smallint[]  $7 run_at timestamptz[]  $8 task_id uuid[]: per priority, the key behind which to look
-- Index: tasks_ready, scanned in its own order, one range a priority. A row that somebody else holds is passed over.
-- MATERIALIZED: a plain IN (... LIMIT) may be run again and claim more than its limit.
-- A pause of all actions reads as one of the action '', which there is none of: then tasks are not looked at.
WITH paused AS MATERIALIZED (
    SELECT array_agg(coalesce(pauses.action::text, '')) AS actions
    FROM pauses
    WHERE coalesce(pauses.queue = $1, true)
      AND coalesce(pauses."until" > now(), true)
),
next AS MATERIALIZED (
    SELECT due.task_id
    FROM paused
    CROSS JOIN unnest($6::smallint[], $7::timestamptz[], $8::uuid[]) AS key (priority, run_at, task_id)
    CROSS JOIN LATERAL (
        SELECT tasks.task_id
        FROM tasks
        WHERE tasks.queue = $1
          AND tasks.priority = key.priority
          AND tasks.ready
          AND (tasks.run_at, tasks.task_id) > (key.run_at, key.task_id)
          AND tasks.run_at <= now()
          AND tasks.action = ANY ($2::text[])
          AND tasks.action <> ALL (coalesce(paused.actions, '{}'))
        ORDER BY tasks.run_at, tasks.task_id
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS due
    WHERE coalesce('' <> ALL (paused.actions), true)
    LIMIT $3
),
claimed AS (
    UPDATE tasks
    SET status = 'running',
        attempt = attempt + 1,
        claim_token = $4,
        started_at = now(),
        updated = now()
    FROM next
    WHERE tasks.task_id = next.task_id
      AND tasks.queue = $1
    RETURNING
        tasks.task_id,
        tasks.action,
        tasks.priority,
        tasks.payload,
        tasks.run_at,
        tasks.created,
        tasks.created_by,
        tasks.attempt,
        tasks.max_attempts,
        tasks.retry,
        tasks.unique_key,
        tasks.parent_task_id,
        tasks.design_ref,
        tasks.node_filter,
        tasks.request_context,
        extract(epoch FROM tasks."timeout")::float8 AS timeout_seconds,
        tasks.has_subtasks,
        tasks.result_error_count,
        tasks.root_task_id
),
claim AS (
    INSERT INTO claims (claim_token, worker_id, queue, task_ids)
    SELECT $4, $5, $1, array_agg(task_id)
    FROM claimed
    HAVING count(*) > 0
)
SELECT
    now() AS claimed_at,
    claimed.*,
    (SELECT hash_array_extended(paused.actions, 0) FROM paused) AS paused
FROM (VALUES (1)) AS always (one)
LEFT JOIN claimed ON true
