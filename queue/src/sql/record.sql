-- Appends messages to held tasks; one that is there already (the same statement sent again) stays as it is. Returns the
-- ids of the tasks whose messages are there: one that is missing was locked by somebody else, or is no longer held by
-- this claim.
--   $1 task_id uuid[]    $2 claim_token uuid[]   the tasks, each once
--   $3 task_id uuid[]    $4 sequence int[]       $5 error boolean[]   $6 message text[]
--   $7 context text[]    $8 context_type text[]  $9 extra jsonb[]     the messages
--   $10 queue text, that of all the tasks
-- Index: the primary keys. FOR SHARE keeps the claim in place until the messages are committed, without waiting, so
-- that one foreign lock does not hold up the others.
WITH held AS MATERIALIZED (
    SELECT tasks.task_id
    FROM unnest($1::uuid[], $2::uuid[]) AS given (task_id, claim_token)
    JOIN tasks ON tasks.task_id = given.task_id
    WHERE tasks.queue = $10
      AND tasks.claim_token = given.claim_token
      AND tasks.status IN ('running', 'terminating')
    FOR SHARE OF tasks SKIP LOCKED
),
recorded AS (
    INSERT INTO result_message (task_id, sequence, error, message, context, context_type, extra)
    SELECT given.task_id, given.sequence, given.error, given.message, given.context, given.context_type, given.extra
    FROM unnest($3::uuid[], $4::int[], $5::boolean[], $6::text[], $7::text[], $8::text[], $9::jsonb[])
        AS given (task_id, sequence, error, message, context, context_type, extra)
    JOIN held ON held.task_id = given.task_id
    ON CONFLICT (task_id, sequence) DO NOTHING
)
SELECT task_id
FROM held
