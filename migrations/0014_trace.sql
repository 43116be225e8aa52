-- A subtask belongs to its parent's trace.
--
-- Why: subtasks came without the W3C trace context of the request that their tree is for, so that neither their executors
-- nor a tracing backend could tell where they belong.
-- Locks: none; a function is replaced. Nothing is written.
-- Undo: put admit_task back as 0007 has it, and drop what is created here. The previous version of the workers runs beside
-- it: it hands the context on.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false);

-- The id of the span that a task is, from INSERT to its end: whoever has its id can name it. In hexadecimal digits, as
-- worker/src/trace computes it.
CREATE FUNCTION task_span_id(task_id uuid) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $span$
    SELECT left(encode(sha256(uuid_send(task_id)), 'hex'), 16)
$span$;

-- The trace that the subtasks of a task belong to, as the traceparent of that task; NULL: the trace that begins with the
-- uppermost of the tree. A retried task, and one of a schedule, begins a trace of its own: what its context names is only
-- where it comes from. Says the same as worker/src/trace (test: traceparents_are_read_alike_by_sql_and_by_the_worker).
CREATE FUNCTION traceparent_of(task_id uuid, parent_task_id uuid, request_context jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $traceparent$
    SELECT overlay(given.traceparent PLACING task_span_id(task_id) FROM 37)
    FROM (VALUES (request_context ->> 'traceparent')) AS given (traceparent)
    WHERE length(given.traceparent) <= 512
      AND given.traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?$'
      -- no version ff, nothing more in version 00, no id of zeros
      AND given.traceparent !~ '^(ff|00.{53}.|.{3}0{32}|.{36}0{16})'
      AND (parent_task_id IS NOT NULL
          OR coalesce(request_context ->> 'retry_of', request_context #>> '{schedule,fire_at}') IS NULL)
$traceparent$;

-- The request_context of a subtask, with its parent's trace where it names none itself.
CREATE FUNCTION inherit_trace(own jsonb, parent uuid, grandparent uuid, context jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $inherit$
DECLARE
    traceparent text := traceparent_of(parent, grandparent, context);
    merged jsonb;
BEGIN
    IF traceparent IS NULL OR jsonb_typeof(own) <> 'object' OR own ? 'traceparent' THEN
        RETURN own;
    END IF;
    merged := coalesce(own, '{}') || jsonb_build_object('traceparent', traceparent)
        || CASE jsonb_typeof(context -> 'tracestate')
            WHEN 'string' THEN jsonb_build_object('tracestate', context -> 'tracestate') ELSE '{}'
        END;
    -- where it does not fit, the task is worth more
    RETURN CASE WHEN octet_length(merged::text) <= 16384 THEN merged ELSE own END;
END
$inherit$;

-- As in 0007; a subtask inherits its trace.
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
        task.request_context :=
            inherit_trace(task.request_context, task.parent_task_id, parent.parent_task_id, parent.request_context);
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
REVOKE EXECUTE ON FUNCTION inherit_trace FROM PUBLIC;
