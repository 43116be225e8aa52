-- Subtasks for less: what each adds to the cost of a task.
--
-- Why: an INSERT of ten thousand subtasks locked and read their parent ten thousand times: 234,000 instructions each,
-- against 92,000 for a task alone. What reads it once takes 137,000. And the end of each was two looks and an UPDATE where
-- that of a task alone is the UPDATE: 159,000 instructions against 76,000. With the UPDATE alone they are 113,000.
-- Below a traced parent an INSERT looks its trace up, and does not judge it anew: 231,000 instructions instead of
-- 600,000.
-- Locks: none; functions only.
-- Undo: put tasks_admit of 0007 and lock_trees, settle_in_trees and settle_tree of 0003 back, drop what is new here,
-- and rename walk_to_open_subtask to has_open_subtask. The previous version of the workers runs beside it: it does not
-- say `root`, which is looked up then.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false);

-- Traces --------------------------------------------------------------------------------------------------------------

-- The id of the span that a task is, from INSERT to its end: whoever has its id can name it. In hexadecimal digits, as
-- worker/src/trace computes it.
CREATE FUNCTION task_span_id(task_id uuid) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $span$
    SELECT left(encode(sha256(uuid_send(task_id)), 'hex'), 16)
$span$;

-- The trace that the subtasks of a task belong to, as the traceparent of that task; NULL: the trace that begins with
-- the uppermost of the tree. A retried task, and one of a schedule, begins a trace of its own: what its context names
-- is only where it comes from. Says the same as worker/src/trace (test:
-- traceparents_are_read_alike_by_sql_and_by_the_worker).
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

