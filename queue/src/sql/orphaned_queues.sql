-- The queues of the claims that rescue would take; parameters and rules as there. Buries dead workers that have no
-- claim left.
--   $1 identity uuid   $2 epoch bigint: the leader's   $3 worker_id uuid: the witness
-- Index: the primary keys, claims_worker.
WITH leader AS MATERIALIZED (
    SELECT
    FROM active_instance
    WHERE identity = $1
      AND epoch = $2
      AND lease_expires_at > now()
    FOR SHARE
),
dead AS MATERIALIZED (
    SELECT workers.worker_id
    FROM workers
    WHERE EXISTS (SELECT FROM leader)
      AND workers.heartbeat_at < now() - workers.lease
      AND EXISTS (
          SELECT
          FROM workers AS witness
          WHERE witness.worker_id = $3
            AND witness.heartbeat_at > now() - witness.lease * 2 / 3
            AND witness.beating_since < now() - workers.lease
      )
    FOR UPDATE SKIP LOCKED
),
buried AS (
    DELETE FROM workers
    WHERE workers.worker_id IN (SELECT worker_id FROM dead)
      AND NOT EXISTS (SELECT FROM claims WHERE claims.worker_id = workers.worker_id)
)
SELECT DISTINCT claims.queue::text AS queue
FROM claims
WHERE claims.worker_id IN (SELECT worker_id FROM dead)
   OR (
      EXISTS (SELECT FROM leader)
      AND claims.claimed_at < now() - interval '1 minute'
      AND NOT EXISTS (SELECT FROM workers WHERE workers.worker_id = claims.worker_id)
   )
ORDER BY queue
