-- The seven roles of an installation, each with the least that its work needs. Run it by psql as the owner of the tables
-- (and one who may create roles, or finds them made), after every `longshore migrate`; again, it changes nothing.
--
--   longshore migrate --grant                          (does both)
--   psql -v schema=public -f deploy/roles.sql          (the schema of the tables; public where it is left out)
--
-- The roles cannot log in: GRANT longshore_producer TO my_application. They serve all installations of a server.
--
--   longshore_producer    inserts tasks and learns their ids; reads nothing, not even its own tasks
--   longshore_worker      runs `longshore worker`; owns nothing, so it can change no table
--   longshore_reader      reads everything, changes nothing
--   longshore_scheduler   writes, pauses and runs schedules, and sees their ticks: whatever it schedules is inserted
--   longshore_operator    reads everything, pauses and resumes queues and actions, and tells workers to drain
--   longshore_scaler      asks how many workers a queue needs, by two functions; reads nothing
--   longshore_terminator  asks for the end of a task it knows the id of, and nothing else
--
-- Nobody but the owner may create objects in the schema: what runs there as the owner would find them.

\set ON_ERROR_STOP on
\if :{?schema}
\else
    \set schema public
\endif

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT set_config('search_path', quote_ident(:'schema') || ', pg_temp', true);

DO $roles$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY[
        'longshore_producer', 'longshore_worker', 'longshore_reader', 'longshore_scheduler', 'longshore_operator',
        'longshore_scaler', 'longshore_terminator'
    ] LOOP
        -- not even tried where it is there: an owner who may create no roles has them made by somebody else
        IF to_regrole(role) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
END
$roles$;

REVOKE CREATE ON SCHEMA :"schema" FROM PUBLIC;
GRANT USAGE ON SCHEMA :"schema"
    TO longshore_producer, longshore_worker, longshore_reader, longshore_scheduler, longshore_operator, longshore_scaler,
        longshore_terminator;

GRANT
    SELECT (task_id),
    INSERT (
        task_id, parent_task_id, action, queue, priority, payload, design_ref, node_filter, request_context, run_at,
        max_attempts, "timeout", "after", unique_key, unique_until, created, created_by,
        on_subtask_failure
    )
ON tasks TO longshore_producer;

-- A worker also inserts: what its executors ask for as subtasks.
GRANT
    SELECT,
    INSERT (
        task_id, parent_task_id, action, queue, priority, payload, design_ref, node_filter, request_context, run_at,
        max_attempts, "timeout", "after", unique_key, unique_until, created, created_by,
        on_subtask_failure
    ),
    UPDATE (
        status, attempt, claim_token, run_at, started_at, updated, finished_at, "terminated",
        terminated_by, result_status, result_message, result_reason, result_error_count, result_successes,
        result_failures, result_links, output, design_hash
    )
ON tasks TO longshore_worker;
GRANT SELECT, INSERT ON result_message, task_output TO longshore_worker;
GRANT SELECT, INSERT, DELETE, UPDATE (heartbeat_at, beating_since, idle_until, draining_since) ON workers TO longshore_worker;
GRANT SELECT, INSERT, UPDATE (running, free_slots, claimed_per_second, finished_per_second) ON worker_queues TO longshore_worker;
-- the commands of an operator are run with a worker's credentials as well
GRANT SELECT, INSERT, UPDATE, DELETE ON pauses TO longshore_worker;
-- no statement changes a claim; FOR UPDATE asks for the right to change some column
GRANT SELECT, INSERT, DELETE, UPDATE (task_ids) ON claims TO longshore_worker;
GRANT SELECT, UPDATE (identity, epoch, lease_expires_at) ON active_instance TO longshore_worker;
-- to see which session's snapshot keeps vacuum from the tables; without it, only its own role's are seen
DO $statistics$
BEGIN
    GRANT pg_read_all_stats TO longshore_worker;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'longshore_worker does not see other roles'' snapshots: GRANT pg_read_all_stats TO longshore_worker needs a superuser';
END
$statistics$;

-- its executors' build data; another program that collects some needs a GRANT of its own
GRANT
    SELECT,
    INSERT (build_id, node_name, task_id, collected_date, generator, data_format, data_element)
ON build_data TO longshore_worker;
-- the rest that the active instance does with schedules, it does by functions
GRANT SELECT, UPDATE (paused) ON schedules TO longshore_worker;
GRANT SELECT ON schedule_ticks TO longshore_worker, longshore_scheduler;
GRANT
    SELECT,
    DELETE,
    INSERT (
        name, cron, time_zone, every, starts_at, action, queue, priority, payload, design_ref, node_filter,
        request_context, max_attempts, "timeout", overlap, missed, missed_max, missed_after, paused, created, created_by
    ),
    UPDATE (
        name, cron, time_zone, every, starts_at, action, queue, priority, payload, design_ref, node_filter,
        request_context, max_attempts, "timeout", overlap, missed, missed_max, missed_after, paused
    )
ON schedules TO longshore_scheduler;

GRANT SELECT, INSERT, UPDATE, DELETE ON pauses TO longshore_operator;

GRANT SELECT (task_id), UPDATE ("terminate") ON tasks TO longshore_terminator;

-- What later migrations may bring, by name: the schema may hold tables and functions of other programs.
DO $grants$
DECLARE
    name text;
    routine regprocedure;
    roles text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tasks', 'result_message', 'task_output', 'workers', 'claims', 'active_instance',
        'longshore_migrations', 'task_partition', 'sealed_partition', 'sealed_change', 'schedules', 'schedule_ticks',
        'build_data', 'notify_until', 'log_followers', 'pauses', 'worker_queues']
    LOOP
        IF to_regclass(quote_ident(name)) IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON %I TO longshore_reader, longshore_operator', name);
        END IF;
    END LOOP;
    IF to_regclass('longshore_migrations') IS NOT NULL THEN
        GRANT SELECT ON longshore_migrations TO longshore_worker;
    END IF;
    FOR routine, roles IN
        SELECT pg_proc.oid, given.roles
        FROM (VALUES
            ('{upkeep_step,analyze_tables,table_bytes,settle_tree,rescue_trees,end_duplicates_of_trees}', 'longshore_worker'),
            ('{tick_schedule,refuse_schedule,prune_ticks,prune_build_data}', 'longshore_worker'),
            ('{run_schedule}', 'longshore_worker, longshore_scheduler'),
            ('{terminate_task}', 'longshore_worker, longshore_terminator'),
            ('{drain_worker}', 'longshore_worker, longshore_operator'),
            ('{queue_demand,queue_wait_seconds}', 'longshore_scaler, longshore_reader'),
            -- a follower of logs; who may not announce itself polls
            ('{follow_log}', 'longshore_reader, longshore_operator, longshore_worker')
        ) AS given (names, roles)
        JOIN pg_proc ON proname = ANY (given.names::text[])
        WHERE pronamespace = quote_ident(current_schema())::regnamespace
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', routine, roles);
    END LOOP;
END
$grants$;

COMMIT;
