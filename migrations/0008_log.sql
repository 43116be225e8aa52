-- The log of tasks: followed live, and with the history of their attempts.
--
-- Why: a follower that polls asks often in vain, and sees a message late; an attempt that failed left nothing in the log.
-- Locks: SHARE ROW EXCLUSIVE on result_message, for the trigger: it waits for statements under way that record messages,
-- and holds new ones up for a moment, however many rows there are.
-- Undo: drop the trigger result_message_notify, its function, the functions follow_log, next_message, attempt_notice,
-- attempt_facts and note_retries, and the table log_followers.

-- Until when somebody follows a log; nobody does: a time in the past. One row for all, changed in place.
CREATE TABLE log_followers (
    one           boolean      NOT NULL DEFAULT true PRIMARY KEY CONSTRAINT log_followers_is_one_row CHECK (one),
    follow_until  timestamptz  NOT NULL DEFAULT '1970-01-01 00:00:00+00'
) WITH (fillfactor = 50);
INSERT INTO log_followers DEFAULT VALUES;

-- Announces a follower for the next 30 seconds; written at most every 15, however many there are.
CREATE FUNCTION follow_log() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $follow$
    UPDATE log_followers
    SET follow_until = now() + interval '30 s'
    WHERE one AND follow_until < now() + interval '15 s'
$follow$;

-- Tells the followers that messages were recorded. Nobody follows: one look at one row, and no NOTIFY, since commits that
-- notify queue up behind one lock. On the table of messages, so that ends of tasks pay nothing for it.
CREATE FUNCTION result_message_notify() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $notify$
BEGIN
    IF EXISTS (SELECT FROM log_followers WHERE one AND follow_until > now()) THEN
        PERFORM pg_notify('longshore.' || TG_TABLE_SCHEMA || '.messages', '');
    END IF;
    RETURN NULL;
END
$notify$;

CREATE TRIGGER result_message_notify AFTER INSERT ON result_message
FOR EACH STATEMENT EXECUTE FUNCTION result_message_notify();

REVOKE EXECUTE ON FUNCTION follow_log(), result_message_notify() FROM PUBLIC;

-- The number of a task's next message, with all that is committed by now: for a statement that has locked the task, so that
-- nobody else numbers any more. Volatile, or it would see what the statement saw at its begin.
CREATE FUNCTION next_message(task_id uuid) RETURNS integer LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT AS $next$
BEGIN
    RETURN 1 + coalesce((
        SELECT said.sequence FROM result_message AS said
        WHERE said.task_id = next_message.task_id
        ORDER BY said.task_id DESC, said.sequence DESC
        LIMIT 1
    ), 0);
END
$next$;

-- What the log says of an attempt that failed; `retry_at` is NULL when no attempt is left.
CREATE FUNCTION attempt_notice(attempt smallint, max_attempts smallint, reason text, message text, retry_at timestamptz)
RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $notice$
    SELECT concat(
        'failed', ' (' || reason || ')', ': ' || message,
        CASE WHEN retry_at IS NULL THEN '; of ' || max_attempts || ' attempts none is left'
            ELSE '; attempt ' || attempt + 1 || ' of ' || max_attempts || ' is due at ' || document_instant(retry_at) END)
$notice$;

-- The same for programs.
CREATE FUNCTION attempt_facts(attempt smallint, reason text, retry_at timestamptz)
RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS $facts$
    SELECT jsonb_build_object('attempt', attempt, 'reason', reason, 'retry_at', document_instant(retry_at))
$facts$;

-- Leaves a notice with tasks that settle_tree has just run again for what their subtasks failed to do, or ended since they
-- had been run again often enough: `outcomes` as it takes them. In its transaction, so that the rows are still locked.
CREATE FUNCTION note_retries(settled uuid[], task_ids uuid[], outcomes jsonb[]) RETURNS void LANGUAGE plpgsql
SET search_path FROM CURRENT AS $note$
BEGIN
    INSERT INTO result_message (task_id, sequence, error, message, context_type, extra)
    SELECT
        tasks.task_id,
        next_message(tasks.task_id),
        false,
        CASE tasks.result_reason
            WHEN 'retry_failed' THEN 'retry ' || tasks.retry || coalesce(' of ' || nullif(given.outcome ->> 'max', '0'), '')
                || ' of what failed: '
            ELSE 'no further retry, ' || tasks.retry || ' of ' || (given.outcome ->> 'max') || ' are done; failed: '
        END || coalesce(nullif(array_to_string(tasks.result_failures[:10], ', '), ''), 'subtasks that name nothing')
            || CASE WHEN cardinality(tasks.result_failures) > 10
                THEN ' and ' || cardinality(tasks.result_failures) - 10 || ' more' ELSE '' END,
        'retry',
        jsonb_build_object('retry', tasks.retry, 'max', nullif((given.outcome ->> 'max')::int, 0))
    FROM unnest(task_ids, outcomes) AS given (task_id, outcome)
    JOIN tasks ON tasks.task_id = given.task_id
    WHERE given.outcome ->> 'step' = 'retry_failed'
      AND given.task_id = ANY (settled)
      AND (tasks.status = 'queued' AND tasks.result_reason = 'retry_failed'
          OR tasks.status = 'complete' AND tasks.result_reason = 'max_retries_reached');
END
$note$;

-- What runs as the owner looks for temporary objects last; the others keep to the same schema.
DO $search$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['follow_log', 'result_message_notify', 'next_message', 'note_retries'] LOOP
        EXECUTE format('ALTER FUNCTION %I SET search_path = %I, pg_temp', name, current_schema());
    END LOOP;
END
$search$;
