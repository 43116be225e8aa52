-- What the schema is made of: one row for each object with its facts, and once more the facts with {schema} for the
-- schema's name, which a few functions have in their text. Partitions are left out, and what is not the same on servers
-- of all versions and builds: NOT NULL as a constraint (18), a view's text (16), the body of task_uuidv7, how
-- data_element is stored (by whether there is lz4), and pg_temp behind the schema in a function's search_path (by
-- whether its migration was applied in one session with the first).
-- Index: none; the catalog alone.
WITH relation AS MATERIALIZED (
    SELECT oid, relname, relkind, relpersistence, relrowsecurity, reloptions
    FROM pg_class
    WHERE relnamespace = quote_ident(current_schema())::regnamespace
      AND relkind IN ('r', 'p', 'v', 'S')
      AND NOT relispartition
),
object (kind, table_name, name, facts, anywhere) AS (
    SELECT
        CASE relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END,
        NULL,
        relname::text,
        concat_ws(
            ', ',
            coalesce('by ' || pg_get_partkeydef(oid), 'plain'),
            CASE relpersistence WHEN 'u' THEN 'unlogged' END,
            CASE WHEN relrowsecurity THEN 'row security' END),
        NULL
    FROM relation
    UNION ALL
    SELECT
        'storage',
        relname::text,
        relname::text,
        (SELECT string_agg(option, ', ') FROM unnest(reloptions) AS option WHERE option LIKE 'fillfactor=%'),
        NULL
    FROM relation
    WHERE array_to_string(reloptions, ' ') LIKE '%fillfactor=%'
    UNION ALL
    SELECT
        'column',
        relation.relname::text,
        relation.relname || '.' || attname,
        concat_ws(
            ' ',
            format_type(atttypid, atttypmod),
            CASE WHEN attnotnull THEN 'NOT NULL' END,
            CASE attgenerated WHEN 's' THEN 'GENERATED AS ' ELSE 'DEFAULT ' END || pg_get_expr(adbin, adrelid),
            CASE WHEN attstorage <> typstorage AND attname <> 'data_element' THEN concat('STORAGE ', attstorage) END),
        NULL
    FROM relation
    JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
    JOIN pg_type ON pg_type.oid = atttypid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relation.relkind <> 'S'
    UNION ALL
    SELECT
        'constraint',
        relation.relname::text,
        concat(relation.relname, typname, '.', conname),
        pg_get_constraintdef(pg_constraint.oid, true),
        NULL
    FROM pg_constraint
    LEFT JOIN relation ON relation.oid = conrelid
    LEFT JOIN pg_type ON pg_type.oid = contypid
    WHERE connamespace = quote_ident(current_schema())::regnamespace
      AND contype IN ('c', 'p', 'u', 'f', 'x')
      AND (relation.oid IS NOT NULL OR contypid <> 0)
    UNION ALL
    SELECT
        'index',
        relation.relname::text,
        index.relname::text,
        pg_get_indexdef(index.oid, 0, true),
        NULL
    FROM relation
    JOIN pg_index ON indrelid = relation.oid
    JOIN pg_class AS index ON index.oid = indexrelid
    UNION ALL
    SELECT
        'trigger',
        relation.relname::text,
        relation.relname || '.' || tgname,
        pg_get_triggerdef(pg_trigger.oid, true),
        NULL
    FROM relation
    JOIN pg_trigger ON tgrelid = relation.oid AND NOT tgisinternal
    UNION ALL
    SELECT
        'type',
        NULL,
        typname::text,
        coalesce(
            (SELECT string_agg(enumlabel, ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = pg_type.oid),
            format_type(typbasetype, typtypmod)),
        NULL
    FROM pg_type
    WHERE typnamespace = quote_ident(current_schema())::regnamespace
      AND typtype IN ('e', 'd')
    UNION ALL
    SELECT
        'function',
        NULL,
        format('%s(%s)', proname, pg_get_function_identity_arguments(pg_proc.oid)),
        signature || md5(prosrc),
        signature || md5(regexp_replace(prosrc, '"?\m' || current_schema() || '\M"?', '{schema}', 'g'))
    FROM pg_proc
    JOIN pg_language ON pg_language.oid = prolang
    CROSS JOIN LATERAL (
        SELECT concat_ws(
            ' ',
            pg_get_function_result(pg_proc.oid),
            lanname,
            CASE provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' END,
            CASE WHEN proisstrict THEN 'STRICT' END,
            CASE WHEN prosecdef THEN 'SECURITY DEFINER' END,
            CASE WHEN has_function_privilege('public', pg_proc.oid, 'EXECUTE') THEN 'for PUBLIC' END,
            regexp_replace(
                array_to_string(proconfig, ' '),
                'search_path=' || quote_ident(current_schema()) || '(, pg_temp)?',
                'search_path={schema}'),
            ''
        )
    ) AS declared (signature)
    WHERE pronamespace = quote_ident(current_schema())::regnamespace
)
SELECT
    kind,
    table_name,
    name,
    coalesce(facts, '') AS facts,
    coalesce(anywhere, facts, '') AS facts_anywhere
FROM object
WHERE name <> 'task_uuidv7()'
ORDER BY kind COLLATE "C", name COLLATE "C"
