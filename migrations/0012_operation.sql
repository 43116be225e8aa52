-- Pauses, and workers that say what they serve and can be told to drain.
--
-- Why: an operator could not stop a queue or an action without ending workers, nor see who serves what.
-- Locks: ACCESS EXCLUSIVE on workers for as long as it takes to change the catalogue: heartbeats wait for a moment,
-- however many tasks there are.
-- Undo: drop the tables pauses and worker_queues, the functions pauses_notify and drain_worker, and the column
-- workers.draining_since. Workers of the previous version run beside it: they do not look at pauses, which hold once the
-- last of them has ended; and they say nothing of what they serve.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false);

CREATE DOMAIN pause_reason AS text
    CONSTRAINT pause_reason_is_at_most_1000_bytes CHECK (octet_length(VALUE) <= 1000);

-- What is not claimed. A row says of which queue, of which action, or of which action in which queue; NULL is any. Every
-- claim looks at it.
CREATE TABLE pauses (
    queue      task_queue,
    action     task_action,
    reason     pause_reason,
    paused_at  timestamptz      NOT NULL DEFAULT now(),
    paused_by  task_created_by  NOT NULL DEFAULT session_user,
    -- from then on it holds no more; NULL: until its row is deleted
    "until"    timestamptz,
    CONSTRAINT pauses_name_a_queue_or_an_action CHECK (num_nonnulls(queue, action) > 0),
    CONSTRAINT pauses_until_is_later_and_before_2200 CHECK ("until" > paused_at AND "until" < '2200-01-01 00:00:00+00'),
    CONSTRAINT pauses_are_one_a_queue_and_action UNIQUE NULLS NOT DISTINCT (queue, action)
);

-- Wakes the workers: what may be claimed has changed.
CREATE FUNCTION pauses_notify() RETURNS trigger LANGUAGE plpgsql AS $notify$
BEGIN
    PERFORM pg_catalog.pg_notify('longshore.' || TG_TABLE_SCHEMA, '');
    RETURN NULL;
END
$notify$;
CREATE TRIGGER pauses_notify AFTER INSERT OR UPDATE OR DELETE ON pauses FOR EACH STATEMENT EXECUTE FUNCTION pauses_notify();

-- by drain_worker, or by the worker itself once it has been told to end; NULL: it claims
ALTER TABLE workers ADD COLUMN draining_since timestamptz;

-- A row a worker and queue that it serves: entered with the worker, gone with it.
CREATE TABLE worker_queues (
    worker_id            uuid      NOT NULL REFERENCES workers ON DELETE CASCADE,
    queue                text      NOT NULL,
    actions              text[]    NOT NULL,
    slots                integer   NOT NULL,
    -- by its heartbeat: tasks in hand, slots without one, and how many a second it has claimed and ended since the one before
    running              integer   NOT NULL DEFAULT 0,
    free_slots           integer   NOT NULL,
    claimed_per_second   real      NOT NULL DEFAULT 0,
    finished_per_second  real      NOT NULL DEFAULT 0,
    PRIMARY KEY (worker_id, queue)
) WITH (fillfactor = 50);

-- Tells a worker to drain: it claims no more, finishes what it has, and ends. False when there is no such worker, or it
-- drains already.
CREATE FUNCTION drain_worker(worker uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $drain$
BEGIN
    UPDATE workers SET draining_since = now() WHERE worker_id = worker AND draining_since IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('longshore.' || current_schema() || '.drain', worker::text);
    RETURN true;
END
$drain$;
REVOKE EXECUTE ON FUNCTION drain_worker(uuid) FROM PUBLIC;

-- Whoever claims looks at pauses, and whoever reports says more: workers go on before roles.sql is run again.
DO $grants$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE given.grantee WHEN 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(given.grantee) END
        FROM information_schema.column_privileges AS given
        WHERE given.table_schema = current_schema()
            AND given.table_name = 'workers'
            AND given.column_name = 'heartbeat_at'
            AND given.privilege_type = 'UPDATE'
    LOOP
        EXECUTE format('GRANT SELECT ON pauses TO %s', grantee);
        EXECUTE format('GRANT UPDATE (draining_since) ON workers TO %s', grantee);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE (running, free_slots, claimed_per_second, finished_per_second)
            ON worker_queues TO %s', grantee);
    END LOOP;
END
$grants$;
