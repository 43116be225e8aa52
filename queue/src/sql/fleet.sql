-- How many workers have reported within their lease, and how many claims are open.
SELECT
    (SELECT count(*) FROM workers WHERE heartbeat_at > now() - lease) AS alive,
    (SELECT coalesce(sum(cardinality(task_ids)), 0) FROM claims)::bigint AS claimed
