-- Deletes ticks older than $3 whose task has ended or is gone, at most $4, and says how many.
--   $1 identity uuid   $2 epoch bigint: the leader's; SQLSTATE LS001 if it is not active
--   $3 retention interval   $4 limit int
-- Index: schedule_ticks_fire_at, then the primary key of tasks.
SELECT prune_ticks($1, $2, $3, $4)
