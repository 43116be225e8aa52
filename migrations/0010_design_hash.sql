-- Which version of its design a task works with.
--
-- Why: a reference stays the same while the documents behind it change; the hash tells later which they were.
-- Locks: ACCESS EXCLUSIVE on tasks, for as long as it takes to change the catalogue: no row is read or written, however
-- many there are.
-- Undo: ALTER TABLE tasks DROP COLUMN design_hash.

ALTER TABLE tasks
    -- by the holder, with the outcome of an attempt: SHA-256 of the bytes; NULL: its action wants no design, or none came
    ADD COLUMN design_hash bytea;

-- Whoever completes tasks writes it: workers go on before roles.sql is run again.
DO $grants$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT quote_ident(given.grantee)
        FROM information_schema.column_privileges AS given
        WHERE given.table_schema = current_schema()
            AND given.table_name = 'tasks'
            AND given.column_name = 'result_links'
            AND given.privilege_type = 'UPDATE'
    LOOP
        EXECUTE format('GRANT UPDATE (design_hash) ON tasks TO %s', CASE grantee WHEN '"PUBLIC"' THEN 'PUBLIC' ELSE grantee END);
    END LOOP;
END
$grants$;
