-- What the tables weigh, and how many of their rows are dead and not yet vacuumed away: one row a table, its partitions
-- together. Counts are those of the server's statistics.
--   $1 names text[]
-- Index: none; file sizes, statistics and the catalog alone.
SELECT
    coalesce(root.relname, leaf.relname)::text AS table_name,
    sum(pg_total_relation_size(leaf.oid))::bigint AS bytes,
    sum(pg_stat_get_live_tuples(leaf.oid))::bigint AS live_rows,
    sum(pg_stat_get_dead_tuples(leaf.oid))::bigint AS dead_rows
FROM pg_class AS leaf
LEFT JOIN pg_class AS root ON root.oid = pg_partition_root(leaf.oid)
WHERE leaf.relnamespace = quote_ident(current_schema())::regnamespace
  AND leaf.relkind = 'r'
  AND coalesce(root.relname, leaf.relname) = ANY ($1::text[])
GROUP BY coalesce(root.relname, leaf.relname)
