-- The claims of a worker that it does not know of, with their tasks: the answer to the claim was lost.
--   $1 worker_id uuid   $2 known claim_token uuid[]   $3 claim_token uuid[] whose answer is known to have failed
-- Index: claims_worker. Of the others only claims older than the client's and the server's limit on a statement: a
-- younger one may have an answer on its way.
SELECT claim_token, queue::text AS queue, task_ids
FROM claims
WHERE worker_id = $1
  AND claim_token <> ALL ($2::uuid[])
  AND (claimed_at < now() - interval '13 seconds' OR claim_token = ANY ($3::uuid[]))
LIMIT 100
