-- Doing once more what failed: a task, the failures of its result, and the subtasks that a parent had. And schedules
-- judged where they are written.
--
-- Why: an ended task could be run again by nobody; a filter of nodes out of its failures had to be made by hand; and
-- retry_failed passed over subtasks that failed without naming anything. A cron expression with a wrong number was refused
-- by the active instance only, long after its INSERT. Ends of trees were planned anew at each call.
-- Locks: none; functions only.
-- Undo: drop the new functions, and put task_document of 0006, schedules_edit of 0004, and settle_with_subtasks,
-- gather_ends and open_subtask of 0003 back.
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
    filter jsonb;
    context jsonb;
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
    filter := CASE WHEN failed_only THEN node_filter_of(old.result_failures) ELSE old.node_filter END;
    IF octet_length(filter::text) > 65536 THEN
        RAISE EXCEPTION 'task % names % failures, which a node filter of 64 KiB does not hold',
            old.task_id, cardinality(old.result_failures)
            USING ERRCODE = 'check_violation', TABLE = 'tasks', CONSTRAINT = 'failures_to_retry_fit_a_node_filter',
                  HINT = 'Retry all of it, or insert several tasks, each with a part of result_failures as its node_filter.';
    END IF;
    context := CASE coalesce(jsonb_typeof(old.request_context), 'null')
        WHEN 'object' THEN old.request_context
        WHEN 'null' THEN '{}'
        ELSE jsonb_build_object('value', old.request_context)
    END || jsonb_build_object('retry_of', old.task_id);
    IF octet_length(context::text) > 16384 THEN
        -- the link does not fit: the task is worth more
        context := old.request_context;
    END IF;
    INSERT INTO tasks (
        action, queue, priority, payload, design_ref, node_filter, request_context, max_attempts, "timeout",
        unique_key, unique_until, parent_task_id, on_subtask_failure
    )
    SELECT
        old.action, old.queue, old.priority, old.payload, old.design_ref,
        filter, context,
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

-- Schedules --------------------------------------------------------------------------------------------------------------

