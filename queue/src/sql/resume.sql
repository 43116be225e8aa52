-- Ends a pause, exactly the one of this queue and action; no row where there is none, or it holds no more. Wakes the
-- workers.
--   $1 queue text or NULL: any   $2 action text or NULL: any
DELETE FROM pauses
WHERE queue IS NOT DISTINCT FROM $1::text
  AND action IS NOT DISTINCT FROM $2::text
RETURNING coalesce("until" > now(), true) AS held
