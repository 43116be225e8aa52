-- Enters a worker, or enters it again after it was declared dead.
--   $1 worker_id uuid   $2 name text   $3 version text   $4 lease in seconds float8
INSERT INTO workers (worker_id, name, version, lease)
VALUES ($1, $2, $3, make_interval(secs => $4))
ON CONFLICT (worker_id) DO NOTHING
