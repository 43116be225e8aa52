-- Which triggers of these tables and their partitions do not fire, with the statement that mends each.
--   $1 tables text[]
-- Index: none; the catalog alone.
SELECT
    tgname::text AS name,
    leaf.relname::text AS table_name,
    format('ALTER TABLE %I ENABLE TRIGGER %I', leaf.relname, tgname) AS remedy
FROM pg_trigger
JOIN pg_class AS leaf ON leaf.oid = tgrelid
LEFT JOIN pg_class AS root ON root.oid = pg_partition_root(leaf.oid)
WHERE leaf.relnamespace = quote_ident(current_schema())::regnamespace
  AND coalesce(root.relname, leaf.relname) = ANY ($1::text[])
  AND tgenabled NOT IN ('O', 'A')
ORDER BY leaf.relname, tgname
