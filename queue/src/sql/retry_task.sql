-- Inserts an ended task once more: the id of the new one, NULL when its key is taken.
--   $1 task_id uuid   $2 boolean: only for the names that failed
SELECT retry_task($1, $2)
