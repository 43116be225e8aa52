-- Ends a task: at once while it waits, through its executor while it runs. True when it was open.
--   $1 task_id uuid   $2 by whom text, NULL: the session's user
SELECT terminate_task($1, $2)
