-- Gives the tasks of dead workers back to the queue: queued again at once, the attempt counted; complete with a failure
-- when the attempts are used up; terminated when that was asked for. One row a task. One that would end and belongs to
-- a tree is left to rescue_trees. A lost attempt leaves a message in the log, and counts as an error. One whose number
-- another message has taken, of a worker that is not dead after all, comes with the next call.
--   $1 identity uuid   $2 epoch bigint: the leader's   $3 worker_id uuid: the witness   $4 limit of claims int
--   $5 queue text: that of the claims
-- A worker is dead when its last heartbeat is older than its lease, while the witness has reported without a gap for at
-- least as long. A claim without a worker is one of a process that came back after it was declared dead.
-- Index: claims_worker, then the primary key. Locked rows are passed over and come with the next call. FOR SHARE on
-- the lead: a takeover that has committed makes this statement do nothing.
WITH leader AS MATERIALIZED (
    SELECT
    FROM active_instance
    WHERE identity = $1
      AND epoch = $2
      AND lease_expires_at > now()
    FOR SHARE
),
dead AS MATERIALIZED (
    SELECT workers.worker_id
    FROM workers
    WHERE EXISTS (SELECT FROM leader)
      AND workers.heartbeat_at < now() - workers.lease
      AND EXISTS (
          SELECT
          FROM workers AS witness
          WHERE witness.worker_id = $3
            AND witness.heartbeat_at > now() - witness.lease * 2 / 3
            AND witness.beating_since < now() - workers.lease
      )
    FOR UPDATE SKIP LOCKED
),
orphaned AS MATERIALIZED (
    SELECT claims.claim_token, claims.task_ids
    FROM claims
    WHERE claims.queue = $5
      AND (
          claims.worker_id IN (SELECT worker_id FROM dead)
          OR EXISTS (SELECT FROM leader)
              AND claims.claimed_at < now() - interval '1 minute'
              AND NOT EXISTS (SELECT FROM workers WHERE workers.worker_id = claims.worker_id)
      )
    LIMIT $4
    FOR UPDATE SKIP LOCKED
),
open AS MATERIALIZED (
    SELECT tasks.task_id, orphaned.claim_token
    FROM orphaned
    CROSS JOIN unnest(orphaned.task_ids) AS held (task_id)
    JOIN tasks ON tasks.task_id = held.task_id
    WHERE tasks.queue = $5
      AND tasks.claim_token = orphaned.claim_token
      AND tasks.status IN ('running', 'terminating')
),
held AS MATERIALIZED (
    SELECT
        tasks.task_id,
        tasks.claim_token,
        tasks.status = 'terminating' AS terminates,
        tasks.attempt,
        tasks.max_attempts,
        'the worker that held attempt ' || tasks.attempt || ' stopped reporting' AS message,
        CASE WHEN tasks.attempt < tasks.max_attempts THEN now() END AS retry_at
    FROM open
    JOIN tasks ON tasks.task_id = open.task_id
    WHERE tasks.queue = $5
      AND tasks.claim_token = open.claim_token
      AND (tasks.status = 'running' AND tasks.attempt < tasks.max_attempts
          OR tasks.status IN ('running', 'terminating') AND tasks.parent_task_id IS NULL AND tasks.has_subtasks IS NULL)
    FOR NO KEY UPDATE OF tasks SKIP LOCKED
),
noted AS (
    INSERT INTO result_message (task_id, sequence, error, message, context, context_type, extra)
    SELECT
        held.task_id,
        1 + coalesce((
            SELECT said.sequence
            FROM result_message AS said
            WHERE said.task_id = held.task_id
            ORDER BY said.sequence DESC
            LIMIT 1
        ), 0),
        true,
        attempt_notice(held.attempt, held.max_attempts, 'worker_died', held.message, held.retry_at),
        'attempt ' || held.attempt,
        'attempt',
        attempt_facts(held.attempt, 'worker_died', held.retry_at)
    FROM held
    WHERE NOT held.terminates
    ON CONFLICT (task_id, sequence) DO NOTHING
    RETURNING task_id
),
rescued AS (
    UPDATE tasks
    SET status = CASE
            WHEN held.terminates THEN 'terminated'
            WHEN held.retry_at IS NULL THEN 'complete'
            ELSE 'queued'
        END::task_status,
        result_status = CASE
            WHEN held.terminates OR held.retry_at IS NULL THEN 'failure'
            ELSE tasks.result_status::text
        END::task_result_status,
        result_reason = CASE WHEN held.terminates THEN 'terminated' ELSE 'worker_died' END,
        result_error_count = tasks.result_error_count + (NOT held.terminates)::int,
        result_message = held.message,
        finished_at = CASE WHEN held.terminates OR held.retry_at IS NULL THEN now() END,
        run_at = now(),
        updated = now()
    FROM held
    WHERE tasks.task_id = held.task_id
      AND tasks.queue = $5
      AND tasks.claim_token = held.claim_token
      AND (held.terminates OR held.task_id IN (SELECT noted.task_id FROM noted))
    RETURNING tasks.task_id, tasks.claim_token, tasks.queue, tasks.status
),
closed AS (
    DELETE FROM claims
    USING orphaned
    WHERE claims.claim_token = orphaned.claim_token
      AND claims.queue = $5
      AND (SELECT count(*) FROM open WHERE open.claim_token = orphaned.claim_token)
        = (SELECT count(*) FROM rescued WHERE rescued.claim_token = orphaned.claim_token)
)
SELECT task_id, queue::text AS queue, status::text AS status
FROM rescued
