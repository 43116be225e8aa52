-- Reports a worker alive; no row when it has been declared dead. A gap longer than two thirds of its lease begins
-- beating_since anew: this worker cannot testify that the database could be reached meanwhile.
--   $1 worker_id uuid
UPDATE workers
SET heartbeat_at = now(),
    beating_since = CASE WHEN heartbeat_at < now() - lease * 2 / 3 THEN now() ELSE beating_since END
WHERE worker_id = $1
RETURNING worker_id
