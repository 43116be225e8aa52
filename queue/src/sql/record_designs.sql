-- Notes on held tasks which version of its design each works with; one that says so already is not written again.
-- Returns the ids of the tasks that say so: one that is missing was locked by somebody else, or is no longer held by
-- this claim.
--   $1 task_id uuid[]   $2 claim_token uuid[]   $3 design_hash bytea[], SHA-256   $4 queue text, that of all of them
-- Index: the primary key. For tasks that go back or belong to a tree; complete.sql notes it on the others, with one
-- version of the row less.
WITH held AS MATERIALIZED (
    SELECT given.task_id, given.claim_token, given.design_hash
    FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS given (task_id, claim_token, design_hash)
    JOIN tasks ON tasks.task_id = given.task_id
    WHERE tasks.queue = $4
      AND tasks.claim_token = given.claim_token
      AND tasks.status IN ('running', 'terminating')
    FOR NO KEY UPDATE OF tasks SKIP LOCKED
),
noted AS (
    UPDATE tasks
    SET design_hash = held.design_hash
    FROM held
    WHERE tasks.task_id = held.task_id
      AND tasks.queue = $4
      AND tasks.claim_token = held.claim_token
      AND tasks.design_hash IS DISTINCT FROM held.design_hash
)
SELECT task_id
FROM held
