-- An INSERT pays less for the triggers, and wakes the workers of its own queue alone.
--
-- Why: Postgres reads a row trigger's condition anew for every statement, and sets a function's own settings at every
-- call. Of the 534,000 instructions of an INSERT of one row the condition of tasks_admit took 165,000 and tasks_notify
-- 40,000. A look from within PL/pgSQL, which keeps what it has read, does both for 41,000; a row of a bulk INSERT pays
-- 86,000 instead of 73,000. A subtask's INSERT cost four times another's: it read its parent's whole row, through two
-- functions.
-- Locks: SHARE ROW EXCLUSIVE on tasks, its partitions and workers for a moment: INSERTs, claims and completions wait.
-- Undo: put tasks_admit, admit_subtask, hold_parent, tasks_notify and their triggers back as 0003 and 0001 have them, and
-- drop the trigger workers_sleep, what else is created here, and the sequence notify_until. The previous version of the
-- workers runs beside it: it takes each notification as one for all its queues.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false);

-- Admitting tasks out of the ordinary --------------------------------------------------------------------------------------------

-- As in 0003, for less: of ten thousand subtasks in one statement each looks at the parent once, and at the columns that
-- count.
DROP FUNCTION admit_subtask, hold_parent;

-- Leaves a mark on a task that gets its first subtask, or keeps one as it is that cannot have any. Nobody who shares its
-- row wants to mark it, since two of them would wait for each other.
CREATE FUNCTION mark_parent(parent uuid) RETURNS void LANGUAGE plpgsql AS $mark$
BEGIN
    UPDATE tasks SET has_subtasks = true
    WHERE task_id = parent AND has_subtasks IS NULL AND NOT "terminate" AND status NOT IN ('complete', 'terminated');
    IF NOT FOUND THEN
        PERFORM FROM tasks WHERE task_id = parent FOR SHARE;
    END IF;
END
$mark$;

-- Refuses a subtask for its parent.
CREATE FUNCTION refuse_parent(task uuid, parent uuid, status task_status, is_terminating boolean) RETURNS void
LANGUAGE plpgsql AS $refuse$
BEGIN
    IF parent IS NULL THEN
        PERFORM refuse_subtask('23514', 'after_needs_a_parent', format('task %s names predecessors and no parent', task),
            'Set parent_task_id: only subtasks of one task wait for one another.');
    ELSIF status IS NULL THEN
        PERFORM refuse_subtask('23503', 'parent_task_id_exists', format('there is no task %s to be the parent', parent),
            'Insert the parent before, or further up in the same statement.');
    ELSIF status IN ('complete', 'terminated') THEN
        PERFORM refuse_subtask('23514', 'parent_has_not_ended', format('the parent %s has ended', parent),
            'Insert subtasks while their parent is open.');
    ELSIF is_terminating THEN
        PERFORM refuse_subtask('23514', 'parent_is_not_terminating', format('the parent %s is being terminated', parent),
            'Insert nothing: the whole tree ends.');
    END IF;
    PERFORM refuse_subtask('23514', 'depth_is_at_most_32', format('the parent %s is 32 levels deep already', parent),
        'Insert the task further up.');
END
$refuse$;

-- Whether a new task has to wait for one of its predecessors, and one that failed, if any did. Each is there already, so no
-- cycle can be written; and each is a sibling, so that no task can wait for an ancestor.
CREATE FUNCTION look_at_predecessors(task uuid, parent uuid, predecessors uuid[], OUT waits boolean, OUT failed uuid)
LANGUAGE plpgsql AS $look$
DECLARE
    stranger uuid;
