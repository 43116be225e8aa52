-- Decides ticks of a schedule: a row each, and a task where it fires. Returns what was decided; nothing when the row is
-- not as it was planned on. The function is told in migrations/0004_schedules.sql.
--   $1 identity uuid   $2 epoch bigint: the leader's; SQLSTATE LS001 if it is not active
--   $3 name text       $4 revision bigint   $5 ticked_to timestamptz: the row that was planned on
--   $6 fire_at timestamptz[]    $7 missed_at timestamptz, the last that is passed over, or NULL
--   $8 ticked_to timestamptz    $9 next_at timestamptz: where the row stands afterwards
-- Index: the primary keys. FOR SHARE on the lead, FOR UPDATE on the schedule; a row that is locked is passed over.
SELECT
    fire_at,
    outcome::text AS outcome,
    task_id,
    lag_seconds
FROM tick_schedule($1, $2, $3, $4, $5, $6, $7, $8, $9)
