-- The messages of a task after a sequence number, in order, at most $3.
--   $1 task_id uuid   $2 sequence int, exclusive   $3 limit int
-- Index: the primary key of result_message. No locks.
SELECT sequence, ts, error, message, context, context_type, extra
FROM result_message
WHERE task_id = $1
  AND sequence > $2
ORDER BY sequence
LIMIT $3