-- What is wrong with a cron expression of the right number of fields, as far as characters and numbers tell; the active
-- instance reads it once more. NULL: nothing.
CREATE FUNCTION cron_problem(cron text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $problem$
DECLARE
    fields text[] := regexp_split_to_array(cron, '[[:space:]]+');
    names CONSTANT text[] := '{second,minute,hour,day of the month,month,weekday}';
    words CONSTANT text[] := ARRAY['', '', '', 'L|W', 'JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC',
        'SUN|MON|TUE|WED|THU|FRI|SAT|L'];
    least CONSTANT int[] := '{0,0,0,1,1,0}';
    most CONSTANT int[] := '{59,59,23,31,12,7}';
    place int;
    field text;
    number text;
BEGIN
    IF cron ~ '^@' THEN
        RETURN CASE WHEN lower(cron) NOT IN ('@yearly', '@annually', '@monthly', '@weekly', '@daily', '@hourly')
            THEN quote_literal(cron) || ' is none of @yearly, @monthly, @weekly, @daily and @hourly' END;
    ELSIF cardinality(fields) NOT IN (5, 6) THEN
        RETURN NULL;
    END IF;
    FOR at IN 1 .. cardinality(fields) LOOP
        place := at + 6 - cardinality(fields);
        field := regexp_replace(upper(fields[at]), words[place], '', 'g');
        IF field !~ '^[0-9*?/,#+-]*$' THEN
            RETURN format('%s %L is neither numbers nor their names', names[place], fields[at]);
        END IF;
        -- behind / and # stand steps and weeks
        FOR number IN SELECT (regexp_matches(regexp_replace(field, '[/#][0-9]*', '', 'g'), '[0-9]+', 'g'))[1] LOOP
            IF length(number) > 4 OR number::int NOT BETWEEN least[place] AND most[place] THEN
                RETURN format('%s %L is not within %s and %s', names[place], fields[at], least[place], most[place]);
            END IF;
        END LOOP;
    END LOOP;
    RETURN NULL;
END
$problem$;

-- As in 0004; judges the expression, and knows an abbreviation from the name of a time zone.
CREATE OR REPLACE FUNCTION schedules_edit() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $edit$
DECLARE
    is_new boolean := TG_OP = 'INSERT';
    problem text;
BEGIN
    IF is_new OR NEW.time_zone <> OLD.time_zone THEN
        BEGIN
            PERFORM now() AT TIME ZONE NEW.time_zone;
            -- the list takes a while to read; nothing but a name of it holds a slash
            problem := CASE WHEN NEW.time_zone !~ '/' AND NEW.time_zone <> 'UTC' AND NOT EXISTS (
                SELECT FROM pg_timezone_names WHERE lower(name) = lower(NEW.time_zone)
            ) THEN 'not a name' END;
        EXCEPTION WHEN invalid_parameter_value THEN
            problem := 'not known';
        END;
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'time zone % is %', quote_literal(NEW.time_zone), problem
                USING ERRCODE = 'check_violation', TABLE = 'schedules', CONSTRAINT = 'time_zone_is_known',
                      HINT = 'Write a name of the IANA database, such as Europe/Berlin.';
        END IF;
    END IF;
    IF is_new OR NEW.cron IS DISTINCT FROM OLD.cron THEN
        problem := cron_problem(NEW.cron);
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'cron % cannot be read: %', quote_literal(NEW.cron), problem
                USING ERRCODE = 'check_violation', TABLE = 'schedules', CONSTRAINT = 'cron_can_be_read',
                      HINT = 'Write 5 fields, minute to weekday, or 6 with seconds first.';
        END IF;
    END IF;
    -- the channel of INSERTs: the active instance looks at the schedules, too
    PERFORM pg_notify('longshore.' || TG_TABLE_SCHEMA, '');
    IF is_new THEN
        RETURN NEW;
    END IF;
    NEW.revision := OLD.revision + 1;
    NEW.next_at := NULL;
    NEW.error := NULL;
    IF (NEW.cron, NEW.time_zone, NEW.every, NEW.starts_at)
            IS DISTINCT FROM (OLD.cron, OLD.time_zone, OLD.every, OLD.starts_at)
        OR OLD.paused AND NOT NEW.paused THEN
        NEW.ticked_to := now();
    END IF;
    RETURN NEW;
END
$edit$;

REVOKE EXECUTE ON FUNCTION mark_parent, refuse_parent, look_at_predecessors FROM PUBLIC;

-- Ends of tasks ----------------------------------------------------------------------------------------------------------

-- As in 0003, planned once a session, and with a short way for the usual case that a batch of ends has no further ones.
CREATE OR REPLACE FUNCTION gather_ends(done uuid[], OUT before uuid[], OUT failed uuid[], OUT parents uuid[])
LANGUAGE plpgsql STABLE AS $gather$
BEGIN
    IF cardinality(done) > 0 THEN
        SELECT
            array_agg(tasks.task_id) FILTER (WHERE tasks.has_dependants),
            array_agg(tasks.task_id) FILTER (WHERE NOT ended_well(tasks.result_status)),
            array_agg(tasks.parent_task_id)
        INTO before, failed, parents
        FROM unnest(done) AS given (id)
        JOIN tasks ON tasks.task_id = given.id
        WHERE tasks.parent_task_id IS NOT NULL;
    END IF;
END
$gather$;

-- As in 0003, planned once a session.
CREATE OR REPLACE FUNCTION open_subtask(parent uuid, since uuid) RETURNS uuid LANGUAGE plpgsql STABLE AS $open$
BEGIN
    RETURN (
        SELECT tasks.task_id
        FROM tasks
        WHERE tasks.parent_task_id BETWEEN parent AND parent
          AND tasks.task_id >= since
          AND (tasks.parent_task_id, tasks.task_id) >= (parent, since)
          AND tasks.status NOT IN ('complete', 'terminated')
        ORDER BY tasks.parent_task_id, tasks.task_id
        LIMIT 1
    );
END
$open$;
