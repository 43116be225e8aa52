-- Adds an entry of build data for a held task; one that is there already stays as it is. False when the task was locked
-- by somebody else or is no longer held by this claim.
--   $1 task_id uuid   $2 claim_token uuid: the fence   $9 queue text: the task's
--   $3 build_id uuid  $4 node_name text     $5 collected_date timestamptz, NULL: now
--   $6 generator text $7 data_format text   $8 data_element text
-- Index: the primary keys. FOR SHARE keeps the claim in place until the entry is committed, without waiting.
WITH held AS MATERIALIZED (
    SELECT tasks.task_id
    FROM tasks
    WHERE tasks.task_id = $1
      AND tasks.queue = $9
      AND tasks.claim_token = $2
      AND tasks.status IN ('running', 'terminating')
    FOR SHARE OF tasks SKIP LOCKED
),
recorded AS (
    INSERT INTO build_data (build_id, node_name, task_id, collected_date, generator, data_format, data_element)
    SELECT $3, $4, held.task_id, coalesce($5, now()), $6, $7, $8
    FROM held
    ON CONFLICT (build_id) DO NOTHING
)
SELECT EXISTS (SELECT FROM held)
