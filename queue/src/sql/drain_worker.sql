-- Tells a worker to drain; false when there is none of that id, or it drains already.
--   $1 worker_id uuid
SELECT drain_worker($1)
