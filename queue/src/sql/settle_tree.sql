-- Settles held tasks that belong to trees, with what follows from that: see the function settle_tree.
--   $1 task_id uuid[]      $2 claim_token uuid[]   $3 outcomes jsonb[]
--   $4 int: outputs of more bytes than this go to task_output
--   $5 claim_token uuid[]  $6 int[]: as $6 and $7 of complete
-- Returns the ids that were settled. A task that is run again for what its subtasks failed to do, or not any more, has
-- a notice in its log. Locks: the trees', for the length of the statement.
WITH settled AS MATERIALIZED (
    SELECT settle_tree($1::uuid[], $2::uuid[], $3::jsonb[], $4::int, $5::uuid[], $6::int[]) AS task_id
),
noted AS MATERIALIZED (
    SELECT note_retries(ARRAY(SELECT task_id FROM settled), $1, $3)
    WHERE EXISTS (
        SELECT
        FROM unnest($3) AS given (outcome)
        WHERE given.outcome ->> 'step' = 'retry_failed'
    )
)
SELECT settled.task_id
FROM settled
LEFT JOIN noted ON true
