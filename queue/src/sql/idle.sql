-- Says until when an INSERT shall notify this worker; NULL seconds: it polls.
--   $1 worker_id uuid   $2 from now, in seconds float8
UPDATE workers
SET idle_until = now() + make_interval(secs => $2)
WHERE worker_id = $1