-- The request_context of a subtask, with its parent's trace, and what the context of that says of it, where it names
-- none itself.
CREATE FUNCTION inherit_trace(own jsonb, traceparent text, context jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $inherit$
DECLARE
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

-- The same for a parent whose traceparent is known to be valid, and which this transaction has locked.
CREATE FUNCTION trace_below(parent uuid, own jsonb) RETURNS jsonb LANGUAGE plpgsql SET search_path FROM CURRENT
SET enable_seqscan = off SET plan_cache_mode = 'force_generic_plan' AS $below$
BEGIN
    RETURN (
        SELECT inherit_trace(own,
            overlay(request_context ->> 'traceparent' PLACING task_span_id(parent) FROM 37), request_context)
        FROM tasks
        WHERE task_id = parent
    );
END
$below$;

-- Inserting ----------------------------------------------------------------------------------------------------------------

-- Where a subtask stands: its parent, the transaction that holds the lock on that, and what it takes from it. The trace
-- is looked up there: its producer may not read it, and by text of its own choice could make a place of another parent
-- that has the same digest.
CREATE TYPE task_place AS (
    parent_task_id uuid, locked_by xid8, root_task_id uuid, depth smallint, retry smallint, traced boolean
);

-- What place_below said last in this transaction is in the setting longshore.place, which everybody can write. So its digest
-- is in this sequence: `currval` is the session's own, and only the owner can set it. lock_trees takes it away.
CREATE UNLOGGED SEQUENCE place_known;
-- Not in quotes: read here and not where it is called, under the search_path of a producer.
CREATE FUNCTION place_digest(place text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('x' || substr(md5(place), 1, 15))::bit(60)::bigint + 1;

-- The place of a new subtask that nothing is unusual about; NULL: admit_task has to look closer.
--
-- Locks the parent as it is until the INSERT is committed. That is done already where this transaction has inserted another
-- subtask of it, and outside of a savepoint, so that the lock cannot be lost; and while that one waits for its claim, the
-- parent is open, and not being terminated. From then on its place is known, and no row has to be read. (Tests:
-- a_lock_that_was_rolled_back_is_taken_again, a_forged_place_is_no_place, a_place_is_known_until_the_tree_changes.)
CREATE FUNCTION place_below(parent uuid, task uuid) RETURNS task_place LANGUAGE plpgsql SET search_path FROM CURRENT
SET enable_seqscan = off SET plan_cache_mode = 'force_generic_plan' AS $place$
DECLARE
    sibling CONSTANT text := current_setting('longshore.sibling', true);
    place task_place;
BEGIN
    IF sibling <> '' THEN
        SELECT parent, pg_current_xact_id(), tasks.root_task_id, tasks.depth, tasks.retry,
            traceparent_of(above.task_id, above.parent_task_id, above.request_context) IS NOT NULL
        INTO place
        FROM tasks
        JOIN tasks AS above ON above.task_id = tasks.parent_task_id
        WHERE tasks.task_id = sibling::uuid
          AND tasks.parent_task_id = parent
          AND tasks.status = 'queued'
          AND tasks.xmin = pg_current_xact_id()::xid;
        IF FOUND THEN
            PERFORM setval('place_known', place_digest(set_config('longshore.place', place::text, true)));
            RETURN place;
        END IF;
    END IF;
    SELECT parent, NULL, coalesce(root_task_id, parent), coalesce(depth, 0) + 1, retry,
        traceparent_of(task_id, parent_task_id, request_context) IS NOT NULL
    INTO place
    FROM tasks
    WHERE task_id = parent
      AND has_subtasks
      AND status NOT IN ('complete', 'terminated')
      AND NOT "terminate"
      AND coalesce(depth, 0) < 32
      AND subtasks_stopped IS NULL
    FOR SHARE;
    IF FOUND THEN
        PERFORM set_config('longshore.sibling', task::text, true);
    END IF;
    RETURN place;
END
$place$;

-- As in 0003; whoever changes a tree may end a parent, or terminate it.
CREATE OR REPLACE FUNCTION lock_trees(roots uuid[]) RETURNS void LANGUAGE plpgsql AS $lock$
DECLARE
    stripe integer;
BEGIN
    PERFORM setval('place_known', 1);
    FOR stripe IN SELECT DISTINCT hashtext(root::text) & 1023 AS number FROM unnest(roots) AS root ORDER BY number LOOP
        PERFORM pg_advisory_xact_lock(hashtext('longshore tree ' || current_schema()), stripe);
    END LOOP;
END
$lock$;

-- As in 0007, with a short way for subtasks.
DO $triggers$
BEGIN
    EXECUTE format($create$
        CREATE OR REPLACE FUNCTION tasks_admit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $admit$
        BEGIN
            IF pg_catalog.pg_sequence_last_value(%1$L) OPERATOR(pg_catalog.>) pg_catalog.date_part('epoch', pg_catalog.now())
            THEN
                -- the same queue twice in one transaction is one notification
                PERFORM pg_catalog.pg_notify(%2$L, NEW.queue);
            END IF;
            IF pg_catalog.num_nonnulls(NEW.unique_key, NEW."after", NEW.claim_token) OPERATOR(pg_catalog.>) 0
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
            IF NEW.parent_task_id IS NOT NULL THEN
                DECLARE
                    known CONSTANT text := pg_catalog.current_setting('longshore.place', true);
                    place %3$I.task_place := CASE WHEN known OPERATOR(pg_catalog.<>) '' THEN known::%3$I.task_place END;
                BEGIN
                    IF (CASE WHEN place.parent_task_id OPERATOR(pg_catalog.=) NEW.parent_task_id
                            AND place.locked_by OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id()
                        THEN %3$I.place_digest(known) OPERATOR(pg_catalog.=) pg_catalog.currval(%4$L) END) IS NOT TRUE
                    THEN
                        place := %3$I.place_below(NEW.parent_task_id, NEW.task_id);
                        IF place.root_task_id IS NULL THEN
                            RETURN %3$I.admit_task(NEW);
                        END IF;
                    END IF;
                    NEW.root_task_id := place.root_task_id;
                    NEW.depth := place.depth;
                    NEW.retry := place.retry;
                    IF place.traced THEN
                        NEW.request_context := %3$I.trace_below(NEW.parent_task_id, NEW.request_context);
                    END IF;
                END;
            END IF;
            RETURN NEW;
        END
        $admit$
    $create$, quote_ident(current_schema()) || '.notify_until', 'longshore.' || current_schema(), current_schema(),
        quote_ident(current_schema()) || '.place_known');
END
$triggers$;

-- Ends of tasks ------------------------------------------------------------------------------------------------------------

-- Whether a task has an open subtask, as 0003 says. Looks at the last one first, which while a long list is worked off
-- in its order is open, and walks to another only if it is not.
ALTER FUNCTION has_open_subtask(uuid) RENAME TO walk_to_open_subtask;
CREATE FUNCTION has_open_subtask(parent uuid) RETURNS boolean LANGUAGE plpgsql AS $open$
DECLARE
    last_status task_status;
BEGIN
    SELECT status INTO last_status
    FROM tasks
    WHERE parent_task_id BETWEEN parent AND parent
    ORDER BY parent_task_id DESC, task_id DESC
    LIMIT 1;
    IF last_status NOT IN ('complete', 'terminated') THEN
        RETURN true;
    END IF;
    RETURN walk_to_open_subtask(parent);
END
$open$;

-- Settles held tasks of some trees, whose locks it takes, each within `patience`; see settle_tree. Returns those that it
-- settled. Rows that somebody else has locked are passed over, which costs a second look at each, or, without `skips`, are
-- waited for, up to the lock_timeout.
DROP FUNCTION settle_in_trees(uuid[], text, uuid[], uuid[], jsonb[], integer);
CREATE FUNCTION settle_in_trees(
    roots uuid[], patience text, skips boolean, task_ids uuid[], tokens uuid[], outcomes jsonb[], in_row_bytes integer
) RETURNS uuid[] LANGUAGE plpgsql AS $settle$
DECLARE
    done record;
    more record;
    one record;
    ended uuid[];
BEGIN
    -- another batch of the same tree takes its time; a row that somebody holds is left to the next call
    PERFORM set_config('lock_timeout', patience, true);
    PERFORM lock_trees(roots);
    PERFORM set_config('lock_timeout', '50ms', true);
    -- those without subtasks
    WITH held AS MATERIALIZED (
        SELECT
            given.task_id, given.claim_token, given.outcome, given.outcome -> 'result' AS details,
            given.outcome ->> 'step' AS step
        FROM unnest(task_ids, tokens, outcomes) AS given (task_id, claim_token, outcome)
        WHERE NOT skips
        UNION ALL
        SELECT locked.task_id, locked.claim_token, locked.outcome, locked.outcome -> 'result', locked.outcome ->> 'step'
        FROM (
            SELECT given.*
            FROM unnest(task_ids, tokens, outcomes) AS given (task_id, claim_token, outcome)
            JOIN tasks ON tasks.task_id = given.task_id
            WHERE tasks.claim_token = given.claim_token
              AND tasks.status IN ('running', 'terminating')
              AND coalesce(tasks.root_task_id, tasks.task_id) = ANY (roots)
            FOR NO KEY UPDATE OF tasks SKIP LOCKED
        ) AS locked
        WHERE skips
    ),
    settled AS (
        UPDATE tasks
        SET status = CASE
                WHEN tasks.status = 'terminating' THEN 'terminated'
                WHEN held.step = 'requeue' THEN 'queued'
                ELSE 'complete'
            END::task_status,
            result_status = CASE
                WHEN tasks.status = 'terminating' THEN 'failure'
                WHEN held.step = 'requeue' THEN tasks.result_status::text
                ELSE held.details ->> 'status'
            END::task_result_status,
            result_error_count = (held.outcome ->> 'error_count')::int,
            result_message = held.details ->> 'message',
            result_reason = CASE WHEN tasks.status = 'terminating' THEN 'terminated' ELSE held.details ->> 'reason' END,
            result_successes = CASE WHEN held.details ? 'successes'
                THEN ARRAY(SELECT jsonb_array_elements_text(held.details -> 'successes')) END,
            result_failures = CASE WHEN held.details ? 'failures'
                THEN ARRAY(SELECT jsonb_array_elements_text(held.details -> 'failures')) END,
            result_links = held.details -> 'links',
            output = CASE WHEN pg_column_size(held.details) <= in_row_bytes THEN held.details -> 'output' END,
            attempt = tasks.attempt - CASE WHEN held.step = 'requeue' THEN (held.outcome ->> 'attempt_back')::boolean::int ELSE 0 END,
            run_at = CASE WHEN held.step = 'requeue' AND tasks.status <> 'terminating'
                THEN now() + make_interval(secs => (held.outcome ->> 'delay')::float8) ELSE tasks.run_at END,
            finished_at = CASE WHEN tasks.status = 'terminating' OR held.step <> 'requeue' THEN clock_timestamp() END,
            updated = now()
        FROM held
        WHERE tasks.task_id = held.task_id
          AND tasks.claim_token = held.claim_token
          AND tasks.status IN ('running', 'terminating')
          AND tasks.has_subtasks IS NULL
          AND coalesce(tasks.root_task_id, tasks.task_id) = ANY (roots)
          AND held.step IN ('complete', 'requeue')
          AND NOT coalesce(held.details ? 'bubble', false)
        RETURNING
            tasks.task_id, held.claim_token, tasks.status, tasks.result_status, tasks.has_dependants, tasks.parent_task_id
    )
    SELECT
        coalesce(array_agg(task_id), '{}') AS task_ids,
        coalesce(array_agg(claim_token), '{}') AS tokens,
        array_agg(task_id) FILTER (WHERE status <> 'queued' AND has_dependants) AS before,
        array_agg(task_id) FILTER (
            WHERE status <> 'queued' AND parent_task_id IS NOT NULL AND NOT ended_well(result_status)) AS failed,
        array_agg(DISTINCT parent_task_id) FILTER (WHERE status <> 'queued' AND parent_task_id IS NOT NULL) AS parents
    INTO done
    FROM settled;
    IF cardinality(done.task_ids) < cardinality(settle_in_trees.task_ids) THEN
        -- those with subtasks, or who ask for them
        FOR one IN
            SELECT tasks AS task, given.outcome
            FROM unnest(settle_in_trees.task_ids, tokens, outcomes) AS given (task_id, claim_token, outcome)
            JOIN tasks ON tasks.task_id = given.task_id
            WHERE tasks.claim_token = given.claim_token
              AND tasks.status IN ('running', 'terminating')
              AND coalesce(tasks.root_task_id, tasks.task_id) = ANY (roots)
              AND (tasks.has_subtasks OR given.outcome -> 'result' ? 'bubble'
                  OR given.outcome ->> 'step' IN ('suspend', 'retry_failed'))
            FOR NO KEY UPDATE OF tasks SKIP LOCKED
        LOOP
            IF settle_with_subtasks(one.task, one.outcome,
                one.outcome ->> 'step' <> 'complete' OR pg_column_size(one.outcome -> 'result') <= in_row_bytes) THEN
                ended := ended || (one.task).task_id;
            END IF;
            done.task_ids := done.task_ids || (one.task).task_id;
            done.tokens := done.tokens || (one.task).claim_token;
        END LOOP;
        more := gather_ends(ended);
        done.before := more.before || done.before;
        done.failed := more.failed || done.failed;
        done.parents := more.parents || done.parents;
    END IF;
    -- of a task that has two outcomes here, that of the claim which holds it
    INSERT INTO task_output (task_id, output)
    SELECT given.task_id, given.outcome #> '{result,output}'
    FROM unnest(settle_in_trees.task_ids, settle_in_trees.tokens, outcomes) AS given (task_id, claim_token, outcome)
    JOIN unnest(done.task_ids, done.tokens) AS settled (task_id, claim_token) USING (task_id, claim_token)
    WHERE pg_column_size(given.outcome) > in_row_bytes
      AND pg_column_size(given.outcome -> 'result') > in_row_bytes
      AND given.outcome -> 'result' ? 'output'
      AND given.outcome ->> 'step' = 'complete'
    ON CONFLICT (task_id) DO NOTHING;
    PERFORM follow_ends(done.before, done.failed, done.parents);
    RETURN done.task_ids;
END
$settle$;
REVOKE EXECUTE ON FUNCTION inherit_trace, trace_below, place_digest, place_below,
    has_open_subtask, settle_in_trees FROM PUBLIC;

-- As in 0003. An outcome may name, as `root`, the uppermost task of its tree, which is looked up else; one that names
-- another tree is not settled.
CREATE OR REPLACE FUNCTION settle_tree(
    task_ids uuid[], tokens uuid[], outcomes jsonb[], in_row_bytes integer, last_tokens uuid[], last_open integer[]
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_material = off SET enable_sort = off SET jit = off SET plan_cache_mode = 'force_generic_plan' SET lock_timeout = '1s'
AS $settle$
DECLARE
    roots uuid[] := ARRAY(
        SELECT (given.outcome ->> 'root')::uuid
        FROM unnest(outcomes) AS given (outcome)
        WHERE given.outcome ? 'root'
        UNION
        SELECT coalesce(tasks.root_task_id, tasks.task_id)
        FROM unnest(task_ids, tokens, outcomes) AS given (task_id, claim_token, outcome)
        JOIN tasks ON tasks.task_id = given.task_id
        WHERE NOT given.outcome ? 'root'
          AND tasks.claim_token = given.claim_token
    );
    root uuid;
    settled uuid[] := '{}';
BEGIN
    BEGIN
        settled := settle_in_trees(roots, '500ms', false, task_ids, tokens, outcomes, in_row_bytes);
    EXCEPTION WHEN lock_not_available THEN
        -- one tree in which somebody holds a row must not hold up the others, nor one row the rest of its tree
        FOREACH root IN ARRAY roots LOOP
            EXIT WHEN clock_timestamp() > statement_timestamp() + interval '4 s';
            BEGIN
                settled := settled
                    || settle_in_trees(ARRAY[root], '100ms', true, task_ids, tokens, outcomes, in_row_bytes);
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
