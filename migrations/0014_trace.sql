-- A subtask belongs to its parent's trace.
--
-- Why: subtasks came without the W3C trace context of the request that their tree is for, so that neither their executors
-- nor a tracing backend could tell where they belong.
-- Locks: none; a function is replaced. Nothing is written.
-- Undo: put admit_task back as 0007 has it. The previous version of the workers runs beside it: it hands the context
-- on.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false);

-- As in 0007; a subtask inherits its trace, by functions of 0013, where those inherit it that do not come here.
CREATE OR REPLACE FUNCTION admit_task(task tasks) RETURNS tasks LANGUAGE plpgsql SET search_path FROM CURRENT
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
    SELECT status, "terminate", root_task_id, coalesce(depth, 0) AS depth, retry, on_subtask_failure, subtasks_stopped,
        parent_task_id, request_context
    INTO parent FROM tasks WHERE task_id = task.parent_task_id AND has_subtasks FOR SHARE;
    IF NOT FOUND THEN
        PERFORM mark_parent(task.parent_task_id);
        SELECT status, "terminate", root_task_id, coalesce(depth, 0) AS depth, retry, on_subtask_failure, subtasks_stopped,
            parent_task_id, request_context
        INTO parent FROM tasks WHERE task_id = task.parent_task_id;
    END IF;
    IF parent.status IS NULL OR parent.status IN ('complete', 'terminated') OR parent."terminate" OR parent.depth >= 32 THEN
        PERFORM refuse_parent(task.task_id, task.parent_task_id, parent.status, parent."terminate");
    END IF;
    task.root_task_id := coalesce(parent.root_task_id, task.parent_task_id);
    task.depth := parent.depth + 1;
    task.retry := parent.retry;
    IF parent.request_context IS NOT NULL THEN
        task.request_context := inherit_trace(
            task.request_context,
            traceparent_of(task.parent_task_id, parent.parent_task_id, parent.request_context),
            parent.request_context);
    END IF;
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
