-- Writes why a schedule does not fire; false when its row was edited since, or is locked by who edits it.
--   $1 identity uuid   $2 epoch bigint: the leader's; SQLSTATE LS001 if it is not active
--   $3 name text       $4 revision bigint   $5 error text   $6 interval until the next try
SELECT refuse_schedule($1, $2, $3, $4, $5, $6)
