-- The newest tasks of a tree before an id that pass a filter, from layer $9 to $10 below a task, which is layer 1
-- itself.
--   $1 task_id uuid, exclusive       $2 limit int                    $3 queue text or NULL   $4 action text or NULL
--   $5 statuses text[] or NULL       $6 result statuses text[] or NULL
--   $7 name of the schedule that inserted it, text or NULL           $8 task_id uuid: the uppermost
--   $9 int   $10 int
-- Index: the primary key, tasks_subtasks. Reads the whole tree. No locks.
WITH RECURSIVE tree AS (
    SELECT tasks.task_id, 1 AS layer
    FROM tasks
    WHERE tasks.task_id = $8
    UNION ALL
    SELECT child.task_id, tree.layer + 1
    FROM tree
    JOIN tasks AS child ON child.parent_task_id = tree.task_id
    WHERE tree.layer < $10
)
SELECT tree.task_id
FROM tree
JOIN tasks ON tasks.task_id = tree.task_id
WHERE tree.layer >= $9
  AND tree.task_id < $1
  AND ($3::text IS NULL OR tasks.queue = $3)
  AND ($4::text IS NULL OR tasks.action = $4)
  AND ($5::text[] IS NULL OR tasks.status::text = ANY ($5))
  AND ($6::text[] IS NULL OR tasks.result_status::text = ANY ($6))
  AND ($7::text IS NULL OR tasks.request_context -> 'schedule' ->> 'name' = $7)
ORDER BY tree.task_id DESC
LIMIT $2
