-- The messages of a task and of all tasks below it that were not read yet, in the order of their times, at most $3.
--   $1 task_id uuid: the top   $2 jsonb: task_id to the last sequence read; nothing was read of one that is not named
--   $3 limit int
-- What is read is kept by task, since numbers have no gaps and times do not tell what was committed later.
-- Index: the primary key of tasks, tasks_subtasks for tasks that have any, then the primary key of result_message, once
-- a task. No locks; one snapshot.
WITH RECURSIVE tree AS (
    SELECT tasks.task_id, tasks.action::text AS action, tasks.has_subtasks
    FROM tasks
    WHERE tasks.task_id = $1
    UNION ALL
    SELECT child.task_id, child.action::text, child.has_subtasks
    FROM tree
    JOIN tasks AS child ON child.parent_task_id = tree.task_id
    WHERE tree.has_subtasks
)
SELECT
    tree.task_id,
    tree.action,
    said.sequence,
    said.ts,
    said.error,
    said.message,
    said.context,
    said.context_type,
    said.extra
FROM tree
CROSS JOIN LATERAL (
    SELECT
        log.sequence, log.ts, log.error, log.message, log.context, log.context_type, log.extra
    FROM result_message AS log
    WHERE log.task_id = tree.task_id
      AND log.sequence > coalesce(($2::jsonb ->> tree.task_id::text)::int, 0)
    ORDER BY log.sequence
    LIMIT $3
) AS said
ORDER BY said.ts, tree.task_id, said.sequence
LIMIT $3
