-- Says of each task what became of it under this claim: held, terminating, settled (this claim ended or gave it back),
-- or lost (another claim has it, or it is gone).
--   $1 task_id uuid[]   $2 claim_token uuid[]   $3 queue text, that of all of them
-- Index: the primary key. No locks.
SELECT
    given.task_id,
    CASE
        WHEN tasks.claim_token IS DISTINCT FROM given.claim_token THEN 'lost'
        WHEN tasks.status = 'running' THEN 'held'
        WHEN tasks.status = 'terminating' THEN 'terminating'
        ELSE 'settled'
    END AS fate
FROM unnest($1::uuid[], $2::uuid[]) AS given (task_id, claim_token)
LEFT JOIN tasks ON tasks.task_id = given.task_id AND tasks.queue = $3
