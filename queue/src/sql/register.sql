-- Enters a worker with the queues that it serves, or enters it again after it was declared dead.
--   $1 worker_id uuid   $2 name text   $3 version text   $4 lease in seconds float8
--   $5 queue text[]     $6 the actions that it claims from each, as JSON arrays jsonb[]   $7 slots of each int[]
--   $8 whether it drains, since it was told to before boolean
WITH entered AS (
    INSERT INTO workers (worker_id, name, version, lease, draining_since)
    VALUES ($1, $2, $3, make_interval(secs => $4), CASE WHEN $8::boolean THEN now() END)
    ON CONFLICT (worker_id) DO NOTHING
)
INSERT INTO worker_queues (worker_id, queue, actions, slots, free_slots)
SELECT
    $1,
    served.queue,
    ARRAY(SELECT jsonb_array_elements_text(served.actions)),
    served.slots,
    served.slots
FROM unnest($5::text[], $6::jsonb[], $7::int[]) AS served (queue, actions, slots)
ON CONFLICT (worker_id, queue) DO NOTHING
