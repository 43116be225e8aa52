-- The last sequence number and the number of error messages of each task; zeros where it has none.
--   $1 task_id uuid[]
-- Index: the primary key of result_message.
SELECT
    given.task_id,
    coalesce(max(result_message.sequence), 0) AS sequence,
    count(*) FILTER (WHERE result_message.error)::int AS error_count
FROM unnest($1::uuid[]) AS given (task_id)
LEFT JOIN result_message ON result_message.task_id = given.task_id
GROUP BY given.task_id
