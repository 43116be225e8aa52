-- Reports a worker alive, and what it has in hand; one row: whether it shall drain, or none when it has been declared dead. A
-- gap longer than two thirds of its lease begins beating_since anew: this worker cannot testify that the database could be
-- reached meanwhile.
--   $1 worker_id uuid   $2 whether it drains by itself boolean
--   $3 queue text[]     $4 running int[]   $5 free slots int[]   $6 claimed a second real[]   $7 finished a second real[]
-- Index: the primary keys. Rows of queues that stay as they are are not written.
WITH alive AS (
    UPDATE workers
    SET heartbeat_at = now(),
        beating_since = CASE WHEN heartbeat_at < now() - lease * 2 / 3 THEN now() ELSE beating_since END,
        draining_since = CASE WHEN $2 THEN coalesce(draining_since, now()) ELSE draining_since END
    WHERE worker_id = $1
    RETURNING worker_id, draining_since
),
reported AS (
    UPDATE worker_queues
    SET running = given.running,
        free_slots = given.free_slots,
        claimed_per_second = given.claimed_per_second,
        finished_per_second = given.finished_per_second
    FROM alive
    CROSS JOIN unnest($3::text[], $4::int[], $5::int[], $6::real[], $7::real[])
        AS given (queue, running, free_slots, claimed_per_second, finished_per_second)
    WHERE worker_queues.worker_id = alive.worker_id
      AND worker_queues.queue = given.queue
      AND (
          worker_queues.running,
          worker_queues.free_slots,
          worker_queues.claimed_per_second,
          worker_queues.finished_per_second
      ) IS DISTINCT FROM (
          given.running,
          given.free_slots,
          given.claimed_per_second,
          given.finished_per_second
      )
)
SELECT draining_since IS NOT NULL AS drains
FROM alive
