-- How many subtasks of each task are open, and how many have ended; no row for a task without any.
--   $1 task_id uuid[]
-- Index: tasks_subtasks. No locks.
SELECT
    given.task_id,
    count(*) FILTER (WHERE tasks.status NOT IN ('complete', 'terminated')) AS open,
    count(*) FILTER (WHERE tasks.status IN ('complete', 'terminated')) AS ended
FROM unnest($1::uuid[]) AS given (task_id)
JOIN tasks ON tasks.parent_task_id = given.task_id
GROUP BY given.task_id
