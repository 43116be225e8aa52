-- Ends held tasks with their results; a terminating one ends terminated, whatever its result. Returns the ids that were
-- ended: one that is missing was locked by somebody else, or is no longer held by this claim, or belongs to a tree and
-- is left to settle_tree.
--   $1 task_id uuid[]      $2 claim_token uuid[]   $3 result_status text[]   $4 messages with error flag int[]
--   $5 details jsonb[]: NULL, or an object of message, reason, successes, failures, links, output, design_hash in hex
--   $6 claim_token uuid[]  $7 int[]: claims of which this statement ends the last so many tasks; their rows go
--   $8 int: outputs of more bytes than this go to task_output
--   $9 boolean: tasks that somebody else has locked are passed over, which costs a second look at each task (a quarter
--      of the statement); false: they are waited for, as long as the session's lock_timeout allows
--   $10 queue text, that of all of them
-- Index: the primary key, in the order given: by task_id, so that no two batches can deadlock.
WITH held AS MATERIALIZED (
    SELECT given.*
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::jsonb[])
        AS given (task_id, claim_token, result_status, error_count, details)
    WHERE NOT $9
    UNION ALL
    SELECT locked.*
    FROM (
        SELECT given.*
        FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::jsonb[])
            AS given (task_id, claim_token, result_status, error_count, details)
        JOIN tasks ON tasks.task_id = given.task_id
        WHERE tasks.queue = $10
          AND tasks.claim_token = given.claim_token
          AND tasks.status IN ('running', 'terminating')
          AND tasks.parent_task_id IS NULL
          AND tasks.has_subtasks IS NULL
        FOR NO KEY UPDATE OF tasks SKIP LOCKED
    ) AS locked
    WHERE $9
),
ended AS (
    UPDATE tasks
    SET status = CASE tasks.status WHEN 'terminating' THEN 'terminated' ELSE 'complete' END::task_status,
        result_status = CASE tasks.status
            WHEN 'terminating' THEN 'failure' ELSE held.result_status END::task_result_status,
        result_error_count = held.error_count,
        result_message = held.details ->> 'message',
        result_reason = CASE tasks.status WHEN 'terminating' THEN 'terminated' ELSE held.details ->> 'reason' END,
        result_successes = CASE WHEN held.details ? 'successes'
            THEN ARRAY(SELECT jsonb_array_elements_text(held.details -> 'successes')) END,
        result_failures = CASE WHEN held.details ? 'failures'
            THEN ARRAY(SELECT jsonb_array_elements_text(held.details -> 'failures')) END,
        result_links = held.details -> 'links',
        output = CASE WHEN pg_column_size(held.details) <= $8 THEN held.details -> 'output' END,
        design_hash = CASE WHEN held.details ? 'design_hash'
            THEN decode(held.details ->> 'design_hash', 'hex') ELSE tasks.design_hash END,
        finished_at = now(),
        updated = now()
    FROM held
    WHERE tasks.task_id = held.task_id
      AND tasks.queue = $10
      AND tasks.claim_token = held.claim_token
      AND tasks.status IN ('running', 'terminating')
      AND tasks.parent_task_id IS NULL
      AND tasks.has_subtasks IS NULL
    RETURNING tasks.task_id, tasks.claim_token
),
wide AS (
    INSERT INTO task_output (task_id, output)
    SELECT ended.task_id, held.details -> 'output'
    FROM held
    JOIN ended ON ended.task_id = held.task_id
    WHERE pg_column_size(held.details) > $8
      AND held.details ? 'output'
),
closed AS (
    DELETE FROM claims
    USING unnest($6::uuid[], $7::int[]) AS last (claim_token, open)
    WHERE claims.claim_token = last.claim_token
      AND claims.queue = $10
      AND last.open = (SELECT count(*) FROM ended WHERE ended.claim_token = last.claim_token)
)
SELECT task_id
FROM ended
