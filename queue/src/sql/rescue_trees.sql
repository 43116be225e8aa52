-- Ends the tasks of trees that dead workers held and that have no attempt left, or are terminating; parameters, rules
-- and the message in the log as in rescue. One row a task.
--   $1 identity uuid   $2 epoch bigint: the leader's   $3 worker_id uuid: the witness   $4 limit of claims int
WITH rescued AS MATERIALIZED (
    SELECT task_id, queue, status
    FROM rescue_trees($1, $2, $3, $4)
),
noted AS (
    INSERT INTO result_message (task_id, sequence, error, message, context, context_type, extra)
    SELECT
        tasks.task_id,
        next_message(tasks.task_id),
        true,
        attempt_notice(
            tasks.attempt,
            tasks.max_attempts,
            'worker_died',
            'the worker that held attempt ' || tasks.attempt || ' stopped reporting',
            NULL
        ),
        'attempt ' || tasks.attempt,
        'attempt',
        attempt_facts(tasks.attempt, 'worker_died', NULL)
    FROM rescued
    JOIN tasks ON tasks.task_id = rescued.task_id
    WHERE rescued.status NOT IN ('terminating', 'terminated')
    ON CONFLICT (task_id, sequence) DO NOTHING
)
SELECT task_id, queue, status
FROM rescued
