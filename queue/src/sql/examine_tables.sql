-- How these tables and their partitions are kept: one row for each that holds rows. Counts are those of the server's
-- statistics; dead_rows_due is from when on autovacuum looks at it by the server's settings.
--   $1 tables text[]
-- Index: none; file sizes, statistics and the catalog alone.
SELECT
    leaf.relname::text AS name,
    coalesce(root.relname, leaf.relname)::text AS root,
    coalesce(leaf.reloptions, '{}') AS options,
    EXISTS (SELECT FROM pg_trigger WHERE tgrelid = leaf.oid AND tgname IN ('tasks_sealed', 'sealed_change')) AS sealed,
    pg_total_relation_size(leaf.oid) AS bytes,
    pg_stat_get_live_tuples(leaf.oid) AS live_rows,
    pg_stat_get_dead_tuples(leaf.oid) AS dead_rows,
    (current_setting('autovacuum_vacuum_threshold')::float8
        + current_setting('autovacuum_vacuum_scale_factor')::float8 * pg_stat_get_live_tuples(leaf.oid)) AS dead_rows_due,
    extract(epoch FROM now() - greatest(
        pg_stat_get_last_vacuum_time(leaf.oid), pg_stat_get_last_autovacuum_time(leaf.oid)))::float8 AS vacuumed_seconds_ago,
    extract(epoch FROM now() - greatest(
        pg_stat_get_last_analyze_time(leaf.oid), pg_stat_get_last_autoanalyze_time(leaf.oid)))::float8 AS analyzed_seconds_ago,
    format('%I', leaf.relname) AS identifier
FROM pg_class AS leaf
LEFT JOIN pg_class AS root ON root.oid = pg_partition_root(leaf.oid)
WHERE leaf.relnamespace = quote_ident(current_schema())::regnamespace
  AND leaf.relkind = 'r'
  AND coalesce(root.relname, leaf.relname) = ANY ($1::text[])
ORDER BY leaf.relname
