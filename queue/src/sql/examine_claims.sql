-- Claims of workers that are not there, made longer than $1 seconds ago: how many, with how many tasks, how old.
--   $1 grace in seconds float8
-- Index: none; the table has a row for each batch under way.
SELECT
    count(*) AS claims,
    coalesce(sum(cardinality(claims.task_ids)), 0)::bigint AS tasks,
    coalesce(extract(epoch FROM now() - min(claims.claimed_at)), 0)::float8 AS oldest_seconds
FROM claims
WHERE claims.claimed_at < now() - make_interval(secs => $1)
  AND NOT EXISTS (SELECT FROM workers WHERE workers.worker_id = claims.worker_id)
