-- For how many seconds the oldest transaction has been open that keeps vacuum from dead rows; 0 when none does.
-- Sessions of other roles are seen by members of pg_read_all_stats alone.
-- Index: none.
SELECT coalesce(extract(epoch FROM now() - min(holder.since)), 0)::float8
FROM (
    SELECT xact_start AS since
    FROM pg_stat_activity
    WHERE backend_xmin IS NOT NULL
      AND datname = current_database()
      AND pid <> pg_backend_pid()
      AND xact_start IS NOT NULL
    UNION ALL
    SELECT prepared
    FROM pg_prepared_xacts
    WHERE database = current_database()
) AS holder
