-- Doing once more what failed: a task, the failures of its result, and the subtasks that a parent had.
--
-- Why: an ended task could be run again by nobody; a filter of nodes out of its failures had to be made by hand; and
-- retry_failed passed over subtasks that failed without naming anything.
-- Locks: none; functions only.
-- Undo: drop retry_task, result_node_filter and node_filter_of, and put task_document of 0006 and settle_with_subtasks of
-- 0003 back.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false);

-- Filters from results ---------------------------------------------------------------------------------------------------

-- The node filter that names these nodes; for no names it is one of no nodes.
CREATE FUNCTION node_filter_of(names text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $filter$
    SELECT jsonb_build_object(
        'filter_set_type', 'intersection',
        'filter_set', jsonb_build_array(
            jsonb_build_object('node_names', to_jsonb(coalesce(names, '{}')), 'filter_type', 'union')))
$filter$;

-- The node filter of what a task names as its successes, or as its failures. NULL: there is no such task.
CREATE FUNCTION result_node_filter(task_id uuid, successes boolean DEFAULT false, failures boolean DEFAULT false)
RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $filter$
BEGIN
    IF coalesce(successes, false) = coalesce(failures, false) THEN
        RAISE EXCEPTION 'a node filter is made from the successes or from the failures of a task, got % of them',
            CASE WHEN successes THEN 'both' ELSE 'neither' END
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Say successes => true, or failures => true.';
    END IF;
    RETURN (
        SELECT node_filter_of(CASE WHEN successes THEN t.result_successes ELSE t.result_failures END)
        FROM tasks AS t
        WHERE t.task_id = result_node_filter.task_id
    );
END
$filter$;

-- Retry ------------------------------------------------------------------------------------------------------------------

-- Inserts an ended task once more and returns the id of the new one; NULL: a task with its key waits already. The old one
-- stays as it is, since what has ended never changes; request_context.retry_of of the new one names it. A subtask stays
-- one while its parent is open; its subtasks are not inserted with it. With failed_only the new one is about the nodes
-- among the old one's failures.
CREATE FUNCTION retry_task(task_id uuid, failed_only boolean DEFAULT false) RETURNS uuid
LANGUAGE plpgsql SET search_path FROM CURRENT AS $retry$
DECLARE
    old tasks;
    new_id uuid;
BEGIN
    SELECT t.* INTO old FROM tasks AS t WHERE t.task_id = retry_task.task_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no task %', retry_task.task_id USING ERRCODE = 'no_data_found';
    ELSIF old.status NOT IN ('complete', 'terminated') THEN
        RAISE EXCEPTION 'task % is %', old.task_id, old.status
            USING ERRCODE = 'check_violation', TABLE = 'tasks', CONSTRAINT = 'task_to_retry_has_ended',
                  HINT = 'Wait for its end, or terminate it.';
    ELSIF failed_only AND coalesce(cardinality(old.result_failures), 0) = 0 THEN
        RAISE EXCEPTION 'task % has named no failures', old.task_id
            USING ERRCODE = 'check_violation', TABLE = 'tasks', CONSTRAINT = 'task_to_retry_has_failures',
                  HINT = 'Retry all of it.';
    END IF;
    INSERT INTO tasks (
        action, queue, priority, payload, design_ref, node_filter, request_context, max_attempts, "timeout",
        unique_key, unique_until, parent_task_id, on_subtask_failure
    )
    SELECT
        old.action, old.queue, old.priority, old.payload, old.design_ref,
        CASE WHEN failed_only THEN node_filter_of(old.result_failures) ELSE old.node_filter END,
        CASE coalesce(jsonb_typeof(old.request_context), 'null')
            WHEN 'object' THEN old.request_context
            WHEN 'null' THEN '{}'
            ELSE jsonb_build_object('value', old.request_context)
        END || jsonb_build_object('retry_of', old.task_id),
        old.max_attempts, old."timeout", old.unique_key, old.unique_until,
        (
            SELECT parent.task_id FROM tasks AS parent
            WHERE parent.task_id = old.parent_task_id
              AND parent.status NOT IN ('complete', 'terminated')
              AND NOT parent."terminate"
        ),
        old.on_subtask_failure
    RETURNING tasks.task_id INTO new_id;
    RETURN new_id;
END
$retry$;

-- As in 0003; retry_failed counts as well what failed by its exit code, a crash or a timeout, and so named nothing.
CREATE OR REPLACE FUNCTION settle_with_subtasks(task tasks, outcome jsonb, output_in_row boolean) RETURNS boolean
LANGUAGE plpgsql AS $settle$
DECLARE
    details jsonb := coalesce(outcome -> 'result', '{}');
    step text := CASE WHEN task.status = 'terminating' THEN 'complete' ELSE outcome ->> 'step' END;
    own task_result_status := coalesce(details ->> 'status', 'incomplete');
    only_action text := outcome #>> '{result,bubble,action}';
    is_open boolean := has_open_subtask(task.task_id);
    is_bubbled boolean := false;
    sum_result task_result_status;
    sum_successes text[];
    sum_failures text[];
BEGIN
    IF step = 'suspend' AND task.has_subtasks IS NULL THEN
        step := 'complete';
        own := 'failure';
        details := '{"reason": "nothing_to_wait_for", "message": "the task was suspended without a subtask"}';
    END IF;
    IF step = 'suspend' THEN
        IF NOT is_open OR outcome ->> 'waits_for' = 'any' AND (outcome ->> 'seen')::bigint < (
            SELECT count(*) FROM tasks WHERE parent_task_id = task.task_id AND status IN ('complete', 'terminated')
        ) THEN
            UPDATE tasks
            SET status = 'queued', run_at = now(), attempt = attempt - 1, result_error_count = (outcome ->> 'error_count')::int,
                waits_for = NULL, updated = now()
            WHERE task_id = task.task_id;
        ELSE
            -- with a timeout it waits as one that is due then: nobody has to watch the time
            UPDATE tasks
            SET status = CASE WHEN outcome ? 'timeout' THEN 'queued' ELSE 'requested' END::task_status,
                run_at = now() + make_interval(secs => coalesce((outcome ->> 'timeout')::float8, 0)),
                attempt = attempt - 1,
                claim_token = NULL,
                waits_for = (outcome ->> 'waits_for')::task_wait,
                result_error_count = (outcome ->> 'error_count')::int,
                updated = now()
            WHERE task_id = task.task_id;
        END IF;
        RETURN false;
    END IF;
    IF step = 'retry_failed' AND is_open THEN
        -- what is open is waited for, and then it runs once more to say so again
        UPDATE tasks
        SET status = 'requested', attempt = attempt - 1, claim_token = NULL, waits_for = 'all',
            result_error_count = (outcome ->> 'error_count')::int, updated = now()
        WHERE task_id = task.task_id;
        RETURN false;
    END IF;
    IF step = 'complete' AND NOT is_open AND details ? 'bubble' OR step = 'retry_failed' THEN
        is_bubbled := true;
        SELECT result, successes, failures INTO sum_result, sum_successes, sum_failures
        FROM bubbled(task.task_id, task.retry, only_action, own,
            ARRAY(SELECT jsonb_array_elements_text(coalesce(details -> 'successes', '[]'))),
            ARRAY(SELECT jsonb_array_elements_text(coalesce(details -> 'failures', '[]'))));
    END IF;
    -- a failed subtask that named nothing has made the result partial_success or failure
    IF step = 'retry_failed' AND sum_result <> 'success' AND (sum_failures IS NOT NULL OR sum_result <> 'incomplete') THEN
        IF coalesce((outcome ->> 'max')::int, 0) = 0 OR task.retry < (outcome ->> 'max')::int THEN
            UPDATE tasks
            SET status = 'queued', run_at = now(), attempt = attempt - 1, retry = retry + 1,
                result_status = CASE WHEN sum_successes IS NULL THEN 'incomplete' ELSE 'success' END::task_result_status,
                result_successes = sum_successes, result_failures = sum_failures,
                result_reason = 'retry_failed', result_message = details ->> 'message',
                result_error_count = (outcome ->> 'error_count')::int, subtasks_stopped = NULL, updated = now()
            WHERE task_id = task.task_id;
            RETURN false;
        END IF;
        details := details || '{"reason": "max_retries_reached"}';
    END IF;
    IF step = 'requeue' THEN
        UPDATE tasks
        SET status = 'queued', run_at = now() + make_interval(secs => (outcome ->> 'delay')::float8),
            attempt = attempt - (outcome ->> 'attempt_back')::boolean::int, waits_for = NULL,
            result_reason = details ->> 'reason', result_message = details ->> 'message',
            result_error_count = (outcome ->> 'error_count')::int, updated = now()
        WHERE task_id = task.task_id;
        RETURN false;
    END IF;
    UPDATE tasks
    SET status = CASE
            WHEN is_open AND task.status = 'terminating' THEN 'terminating'
            WHEN is_open THEN 'requested'
            WHEN task.status = 'terminating' THEN 'terminated'
            ELSE 'complete'
        END::task_status,
        claim_token = CASE WHEN NOT is_open THEN claim_token END,
        waits_for = CASE WHEN is_open THEN 'end' END::task_wait,
        own_result = CASE WHEN is_open THEN own END,
        bubble_action = CASE WHEN is_open THEN only_action END,
        result_status = CASE
            WHEN is_open THEN 'incomplete'
            WHEN task.status = 'terminating' THEN 'failure'
            ELSE coalesce(sum_result, own)
        END::task_result_status,
        result_error_count = (outcome ->> 'error_count')::int,
        result_message = details ->> 'message',
        result_reason = CASE task.status WHEN 'terminating' THEN 'terminated' ELSE details ->> 'reason' END,
        result_successes = CASE WHEN is_bubbled THEN sum_successes WHEN details ? 'successes'
            THEN ARRAY(SELECT jsonb_array_elements_text(details -> 'successes')) END,
        result_failures = CASE WHEN is_bubbled THEN sum_failures WHEN details ? 'failures'
            THEN ARRAY(SELECT jsonb_array_elements_text(details -> 'failures')) END,
        result_links = details -> 'links',
        output = CASE WHEN output_in_row THEN details -> 'output' END,
        finished_at = CASE WHEN NOT is_open THEN clock_timestamp() END,
        updated = now()
    WHERE task_id = task.task_id;
    RETURN NOT is_open;
END
$settle$;

-- Documents --------------------------------------------------------------------------------------------------------------

-- As in 0006, with more where it is asked for: `build_data`, the last 1000 entries of the task, the newest first; and
-- `subtask_errors`, the results of all tasks below it whose log has errors, by their ids.
DROP FUNCTION task_document(uuid, document_messages);
CREATE FUNCTION task_document(
    task_id uuid, messages document_messages DEFAULT 1000, build_data boolean DEFAULT false,
    subtask_errors boolean DEFAULT false
) RETURNS jsonb LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off
SET jit = off AS $document$
    SELECT task_tree_document(task_document.task_id, 1, messages) -> task_document.task_id::text
        || CASE WHEN task_document.build_data THEN jsonb_build_object('build_data', (
            SELECT coalesce(jsonb_agg(found.document ORDER BY found.collected_date DESC, found.build_id DESC), '[]')
            FROM (
                SELECT
                    data.collected_date,
                    data.build_id,
                    jsonb_build_object(
                        'node_name', data.node_name,
                        'task_id', data.task_id,
                        'collected_date', document_instant(data.collected_date),
                        'generator', data.generator,
                        'data_format', data.data_format,
                        'data_element', data.data_element
                    ) AS document
                FROM build_data AS data
                WHERE data.task_id = task_document.task_id
                ORDER BY data.collected_date DESC, data.build_id DESC
                LIMIT 1000
            ) AS found
        )) ELSE '{}' END
        || CASE WHEN task_document.subtask_errors THEN jsonb_build_object('subtask_errors', (
            SELECT coalesce(jsonb_object_agg(id, document -> 'result' || jsonb_build_object('task_id', id)), '{}')
            FROM jsonb_each(task_tree_document(task_document.task_id, -1, messages)) AS below (id, document)
            WHERE id NOT IN ('init_task_id', task_document.task_id::text)
              AND (document #>> '{result,details,errorCount}')::bigint > 0
        )) ELSE '{}' END
$document$;
