-- An INSERT of one row pays less for the triggers, and wakes the workers of its own queue alone.
--
-- Why: Postgres reads a row trigger's condition anew for every statement, and sets a function's own settings at every
-- call. The condition of tasks_admit was a third of the server's work for an INSERT of one row, tasks_notify a tenth. A
-- look from within PL/pgSQL, which keeps what it has read, does both for a quarter of that; a row of a bulk INSERT pays a
-- fifth more.
-- Locks: SHARE ROW EXCLUSIVE on tasks, its partitions and workers for a moment: INSERTs, claims and completions wait.
-- Undo: put tasks_admit, tasks_notify and their triggers back as 0003 and 0001 have them, and drop the trigger
-- workers_sleep, the functions admit_task and workers_sleep, and the sequence notify_until. The previous version of the
-- workers runs beside it: it takes each notification as one for all its queues.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false);

-- Admits a task that is out of the ordinary: NULL for a duplicate.
CREATE FUNCTION admit_task(task tasks) RETURNS tasks LANGUAGE plpgsql SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_sort = off SET jit = off SET plan_cache_mode = 'force_generic_plan' AS $admit$
DECLARE
    found_status task_status;
BEGIN
    IF task.status <> 'queued' OR task.attempt <> 0 OR task.retry <> 0 OR task.claim_token IS NOT NULL
        OR task.result_status <> 'incomplete' OR task."terminate" THEN
        RAISE EXCEPTION 'a task is inserted as queued: status, attempt, retry, claim_token, result_status and terminate are the queue''s'
            USING ERRCODE = 'check_violation', TABLE = 'tasks', CONSTRAINT = 'tasks_begin_queued',
                  HINT = 'Leave these columns out of the INSERT.';
    END IF;
    IF get_byte(uuid_send(task.task_id), 6) >> 4 <> 7 OR get_byte(uuid_send(task.task_id), 8) >> 6 <> 2 THEN
        RAISE EXCEPTION 'task_id % is not a UUIDv7', task.task_id
            USING ERRCODE = 'check_violation', TABLE = 'tasks', CONSTRAINT = 'task_id_is_a_uuidv7',
                  HINT = 'Leave task_id out, or make it as RFC 9562 version 7.';
    END IF;
    IF task.unique_key IS NOT NULL THEN
        -- as 0001 says
        SELECT status INTO found_status FROM tasks
        WHERE queue = task.queue AND unique_key BETWEEN task.unique_key AND task.unique_key
        ORDER BY unique_key, task_id DESC LIMIT 1;
        IF found_status IN ('requested', 'queued')
            OR task.unique_until = 'ended' AND found_status IN ('running', 'terminating') THEN
            RETURN NULL;
        END IF;
    END IF;
    IF task.parent_task_id IS NOT NULL OR task."after" IS NOT NULL THEN
        task := admit_subtask(task);
    END IF;
    RETURN task;
END
$admit$;
REVOKE EXECUTE ON FUNCTION admit_task(tasks) FROM PUBLIC;

-- Until when an INSERT shall notify, in seconds of the epoch: the greatest idle_until of all workers. In a sequence, since
-- its number is read without a snapshot and costs the same however often it was written under an old one.
CREATE SEQUENCE notify_until;

CREATE FUNCTION workers_sleep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $sleep$
BEGIN
    PERFORM setval('notify_until', coalesce((SELECT ceil(date_part('epoch', max(idle_until)))::bigint FROM workers), 1));
    RETURN NULL;
END
$sleep$;
REVOKE EXECUTE ON FUNCTION workers_sleep() FROM PUBLIC;
CREATE TRIGGER workers_sleep AFTER DELETE OR UPDATE OF idle_until ON workers FOR EACH STATEMENT EXECUTE FUNCTION workers_sleep();

-- Runs as the owner under the producer's own search_path, so every name says its schema: else an operator of the
-- producer's would run with the owner's rights. (Test: what_runs_as_the_owner_runs_no_code_of_its_caller.)
DO $triggers$
BEGIN
    -- nearly every task is ordinary, and nearly always some worker is awake
    EXECUTE format($create$
        CREATE OR REPLACE FUNCTION tasks_admit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $admit$
        BEGIN
            IF pg_catalog.pg_sequence_last_value(%1$L) OPERATOR(pg_catalog.>) pg_catalog.date_part('epoch', pg_catalog.now())
            THEN
                -- the same queue twice in one transaction is one notification
                PERFORM pg_catalog.pg_notify(%2$L, NEW.queue);
            END IF;
            IF pg_catalog.num_nonnulls(NEW.unique_key, NEW.parent_task_id, NEW."after", NEW.claim_token)
                    OPERATOR(pg_catalog.>) 0
                OR NEW.status OPERATOR(pg_catalog.<>) 'queued'
                OR NEW.attempt OPERATOR(pg_catalog.|) NEW.retry OPERATOR(pg_catalog.<>) 0
                OR NEW.result_status OPERATOR(pg_catalog.<>) 'incomplete'
                OR NEW."terminate"
                OR pg_catalog.get_byte(pg_catalog.uuid_send(NEW.task_id), 6) OPERATOR(pg_catalog.>>) 4
                    OPERATOR(pg_catalog.<>) 7
                OR pg_catalog.get_byte(pg_catalog.uuid_send(NEW.task_id), 8) OPERATOR(pg_catalog.>>) 6
                    OPERATOR(pg_catalog.<>) 2
            THEN
                RETURN %3$I.admit_task(NEW);
            END IF;
            RETURN NEW;
        END
        $admit$
    $create$, quote_ident(current_schema()) || '.notify_until', 'longshore.' || current_schema(), current_schema());
END
$triggers$;

DROP TRIGGER tasks_admit ON tasks;
CREATE TRIGGER tasks_admit BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION tasks_admit();
DROP TRIGGER tasks_notify ON tasks;
DROP FUNCTION tasks_notify();
