-- Settles held tasks that belong to trees, with what follows from that: see the function settle_tree.
--   $1 task_id uuid[]      $2 claim_token uuid[]   $3 outcomes jsonb[]
--   $4 int: outputs of more bytes than this go to task_output
--   $5 claim_token uuid[]  $6 int[]: as $6 and $7 of complete
-- Returns the ids that were settled. Locks: the trees', for the length of the statement.
SELECT settle_tree($1::uuid[], $2::uuid[], $3::jsonb[], $4::int, $5::uuid[], $6::int[]) AS task_id
