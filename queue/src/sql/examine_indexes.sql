-- Which indexes of these tables and their partitions answer nothing, or are not kept up, with the statement that mends
-- each: an interrupted CREATE INDEX CONCURRENTLY leaves such.
--   $1 tables text[]
-- Index: none; the catalog alone.
SELECT
    index.relname::text AS name,
    leaf.relname::text AS table_name,
    CASE index.relkind
        WHEN 'I' THEN format('CREATE the index on each partition that lacks it and ALTER INDEX %I ATTACH PARTITION', index.relname)
        ELSE format('REINDEX INDEX CONCURRENTLY %I', index.relname)
    END AS remedy
FROM pg_index
JOIN pg_class AS index ON index.oid = indexrelid
JOIN pg_class AS leaf ON leaf.oid = indrelid
LEFT JOIN pg_class AS root ON root.oid = pg_partition_root(leaf.oid)
WHERE leaf.relnamespace = quote_ident(current_schema())::regnamespace
  AND coalesce(root.relname, leaf.relname) = ANY ($1::text[])
  AND NOT (indisvalid AND indisready AND indislive)
ORDER BY index.relname
