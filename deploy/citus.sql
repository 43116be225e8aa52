-- Distributes an installation by queue over the nodes of a Citus cluster (Citus 12 or newer, Postgres 15 to 18), for whoever
-- evaluates that. Run it by psql on the coordinator, as the owner of the tables, after `longshore migrate`, with the
-- schema first in search_path and no worker running. `longshore migrate` never runs it.
--
-- State: workers of this version cannot settle tasks on what it makes; deploy/CITUS.md lists what is missing, and why
-- cells are the way to several servers. The first part runs in a test on plain Postgres. The second has not been run:
-- there was no Citus to run it on.
--
-- Locks: ACCESS EXCLUSIVE on tasks, while the new key is built. Undo: restore from a dump.
\set ON_ERROR_STOP on
BEGIN;

-- A distributed table has no triggers. Gone with them: unique keys, places in trees, "terminate" by UPDATE, notifications
-- of an INSERT, the limits of partitions that are being rewritten, claims of workers that do not say their queue.
-- Producers must insert rows without unique_key, parent_task_id and "after"; workers need notify = false.
DO $triggers$
DECLARE
    of_table record;
BEGIN
    FOR of_table IN
        SELECT tgname AS name, tgrelid::regclass AS "table"
        FROM pg_trigger
        WHERE (tgrelid = ANY (SELECT relid FROM pg_partition_tree('tasks')) OR tgrelid = 'claims'::regclass)
          AND NOT tgisinternal AND tgparentid = 0
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', of_table.name, of_table."table");
    END LOOP;
END
$triggers$;

-- A unique key must hold the column that the table is distributed by.
ALTER TABLE tasks DROP CONSTRAINT tasks_pkey;
ALTER TABLE tasks ADD CONSTRAINT tasks_pkey PRIMARY KEY (task_id, queue);
ALTER TABLE claims DROP CONSTRAINT claims_pkey;
ALTER TABLE claims ADD CONSTRAINT claims_pkey PRIMARY KEY (claim_token, queue);

COMMIT;

-- From here on Citus.
CREATE EXTENSION IF NOT EXISTS citus;
SELECT create_distributed_table('tasks', 'queue');
SELECT create_distributed_table('claims', 'queue', colocate_with => 'tasks');
-- Read and written beside any queue's tasks: on the coordinator alone, where they keep their triggers. Nothing is done
-- for result_message and task_output, which would have to lie beside their tasks.
SELECT citus_add_local_table_to_metadata('pauses');
-- with worker_queues, whose key names it
SELECT citus_add_local_table_to_metadata('workers', cascade_via_foreign_keys => true);
SELECT citus_add_local_table_to_metadata('active_instance');
SELECT citus_add_local_table_to_metadata('build_data');
