-- The tables of the queue: tasks and their messages, claims, workers, the active instance.
--
-- Why: first version of the schema.
-- Locks: none that anybody waits for; everything here is new.
-- Undo: drop the schema that it was applied to (or the objects named below).
--
-- Everything is created in the first schema of search_path, so several installations share a database by schema.
-- Functions pin that schema, since a producer's own search_path may be anything, and temporary objects behind it: else a
-- producer's temporary view called like a table of ours would run with the owner's rights.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false);

-- Notifications go to channels named after the schema, and a channel's name is at most 63 bytes.
DO $schema$
BEGIN
    IF octet_length(current_schema()) > 43 THEN
        RAISE EXCEPTION 'the schema''s name must be at most 43 bytes, got %', octet_length(current_schema())
            USING ERRCODE = 'name_too_long';
    END IF;
END
$schema$;

-- Task ids -----------------------------------------------------------------------------------------------------------

-- A UUIDv7 whose 12 bits after the version hold the fraction of the millisecond (RFC 9562, 6.2, method 3), so that ids
-- made one after the other increase. Postgres 18 has its own. One expression with one clock reading, so that it is
-- inlined: 48 bits of milliseconds and 12 of fraction are one number, and the version digit is put in its middle.
DO $version$
BEGIN
    IF current_setting('server_version_num')::int >= 180000 THEN
        CREATE FUNCTION task_uuidv7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT uuidv7()';
    ELSE
        CREATE FUNCTION task_uuidv7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $uuid$
            SELECT (
                overlay('0' || to_hex((date_part('epoch', clock_timestamp()) * 4096000)::bigint) PLACING '7' FROM 13 FOR 0)
                || substr(gen_random_uuid()::text, 20)
            )::uuid
        $uuid$;
    END IF;
END
$version$;

