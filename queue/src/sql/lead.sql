-- Takes or renews the lead. Always returns one row: who leads, the epoch, and for how long still.
--   $1 identity uuid, random per process   $2 lease in seconds float8
-- Locks the one row, for the length of the statement; a candidate that comes too early changes nothing.
WITH led AS (
    UPDATE active_instance
    SET identity = $1,
        epoch = epoch + CASE WHEN identity IS NOT DISTINCT FROM $1 THEN 0 ELSE 1 END,
        lease_expires_at = now() + make_interval(secs => $2)
    WHERE identity = $1
       OR lease_expires_at < now()
    RETURNING identity, epoch, lease_expires_at
)
SELECT
    identity = $1 AS leads,
    epoch,
    extract(epoch FROM lease_expires_at - now())::float8 AS remaining_seconds
FROM led
UNION ALL
SELECT
    false,
    epoch,
    extract(epoch FROM lease_expires_at - now())::float8
FROM active_instance
WHERE NOT EXISTS (SELECT FROM led)
