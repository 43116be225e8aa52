-- What the documents of a task and of those below it are made of, the task itself first, then layer by layer.
--   $1 task_id uuid   $2 layers int: 1 is the task alone   $3 messages int: the last so many of each log
--   $4 boolean: only tasks below it, and only those whose log has errors
-- The ids of subtasks come in no order: asked for one, a session without sorts walks all tasks. OFFSET 0 keeps the
-- planner from beginning with all tasks and looking for those of the tree.
-- Index: the primary keys, tasks_subtasks. No locks; one snapshot.
WITH RECURSIVE tree AS (
    SELECT tasks.task_id, 1 AS layer
    FROM tasks
    WHERE tasks.task_id = $1
    UNION ALL
    SELECT child.task_id, tree.layer + 1
    FROM tree
    JOIN tasks AS child ON child.parent_task_id = tree.task_id
    WHERE tree.layer < $2
)
SELECT
    tasks.task_id,
    tasks.action::text AS action,
    tasks.parent_task_id,
    tasks.design_ref::text AS design_ref,
    tasks.status::text AS status,
    tasks.node_filter::text AS node_filter,
    ARRAY(
        SELECT child.task_id
        FROM tasks AS child
        WHERE child.parent_task_id = tasks.task_id
    ) AS subtask_id_list,
    tasks.created::timestamptz AS created,
    tasks.created_by::text AS created_by,
    tasks.updated,
    tasks."terminated" AS terminated_at,
    tasks.terminated_by,
    tasks."terminate" AS terminate,
    tasks.retry,
    tasks.result_message,
    tasks.result_reason,
    tasks.result_status::text AS result_status,
    coalesce(tasks.result_successes, '{}') AS result_successes,
    coalesce(tasks.result_failures, '{}') AS result_failures,
    tasks.result_links::text AS result_links,
    (
        SELECT count(*) FROM result_message AS said WHERE said.task_id = tasks.task_id AND said.error
    ) AS error_count,
    log.messages,
    log.errors,
    log.context_types,
    log.contexts,
    log.instants,
    log.extras
FROM tree
CROSS JOIN LATERAL (
    SELECT
        read.task_id, read.action, read.parent_task_id, read.design_ref, read.status, read.node_filter, read.created,
        read.created_by, read.updated, read."terminated", read.terminated_by, read."terminate", read.retry,
        read.result_message, read.result_reason, read.result_status, read.result_successes, read.result_failures,
        read.result_links
    FROM tasks AS read
    WHERE read.task_id = tree.task_id
    OFFSET 0
) AS tasks
CROSS JOIN LATERAL (
    SELECT
        coalesce(array_agg(last.message ORDER BY last.sequence), '{}') AS messages,
        coalesce(array_agg(last.error ORDER BY last.sequence), '{}') AS errors,
        coalesce(array_agg(last.context_type ORDER BY last.sequence), '{}') AS context_types,
        coalesce(array_agg(last.context ORDER BY last.sequence), '{}') AS contexts,
        coalesce(array_agg(last.ts ORDER BY last.sequence), '{}') AS instants,
        coalesce(array_agg(last.extra::text ORDER BY last.sequence), '{}') AS extras
    FROM (
        SELECT said.sequence, said.message, said.error, said.context_type, said.context, said.ts, said.extra
        FROM result_message AS said
        WHERE said.task_id = tasks.task_id
        ORDER BY said.sequence DESC
        LIMIT $3
    ) AS last
) AS log
WHERE NOT $4
   OR tree.layer > 1
  AND EXISTS (
      SELECT FROM result_message AS said WHERE said.task_id = tasks.task_id AND said.error
  )
ORDER BY tree.layer, tasks.task_id
