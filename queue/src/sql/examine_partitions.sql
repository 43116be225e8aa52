-- The partitions of the three tables that go along, oldest first, with the instants that bound them (NULL is open) and
-- how many tasks lie in one that is open to an end, counted up to 1000.
-- Index: the primary key, one range for each open end; else the catalog alone.
WITH leaf AS MATERIALIZED (
    SELECT
        parent.relname::text AS parent,
        child.relname::text AS name,
        substring(bounds FROM 'FROM \(''([0-9a-f-]+)')::uuid AS lower_id,
        substring(bounds FROM 'TO \(''([0-9a-f-]+)')::uuid AS upper_id,
        inhdetachpending AS detaching,
        format('ALTER TABLE %I DETACH PARTITION %I FINALIZE', parent.relname, child.relname) AS finalize
    FROM pg_inherits
    JOIN pg_class AS parent ON parent.oid = inhparent
    JOIN pg_class AS child ON child.oid = inhrelid
    CROSS JOIN pg_get_expr(child.relpartbound, child.oid) AS bounds
    WHERE parent.relnamespace = quote_ident(current_schema())::regnamespace
      AND parent.relname IN ('tasks', 'result_message', 'task_output')
)
SELECT
    parent,
    name,
    task_id_instant(lower_id) AS lower_at,
    task_id_instant(upper_id) AS upper_at,
    now() AS clock,
    detaching,
    finalize,
    CASE
        WHEN parent <> 'tasks' THEN 0
        WHEN lower_id IS NULL THEN (
            SELECT count(*) FROM (SELECT FROM tasks WHERE tasks.task_id < upper_id LIMIT 1000) AS bounded
        )
        WHEN upper_id IS NULL THEN (
            SELECT count(*) FROM (SELECT FROM tasks WHERE tasks.task_id >= lower_id LIMIT 1000) AS bounded
        )
        ELSE 0
    END AS tasks
FROM leaf
ORDER BY parent, lower_id NULLS FIRST
