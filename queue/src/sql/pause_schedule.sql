-- Pauses a schedule or lets it go on; no row when there is none.
--   $1 name text   $2 paused boolean
-- Index: the primary key.
UPDATE schedules
SET paused = $2
WHERE name = $1
