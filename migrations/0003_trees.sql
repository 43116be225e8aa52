-- Task trees: subtasks that wait for one another, parents that wait for their subtasks, and what becomes of a whole tree.
--
-- Why: tasks with parent_task_id and `after` were refused so far.
-- Locks: ACCESS EXCLUSIVE on tasks for a moment (columns without a default: no row is written), and SHARE while the two
-- indexes are built: INSERTs and claims wait while all tasks are read once, some minutes for 100 million. To avoid it,
-- build both beforehand with CREATE INDEX CONCURRENTLY on each partition: they are found then, and only attached.
-- Undo: put the trigger and the functions tasks_admit, tasks_terminate, terminate_task and end_duplicates of 0001 back, drop what is
-- created here, and create the index tasks_parent again. The previous version of the workers runs beside it as long as
-- no tree is inserted: it does not know that the end of a task concerns others.
--
-- A tree changes under its lock. Whoever ends, suspends or terminates a task with a parent or with subtasks first takes
-- the advisory lock of its tree, and so sees what others did: of two last subtasks one is the last, and no task is
-- released twice. Whoever inserts a subtask takes no such lock, but keeps its parent and its predecessors as they are,
-- by row locks, until it commits. Tasks without parent and subtasks end by the statements complete, requeue and rescue,
-- which pass all others over.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false);

CREATE TYPE task_subtask_policy AS ENUM ('continue', 'stop', 'terminate_dependants', 'terminate_rest');
CREATE TYPE task_wait AS ENUM ('all', 'any', 'end');

-- All NULL for a task without a tree, so that its row grows by nothing.
ALTER TABLE tasks
    -- the producer's: what the failure of a subtask means for the others; NULL: terminate_dependants
    ADD COLUMN on_subtask_failure task_subtask_policy,
    -- by the INSERT: the uppermost task, and how far below it this one is; NULL: it is the uppermost itself
    ADD COLUMN root_task_id uuid,
    ADD COLUMN depth smallint,
    -- by the first INSERT that names this task as a parent, or as a predecessor
    ADD COLUMN has_subtasks boolean,
    ADD COLUMN has_dependants boolean,
    -- every subtask with a smaller id had ended when this was written; NULL: look at all
    ADD COLUMN first_open_subtask uuid,
    -- by a failed subtask under the policies stop and terminate_rest
    ADD COLUMN subtasks_stopped boolean,
    -- what a task that nobody holds (its claim_token is NULL) waits for: for all or any of its subtasks, to run again; or,
    -- its executor being done, for the last of them, to end
    ADD COLUMN waits_for task_wait,
    -- how well its executor ended, while it waits to end, and the action whose results it takes then
    ADD COLUMN own_result task_result_status,
    ADD COLUMN bubble_action text;

-- The subtasks of a task by id, and who waits for a task. Neither names a column that changes.
CREATE INDEX IF NOT EXISTS tasks_subtasks ON tasks (parent_task_id, task_id) WHERE parent_task_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS tasks_after ON tasks USING gin ("after") WITH (fastupdate = off) WHERE "after" IS NOT NULL;
DROP INDEX tasks_parent;