BEGIN
    IF task = ANY (predecessors) THEN
        PERFORM refuse_subtask('23514', 'after_names_others', format('task %s shall come after itself', task),
            'Leave its own id out of after.');
    END IF;
    PERFORM hold_predecessors(parent, predecessors);
    SELECT coalesce(given.id, '00000000-0000-0000-0000-000000000000') INTO stranger
    FROM unnest(predecessors) AS given (id)
    WHERE NOT EXISTS (SELECT FROM tasks WHERE tasks.task_id = given.id AND tasks.parent_task_id = parent)
    LIMIT 1;
    IF FOUND THEN
        PERFORM refuse_subtask('23503', 'after_names_earlier_siblings',
            format('task %s, which shall come before task %s, is no subtask of %s', stranger, task, parent),
            'Name siblings, inserted before or further up in the same statement: predecessors come first.');
    END IF;
    SELECT
        bool_or(tasks.status NOT IN ('complete', 'terminated')),
        (array_agg(tasks.task_id) FILTER (
            WHERE tasks.status IN ('complete', 'terminated') AND NOT ended_well(tasks.result_status)))[1]
    INTO waits, failed
    FROM unnest(predecessors) AS given (id)
    JOIN tasks ON tasks.task_id = given.id;
END
$look$;

-- Admits a task that is out of the ordinary: NULL for a duplicate.
CREATE FUNCTION admit_task(task tasks) RETURNS tasks LANGUAGE plpgsql SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_sort = off SET jit = off SET plan_cache_mode = 'force_generic_plan' AS $admit$
DECLARE
    found_status task_status;
    parent record;
    waits boolean := false;
    failed uuid;
    reason text;
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
    IF task.parent_task_id IS NULL AND task."after" IS NULL THEN
        RETURN task;
    END IF;

    -- keeps the parent as it is until the INSERT is committed
    SELECT status, "terminate", root_task_id, coalesce(depth, 0) AS depth, retry, on_subtask_failure, subtasks_stopped
    INTO parent FROM tasks WHERE task_id = task.parent_task_id AND has_subtasks FOR SHARE;
    IF NOT FOUND THEN
        PERFORM mark_parent(task.parent_task_id);
        SELECT status, "terminate", root_task_id, coalesce(depth, 0) AS depth, retry, on_subtask_failure, subtasks_stopped
        INTO parent FROM tasks WHERE task_id = task.parent_task_id;
    END IF;
    IF parent.status IS NULL OR parent.status IN ('complete', 'terminated') OR parent."terminate" OR parent.depth >= 32 THEN
        PERFORM refuse_parent(task.task_id, task.parent_task_id, parent.status, parent."terminate");
    END IF;
    task.root_task_id := coalesce(parent.root_task_id, task.parent_task_id);
    task.depth := parent.depth + 1;
    task.retry := parent.retry;
    IF task."after" IS NOT NULL THEN
        SELECT seen.waits, seen.failed INTO waits, failed
        FROM look_at_predecessors(task.task_id, task.parent_task_id, task."after") AS seen;
    END IF;
    reason := CASE
        WHEN parent.on_subtask_failure = 'continue' THEN NULL
        WHEN failed IS NOT NULL THEN 'predecessor_failed'
        WHEN parent.subtasks_stopped AND (waits OR parent.on_subtask_failure = 'terminate_rest') THEN 'sibling_failed'
    END;
    IF reason IS NOT NULL THEN
        task.status := 'terminated';
        task.result_status := 'failure';
        task.result_reason := reason;
        task."terminate" := true;
        task."terminated" := now();
        task.terminated_by := 'on_subtask_failure';
        task.finished_at := now();
        task.updated := now();
    ELSIF waits THEN
        task.status := 'requested';
    END IF;
    RETURN task;
END
$admit$;
REVOKE EXECUTE ON FUNCTION admit_task(tasks) FROM PUBLIC;

-- Until when an INSERT shall notify, in seconds of the epoch: the greatest idle_until of all workers. In a sequence, since
-- its number is read without a snapshot and costs the same however often it was written under an old one. Of two workers
-- that write at the same moment, one may not be counted until it writes again: it polls meanwhile, as always.
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
