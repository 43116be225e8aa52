-- Takes a worker out that holds nothing any more; one that still has claims stays, to be rescued.
--   $1 worker_id uuid
DELETE FROM workers
WHERE worker_id = $1
  AND NOT EXISTS (SELECT FROM claims WHERE claims.worker_id = $1)