-- True for an end that lets those run that waited for it.
CREATE FUNCTION ended_well(result_status task_result_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $well$
    SELECT result_status IN ('success', 'partial_success')
$well$;

-- Inserting ------------------------------------------------------------------------------------------------------------

-- Refuses a task for its place in a tree.
CREATE FUNCTION refuse_subtask(code text, rule text, what text, remedy text) RETURNS void LANGUAGE plpgsql AS $refuse$
BEGIN
    RAISE EXCEPTION '%', what USING ERRCODE = code, TABLE = 'tasks', CONSTRAINT = rule, HINT = remedy;
END
$refuse$;

-- Reads the parent of a new task and keeps it as it is until the INSERT is committed. The first subtask leaves a mark on
-- it; nobody who shares its row wants to mark it, since two of them would wait for each other.
CREATE FUNCTION hold_parent(parent uuid) RETURNS tasks LANGUAGE plpgsql AS $hold$
DECLARE
    held tasks;
BEGIN
    SELECT tasks.* INTO held FROM tasks WHERE task_id = parent AND has_subtasks FOR SHARE;
    IF NOT FOUND THEN
        UPDATE tasks SET has_subtasks = true
        WHERE task_id = parent AND has_subtasks IS NULL AND NOT "terminate" AND status NOT IN ('complete', 'terminated')
        RETURNING tasks.* INTO held;
    END IF;
    IF NOT FOUND THEN
        SELECT tasks.* INTO held FROM tasks WHERE task_id = parent FOR SHARE;
    END IF;
    RETURN held;
END
$hold$;

-- Marks the predecessors of a new task, and keeps them as they are likewise.
CREATE FUNCTION hold_predecessors(parent uuid, predecessors uuid[]) RETURNS void LANGUAGE plpgsql AS $hold$
BEGIN
    PERFORM FROM unnest(predecessors) AS given (id)
    JOIN tasks ON tasks.task_id = given.id
    WHERE tasks.has_dependants
    FOR SHARE OF tasks;
    UPDATE tasks SET has_dependants = true
    FROM unnest(predecessors) AS given (id)
    WHERE tasks.task_id = given.id
      AND tasks.has_dependants IS NULL
      AND tasks.parent_task_id = parent
      -- an ended task never changes
      AND tasks.status NOT IN ('complete', 'terminated');
END
$hold$;

-- Gives a new task its place in the tree. Each predecessor is there already, so no cycle can be written; and each is a
-- sibling, so that no task can wait for an ancestor.
CREATE FUNCTION admit_subtask(task tasks) RETURNS tasks LANGUAGE plpgsql AS $subtask$
DECLARE
    parent tasks;
    stranger uuid;
    waits boolean := false;
    failed uuid;
    reason text;
BEGIN
    IF task.parent_task_id IS NULL THEN
        PERFORM refuse_subtask('23514', 'after_needs_a_parent',
            format('task %s names predecessors and no parent', task.task_id),
            'Set parent_task_id: only subtasks of one task wait for one another.');
    END IF;
    parent := hold_parent(task.parent_task_id);
    IF parent.task_id IS NULL THEN
        PERFORM refuse_subtask('23503', 'parent_task_id_exists',
            format('there is no task %s to be the parent', task.parent_task_id),
            'Insert the parent before, or further up in the same statement.');
    ELSIF parent.status IN ('complete', 'terminated') THEN
        PERFORM refuse_subtask('23514', 'parent_has_not_ended', format('the parent %s has ended', parent.task_id),
            'Insert subtasks while their parent is open.');
    ELSIF parent."terminate" THEN
        PERFORM refuse_subtask('23514', 'parent_is_not_terminating',
            format('the parent %s is being terminated', parent.task_id), 'Insert nothing: the whole tree ends.');
    ELSIF coalesce(parent.depth, 0) >= 32 THEN
        PERFORM refuse_subtask('23514', 'depth_is_at_most_32',
            format('the parent %s is 32 levels deep already', parent.task_id), 'Insert the task further up.');
    END IF;
    task.root_task_id := coalesce(parent.root_task_id, parent.task_id);
    task.depth := coalesce(parent.depth, 0) + 1;
    task.retry := parent.retry;

    IF task."after" IS NOT NULL THEN
        PERFORM hold_predecessors(parent.task_id, task."after");
        SELECT coalesce(given.id, '00000000-0000-0000-0000-000000000000') INTO stranger
        FROM unnest(task."after") AS given (id)
        WHERE NOT EXISTS (SELECT FROM tasks WHERE tasks.task_id = given.id AND tasks.parent_task_id = parent.task_id)
        LIMIT 1;
        IF FOUND THEN
            PERFORM refuse_subtask('23503', 'after_names_earlier_siblings',
                format('task %s, which shall come before task %s, is no subtask of %s', stranger, task.task_id, parent.task_id),
                'Name siblings, inserted before or further up in the same statement: predecessors come first.');
        END IF;
        SELECT
            bool_or(tasks.status NOT IN ('complete', 'terminated')),
            (array_agg(tasks.task_id) FILTER (
                WHERE tasks.status IN ('complete', 'terminated') AND NOT ended_well(tasks.result_status)))[1]
        INTO waits, failed
        FROM unnest(task."after") AS given (id)
        JOIN tasks ON tasks.task_id = given.id;
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
$subtask$;

-- As in 0001, but for trees, which it admits.
CREATE OR REPLACE FUNCTION tasks_admit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_sort = off SET jit = off SET plan_cache_mode = 'force_generic_plan' AS $admit$
DECLARE
    found_status task_status;
BEGIN
    IF NEW.status <> 'queued' OR NEW.attempt <> 0 OR NEW.retry <> 0 OR NEW.claim_token IS NOT NULL
        OR NEW.result_status <> 'incomplete' OR NEW."terminate" THEN
        RAISE EXCEPTION 'a task is inserted as queued: status, attempt, retry, claim_token, result_status and terminate are the queue''s'
            USING ERRCODE = 'check_violation', TABLE = 'tasks', CONSTRAINT = 'tasks_begin_queued',
                  HINT = 'Leave these columns out of the INSERT.';
    END IF;
    IF get_byte(uuid_send(NEW.task_id), 6) >> 4 <> 7 OR get_byte(uuid_send(NEW.task_id), 8) >> 6 <> 2 THEN
        RAISE EXCEPTION 'task_id % is not a UUIDv7', NEW.task_id
            USING ERRCODE = 'check_violation', TABLE = 'tasks', CONSTRAINT = 'task_id_is_a_uuidv7',
                  HINT = 'Leave task_id out, or make it as RFC 9562 version 7.';
    END IF;
    IF NEW.unique_key IS NOT NULL THEN
        -- as 0001 says
        SELECT status INTO found_status FROM tasks
        WHERE queue = NEW.queue AND unique_key BETWEEN NEW.unique_key AND NEW.unique_key
        ORDER BY unique_key, task_id DESC LIMIT 1;
        IF found_status IN ('requested', 'queued')
            OR NEW.unique_until = 'ended' AND found_status IN ('running', 'terminating') THEN
            RETURN NULL;
        END IF;
    END IF;
    IF NEW.parent_task_id IS NOT NULL OR NEW."after" IS NOT NULL THEN
        NEW := admit_subtask(NEW);
    END IF;
    RETURN NEW;
END
$admit$;

-- As in 0001, in fewer terms: Postgres reads the condition anew for each statement, five microseconds a term. (A domain on
-- task_id would be read once; but what a client aggregates over one, or a function returns, has a type of its own.)
DROP TRIGGER tasks_admit ON tasks;
CREATE TRIGGER tasks_admit BEFORE INSERT ON tasks FOR EACH ROW
    WHEN (num_nonnulls(NEW.unique_key, NEW.parent_task_id, NEW."after", NEW.claim_token) > 0
        OR NEW.status <> 'queued'
        OR NEW.attempt | NEW.retry <> 0
        OR NEW.result_status <> 'incomplete'
        OR NEW."terminate"
        OR get_byte(uuid_send(NEW.task_id), 6) >> 4 <> 7
        OR get_byte(uuid_send(NEW.task_id), 8) >> 6 <> 2)
    EXECUTE FUNCTION tasks_admit();

-- Ends of tasks ----------------------------------------------------------------------------------------------------------
-- Parts of settle_tree, tasks_terminate and rescue_trees, which call them under the trees' locks and their own settings.
-- Ends are timed by the clock, since a transaction that waited for a lock began before what it waited for.

-- Takes the locks of trees, each until the transaction ends. Striped, so that a batch of many trees takes few; in one
-- order, so that two batches cannot wait for each other.
CREATE FUNCTION lock_trees(roots uuid[]) RETURNS void LANGUAGE plpgsql AS $lock$
DECLARE
    stripe integer;
BEGIN
    FOR stripe IN SELECT DISTINCT hashtext(root::text) & 1023 AS number FROM unnest(roots) AS root ORDER BY number LOOP
        PERFORM pg_advisory_xact_lock(hashtext('longshore tree ' || current_schema()), stripe);
    END LOOP;
END
$lock$;

-- The first open subtask of a task, in the order of ids, at or behind `since`. BETWEEN and the order as in tasks_admit: the
-- planner must not take the primary key for it, and walk all younger tasks.
CREATE FUNCTION open_subtask(parent uuid, since uuid) RETURNS uuid LANGUAGE sql STABLE AS $open$
    SELECT tasks.task_id
    FROM tasks
    WHERE tasks.parent_task_id BETWEEN parent AND parent
      AND tasks.task_id >= since
      AND (tasks.parent_task_id, tasks.task_id) >= (parent, since)
      AND tasks.status NOT IN ('complete', 'terminated')
    ORDER BY tasks.parent_task_id, tasks.task_id
    LIMIT 1
$open$;

-- Whether a task has an open subtask; no is final only while the caller holds the task's row. Looks from where the last
-- look ended, and notes a new place only where the way has become long, and nobody holds the row: it must not change with
-- every subtask. Before it says no it looks at all of them, since an id of a producer's own may be smaller than those that
-- have ended. (Test: a_completion_costs_the_same_however_many_siblings_are_open_also_while_an_old_snapshot_is_held.)
CREATE FUNCTION has_open_subtask(parent uuid) RETURNS boolean LANGUAGE plpgsql AS $open$
DECLARE
    nil CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    since uuid := (SELECT coalesce(first_open_subtask, nil) FROM tasks WHERE task_id = parent);
    first uuid := open_subtask(parent, since);
BEGIN
    IF first IS NULL AND since > nil THEN
        first := open_subtask(parent, nil);
    END IF;
    IF first < since OR first > since AND 100 = (
        SELECT count(*) FROM (
            SELECT FROM tasks
            WHERE parent_task_id BETWEEN parent AND parent
              AND (parent_task_id, task_id) >= (parent, since) AND (parent_task_id, task_id) < (parent, first)
            ORDER BY parent_task_id, task_id
            LIMIT 100
        ) AS walked
    ) THEN
        PERFORM FROM tasks WHERE task_id = parent FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            UPDATE tasks SET first_open_subtask = first WHERE task_id = parent;
        END IF;
    END IF;
    RETURN first IS NOT NULL;
END
$open$;

-- What the ended subtasks of a task make of its own result: the status is aligned with theirs, and their names are
-- appended to its own. With an action, their status and successes count only where they ran that action; failures count
-- only where they belong to the task's retry sequence, or that is the first. A success of its own adds nothing where
-- subtasks count.
CREATE FUNCTION bubbled(
    parent uuid, parent_retry smallint, only_action text, own task_result_status, own_successes text[], own_failures text[],
    OUT result task_result_status, OUT successes text[], OUT failures text[]
) LANGUAGE plpgsql AS $bubbled$
DECLARE
    subtasks bigint;
    good bigint;
    bad bigint;
BEGIN
    SELECT
        count(*),
        count(*) FILTER (WHERE passes AND status IN ('success', 'partial_success')),
        count(*) FILTER (WHERE passes AND counts AND status IN ('failure', 'partial_success'))
    INTO subtasks, good, bad
    FROM (
        SELECT
            result_status AS status,
            only_action IS NULL OR action = only_action AS passes,
            parent_retry = 0 OR retry = parent_retry AS counts
        FROM tasks
        WHERE parent_task_id = parent AND tasks.status IN ('complete', 'terminated')
    ) AS ended;
    IF good + bad > 0 OR own <> 'success' THEN
        good := good + (own = 'partial_success')::int;
        bad := bad + (own IN ('partial_success', 'failure'))::int;
    END IF;
    result := CASE
        WHEN good > 0 AND bad > 0 THEN 'partial_success'
        WHEN good > 0 OR own = 'success' AND bad = 0 OR subtasks = 0 AND bad = 0 THEN 'success'
        WHEN bad > 0 THEN 'failure'
        ELSE 'incomplete'
    END;
    SELECT
        array_agg(name ORDER BY first) FILTER (WHERE is_success),
        array_agg(name ORDER BY first) FILTER (WHERE NOT is_success)
    INTO successes, failures
    FROM (
        SELECT name, is_success, min(place) AS first
        FROM (
            SELECT name, is_success, row_number() OVER (ORDER BY task_id NULLS FIRST, position) AS place
            FROM (
                SELECT NULL::uuid AS task_id, own_names.position, name, true AS is_success
                FROM unnest(own_successes) WITH ORDINALITY AS own_names (name, position)
                UNION ALL
                SELECT NULL, own_names.position, name, false
                FROM unnest(own_failures) WITH ORDINALITY AS own_names (name, position)
                UNION ALL
                SELECT task_id, position, name, true
                FROM tasks, unnest(result_successes) WITH ORDINALITY AS names (name, position)
                WHERE parent_task_id = parent AND tasks.status IN ('complete', 'terminated')
                  AND (only_action IS NULL OR action = only_action)
                UNION ALL
                SELECT task_id, position, name, false
                FROM tasks, unnest(result_failures) WITH ORDINALITY AS names (name, position)
                WHERE parent_task_id = parent AND tasks.status IN ('complete', 'terminated')
                  AND (parent_retry = 0 OR retry = parent_retry)
            ) AS said
        ) AS placed
        GROUP BY name, is_success
    ) AS once;
END
$bubbled$;

-- Terminates tasks with all that is below them, from the top, so that nothing can be inserted behind it: what waits has
-- ended then, what runs is terminating and will be told, and so is, until its subtasks have ended, what has any and is
-- held by nobody. `why` is the reason of the uppermost. Returns those that have ended, and those that may end as soon as
-- their subtasks have.
CREATE FUNCTION terminate_subtrees(tops uuid[], by_whom text, why text, OUT ended uuid[], OUT parents uuid[])
LANGUAGE plpgsql AS $terminate$
DECLARE
    level uuid[] := tops;
    reason text := why;
    seen record;
BEGIN
    ended := '{}';
    parents := '{}';
    WHILE cardinality(level) > 0 LOOP
        WITH marked AS (
            UPDATE tasks
            SET "terminate" = true,
                "terminated" = now(),
                terminated_by = by_whom,
                updated = now(),
                status = CASE WHEN status = 'running' OR has_subtasks THEN 'terminating' ELSE 'terminated' END::task_status,
                claim_token = CASE WHEN status = 'running' OR has_subtasks IS NULL THEN claim_token END,
                result_status = CASE WHEN status = 'running' OR has_subtasks THEN result_status ELSE 'failure' END,
                result_reason = CASE WHEN status = 'running' THEN result_reason ELSE reason END,
                finished_at = CASE WHEN status = 'running' OR has_subtasks THEN finished_at ELSE clock_timestamp() END
            FROM unnest(level) AS given (id)
            WHERE tasks.task_id = given.id
              AND tasks.status IN ('requested', 'queued', 'running')
            RETURNING tasks.task_id, tasks.status, tasks.has_subtasks, tasks.claim_token
        )
        SELECT
            coalesce(array_agg(task_id) FILTER (WHERE status = 'terminated'), '{}') AS ended,
            coalesce(array_agg(task_id) FILTER (WHERE has_subtasks), '{}') AS with_subtasks,
            coalesce(array_agg(task_id) FILTER (WHERE has_subtasks AND claim_token IS NULL), '{}') AS parents
        INTO seen
        FROM marked;
        ended := ended || seen.ended;
        parents := parents || seen.parents;
        reason := 'terminated';
        level := ARRAY(
            SELECT tasks.task_id
            FROM unnest(seen.with_subtasks) AS given (id)
            JOIN tasks ON tasks.parent_task_id = given.id
            WHERE tasks.status IN ('requested', 'queued', 'running')
        );
    END LOOP;
END
$terminate$;

-- Who names one of these tasks in `after`. The one statement that needs a bitmap.
CREATE FUNCTION dependants(predecessors uuid[]) RETURNS SETOF uuid LANGUAGE sql STABLE
SET enable_bitmapscan = on AS $dependants$
    SELECT tasks.task_id FROM tasks WHERE tasks."after" && predecessors AND tasks.status = 'requested'
$dependants$;

-- Of tasks that have just ended: those that others may wait for, those that failed, and their parents, once a task: for a
-- DISTINCT aggregate a server from 16 on walks all subtasks that there are in the order of their parents.
CREATE FUNCTION gather_ends(done uuid[], OUT before uuid[], OUT failed uuid[], OUT parents uuid[]) LANGUAGE sql STABLE AS $gather$
    SELECT
        array_agg(tasks.task_id) FILTER (WHERE tasks.has_dependants),
        array_agg(tasks.task_id) FILTER (WHERE NOT ended_well(tasks.result_status)),
        array_agg(tasks.parent_task_id)
    FROM unnest(done) AS given (id)
    JOIN tasks ON tasks.task_id = given.id
    WHERE tasks.parent_task_id IS NOT NULL
$gather$;

-- Lets those run that waited for the tasks `before`, which have just ended, or ends them, as the parent's policy says; of
-- all that ended, `failed` did badly. Returns what has ended by that, and the parents to look after, as terminate_subtrees
-- does.
CREATE FUNCTION release_dependants(before uuid[], failed uuid[], OUT ended uuid[], OUT parents uuid[])
LANGUAGE plpgsql AS $release$
DECLARE
    stopped uuid[];
    doomed uuid[];
    ended_more uuid[];
    parents_more uuid[];
BEGIN
    ended := '{}';
    parents := '{}';

    IF before IS NOT NULL THEN
        doomed := ARRAY(
            SELECT tasks.task_id
            FROM dependants(before) AS found (id)
            JOIN tasks ON tasks.task_id = found.id
            JOIN tasks AS parent ON parent.task_id = tasks.parent_task_id
            WHERE tasks."after" && failed
              AND tasks.waits_for IS NULL
              AND parent.on_subtask_failure IS DISTINCT FROM 'continue'
        );
        SELECT t.ended, t.parents INTO ended, parents
        FROM terminate_subtrees(doomed, 'on_subtask_failure', 'predecessor_failed') AS t;
        UPDATE tasks
        SET status = 'queued', run_at = greatest(tasks.run_at, now()), updated = now()
        FROM dependants(before) AS found (id)
        WHERE tasks.task_id = found.id
          AND tasks.status = 'requested'
          AND tasks.waits_for IS NULL
          AND NOT EXISTS (
              SELECT
              FROM unnest(tasks."after") AS given (id)
              JOIN tasks AS predecessor ON predecessor.task_id = given.id
              WHERE predecessor.status NOT IN ('complete', 'terminated')
          );
    END IF;

    IF failed IS NOT NULL THEN
        -- once a parent, since it looks at all siblings
        WITH marked AS (
            UPDATE tasks AS parent SET subtasks_stopped = true
            FROM unnest(failed) AS given (id)
            JOIN tasks ON tasks.task_id = given.id
            WHERE parent.task_id = tasks.parent_task_id
              AND parent.on_subtask_failure IN ('stop', 'terminate_rest')
              AND parent.subtasks_stopped IS NULL
              AND parent.status NOT IN ('complete', 'terminated')
            RETURNING parent.task_id
        )
        SELECT array_agg(marked.task_id) INTO stopped FROM marked;
    END IF;
    IF stopped IS NOT NULL THEN
        doomed := ARRAY(
            SELECT tasks.task_id
            FROM unnest(stopped) AS given (id)
            JOIN tasks AS parent ON parent.task_id = given.id
            JOIN tasks ON tasks.parent_task_id = parent.task_id
            WHERE tasks.status = 'requested' AND tasks.waits_for IS NULL
               OR tasks.status IN ('requested', 'queued', 'running') AND parent.on_subtask_failure = 'terminate_rest'
        );
        SELECT t.ended, t.parents INTO ended_more, parents_more
        FROM terminate_subtrees(doomed, 'on_subtask_failure', 'sibling_failed') AS t;
        ended := ended || ended_more;
        parents := parents || parents_more;
    END IF;
END
$release$;

-- Looks at a task after one or more of its subtasks have ended, or its own end was asked for: runs it again, or ends it,
-- if that is what it waited for. True when it has ended.
CREATE FUNCTION settle_parent(parent uuid) RETURNS boolean LANGUAGE plpgsql AS $parent$
DECLARE
    task tasks;
    sum record;
BEGIN
    SELECT tasks.* INTO task FROM tasks
    WHERE task_id = parent AND claim_token IS NULL AND (waits_for IS NOT NULL OR status = 'terminating')
      AND status IN ('requested', 'queued', 'terminating');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF task.status <> 'terminating' AND task.waits_for = 'any' THEN
        UPDATE tasks SET status = 'queued', run_at = now(), waits_for = NULL, updated = now()
        WHERE task_id = parent AND claim_token IS NULL AND status IN ('requested', 'queued');
        RETURN false;
    END IF;
    -- an INSERT under way may bring another subtask: it holds up the last one, not all before it (test:
    -- an_insert_under_way_holds_up_the_last_subtask_alone)
    IF has_open_subtask(parent) THEN
        RETURN false;
    END IF;
    PERFORM FROM tasks WHERE task_id = parent FOR NO KEY UPDATE;
    IF has_open_subtask(parent) THEN
        RETURN false;
    END IF;
    IF task.status <> 'terminating' AND task.waits_for = 'all' THEN
        UPDATE tasks SET status = 'queued', run_at = now(), waits_for = NULL, updated = now()
        WHERE task_id = parent AND claim_token IS NULL AND status IN ('requested', 'queued');
        RETURN false;
    END IF;
    sum := bubbled(parent, task.retry, task.bubble_action, coalesce(task.own_result, 'incomplete'),
        task.result_successes, task.result_failures);
    UPDATE tasks
    SET status = CASE status WHEN 'terminating' THEN 'terminated' ELSE 'complete' END::task_status,
        result_status = CASE status WHEN 'terminating' THEN 'failure' ELSE sum.result END,
        result_reason = CASE WHEN status = 'terminating' THEN coalesce(result_reason, 'terminated') ELSE result_reason END,
        result_successes = sum.successes,
        result_failures = sum.failures,
        waits_for = NULL,
        own_result = NULL,
        finished_at = clock_timestamp(),
        updated = now()
    WHERE task_id = parent;
    RETURN true;
END
$parent$;

-- What follows from ends, as gather_ends has them, until nothing more does.
CREATE FUNCTION follow_ends(before uuid[], failed uuid[], parents uuid[]) RETURNS void LANGUAGE plpgsql AS $follow$
DECLARE
    parent uuid;
    released record;
    done uuid[];
BEGIN
    WHILE before IS NOT NULL OR failed IS NOT NULL OR parents IS NOT NULL LOOP
        released := release_dependants(before, failed);
        done := released.ended;
        FOR parent IN SELECT DISTINCT unnest(parents || released.parents) LOOP
            IF settle_parent(parent) THEN
                done := done || parent;
            END IF;
        END LOOP;
        SELECT more.before, more.failed, more.parents INTO before, failed, parents FROM gather_ends(done) AS more;
    END LOOP;
    IF EXISTS (SELECT FROM workers WHERE idle_until > now()) THEN
        PERFORM pg_notify('longshore.' || current_schema(), '');
    END IF;
END
$follow$;

-- The same for these tasks, and these parents.
CREATE FUNCTION settle_ends(done uuid[], look_after uuid[]) RETURNS void LANGUAGE sql AS $ends$
    SELECT follow_ends(more.before, more.failed, nullif(more.parents || look_after, '{}')) FROM gather_ends(done) AS more
$ends$;

-- Settling held tasks ----------------------------------------------------------------------------------------------------

-- Ends one held task that has subtasks, or asks for their results, as its outcome says; the caller has locked its row.
-- True when it has ended.
CREATE FUNCTION settle_with_subtasks(task tasks, outcome jsonb, output_in_row boolean) RETURNS boolean
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
    IF step = 'retry_failed' AND sum_result <> 'success' AND sum_failures IS NOT NULL THEN
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

-- Settles held tasks of some trees, whose locks it takes, each within `patience`; see settle_tree. Returns those that it
-- settled.
CREATE FUNCTION settle_in_trees(
    roots uuid[], patience text, task_ids uuid[], tokens uuid[], outcomes jsonb[], in_row_bytes integer
) RETURNS uuid[] LANGUAGE plpgsql AS $settle$
DECLARE
    locked record;
    one record;
    ended uuid[];
BEGIN
    -- another batch of the same tree takes its time; a row that somebody holds is left to the next call
    PERFORM set_config('lock_timeout', patience, true);
    PERFORM lock_trees(roots);
    PERFORM set_config('lock_timeout', '50ms', true);
    WITH held AS MATERIALIZED (
        SELECT
            tasks.task_id,
            given.outcome,
            given.outcome -> 'result' AS details,
            given.outcome ->> 'step' AS step,
            tasks.status = 'terminating' AS is_terminating,
            tasks.has_subtasks IS NOT NULL OR given.outcome -> 'result' ? 'bubble'
                OR given.outcome ->> 'step' IN ('suspend', 'retry_failed') AS is_parent
        FROM unnest(task_ids, tokens, outcomes) AS given (task_id, claim_token, outcome)
        JOIN tasks ON tasks.task_id = given.task_id
        WHERE tasks.claim_token = given.claim_token
          AND tasks.status IN ('running', 'terminating')
          AND coalesce(tasks.root_task_id, tasks.task_id) = ANY (roots)
        FOR NO KEY UPDATE OF tasks SKIP LOCKED
    ),
    settled AS (
        UPDATE tasks
        SET status = CASE
                WHEN held.is_terminating THEN 'terminated'
                WHEN held.step = 'requeue' THEN 'queued'
                ELSE 'complete'
            END::task_status,
            result_status = CASE
                WHEN held.is_terminating THEN 'failure'
                WHEN held.step = 'requeue' THEN tasks.result_status::text
                ELSE held.details ->> 'status'
            END::task_result_status,
            result_error_count = (held.outcome ->> 'error_count')::int,
            result_message = held.details ->> 'message',
            result_reason = CASE WHEN held.is_terminating THEN 'terminated' ELSE held.details ->> 'reason' END,
            result_successes = CASE WHEN held.details ? 'successes'
                THEN ARRAY(SELECT jsonb_array_elements_text(held.details -> 'successes')) END,
            result_failures = CASE WHEN held.details ? 'failures'
                THEN ARRAY(SELECT jsonb_array_elements_text(held.details -> 'failures')) END,
            result_links = held.details -> 'links',
            output = CASE WHEN pg_column_size(held.details) <= in_row_bytes THEN held.details -> 'output' END,
            attempt = tasks.attempt - CASE WHEN held.step = 'requeue' THEN (held.outcome ->> 'attempt_back')::boolean::int ELSE 0 END,
            run_at = CASE WHEN held.step = 'requeue' AND NOT held.is_terminating
                THEN now() + make_interval(secs => (held.outcome ->> 'delay')::float8) ELSE tasks.run_at END,
            finished_at = CASE WHEN held.is_terminating OR held.step <> 'requeue' THEN clock_timestamp() END,
            updated = now()
        FROM held
        WHERE tasks.task_id = held.task_id
          AND NOT held.is_parent
        RETURNING tasks.task_id, tasks.status, tasks.result_status, tasks.has_dependants, tasks.parent_task_id
    ),
    wide AS (
        INSERT INTO task_output (task_id, output)
        SELECT held.task_id, held.details -> 'output'
        FROM held
        WHERE held.step = 'complete'
          AND held.details ? 'output'
          AND pg_column_size(held.details) > in_row_bytes
        ON CONFLICT (task_id) DO NOTHING
    )
    SELECT ids.task_ids, ids.parents, ends.before, ends.failed, ends.above
    INTO locked
    FROM (
        SELECT array_agg(task_id) AS task_ids, array_agg(task_id) FILTER (WHERE is_parent) AS parents FROM held
    ) AS ids
    CROSS JOIN (
        SELECT
            array_agg(task_id) FILTER (WHERE has_dependants) AS before,
            array_agg(task_id) FILTER (WHERE NOT ended_well(result_status)) AS failed,
            array_agg(DISTINCT parent_task_id) AS above
        FROM settled
        WHERE status IN ('complete', 'terminated') AND parent_task_id IS NOT NULL
    ) AS ends;
    FOR one IN
        SELECT tasks AS task, given.outcome
        FROM unnest(task_ids, outcomes) AS given (task_id, outcome)
        JOIN tasks ON tasks.task_id = given.task_id
        WHERE given.task_id = ANY (locked.parents)
    LOOP
        IF settle_with_subtasks(one.task, one.outcome,
            one.outcome ->> 'step' <> 'complete' OR pg_column_size(one.outcome -> 'result') <= in_row_bytes) THEN
            ended := ended || (one.task).task_id;
        END IF;
    END LOOP;
    SELECT more.before || locked.before, more.failed || locked.failed, more.parents || locked.above
    INTO locked.before, locked.failed, locked.above
    FROM gather_ends(ended) AS more;
    PERFORM follow_ends(locked.before, locked.failed, locked.above);
    RETURN coalesce(locked.task_ids, '{}');
END
$settle$;

-- Settles held tasks that belong to trees, or may: ends them, sends them back or suspends them, and does what follows from
-- that for those around them. Any task may be settled so; one without a tree costs less in complete and requeue. Returns
-- those that it settled: one that is missing is no longer held by this claim, or could not be settled while somebody holds
-- a lock in its tree, and then nothing else of its tree was.
--   outcomes: objects of `step` (complete, requeue, suspend, retry_failed), `error_count`, `result` (as in complete), and
--     requeue:       `delay` in seconds, `attempt_back`
--     suspend:       `waits_for` (all, any), `timeout` in seconds, `seen`: how many ended subtasks it knows of
--     complete:      in the result `bubble`: an object, with the `action` whose results count, if not all
--     retry_failed:  `max` retries
--   last_tokens, last_open: claims of which this settles the last so many tasks
CREATE FUNCTION settle_tree(
    task_ids uuid[], tokens uuid[], outcomes jsonb[], in_row_bytes integer, last_tokens uuid[], last_open integer[]
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_material = off SET enable_sort = off SET jit = off SET plan_cache_mode = 'force_generic_plan' SET lock_timeout = '1s'
AS $settle$
DECLARE
    roots uuid[] := ARRAY(
        SELECT DISTINCT coalesce(tasks.root_task_id, tasks.task_id)
        FROM unnest(task_ids, tokens) AS given (task_id, claim_token)
        JOIN tasks ON tasks.task_id = given.task_id
        WHERE tasks.claim_token = given.claim_token
    );
    root uuid;
    settled uuid[] := '{}';
BEGIN
    BEGIN
        settled := settle_in_trees(roots, '500ms', task_ids, tokens, outcomes, in_row_bytes);
    EXCEPTION WHEN lock_not_available THEN
        -- one tree in which somebody holds a row must not hold up the others
        FOREACH root IN ARRAY roots LOOP
            EXIT WHEN cardinality(roots) = 1 OR clock_timestamp() > statement_timestamp() + interval '4 s';
            BEGIN
                settled := settled || settle_in_trees(ARRAY[root], '100ms', task_ids, tokens, outcomes, in_row_bytes);
            EXCEPTION WHEN lock_not_available THEN
                NULL;
            END;
        END LOOP;
    END;
    DELETE FROM claims
    USING unnest(last_tokens, last_open) AS last (claim_token, open)
    WHERE claims.claim_token = last.claim_token
      AND last.open = (
          SELECT count(*)
          FROM unnest(settle_tree.task_ids, tokens) AS given (task_id, claim_token)
          WHERE given.claim_token = last.claim_token AND given.task_id = ANY (settled)
      );
    RETURN QUERY SELECT unnest(settled);
END
$settle$;

-- Ends tasks of trees that dead workers held and that do not go back to the queue: the statement rescue passes them over.
-- Arguments and rules are those of rescue. Returns what it settled.
CREATE FUNCTION rescue_trees(identity uuid, epoch bigint, witness uuid, max_claims integer)
RETURNS TABLE (task_id uuid, queue text, status text) LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_material = off SET enable_sort = off SET jit = off SET plan_cache_mode = 'force_generic_plan' SET lock_timeout = '1s'
AS $rescue$
DECLARE
    held record;
BEGIN
    PERFORM FROM active_instance AS a
    WHERE a.identity = rescue_trees.identity AND a.epoch = rescue_trees.epoch AND a.lease_expires_at > now()
    FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    WITH orphaned AS MATERIALIZED (
        SELECT claims.claim_token, claims.task_ids
        FROM claims
        LEFT JOIN workers ON workers.worker_id = claims.worker_id
        WHERE CASE
            WHEN workers.worker_id IS NULL THEN claims.claimed_at < now() - interval '1 minute'
            ELSE workers.heartbeat_at < now() - workers.lease AND EXISTS (
                SELECT
                FROM workers AS w
                WHERE w.worker_id = witness
                  AND w.heartbeat_at > now() - w.lease * 2 / 3
                  AND w.beating_since < now() - workers.lease
            )
        END
        LIMIT max_claims
        FOR UPDATE OF claims SKIP LOCKED
    )
    SELECT
        array_agg(tasks.task_id) AS task_ids,
        array_agg(tasks.claim_token) AS tokens,
        array_agg(jsonb_build_object(
            'step', 'complete',
            'error_count', tasks.result_error_count,
            'result', jsonb_build_object(
                'status', 'failure',
                'reason', 'worker_died',
                'message', 'the worker that held attempt ' || tasks.attempt || ' stopped reporting')
        )) AS outcomes
    INTO held
    FROM orphaned
    CROSS JOIN unnest(orphaned.task_ids) AS of_claim (task_id)
    JOIN tasks ON tasks.task_id = of_claim.task_id
    WHERE tasks.claim_token = orphaned.claim_token
      AND (tasks.parent_task_id IS NOT NULL OR tasks.has_subtasks)
      AND (tasks.status = 'terminating' OR tasks.status = 'running' AND tasks.attempt >= tasks.max_attempts);
    RETURN QUERY
    SELECT tasks.task_id, tasks.queue::text, tasks.status::text
    FROM settle_tree(held.task_ids, held.tokens, held.outcomes, 256, '{}', '{}') AS settled (id)
    JOIN tasks ON tasks.task_id = settled.id;
    -- what is left of the claims is nothing, or the statement rescue's
    DELETE FROM claims
    WHERE claims.claim_token = ANY (held.tokens)
      AND NOT EXISTS (
          SELECT
          FROM unnest(claims.task_ids) AS of_claim (task_id)
          JOIN tasks ON tasks.task_id = of_claim.task_id
          WHERE tasks.claim_token = claims.claim_token AND tasks.status IN ('running', 'terminating')
      );
END
$rescue$;

-- Termination ------------------------------------------------------------------------------------------------------------

-- As in 0001; a task of a tree ends with all that is below it, and what waited for it goes on.
CREATE OR REPLACE FUNCTION tasks_terminate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_material = off SET enable_sort = off SET jit = off SET plan_cache_mode = 'force_generic_plan' AS $terminate$
DECLARE
    by_whom text := coalesce(nullif(current_setting('longshore.terminated_by', true), ''), session_user);
    trees uuid[];
    more record;
BEGIN
    -- An ended task is left alone. This UPDATE fires this trigger again, which then finds none.
    IF EXISTS (
        SELECT FROM tasks WHERE "terminate" AND "terminated" IS NULL AND status IN ('complete', 'terminated')
    ) THEN
        UPDATE tasks SET "terminate" = false
        WHERE "terminate" AND "terminated" IS NULL AND status IN ('complete', 'terminated');
    END IF;
    trees := ARRAY(
        SELECT coalesce(root_task_id, task_id) FROM tasks
        WHERE "terminate" AND "terminated" IS NULL AND (parent_task_id IS NOT NULL OR has_subtasks)
    );
    IF cardinality(trees) > 0 THEN
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE EXCEPTION 'terminating a task tree needs isolation level read committed, to see what others add to it'
                USING ERRCODE = 'invalid_transaction_state';
        END IF;
        PERFORM lock_trees(trees);
        more := terminate_subtrees(
            ARRAY(
                SELECT task_id FROM tasks
                WHERE "terminate" AND "terminated" IS NULL AND (parent_task_id IS NOT NULL OR has_subtasks)
            ),
            by_whom, 'terminated');
        PERFORM settle_ends(more.ended, more.parents);
    END IF;
    UPDATE tasks
    SET "terminated" = now(),
        terminated_by = by_whom,
        updated = now(),
        status = CASE WHEN status = 'running' THEN 'terminating' ELSE 'terminated' END::task_status,
        result_status = CASE WHEN status = 'running' THEN result_status ELSE 'failure' END,
        result_reason = CASE WHEN status = 'running' THEN result_reason ELSE 'terminated' END,
        finished_at = CASE WHEN status = 'running' THEN finished_at ELSE now() END
    WHERE "terminate" AND "terminated" IS NULL AND status IN ('requested', 'queued', 'running');
    PERFORM pg_notify('longshore.' || TG_TABLE_SCHEMA || '.terminate', '');
    RETURN NULL;
END
$terminate$;

-- As in 0001; takes the tree's lock before any row's, as settle_tree does.
CREATE OR REPLACE FUNCTION terminate_task(task_id uuid, by text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $terminate$
DECLARE
    was_open boolean;
BEGIN
    PERFORM lock_trees(ARRAY(
        SELECT coalesce(t.root_task_id, t.task_id) FROM tasks AS t
        WHERE t.task_id = terminate_task.task_id AND (t.parent_task_id IS NOT NULL OR t.has_subtasks)
    ));
    PERFORM set_config('longshore.terminated_by', coalesce(by, ''), true);
    UPDATE tasks SET "terminate" = true
    WHERE tasks.task_id = terminate_task.task_id AND status NOT IN ('complete', 'terminated');
    was_open := FOUND;
    -- whoever sets the column later in this transaction is not `by`
    PERFORM set_config('longshore.terminated_by', '', true);
    RETURN was_open;
END
$terminate$;

-- Ends the tasks of trees among duplicates, and does what follows from that.
CREATE FUNCTION end_duplicates_of_trees(duplicates uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off AS $duplicates$
DECLARE
    mine uuid[] := ARRAY(
        SELECT tasks.task_id FROM unnest(duplicates) AS given (id)
        JOIN tasks ON tasks.task_id = given.id
        WHERE tasks.parent_task_id IS NOT NULL OR tasks.has_subtasks
    );
    more record;
BEGIN
    PERFORM lock_trees(ARRAY(
        SELECT coalesce(tasks.root_task_id, tasks.task_id) FROM unnest(mine) AS given (id)
        JOIN tasks ON tasks.task_id = given.id
    ));
    UPDATE tasks SET status = 'queued', claim_token = NULL
    FROM unnest(mine) AS given (id)
    WHERE tasks.task_id = given.id AND tasks.status = 'running';
    more := terminate_subtrees(mine, 'unique_key', 'duplicate');
    PERFORM settle_ends(more.ended, more.parents);
END
$duplicates$;

-- As in 0001, and leaves tasks of trees to the function above.
CREATE OR REPLACE FUNCTION end_duplicates(duplicates uuid[], of_task uuid) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $duplicates$
BEGIN
    UPDATE tasks
    SET status = 'terminated', result_reason = 'duplicate', result_message = 'duplicate of task ' || of_task,
        terminated_by = 'unique_key', "terminated" = now(), finished_at = now(), updated = now()
    FROM unnest(duplicates) AS given (task_id)
    WHERE tasks.task_id = given.task_id
      AND tasks.parent_task_id IS NULL
      AND tasks.has_subtasks IS NULL;
    IF EXISTS (
        SELECT FROM unnest(duplicates) AS given (task_id)
        JOIN tasks ON tasks.task_id = given.task_id
        WHERE tasks.parent_task_id IS NOT NULL OR tasks.has_subtasks
    ) THEN
        PERFORM end_duplicates_of_trees(duplicates);
    END IF;
END
$duplicates$;

REVOKE EXECUTE ON FUNCTION ended_well, refuse_subtask, hold_parent, hold_predecessors, admit_subtask, lock_trees,
    open_subtask, has_open_subtask, bubbled, terminate_subtrees, dependants, gather_ends, release_dependants, settle_parent,
    follow_ends, settle_ends,
    settle_with_subtasks, settle_in_trees, settle_tree, rescue_trees, end_duplicates_of_trees
FROM PUBLIC;
