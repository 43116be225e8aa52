-- Inserts a schedule's task now; no row when there is none of that name.
--   $1 name text
-- FOR UPDATE on the schedule.
SELECT
    outcome::text AS outcome,
    task_id
FROM run_schedule($1)
