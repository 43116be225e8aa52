-- Keeps unique keys unique among tasks that were inserted at the same moment: see the function settle_unique.
--   $1 task_id uuid[]   $2 claim_token uuid: tasks with a key, just claimed and not yet started
-- Returns those of them that must not start: they have ended as duplicates.
SELECT settle_unique($1::uuid[], $2::uuid) AS task_id
