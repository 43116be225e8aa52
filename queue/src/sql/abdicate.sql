-- Gives the lead up, so that another takes it without waiting for the lease.
--   $1 identity uuid   $2 epoch bigint
UPDATE active_instance
SET lease_expires_at = '1970-01-01 00:00:00+00'
WHERE identity = $1
  AND epoch = $2
