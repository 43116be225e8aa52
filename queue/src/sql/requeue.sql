-- Gives held tasks back: retry, snooze and release. A terminating one ends terminated instead. Returns the ids given
-- back or ended: one that is missing was locked by somebody else, or is no longer held by this claim, or would end and
-- belongs to a tree: it is left to settle_tree. A retry leaves a message in the log, and counts as an error: its number
-- follows what the holder has recorded, since nobody else numbers.
--   $1 task_id uuid[]      $2 claim_token uuid[]   $3 delay in seconds float8[], from now
--   $4 boolean[]: whether the attempt is given back
--   $5 reason text[]       $6 message text[]       $7 messages with error flag int[]
--   $8 claim_token uuid[]  $9 int[]: as $6 and $7 of complete
--   $10 queue text, that of all of them
-- Index: the primary keys. Every row gets a fresh run_at: the order of the queue is that of run_at.
WITH held AS MATERIALIZED (
    SELECT given.*
    FROM unnest($1::uuid[], $2::uuid[], $3::float8[], $4::boolean[], $5::text[], $6::text[], $7::int[])
        AS given (task_id, claim_token, delay, attempt_back, reason, message, error_count)
    JOIN tasks ON tasks.task_id = given.task_id
    WHERE tasks.queue = $10
      AND tasks.claim_token = given.claim_token
      AND (tasks.status = 'running'
          OR tasks.status = 'terminating' AND tasks.parent_task_id IS NULL AND tasks.has_subtasks IS NULL)
    FOR NO KEY UPDATE OF tasks SKIP LOCKED
),
requeued AS (
    UPDATE tasks
    SET status = CASE tasks.status WHEN 'terminating' THEN 'terminated' ELSE 'queued' END::task_status,
        result_status = CASE tasks.status
            WHEN 'terminating' THEN 'failure' ELSE tasks.result_status END::task_result_status,
        result_reason = CASE tasks.status WHEN 'terminating' THEN 'terminated' ELSE held.reason END,
        result_message = held.message,
        result_error_count = held.error_count + (tasks.status = 'running' AND NOT held.attempt_back)::int,
        attempt = tasks.attempt - held.attempt_back::int,
        run_at = now() + make_interval(secs => held.delay),
        finished_at = CASE tasks.status WHEN 'terminating' THEN now() END,
        updated = now()
    FROM held
    WHERE tasks.task_id = held.task_id
      AND tasks.queue = $10
      AND tasks.claim_token = held.claim_token
    RETURNING
        tasks.task_id,
        tasks.claim_token,
        tasks.status = 'queued' AND NOT held.attempt_back AS has_failed,
        tasks.attempt,
        tasks.max_attempts,
        tasks.result_reason,
        tasks.result_message,
        tasks.run_at
),
noted AS (
    INSERT INTO result_message (task_id, sequence, error, message, context, context_type, extra)
    SELECT
        requeued.task_id,
        1 + coalesce((
            SELECT said.sequence
            FROM result_message AS said
            WHERE said.task_id = requeued.task_id
            ORDER BY said.sequence DESC
            LIMIT 1
        ), 0),
        true,
        attempt_notice(
            requeued.attempt, requeued.max_attempts, requeued.result_reason, requeued.result_message, requeued.run_at),
        'attempt ' || requeued.attempt,
        'attempt',
        attempt_facts(requeued.attempt, requeued.result_reason, requeued.run_at)
    FROM requeued
    WHERE requeued.has_failed
    ON CONFLICT (task_id, sequence) DO NOTHING
),
closed AS (
    DELETE FROM claims
    USING unnest($8::uuid[], $9::int[]) AS last (claim_token, open)
    WHERE claims.claim_token = last.claim_token
      AND claims.queue = $10
      AND last.open = (SELECT count(*) FROM requeued WHERE requeued.claim_token = last.claim_token)
)
SELECT task_id
FROM requeued
