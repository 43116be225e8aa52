-- The newest tasks before an id that pass a filter, and where to go on. Looks at $8 tasks at most, since no index knows
-- what the filter asks for.
--   $1 task_id uuid, exclusive       $2 limit int                    $3 queue text or NULL   $4 action text or NULL
--   $5 statuses text[] or NULL       $6 result statuses text[] or NULL
--   $7 name of the schedule that inserted it, text or NULL           $8 tasks looked at int
-- Index: the primary key, backwards. No locks.
WITH walked AS MATERIALIZED (
    SELECT
        tasks.task_id,
        ($3::text IS NULL OR tasks.queue = $3)
            AND ($4::text IS NULL OR tasks.action = $4)
            AND ($5::text[] IS NULL OR tasks.status::text = ANY ($5))
            AND ($6::text[] IS NULL OR tasks.result_status::text = ANY ($6))
            AND ($7::text IS NULL OR tasks.request_context -> 'schedule' ->> 'name' = $7) AS passes
    FROM tasks
    WHERE tasks.task_id < $1
    ORDER BY tasks.task_id DESC
    LIMIT $8
)
SELECT
    ARRAY(
        SELECT walked.task_id FROM walked WHERE walked.passes ORDER BY walked.task_id DESC LIMIT $2
    ) AS task_ids,
    (
        SELECT walked.task_id FROM walked ORDER BY walked.task_id DESC OFFSET $8 - 1 LIMIT 1
    ) AS walked_to
