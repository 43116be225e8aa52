-- How many tasks a second were inserted of late, by queue: of the newest $1 tasks, those of the last $2 seconds.
--   $1 bound int   $2 seconds float8
-- Index: the primary key, backwards. No locks.
WITH newest AS MATERIALIZED (
    SELECT tasks.queue::text AS queue, tasks.task_id
    FROM tasks
    WHERE tasks.task_id >= task_id_floor(now() - make_interval(secs => $2))
    ORDER BY tasks.task_id DESC
    LIMIT $1
),
span AS (
    SELECT CASE
        WHEN count(*) < $1 THEN $2
        ELSE greatest(extract(epoch FROM now() - min(task_id_instant(newest.task_id)))::float8, 0.001)
    END AS seconds
    FROM newest
)
SELECT newest.queue, count(*) / min(span.seconds) AS per_second
FROM newest
CROSS JOIN span
GROUP BY newest.queue