-- The smallest task id of an instant: the bound of a partition.
CREATE FUNCTION task_id_floor(instant timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $floor$
    SELECT rpad(lpad(to_hex((date_part('epoch', instant) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$floor$;

-- The instant in a task id, to the millisecond.
CREATE FUNCTION task_id_instant(task_id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $instant$
    SELECT to_timestamp(('x0000' || substr(task_id::text, 1, 8) || substr(task_id::text, 10, 4))::bit(64)::bigint / 1000.0)
$instant$;

-- Values that a producer may write. Domains, not table constraints: a domain is checked when a value comes in, a table
-- constraint at every later UPDATE of the row as well (300 rows of 100 KB: 115 ms instead of 5).

CREATE TYPE task_status AS ENUM ('requested', 'queued', 'running', 'terminating', 'terminated', 'complete');
CREATE TYPE task_result_status AS ENUM ('incomplete', 'success', 'partial_success', 'failure');
CREATE TYPE task_unique_until AS ENUM ('claimed', 'ended');

CREATE DOMAIN task_action AS text
    CONSTRAINT action_is_1_to_128_bytes CHECK (octet_length(VALUE) BETWEEN 1 AND 128);
CREATE DOMAIN task_queue AS text
    CONSTRAINT queue_is_1_to_64_bytes CHECK (octet_length(VALUE) BETWEEN 1 AND 64);
CREATE DOMAIN task_priority AS smallint
    CONSTRAINT priority_is_0_to_9 CHECK (VALUE BETWEEN 0 AND 9);
CREATE DOMAIN task_run_at AS timestamptz
    CONSTRAINT run_at_is_between_2000_and_2200
    CHECK (VALUE >= '2000-01-01 00:00:00+00' AND VALUE < '2200-01-01 00:00:00+00');
CREATE DOMAIN task_created AS timestamptz
    CONSTRAINT created_is_between_2000_and_2200
    CHECK (VALUE >= '2000-01-01 00:00:00+00' AND VALUE < '2200-01-01 00:00:00+00');
CREATE DOMAIN task_payload AS jsonb
    CONSTRAINT payload_is_at_most_256_kib CHECK (octet_length(VALUE::text) <= 262144);
CREATE DOMAIN task_node_filter AS jsonb
    CONSTRAINT node_filter_is_at_most_64_kib CHECK (octet_length(VALUE::text) <= 65536);
CREATE DOMAIN task_request_context AS jsonb
    CONSTRAINT request_context_is_at_most_16_kib CHECK (octet_length(VALUE::text) <= 16384);
CREATE DOMAIN task_design_ref AS text
    CONSTRAINT design_ref_is_at_most_2048_bytes CHECK (octet_length(VALUE) <= 2048)
    -- no URI holds a backslash, and parsers disagree on whether it ends the part that may hold credentials
    CONSTRAINT design_ref_is_a_uri CHECK (VALUE ~ '^[A-Za-z][A-Za-z0-9+.-]*:[^[:space:][:cntrl:]\\]+$')
    CONSTRAINT design_ref_holds_no_credentials CHECK (VALUE !~ '^[^:/?#]+:/*[^/?#]*@');
CREATE DOMAIN task_max_attempts AS smallint
    CONSTRAINT max_attempts_is_1_to_1000 CHECK (VALUE BETWEEN 1 AND 1000);
CREATE DOMAIN task_timeout AS interval
    CONSTRAINT timeout_is_above_0_and_at_most_31_days CHECK (VALUE > interval '0' AND VALUE <= interval '31 days');
CREATE DOMAIN task_unique_key AS text
    CONSTRAINT unique_key_is_1_to_512_bytes CHECK (octet_length(VALUE) BETWEEN 1 AND 512);
CREATE DOMAIN task_after AS uuid[]
    CONSTRAINT after_names_1_to_1000_tasks CHECK (cardinality(VALUE) BETWEEN 1 AND 1000);
CREATE DOMAIN task_created_by AS text
    CONSTRAINT created_by_is_1_to_128_bytes CHECK (octet_length(VALUE) BETWEEN 1 AND 128);

-- Tasks --------------------------------------------------------------------------------------------------------------
-- The column order is part of the design: an UPDATE logs what lies between the first and the last byte that changed, so
-- the columns that change lie together, between fixed ones that never do and wide ones that never do.
CREATE TABLE tasks (
    -- the producer's, never changed
    task_id             uuid                 NOT NULL DEFAULT task_uuidv7() PRIMARY KEY,
    parent_task_id      uuid,
    created             task_created         NOT NULL DEFAULT now(),
    "timeout"           task_timeout,
    unique_until        task_unique_until    NOT NULL DEFAULT 'claimed',
    max_attempts        task_max_attempts    NOT NULL DEFAULT 20,
    priority            task_priority        NOT NULL DEFAULT 5,
    run_at              task_run_at          NOT NULL DEFAULT now(),
    -- the queue's: written by the claim
    attempt             smallint             NOT NULL DEFAULT 0,
    retry               smallint             NOT NULL DEFAULT 0,
    claim_token         uuid,
    started_at          timestamptz,
    -- and these again by the completion, so that it logs nothing of the above
    status              task_status          NOT NULL DEFAULT 'queued',
    result_status       task_result_status   NOT NULL DEFAULT 'incomplete',
    result_error_count  integer              NOT NULL DEFAULT 0,
    ready               boolean              GENERATED ALWAYS AS (status = 'queued') STORED,
    "terminate"         boolean              NOT NULL DEFAULT false,
    updated             timestamptz,
    finished_at         timestamptz,
    "terminated"        timestamptz,
    terminated_by       text,
    result_message      text,
    result_reason       text,
    result_successes    text[],
    result_failures     text[],
    result_links        jsonb,
    output              jsonb,
    -- the producer's, never changed
    queue               task_queue           NOT NULL DEFAULT 'default',
    action              task_action          NOT NULL,
    created_by          task_created_by      NOT NULL DEFAULT session_user,
    unique_key          task_unique_key,
    payload             task_payload         NOT NULL DEFAULT '{}',
    design_ref          task_design_ref,
    node_filter         task_node_filter,
    request_context     task_request_context,
    "after"             task_after
) PARTITION BY RANGE (task_id);

-- The queue itself. `ready` changes once, at the claim; status is in no index, so that every later change can be HOT.
CREATE INDEX tasks_ready ON tasks (queue, priority, run_at, task_id) WHERE ready;
-- The newest task of a key. Not limited to waiting ones: a predicate that changes would leave a dead entry a use.
CREATE INDEX tasks_unique_key ON tasks (queue, unique_key, task_id DESC) WHERE unique_key IS NOT NULL;
-- Tasks whose `terminate` was set and not yet acted on: empty but for the moment of a termination.
CREATE INDEX tasks_terminate ON tasks (task_id) WHERE "terminate" AND "terminated" IS NULL;
CREATE INDEX tasks_parent ON tasks (parent_task_id) WHERE parent_task_id IS NOT NULL;

-- What an executor said while it ran: numbered from 1 without gaps by the claim's holder.
CREATE TABLE result_message (
    task_id       uuid         NOT NULL,
    sequence      integer      NOT NULL,
    ts            timestamptz  NOT NULL DEFAULT now(),
    error         boolean      NOT NULL,
    message       text         NOT NULL,
    context       text,
    context_type  text,
    extra         jsonb,
    PRIMARY KEY (task_id, sequence)
) PARTITION BY RANGE (task_id);

-- Outputs too wide for the task's own row: they would push its completion off the page.
CREATE TABLE task_output (
    task_id  uuid   NOT NULL PRIMARY KEY,
    output   jsonb  NOT NULL
) PARTITION BY RANGE (task_id);

-- Partitions --------------------------------------------------------------------------------------------------------------
-- Ranges of creation time, the same for the three tables, and a range open to each end: an INSERT never lacks one. Few
-- and wide, since each costs every claim a lock and an index descent. The names carry the range's first day.

-- Adds the partition [since, until) of the three tables; NULL is open.
CREATE FUNCTION add_partition(name text, since timestamptz, until timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $add$
DECLARE
    bounds text := format('FROM (%s) TO (%s)',
        coalesce(quote_literal(task_id_floor(since)), 'MINVALUE'), coalesce(quote_literal(task_id_floor(until)), 'MAXVALUE'));
BEGIN
    -- a page has room for what every row on it becomes: claimed, then complete
    EXECUTE format('CREATE TABLE %I PARTITION OF tasks FOR VALUES %s WITH (fillfactor = 30)', 'tasks_' || name, bounds);
    EXECUTE format('CREATE TABLE %I PARTITION OF result_message FOR VALUES %s', 'result_message_' || name, bounds);
    EXECUTE format('CREATE TABLE %I PARTITION OF task_output FOR VALUES %s', 'task_output_' || name, bounds);
END
$add$;

DO $partitions$
DECLARE
    -- a week a partition: four are live with the default retention of 30 days
    week timestamptz := date_trunc('week', now(), 'UTC');
BEGIN
    -- seven days of UTC, whatever the session's clock does on a Sunday in spring
    PERFORM set_config('timezone', 'UTC', true);
    PERFORM add_partition('past', NULL, week);
    PERFORM add_partition('w' || to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD'), week, week + interval '7 days');
    PERFORM add_partition('w' || to_char((week + interval '7 days') AT TIME ZONE 'UTC', 'YYYYMMDD'),
        week + interval '7 days', week + interval '14 days');
    PERFORM add_partition('future', week + interval '14 days', NULL);
END
$partitions$;

-- Who works -----------------------------------------------------------------------------------------------------------

-- One row a worker process.
CREATE TABLE workers (
    worker_id     uuid         NOT NULL PRIMARY KEY,
    name          text         NOT NULL,
    version       text         NOT NULL,
    lease         interval     NOT NULL,
    started_at    timestamptz  NOT NULL DEFAULT now(),
    -- the last heartbeat, and since when they have come without a gap
    heartbeat_at  timestamptz  NOT NULL DEFAULT now(),
    beating_since timestamptz  NOT NULL DEFAULT now(),
    -- until when an INSERT shall notify; NULL: this worker polls
    idle_until    timestamptz
) WITH (fillfactor = 50);

-- One row a claimed batch: the way from a dead worker to its tasks. Deleted when the last of them has ended.
CREATE TABLE claims (
    claim_token  uuid         NOT NULL PRIMARY KEY,
    worker_id    uuid         NOT NULL,
    claimed_at   timestamptz  NOT NULL DEFAULT now(),
    task_ids     uuid[]       NOT NULL
);
-- ids of one moment differ in their random half: compressing them is lost work
ALTER TABLE claims ALTER COLUMN task_ids SET STORAGE EXTERNAL;
CREATE INDEX claims_worker ON claims (worker_id);

-- The one row that says who schedules. Changed in place, never deleted, so that the epoch only grows.
CREATE TABLE active_instance (
    one               boolean      NOT NULL DEFAULT true PRIMARY KEY CONSTRAINT active_instance_is_one_row CHECK (one),
    identity          uuid,
    epoch             bigint       NOT NULL DEFAULT 0,
    lease_expires_at  timestamptz  NOT NULL DEFAULT '1970-01-01 00:00:00+00'
) WITH (fillfactor = 50);
INSERT INTO active_instance DEFAULT VALUES;

-- What an INSERT does besides -------------------------------------------------------------------------------------------

-- Looks at the rare rows: those with a key, a parent or predecessors, with an id of their own, or with a column that is
-- the queue's. All others pass by the trigger's condition alone.
CREATE FUNCTION tasks_admit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $admit$
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
    IF NEW.parent_task_id IS NOT NULL OR NEW."after" IS NOT NULL THEN
        RAISE EXCEPTION 'parent_task_id and after are reserved: this version does not run task trees'
            USING ERRCODE = 'feature_not_supported', TABLE = 'tasks', HINT = 'Leave both columns out.';
    END IF;
    IF NEW.unique_key IS NOT NULL THEN
        -- The newest task of the key decides, so that a key's history costs nothing. Two producers that insert one key
        -- at the same moment do not see each other, and neither waits: settle_unique drops the second when the first is
        -- claimed. BETWEEN, since with equality the order is that of the primary key too, and the planner walked that
        -- back past all younger tasks where statistics called the key common.
        SELECT status INTO found_status FROM tasks
        WHERE queue = NEW.queue AND unique_key BETWEEN NEW.unique_key AND NEW.unique_key
        ORDER BY unique_key, task_id DESC LIMIT 1;
        IF found_status IN ('requested', 'queued')
            OR NEW.unique_until = 'ended' AND found_status IN ('running', 'terminating') THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN NEW;
END
$admit$;

CREATE TRIGGER tasks_admit BEFORE INSERT ON tasks FOR EACH ROW
    WHEN (NEW.unique_key IS NOT NULL
        OR NEW.parent_task_id IS NOT NULL
        OR NEW."after" IS NOT NULL
        OR NEW.status <> 'queued'
        OR NEW.attempt <> 0
        OR NEW.retry <> 0
        OR NEW.claim_token IS NOT NULL
        OR NEW.result_status <> 'incomplete'
        OR NEW."terminate"
        OR get_byte(uuid_send(NEW.task_id), 6) >> 4 <> 7
        OR get_byte(uuid_send(NEW.task_id), 8) >> 6 <> 2)
    EXECUTE FUNCTION tasks_admit();

-- Wakes the workers when one has said that it sleeps, and only then: commits that notify queue up behind one lock.
CREATE FUNCTION tasks_notify() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $notify$
BEGIN
    IF EXISTS (SELECT FROM workers WHERE idle_until > now()) THEN
        PERFORM pg_notify('longshore.' || TG_TABLE_SCHEMA, '');
    END IF;
    RETURN NULL;
END
$notify$;

CREATE TRIGGER tasks_notify AFTER INSERT ON tasks FOR EACH STATEMENT EXECUTE FUNCTION tasks_notify();

-- Ends the tasks whose `terminate` was just set: at once while they wait, through their executor while they run.
-- One trigger a statement, on this column alone, so that claims and completions pay nothing for it.
CREATE FUNCTION tasks_terminate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $terminate$
BEGIN
    -- An ended task is left alone. This UPDATE fires this trigger again, which then finds none.
    IF EXISTS (
        SELECT FROM tasks WHERE "terminate" AND "terminated" IS NULL AND status IN ('complete', 'terminated')
    ) THEN
        UPDATE tasks SET "terminate" = false
        WHERE "terminate" AND "terminated" IS NULL AND status IN ('complete', 'terminated');
    END IF;
    UPDATE tasks
    SET "terminated" = now(),
        terminated_by = coalesce(nullif(current_setting('longshore.terminated_by', true), ''), session_user),
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

CREATE TRIGGER tasks_terminate AFTER UPDATE OF "terminate" ON tasks FOR EACH STATEMENT EXECUTE FUNCTION tasks_terminate();

-- Ends a task; true when it was open. `by` defaults to the session's user.
CREATE FUNCTION terminate_task(task_id uuid, by text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $terminate$
DECLARE
    was_open boolean;
BEGIN
    PERFORM set_config('longshore.terminated_by', coalesce(by, ''), true);
    UPDATE tasks SET "terminate" = true
    WHERE tasks.task_id = terminate_task.task_id AND status NOT IN ('complete', 'terminated');
    was_open := FOUND;
    -- whoever sets the column later in this transaction is not `by`
    PERFORM set_config('longshore.terminated_by', '', true);
    RETURN was_open;
END
$terminate$;

-- Ends tasks for whoever may execute it: deploy/roles.sql says who. The trigger functions run as the owner too: whoever
-- could attach one to a table of their own could run code of their own in it, by a cast of that table's types.
REVOKE EXECUTE ON FUNCTION terminate_task(uuid, text), tasks_admit(), tasks_notify(), tasks_terminate() FROM PUBLIC;

-- Keeps keys unique among tasks that were inserted at the same moment, when one of them is claimed: `claimed` are tasks
-- with a key, held under `token` and not yet started. Ends the waiting duplicates of each, since whoever waits now is
-- served by the run that is about to start. A claimed task itself ends as a duplicate when its key must be free until
-- the end and another task with it runs; these are returned, and must not start. Of two claimed at once, the one that
-- looks first ends and the other runs: the lock lets them look one after the other, and one order for all lets nobody
-- deadlock. Looks at the newest hundred tasks of a key, so that a key's history costs nothing.
CREATE FUNCTION settle_unique(claimed uuid[], token uuid) RETURNS SETOF uuid
LANGUAGE plpgsql SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $settle$
DECLARE
    mine record;
    other uuid;
BEGIN
    FOR mine IN
        SELECT tasks.task_id, tasks.queue, tasks.unique_key, tasks.unique_until,
            hashtextextended(current_schema() || ' ' || tasks.queue || ' ' || tasks.unique_key, 0) AS lock
        FROM unnest(claimed) AS given (task_id)
        JOIN tasks ON tasks.task_id = given.task_id
        WHERE tasks.claim_token = token AND tasks.status = 'running'
        ORDER BY lock, tasks.task_id
    LOOP
        PERFORM pg_advisory_xact_lock(mine.lock);
        -- BETWEEN and the order as in tasks_admit
        SELECT newest.task_id INTO other
        FROM (
            SELECT tasks.task_id, tasks.status, tasks.claim_token FROM tasks
            WHERE tasks.queue = mine.queue AND tasks.unique_key BETWEEN mine.unique_key AND mine.unique_key
            ORDER BY tasks.unique_key, tasks.task_id DESC LIMIT 100
        ) AS newest
        WHERE newest.status IN ('running', 'terminating') AND newest.task_id <> mine.task_id
            AND (mine.unique_until = 'ended' OR newest.claim_token = token)
        LIMIT 1;
        IF FOUND THEN
            -- waits for whoever looks at it under a lock: nobody else would ever end it
            PERFORM end_duplicates(ARRAY[mine.task_id], other);
            RETURN NEXT mine.task_id;
            CONTINUE;
        END IF;
        -- one that somebody holds, or that no longer waits, is left alone
        PERFORM end_duplicates(ARRAY(
            SELECT tasks.task_id
            FROM (
                SELECT tasks.task_id FROM tasks
                WHERE tasks.queue = mine.queue AND tasks.unique_key BETWEEN mine.unique_key AND mine.unique_key
                ORDER BY tasks.unique_key, tasks.task_id DESC LIMIT 100
            ) AS newest
            JOIN tasks ON tasks.task_id = newest.task_id
            WHERE tasks.status IN ('requested', 'queued') AND tasks.task_id <> mine.task_id
            FOR NO KEY UPDATE OF tasks SKIP LOCKED
        ), mine.task_id);
    END LOOP;
END
$settle$;

-- Ends tasks as duplicates of another one.
CREATE FUNCTION end_duplicates(duplicates uuid[], of_task uuid) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT AS $duplicates$
    UPDATE tasks
    SET status = 'terminated', result_reason = 'duplicate', result_message = 'duplicate of task ' || of_task,
        terminated_by = 'unique_key', "terminated" = now(), finished_at = now(), updated = now()
    FROM unnest(duplicates) AS given (task_id)
    WHERE tasks.task_id = given.task_id
$duplicates$;
