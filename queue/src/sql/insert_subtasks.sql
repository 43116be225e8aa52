-- Inserts tasks below a held task. Sent twice, the second has no effect, since their ids come with them. Returns
-- whether the task is held and runs: else nothing is inserted.
--   $1 task_id uuid[]         $2 action text[]              $3 queue text[], NULL: the task's own
--   $4 priority smallint[]    $5 payload jsonb[]            $6 design_ref text[]   $7 node_filter jsonb[]
--   $8 request_context jsonb[] $9 run_at timestamptz[]      $10 max_attempts smallint[]
--   $11 timeout in seconds float8[]   $12 unique_key text[] $13 unique until the end boolean[]
--   $14 parent_task_id uuid[], NULL: the held task          $15 after text[], each an array of uuid
--   $16 on_subtask_failure text[]
--   $17 task_id uuid, $18 claim_token uuid, $19 queue text: the held task
-- Index: the primary key. FOR SHARE keeps the claim in place until the subtasks are committed.
WITH held AS MATERIALIZED (
    SELECT tasks.task_id
    FROM tasks
    WHERE tasks.task_id = $17
      AND tasks.queue = $19
      AND tasks.claim_token = $18
      AND tasks.status = 'running'
    FOR SHARE OF tasks SKIP LOCKED
),
inserted AS (
    INSERT INTO tasks (
        task_id, action, queue, priority, payload, design_ref, node_filter, request_context, run_at, max_attempts,
        "timeout", unique_key, unique_until, parent_task_id, "after", on_subtask_failure
    )
    SELECT
        given.task_id,
        given.action,
        coalesce(given.queue, $19),
        coalesce(given.priority, 5::smallint),
        coalesce(given.payload, '{}'),
        given.design_ref,
        given.node_filter,
        given.request_context,
        coalesce(given.run_at, now()),
        coalesce(given.max_attempts, 20::smallint),
        make_interval(secs => given.timeout_seconds),
        given.unique_key,
        CASE WHEN given.until_ended THEN 'ended' ELSE 'claimed' END::task_unique_until,
        coalesce(given.parent_task_id, held.task_id),
        given.predecessors::uuid[],
        given.on_subtask_failure::task_subtask_policy
    FROM held
    CROSS JOIN unnest(
        $1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::jsonb[], $6::text[], $7::jsonb[], $8::jsonb[],
        $9::timestamptz[], $10::smallint[], $11::float8[], $12::text[], $13::boolean[], $14::uuid[],
        $15::text[], $16::text[]
    ) AS given (
        task_id, action, queue, priority, payload, design_ref, node_filter, request_context, run_at, max_attempts,
        timeout_seconds, unique_key, until_ended, parent_task_id, predecessors, on_subtask_failure
    )
    ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM held) AS is_held
