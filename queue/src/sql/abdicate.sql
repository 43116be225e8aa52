-- Gives the lead up, so that another takes it without waiting for the lease.
--   $1 identity uuid   $2 epoch bigint
UPDATE active_instance
SET lease_expires_at = '-infinity'
WHERE identity = $1
  AND epoch = $2
